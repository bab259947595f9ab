import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ManifestInvalid, SchemaMismatch
from service.manifest import FileEntry, Manifest, valid_name
from service.schema import FeatureSchema


def make_manifest(**changes: Any) -> Manifest:
    fields: dict[str, Any] = {
        "name": "web",
        "version": "",
        "digest": "",
        "created": "2026-01-02T03:04:05+00:00",
        "commit": "c0ffee" + "0" * 34,
        "dirty": False,
        "schema": FeatureSchema.from_names(["a", "b"]),
        "objective": "rank:ndcg",
        "files": {"model.ubj": FileEntry.of(b"model")},
    }
    return Manifest(**(fields | changes)).seal()


def test_round_trip() -> None:
    manifest = make_manifest(metrics={"ndcg@10": 0.25}, parameters={"eta": 0.1, "max_depth": 6})
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_version_is_the_commits_day_and_the_digest() -> None:
    manifest = make_manifest()
    assert manifest.version == "20260102-" + manifest.digest.removeprefix("sha256:")[:12]
    assert make_manifest(dirty=True).version.endswith("-dirty")


def test_digest_covers_everything_but_version_and_itself() -> None:
    manifest = make_manifest()
    assert replace(manifest, version="x", digest="y").content_digest() == manifest.digest
    changes: list[dict[str, Any]] = [
        {"name": "other"},
        {"created": "2026-01-02T03:04:06+00:00"},
        {"commit": "0" * 40},
        {"dirty": True},
        {"schema": FeatureSchema.from_names(["b", "a"])},
        {"objective": "rank:map"},
        {"files": {"model.ubj": FileEntry.of(b"other")}},
        {"parameters": {"eta": 0.1}},
        {"metrics": {"ndcg@10": 0.5}},
        {"data": {"sha256": "0" * 64}},
        {"libraries": {"xgboost": "3.2.0"}},
        {"extra": {"later": 1}},
    ]
    digests = {make_manifest(**change).digest for change in changes}
    assert len(digests | {manifest.digest}) == len(changes) + 1


def test_what_a_later_release_adds_is_kept() -> None:
    manifest = make_manifest(extra={"drift": {"bins": 10}})
    assert Manifest.from_json(manifest.to_json()).extra == {"drift": {"bins": 10}}


BAD: list[tuple[tuple[str, ...], Any, str]] = [
    (("format",), 2, "format 2 is unknown"),
    (("format",), None, "format None is unknown"),
    (("name",), "../x", "name '../x'"),
    (("name",), "", "name ''"),
    (("name",), 7, "name is 7; expected str"),
    (("version",), "a/b", "version 'a/b'"),
    (("digest",), "sha256:zz", "digest 'sha256:zz'"),
    (("digest",), "0" * 64, "is not sha256:"),
    (("source",), [], r"source is \[\]"),
    (("source", "commit"), None, "source.commit is None"),
    (("source", "dirty"), 0, "source.dirty is 0; expected bool"),
    (("schema", "features"), ["a", 1], "not a name"),
    (("schema", "features"), ["a", "a"], "columns 0 and 1"),
    (("schema", "features"), [], "at least one feature"),
    (("schema", "sha256"), 1, "schema.sha256 is 1"),
    (("files", "model.ubj"), [], "files.model.ubj is not an object"),
    (("files", "model.ubj", "size"), -1, "size of 0 or more"),
    (("files", "model.ubj", "size"), True, "size is True; expected int"),
    (("files", "model.ubj", "sha256"), "x", "64 hex digits"),
    (("files", "../evil"), {"sha256": "0" * 64, "size": 1}, "'../evil' is no name"),
    (("files", "/etc/passwd"), {"sha256": "0" * 64, "size": 1}, "is no name"),
    (("files", ".hidden"), {"sha256": "0" * 64, "size": 1}, "is no name"),
    (("files", "manifest.json"), {"sha256": "0" * 64, "size": 1}, "is no name"),
    (("files",), None, "files is None"),
    (("metrics",), [], "metrics is"),
]


@pytest.mark.parametrize(("path", "value", "said"), BAD)
def test_a_manifest_that_is_not_one_is_refused(path: tuple[str, ...], value: Any, said: str) -> None:
    document: Any = json.loads(make_manifest().to_json())
    holder = document
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    with pytest.raises(ManifestInvalid, match=said):
        Manifest.from_json(json.dumps(document).encode())


@pytest.mark.parametrize("key", ["name", "version", "digest", "created", "source", "schema", "files", "metrics"])
def test_a_missing_field_is_named(key: str) -> None:
    document = json.loads(make_manifest().to_json())
    del document[key]
    with pytest.raises(ManifestInvalid, match=f"{key} is missing"):
        Manifest.from_json(json.dumps(document).encode())


@pytest.mark.parametrize("names", [["b", "a"], ["a", "c"], ["a"], ["a", "b", "c"]])
def test_names_that_do_not_hash_to_the_schema_are_refused(names: list[str]) -> None:
    document = json.loads(make_manifest().to_json())
    document["schema"]["features"] = names
    with pytest.raises(SchemaMismatch, match="changed, moved or dropped"):
        Manifest.from_json(json.dumps(document).encode())


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-1e999"])
def test_numbers_that_json_has_not_are_refused(number: str) -> None:
    data = make_manifest(metrics={"ndcg@10": 0.25}).to_json().replace(b"0.25", number.encode())
    with pytest.raises(ManifestInvalid, match="is not JSON"):
        Manifest.from_json(data)


@given(st.binary(max_size=100) | st.text(max_size=100).map(str.encode))
def test_any_bytes_are_refused_readably(data: bytes) -> None:
    with pytest.raises(ManifestInvalid, match=r"manifest\.json"):
        Manifest.from_json(data)


@pytest.mark.parametrize("name", ["a", "web30k", "a-b_c.d", "x" * 63])
def test_names(name: str) -> None:
    assert valid_name(name)


@pytest.mark.parametrize("name", ["", ".", "..", "a..b", "-a", "a-", "A", "a/b", "a b", "x" * 64, "a\n", "é", "a\x00"])
def test_bad_names(name: str) -> None:
    assert not valid_name(name)
