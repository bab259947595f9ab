from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.diff import Difference, diff, flatten
from service.manifest import FileEntry, Manifest
from service.schema import FeatureSchema

BASE = Manifest(
    name="mslr",
    version="20240101-0123456789ab",
    digest="sha256:" + "0" * 64,
    created="2024-01-01T00:00:00+00:00",
    commit="a" * 40,
    dirty=False,
    schema=FeatureSchema.from_names("abcde"),
    objective="rank:ndcg",
    files={"model.ubj": FileEntry("1" * 64, 10)},
    parameters={"eta": 0.125, "max_depth": 6},
    metrics={"test": {"ndcg@10": {"value": 0.25, "interval": [0.2, 0.3]}}, "queries": 43},
    data={"sha256": "d1"},
    libraries={"xgboost": "3.2.0"},
)


def test_nothing_changed() -> None:
    assert diff(BASE, BASE) == []
    assert diff(BASE, replace(BASE, version="other", digest="other")) == []


def test_every_section_is_compared() -> None:
    other = replace(
        BASE,
        commit="b" * 40,
        dirty=True,
        files={"model.ubj": FileEntry("2" * 64, 11), "forest.npz": FileEntry("3" * 64, 5)},
        parameters={"eta": 0.375, "subsample": 0.5},
        metrics={"test": {"ndcg@10": {"value": 0.5, "interval": [0.25, 0.75]}}, "queries": 43},
        data={"sha256": "d2"},
        libraries={"xgboost": "3.3.0"},
        extra={"note": "hello"},
    )
    ones, twos = f"sha256:{'1' * 64} (10 bytes)", f"sha256:{'2' * 64} (11 bytes)"
    assert diff(BASE, other) == [
        Difference("model", "commit", "changed", "a" * 40, "b" * 40),
        Difference("model", "dirty", "changed", False, True),
        Difference("parameters", "eta", "changed", 0.125, 0.375, 0.25),
        Difference("parameters", "max_depth", "removed", before=6),
        Difference("parameters", "subsample", "added", after=0.5),
        Difference("metrics", "test.ndcg@10.interval", "changed", [0.2, 0.3], [0.25, 0.75]),
        Difference("metrics", "test.ndcg@10.value", "changed", 0.25, 0.5, 0.25),
        Difference("data", "sha256", "changed", "d1", "d2"),
        Difference("libraries", "xgboost", "changed", "3.2.0", "3.3.0"),
        Difference("files", "forest.npz", "added", after=f"sha256:{'3' * 64} (5 bytes)"),
        Difference("files", "model.ubj", "changed", ones, twos),
        Difference("extra", "note", "added", after="hello"),
    ]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("abcde", []),
        ("bcde", [("a", "removed", 0, None)]),
        ("xabcde", [("x", "added", None, 0)]),
        ("eabcd", [("e", "moved", 4, 0)]),
        ("bcdea", [("a", "moved", 0, 4)]),
        ("xbcdea", [("x", "added", None, 0), ("a", "moved", 0, 5)]),
        ("abcdx", [("e", "removed", 4, None), ("x", "added", None, 4)]),
        ("xcab", [("d", "removed", 3, None), ("e", "removed", 4, None), ("x", "added", None, 0), ("c", "moved", 2, 1)]),
    ],
)  # fmt: skip
def test_features(after: str, expected: list[tuple[str, str, int | None, int | None]]) -> None:
    found = diff(BASE, replace(BASE, schema=FeatureSchema.from_names(after)))
    assert [(d.key, d.kind, d.before, d.after) for d in found] == expected
    assert {d.section for d in found} <= {"features"}


@given(st.permutations("abcde"))
def test_features_that_did_not_move_keep_their_order(order: list[str]) -> None:
    moved = {d.key for d in diff(BASE, replace(BASE, schema=FeatureSchema.from_names(order)))}
    stayed = [name for name in order if name not in moved]
    assert stayed == sorted(stayed)
    assert len(moved) < len(order)


@pytest.mark.parametrize(("before", "after"), [(True, 1), (0, False), (1, "1"), (None, 0)])
def test_json_types_are_told_apart(before: object, after: object) -> None:
    (found,) = diff(replace(BASE, parameters={"x": before}), replace(BASE, parameters={"x": after}))
    assert (found.before, found.after, found.delta) == (before, after, None)


def test_flatten_keeps_lists_and_empty_objects() -> None:
    assert flatten({"a": {"b": {"c": 1}, "d": []}, "e": {}}) == {"a.b.c": 1, "a.d": [], "e": {}}
