"""The fast reader and the plain one must give the same request wherever the fast one gives any."""

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import api, decode
from service.mistakes import Limits
from service.problems import Problem
from service.schema import FeatureSchema

SCHEMA = FeatureSchema.from_names(["a", "b", "c"])
LIMITS = Limits(max_items=5, explain=True, explain_max_items=3)

numbers = st.floats(width=32, allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**64 - 1) | st.floats()
oddities = numbers | st.none() | st.booleans() | st.text(max_size=3) | st.lists(numbers, max_size=3) | st.just({})
rows = st.lists(numbers, min_size=3, max_size=3) | st.lists(oddities, max_size=4) | st.just({"a": 1.5, "c": 2})
names = st.text(max_size=3) | st.integers(0, 3)
items = st.fixed_dictionaries({"id": names, "features": rows}, optional={"extra": oddities})
columns = st.fixed_dictionaries({"item_ids": st.lists(names, max_size=6), "features": st.lists(rows, max_size=6)})
options = st.fixed_dictionaries(
    {}, optional={"id": names, "top_k": oddities, "explain": st.booleans() | st.none(), "topk": st.just(1)}
)
bodies = st.builds(
    lambda main, more: json.dumps({**main, **more}).encode(),
    st.fixed_dictionaries({"items": st.lists(items, max_size=6)}) | columns | st.dictionaries(names, oddities),
    options,
) | st.binary(max_size=60)


def by_both(body: bytes) -> Iterator[Any]:
    """What `parse` gives as it is, and without the fast reader: a request or a problem's document."""
    for fast in (decode.read, lambda *_: None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(decode, "read", fast)
            try:
                yield api.parse(body, SCHEMA, LIMITS)
            except Problem as problem:
                yield problem.status, str(problem), problem.members


@given(bodies)
def test_both_readers_agree(body: bytes) -> None:
    fast, plain = by_both(body)
    if not isinstance(plain, api.RankRequest):
        assert fast == plain
        return
    assert isinstance(fast, api.RankRequest)
    assert (fast.id, fast.item_ids, fast.top_k, fast.explain) == (plain.id, plain.item_ids, plain.top_k, plain.explain)
    assert fast.features.dtype == plain.features.dtype == np.float32
    assert fast.features.flags.c_contiguous
    assert np.array_equal(fast.features, plain.features, equal_nan=True)


@given(
    st.lists(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=3, max_size=3), min_size=1)
)
def test_every_float32_comes_through_bit_for_bit(rows: list[list[float]]) -> None:
    features = np.array(rows, np.float32)
    body = orjson.dumps(
        {"item_ids": [str(row) for row in range(len(rows))], "features": features}, option=orjson.OPT_SERIALIZE_NUMPY
    )
    found = decode.read(body, 3, 1000)
    assert found is not None
    assert found[2].tobytes() == features.tobytes()


def body_of(*features: Any, **more: Any) -> bytes:
    return json.dumps({"items": [{"id": str(n), "features": row} for n, row in enumerate(features)], **more}).encode()


TAKEN = [
    body_of([1, 2.5, -3e-3]),
    body_of([1, 2, 3], [4, 5, 6], id="q", top_k=2),
    json.dumps({"item_ids": ["x", "y"], "features": [[1, 2, 3], [4, 5, 6]]}).encode(),
]
LEFT = [
    body_of([1, None, 3]),
    body_of({"a": 1}),
    body_of([1, 2]),
    body_of([1, 2, 3, 4]),
    body_of([1, "2", 3]),
    body_of([1, True, 3]),
    body_of([[1, 2], [], 3]),
    body_of([[1, 2, 3]]),
    body_of([1, 1e39, 3]),
    body_of([1, math.nan, 3]),
    body_of([1, 2, 3], other=1),
    body_of(*[[1, 2, 3]] * 6),
    b'{"items": [{"id": "a", "features": [1, 2, 3]}], "items": []}',
    b'{"item_ids": ["a", "b"], "features": [[1, 2], [3, 4, 5, 6]]}',
    b'{"item_ids": ["a", "b"], "features": [[1, 2, 3]]}',
    b'{"item_ids": ["a"], "features": [[1, [2], 3]]}',
    json.dumps({"item_ids": list("abcdef"), "features": [[1, 2, 3]] * 6}).encode(),
    b"[]",
    b"7",
    b"{",
    b"",
]


@pytest.mark.parametrize("body", TAKEN)
def test_plain_numbers_take_the_fast_way(body: bytes) -> None:
    found = decode.read(body, 3, 5)
    assert found is not None
    assert found[2].shape[1] == 3


@pytest.mark.parametrize("body", LEFT)
def test_all_else_is_left_to_the_plain_reader(body: bytes) -> None:
    assert decode.read(body, 3, 5) is None


def test_a_body_that_was_left_does_not_spoil_the_next() -> None:
    for _ in range(3):
        for left in LEFT:
            decode.read(left, 3, 5)
        assert decode.read(TAKEN[0], 3, 5) is not None


def test_it_works_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "simdjson", None)
    assert decode.read(TAKEN[0], 3, 5) is None
    assert api.parse(TAKEN[0], SCHEMA, LIMITS).features.tolist() == [[1, 2.5, np.float32(-3e-3)]]
