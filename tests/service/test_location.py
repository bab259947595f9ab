from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.location import BadUri, ModelRef, local_path, parse_model_uri, s3_place


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///a/b", "/a/b"),
        ("file:///a/b/", "/a/b"),
        ("file:///a//b", "/a/b"),
        ("file://localhost/a", "/a"),
        ("file:/a/b", "/a/b"),
        ("FILE:///a", "/a"),
        ("file:///", "/"),
        ("file:///a%20b/%C3%A9", "/a b/é"),
        ("file:///a%25b", "/a%b"),
        ("/a/b", "/a/b"),
        ("//a/b", "/a/b"),
        ("//", "/"),
        ("/a%20b", "/a%20b"),
        ("/nowhere/../b", "/b"),
    ],
)
def test_addresses_of_folders(uri: str, path: str) -> None:
    assert local_path(uri) == Path(path)


def test_plain_paths_are_relative_to_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real" / "below").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "below")
    monkeypatch.chdir(tmp_path)
    assert local_path("a/b") == tmp_path / "a" / "b"
    assert local_path("./s3:x") == tmp_path / "s3:x"
    assert local_path("link/../a") == tmp_path / "real" / "a"


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("", "no address"),
        ("\0", "no address"),
        ("/a\n", "no address"),
        ("file:///a\tb", "no address"),
        ("https://example.org/a", "https: is not supported; give s3://bucket/prefix, file:///folder"),
        ("s3:", "names no bucket"),
        ("s3:/bucket/models/a/1", "names no bucket: give s3://bucket/prefix"),
        ("s3:bucket/models/a/1", "names no bucket"),
        ("s3:///models/a/1", "names no bucket"),
        ("s3://Bucket/models/a/1", "names no bucket"),
        ("s3://ab/models/a/1", "names no bucket"),
        ("s3://a..b/models/a/1", "names no bucket"),
        ("s3://key:secret@bucket/models/a/1", "names no bucket"),
        ("s3://bucket:9000/models/a/1", "names no bucket"),
        ("s3://bucket", "names no model: give s3://bucket/prefix/models/NAME/VERSION"),
        ("s3://bucket/models", "names no model"),
        ("s3://bucket/models/a", "names no model"),
        ("s3://bucket/model/a/1", "names no model"),
        ("s3://bucket/models/A/1", "names no model"),
        ("s3://bucket/models/a/1/model.ubj", "names no model"),
        ("s3://bucket//models/a/1", "'' is no part of a prefix"),
        ("s3://bucket/models//1", "'' is no part of a prefix"),
        ("s3://bucket/../models/a/1", "'..' is no part of a prefix"),
        ("s3://bucket/a%2Fb/models/a/1", "'a%2Fb' is no part of a prefix"),
        ("s3://bucket/models/a/1?versionId=2", "'1?versionId=2' is no part"),
        ("s3://bucket/a\nb/models/a/1", "is no part of a prefix"),
        ("s3://bucket/é/models/a/1", "is no part of a prefix"),
        ("file://host/a", "host 'host'"),
        ("file://a/b", "host 'a'"),
        ("file:a/b", "relative"),
        ("file://", "relative"),
        ("file:", "relative"),
        ("file:///a?b", "%3F"),
        ("file:///a#b", "%23"),
        ("file:///a%2", "%25"),
        ("file:///a%zz", "%25"),
        ("file:///a%FF", "UTF-8"),
        ("file:///a/../b", "'..'"),
        ("file:///a/%2e%2E/b", "'%2e%2E'"),
        ("file:///a/./b", "'.'"),
        ("file:///a%2Fb", "'a%2Fb'"),
        ("file:///a%00b", "'a%00b'"),
        ("file:///a%0Ab", "'a%0Ab'"),
    ],
)
def test_what_is_no_address_is_refused_with_what_to_write(uri: str, said: str) -> None:
    with pytest.raises(BadUri) as refused:
        parse_model_uri(uri)
    assert said in str(refused.value)


def test_a_models_address_names_its_registry() -> None:
    version = "20240101-0123456789ab-dirty"
    for uri in (f"file:///r%20s/models/mslr/{version}", f"/r s/models/mslr/{version}/"):
        expected = ModelRef(f"file:///r%20s/models/mslr/{version}", "file:///r%20s", "mslr", version)
        assert parse_model_uri(uri) == expected
    assert parse_model_uri("/models/a/b").registry == "file:///"


@pytest.mark.parametrize(
    ("uri", "registry"),
    [
        ("s3://my.bucket-1/models/mslr/20240101-0123456789ab", "s3://my.bucket-1"),
        ("S3://bucket/models/mslr/20240101-0123456789ab/", "s3://bucket"),
        ("s3://bucket/a/B=1/models/mslr/20240101-0123456789ab", "s3://bucket/a/B=1"),
        ("s3://bucket/models/models/mslr/20240101-0123456789ab", "s3://bucket/models"),
    ],
)
def test_a_models_address_in_s3_names_its_registry(uri: str, registry: str) -> None:
    version = "20240101-0123456789ab"
    expected = ModelRef(f"{registry}/models/mslr/{version}", registry, "mslr", version)
    assert parse_model_uri(uri) == expected
    assert parse_model_uri(expected.uri) == expected


@pytest.mark.parametrize(
    ("uri", "place"),
    [("s3://bucket", ("bucket", "")), ("s3://bucket/", ("bucket", "")), ("s3://bucket/a/b/", ("bucket", "a/b"))],
)
def test_a_registrys_place_in_s3(uri: str, place: tuple[str, str]) -> None:
    assert s3_place(uri) == place


@pytest.mark.parametrize(
    "path", ["/", "/a", "/models", "/models/a", "/opt/bundle", "/r/models/Upper/1", "/models/a/b/c"]
)
def test_any_other_address_is_a_folder_with_one_bundle(path: str) -> None:
    assert parse_model_uri(path) == ModelRef(Path(path).as_uri(), folder=Path(path))


@settings(max_examples=300)
@given(st.text() | st.text("/.%2eEfF0:", max_size=12))
@example("//")
def test_parsing_refuses_or_gives_an_absolute_path_that_its_uri_leads_back_to(text: str) -> None:
    for uri in (text, f"file:///{text}", f"file:///r/models/{text}"):
        try:
            ref = parse_model_uri(uri)
        except BadUri:
            continue
        path = local_path(uri)
        assert path.is_absolute()
        assert ".." not in path.parts
        assert "\0" not in str(path)
        assert parse_model_uri(ref.uri) == ref
        assert local_path(ref.uri) == path
