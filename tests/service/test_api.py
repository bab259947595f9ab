from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import api
from service.api import RankRequest, parse
from service.mistakes import FLOAT32_END, Limits
from service.problems import InvalidRequest, Problem
from service.ranker import Ranking
from service.schema import FeatureSchema

SCHEMA = FeatureSchema.from_names(("bm25_title", "bm25_body", "page_rank"))
LIMITS = Limits(max_items=5, explain=True, explain_max_items=2)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
numbers = st.none() | st.floats(allow_nan=False, width=32, allow_infinity=False) | st.integers(-(2**40), 2**40)


def item(name: str = "a", features: Any = (1, 2, 3)) -> dict[str, Any]:
    return {"id": name, "features": features}


def read(document: Any, limits: Limits = LIMITS) -> RankRequest:
    return parse(json.dumps(document).encode(), SCHEMA, limits)


def refusal(body: bytes, limits: Limits = LIMITS) -> Problem:
    with pytest.raises(Problem) as refused:
        parse(body, SCHEMA, limits)
    orjson.dumps(refused.value.document("id"))
    return refused.value


def mistakes(document: Any, limits: Limits = LIMITS) -> list[dict[str, Any]]:
    problem = refusal(document if isinstance(document, bytes) else json.dumps(document).encode(), limits)
    assert isinstance(problem, InvalidRequest), problem.detail
    assert problem.status == 422
    return problem.members["errors"]


def test_arrays_in_schema_order():
    request = read({"items": [item("a", [1, 2.5, -3]), item("b", [0, None, 1e-3])]})
    assert request.item_ids == ["a", "b"]
    expected = np.array([[1, 2.5, -3], [0, np.nan, 1e-3]], np.float32)
    np.testing.assert_array_equal(request.features, expected)
    assert request.features.dtype == np.float32
    assert request.features.flags.c_contiguous
    assert (request.id, request.top_k, request.explain) == (None, None, False)


def test_names_in_any_order_and_absent_is_missing():
    request = read({"items": [item("a", {"page_rank": 3, "bm25_title": 1}), item("b", {}), item("c", [7, 8, 9])]})
    nan = np.nan
    np.testing.assert_array_equal(request.features, np.array([[1, nan, 3], [nan, nan, nan], [7, 8, 9]], np.float32))


def test_columns():
    request = read({"item_ids": ["a", "b"], "features": [[1, 2, 3], {"bm25_body": None}]})
    assert request.item_ids == ["a", "b"]
    np.testing.assert_array_equal(request.features, np.array([[1, 2, 3], [np.nan] * 3], np.float32))


def test_options():
    request = read({"id": "q", "items": [item()], "top_k": 10**12, "explain": True})
    assert (request.id, request.top_k, request.explain) == ("q", 10**12, True)
    assert read({"id": None, "items": [item()], "top_k": None, "explain": None}) is not None


def test_false_needs_no_explain():
    assert not read({"items": [item()], "explain": False}, Limits()).explain


def test_zero_is_not_missing():
    assert not np.isnan(read({"items": [item("a", [0, 0.0, -0.0])]}).features).any()


def test_numbers_are_doubles_rounded_to_float32():
    # As a float32 decimal this would be 1.0000001; through a double it lies just below the middle, and rounds to 1.
    values = [1.00000005960464477539, 16777217, 3.4028235677973362e38]
    np.testing.assert_array_equal(read({"items": [item("a", values)]}).features, np.array([values]).astype(np.float32))


@given(st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=1, max_size=5))
def test_the_three_forms_are_one(rows: list[list[float | None]]):
    ids = [str(number) for number in range(len(rows))]
    arrays = read({"items": [item(name, row) for name, row in zip(ids, rows, strict=True)]})
    named = [dict(zip(SCHEMA.names, row, strict=True)) for row in rows]
    by_name = read({"items": [item(name, row) for name, row in zip(ids, named, strict=True)]})
    columns = read({"item_ids": ids, "features": rows})
    expected = np.array([[math.nan if v is None else v for v in row] for row in rows], np.float64).astype(np.float32)
    for request in (arrays, by_name, columns):
        assert request.features.tobytes() == expected.tobytes()
        assert request.item_ids == ids


NAN = "NaN is not JSON: send null for a missing value"
BODY = {"item": 0, "id": "a", "feature": "bm25_body"}

PLACES = ["items", "item_ids", "features", "top_k", "explain", "id", "item", "value", "row"]

BAD: list[tuple[str, Any, dict[str, Any]]] = [
    ("the body is a list", [], {"reason": "the body is an array"}),
    ("the body is a number", 5, {"reason": "the body is 5"}),
    ("the body is null", None, {"reason": "the body is null"}),
    ("no items", {}, {"field": "items", "reason": 'give one of "items" and "item_ids"'}),
    ("both forms", {"items": [item()], "item_ids": ["a"]}, {"field": "items", "reason": "not both"}),
    ("features beside items", {"items": [item()], "features": []}, {"field": "features", "reason": "item_ids"}),
    ("unknown field", {"items": [item()], "topk": 1}, {"field": "topk", "reason": 'did you mean "top_k"?'}),
    ("items is null", {"items": None}, {"field": "items", "reason": "null is not a list"}),
    ("items is an object", {"items": {}}, {"field": "items", "reason": "an object is not a list"}),
    ("empty list", {"items": []}, {"field": "items", "reason": "empty"}),
    ("empty columns", {"item_ids": [], "features": []}, {"field": "item_ids", "reason": "empty"}),
    ("too many items", {"items": [item(str(n)) for n in range(6)]}, {"field": "items", "reason": "6 items"}),
    (
        "too many columns",
        {"item_ids": [str(n) for n in range(6)], "features": [[1, 2, 3]] * 6},
        {"field": "item_ids", "reason": "at most 5"},
    ),
    ("columns without rows", {"item_ids": ["a"]}, {"field": "features", "reason": "is missing"}),
    ("columns with a number", {"item_ids": ["a"], "features": 1}, {"field": "features", "reason": "is 1"}),
    ("columns of two lengths", {"item_ids": ["a", "b"], "features": [[1, 2, 3]]}, {"reason": "1 rows for 2 item_ids"}),
    ("column id", {"item_ids": ["a", 2], "features": [[1, 2, 3]] * 2}, {"item": 1, "reason": "not 2"}),
    ("column row", {"item_ids": ["a"], "features": [1]}, {"item": 0, "id": "a", "reason": "not 1"}),
    ("an item is a list", {"items": [item(), [1, 2, 3]]}, {"item": 1, "reason": "an array is not an item"}),
    ("an item is null", {"items": [None]}, {"item": 0, "reason": "null is not an item"}),
    ("item without id", {"items": [{"features": [1, 2, 3]}]}, {"item": 0, "reason": '"id" is missing'}),
    ("item without features", {"items": [{"id": "a"}]}, {"item": 0, "id": "a", "reason": '"features" is missing'}),
    (
        "unknown item field",
        {"items": [{**item(), "feature": 1}]},
        {"item": 0, "id": "a", "field": "feature", "reason": 'did you mean "features"?'},
    ),
    ("id is a number", {"items": [item(7)]}, {"item": 0, "reason": "an id is a string, not 7"}),  # pyright: ignore[reportArgumentType]
    ("id is null", {"items": [item(None)]}, {"item": 0, "reason": "not null"}),  # pyright: ignore[reportArgumentType]
    ("id is empty", {"items": [item("")]}, {"item": 0, "id": "", "reason": "1 to 256 characters, this one 0"}),
    ("id is long", {"items": [item("x" * 257)]}, {"item": 0, "id": "x" * 256, "reason": "this one 257"}),
    (
        "duplicate ids",
        {"items": [item("a"), item("b"), item("a")]},
        {"item": 2, "id": "a", "reason": "duplicate id: item 0"},
    ),
    ("features is a number", {"items": [item("a", 1)]}, {"item": 0, "id": "a", "reason": "not 1"}),
    ("features is a string", {"items": [item("a", "1 2 3")]}, {"item": 0, "reason": "not a string"}),
    ("too few features", {"items": [item(), item("b", [1, 2])]}, {"item": 1, "id": "b", "reason": "2 features"}),
    ("too many features", {"items": [item("b", [1] * 4)]}, {"item": 0, "reason": "4 features; the model takes 3"}),
    ("no features", {"items": [item("b", [])]}, {"item": 0, "reason": "0 features; the model takes 3"}),
    (
        "unknown name",
        {"items": [item("a", {"bm25_boddy": 1})]},
        {"item": 0, "id": "a", "feature": "bm25_boddy", "reason": 'did you mean "bm25_body"?'},
    ),
    ("a name like no other", {"items": [item("a", {"zzz": 1})]}, {"feature": "zzz", "reason": 'no feature "zzz"'}),
    (
        "string",
        {"items": [item(), item("b", [1, "2", 3])]},
        {"item": 1, "id": "b", "feature": "bm25_body", "reason": 'the string "2" is not a number'},
    ),
    ("named string", {"items": [item("a", {"page_rank": "x"})]}, {"feature": "page_rank", "reason": 'the string "x"'}),
    ("bool", {"items": [item("a", [True, 2, 3])]}, {"feature": "bm25_title", "reason": "true is not a number"}),
    ("nested", {"items": [item("a", [1, [2], 3])]}, {"feature": "bm25_body", "reason": "an array is not a number"}),
    ("object", {"items": [item("a", [1, {}, 3])]}, {"feature": "bm25_body", "reason": "an object is not a number"}),
    ("NaN", {"items": [item("a", [1, 2, math.nan])]}, {"id": "a", "feature": "page_rank", "reason": NAN}),
    (
        "infinity",
        {"items": [item("a", {"page_rank": math.inf})]},
        {"feature": "page_rank", "reason": "Infinity is"},
    ),
    ("minus infinity", {"items": [item("a", [-math.inf, 1, 2])]}, {"item": 0, "reason": "-Infinity is not JSON"}),
    ("overflow of float32", {"items": [item("a", [1, 3.5e38, 3])]}, {**BODY, "reason": "3.5e+38 overflows float32"}),
    ("integer beyond float32", {"items": [item("a", [1, -(10**39), 3])]}, {**BODY, "reason": "-1e+39 overflows"}),
    ("integer beyond float64", {"items": [item("a", [1, 10**320, 3])]}, {**BODY, "reason": "overflows float32"}),
    ("number beyond float64", b'{"items": [{"id": "a", "features": [1, 1e999, 2]}]}', {**BODY, "reason": "inf overfl"}),
    ("5000 digits", b'{"items": [{"id": "a", "features": [1, %s, 2]}]}' % (b"9" * 5000), {**BODY, "reason": "overfl"}),
    ("top_k is NaN", {"items": [item()], "top_k": math.nan}, {"field": "top_k", "reason": "NaN is not a whole number"}),
    ("top_k is 0", {"items": [item()], "top_k": 0}, {"field": "top_k", "reason": "0 is not a whole number of 1"}),
    ("top_k is negative", {"items": [item()], "top_k": -1}, {"field": "top_k", "reason": "-1 is not"}),
    ("top_k is true", {"items": [item()], "top_k": True}, {"field": "top_k", "reason": "true is not"}),
    ("top_k is 1.0", {"items": [item()], "top_k": 1.0}, {"field": "top_k", "reason": "1.0 is not"}),
    ("top_k is a string", {"items": [item()], "top_k": "1"}, {"field": "top_k", "reason": "a string is not"}),
    ("explain is 1", {"items": [item()], "explain": 1}, {"field": "explain", "reason": "1 is not true or false"}),
    ("query id", {"id": 7, "items": [item()]}, {"field": "id", "reason": "an id is a string, not 7"}),
    ("empty query id", {"id": "", "items": [item()]}, {"field": "id", "reason": "1 to 256"}),
    ("long query id", {"id": "q" * 257, "items": [item()]}, {"field": "id", "reason": "this one 257"}),
    (
        "explain of many",
        {"items": [item(str(n)) for n in range(3)], "explain": True},
        {"field": "items", "reason": "with explain at most 2"},
    ),
]


@pytest.mark.parametrize(("body", "expected"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_requests_are_named(body: Any, expected: dict[str, Any]):
    errors = mistakes(body)
    assert len(errors) == 1, errors
    (error,) = errors
    assert expected["reason"] in error["reason"]
    assert {key: error.get(key) for key in expected if key != "reason"} == {
        key: value for key, value in expected.items() if key != "reason"
    }


def test_explain_can_be_off():
    (error,) = mistakes({"items": [item()], "explain": True}, Limits())
    assert error == {
        "field": "explain",
        "reason": "explain is off on this service (PODIUM_EXPLAIN=on turns it on)",
    }


def test_ten_mistakes_are_shown_and_all_are_counted():
    problem = refusal(json.dumps({"items": [item(str(n), ["x", "y", "z"]) for n in range(5)]}).encode())
    assert len(problem.members["errors"]) == 10
    assert problem.members["total_errors"] == 15
    assert problem.detail == (
        '15 mistakes, the first: item 0 ("0"), feature "bm25_title": '
        'the string "x" is not a number (send null for a missing value)'
    )


def test_a_flood_of_unknown_names_is_counted(monkeypatch: pytest.MonkeyPatch):
    searched: list[str] = []
    monkeypatch.setattr("service.mistakes.get_close_matches", lambda name, *_: searched.append(name) or [])
    problem = refusal(json.dumps({"items": [item("a", {f"f{n}": 1 for n in range(1000)})]}).encode())
    assert len(problem.members["errors"]) == 10
    assert problem.members["total_errors"] == 1000
    assert len(searched) == 10


def test_rows_of_a_list_that_is_too_long_are_not_looked_at():
    assert len(mistakes({"items": [5] * 100})) == 1


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "line 1, column 1"),
        (b"{", "line 1, column 2"),
        (b'{"items":\n [}', "line 2, column 3"),
        (b"items=1", "line 1, column 1"),
        (b'{"items": [] } x', "line 1, column 16"),
        (b"\xff\xfe{\x00}\x00", "UTF-8"),
        ('{"items": []}'.encode("utf-16"), "UTF-8"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b'{"id": "\xff"}', "UTF-8"),
        (b'{"items": [{"id": "\\ud800", "features": [1, 2, 3]}]}', "surrogate"),
        (b"[" * 100_000, "depth"),
        (b'{"a":' * 100_000, "depth"),
        (b"[" * 2000 + b"]" * 2000, "depth"),
        (b"{'items': []}", "line 1, column 2"),
    ],
)
def test_what_is_not_json_is_400(body: bytes, detail: str):
    problem = refusal(body)
    assert problem.status == 400
    assert problem.slug == "not-json"
    assert detail in problem.detail
    assert problem.members["line"] >= 1


def test_lone_surrogates_beside_nan_are_shown_replaced():
    body = b'{"items": [{"id": "\\ud800", "features": [NaN, 2, 3]}], "\\udfff": 1}'
    errors = mistakes(body)
    assert [error.get("id", error.get("field")) for error in errors] == ["?", "?"]


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(body: bytes):
    try:
        assert parse(body, SCHEMA, LIMITS).features.shape[1] == 3
    except Problem as problem:
        assert problem.status in (400, 422)
        orjson.dumps(problem.document("id"))


@given(json_values, st.sampled_from(PLACES))
def test_any_value_in_any_place_is_read_or_named(value: Any, place: str):
    document: dict[str, Any] = {"items": [item("a"), item("b", {"page_rank": 1})]}
    if place == "item":
        document["items"][1] = value
    elif place == "row":
        document["items"][0]["features"] = value
    elif place == "value":
        document["items"][0]["features"] = [1, value, 3]
    elif place in ("item_ids", "features"):
        document = {"item_ids": ["a"], "features": [[1, 2, 3]], place: value}
    else:
        document[place] = value
    try:
        read(document)
    except Problem as problem:
        assert problem.status in (400, 422)
        orjson.dumps(problem.document("id"))


@given(st.floats(min_value=1e38, allow_infinity=False) | st.sampled_from([FLOAT32_END, math.nextafter(FLOAT32_END, 0)]))
def test_what_overflows_is_what_numpy_rounds_to_infinity(value: float):
    with np.errstate(over="ignore"):
        overflows = bool(np.isinf(np.float32(value)))
    if overflows:
        assert "overflows" in mistakes({"items": [item("a", [1, 2, value])]})[0]["reason"]
    else:
        assert read({"items": [item("a", [1, 2, value])]}).features[0, 2] == np.float32(value)


def test_an_integer_that_rounds_up_to_the_end_overflows():
    assert "overflows" in mistakes({"items": [item("a", [1, 2, int(FLOAT32_END) - 1])]})[0]["reason"]


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_scores_come_back_to_the_same_float32(values: list[float]):
    scores = np.array(values, np.float32)
    request = RankRequest("q", [str(n) for n in range(len(values))], np.zeros((len(values), 3), np.float32))
    body = api.encode(request, Ranking(np.arange(len(values)), scores), query="q", model={}, took_ms=1.23456)
    answer = json.loads(body)
    read_back = np.array([entry["score"] for entry in answer["items"]], np.float64).astype(np.float32)
    assert read_back.tobytes() == scores.tobytes()
    assert answer["took_ms"] == 1.235


def test_scores_are_printed_short():
    request = RankRequest("q", ["a", "b", "c"], np.zeros((3, 3), np.float32))
    ranking = Ranking(np.array([2, 0]), np.array([0.1, 7, 0.3], np.float32))
    body = api.encode(request, ranking, query="q1", model={"name": "m", "version": "1"}, took_ms=0.5)
    assert body == (
        b'{"id":"q1","model":{"name":"m","version":"1"},"items":[{"id":"c","score":0.3,"rank":1},'
        b'{"id":"a","score":0.1,"rank":2}],"took_ms":0.5}'
    )


def test_contributions_stand_with_their_item():
    request = RankRequest("q", ["a", "b"], np.zeros((2, 3), np.float32))
    ranking = Ranking(np.array([1]), np.array([0, 1], np.float32))
    matrix = np.array([[0.25, 0.5, 0.125, 0.125]], np.float32)
    body = api.encode(
        request,
        ranking,
        query="q",
        model={},
        took_ms=0,
        contributions=api.explained(matrix, ranking.order, SCHEMA),
    )
    assert json.loads(body)["items"] == [
        {
            "id": "b",
            "score": 1.0,
            "rank": 1,
            "contributions": {"bm25_title": 0.25, "bm25_body": 0.5, "page_rank": 0.125},
            "bias": 0.125,
        }
    ]


def test_work_in_slices_gives_the_answer_of_work_at_once(monkeypatch: pytest.MonkeyPatch):
    from service.ranker import Ranker, booster_from_bytes
    from tests.service.bundles import NAMES as WIDE
    from tests.service.bundles import train_model

    ranker = Ranker(booster_from_bytes(train_model(len(WIDE))), FeatureSchema.from_names(WIDE))
    rows = np.random.default_rng(3).normal(size=(700, len(WIDE))).tolist()
    body = orjson.dumps({"items": [{"id": str(n), "features": row} for n, row in enumerate(rows)], "explain": True})
    limits = Limits(explain=True, explain_max_items=1000)

    def answered() -> tuple[int, Any]:
        yields = 0
        steps = api.answering(body, ranker, limits, model={}, query="q")
        while True:
            try:
                next(steps)
                yields += 1
            except StopIteration as stop:
                return yields, {**orjson.loads(stop.value.body), "took_ms": 0}

    yields, sliced = answered()
    # Reading 3 slices, scoring 3, explaining 175.
    assert yields == 2 + 3 + 175
    monkeypatch.setattr(api, "SLICE", 1000)
    monkeypatch.setattr(api, "EXPLAINED_SLICE", 1000)
    yields, at_once = answered()
    assert yields == 2
    assert sliced == at_once


def test_a_mistake_behind_the_first_slice_is_named():
    rows = [[0.0] * SCHEMA.width for _ in range(600)]
    rows[599] = [0.0]
    with pytest.raises(InvalidRequest) as caught:
        parse(orjson.dumps({"item_ids": [str(n) for n in range(600)], "features": rows}), SCHEMA, Limits())
    assert caught.value.members["errors"][0]["item"] == 599
