from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.mistakes import Limits
from service.problems import InvalidRequest
from service.schema import FeatureSchema
from service.tensors import DATATYPES, read_features, written

SCHEMA = FeatureSchema.from_names(["bm25", "length", "clicks"])
LIMITS = Limits(max_items=4)
ROWS: list[list[float | None]] = [[1, 2.5, None], [0.1, -3, 1e-40]]
MATRIX = np.array(ROWS, np.float64).astype(np.float32)


def json_tensor(data: Any, **about: Any) -> dict[str, Any]:
    return {"name": "features", "datatype": "FP32", "shape": [2, 3], "data": data, **about}


def raw_tensor(**about: Any) -> dict[str, Any]:
    return {"name": "features", "datatype": "FP32", "shape": [2, 3], **about}


def same(found: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any]) -> bool:
    return found.dtype == np.float32 and found.shape == wanted.shape and found.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("data", [ROWS, [value for row in ROWS for value in row]], ids=["nested", "flat"])
@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
def test_json_is_a_matrix(data: Any, datatype: str):
    assert same(read_features(json_tensor(data, datatype=datatype), None, SCHEMA, LIMITS), MATRIX)


@pytest.mark.parametrize("datatype", ["INT32", "INT64"])
def test_whole_numbers_are_features_too(datatype: str):
    wanted = np.array([[1, np.nan, 3], [4, 5, 2**30]], np.float32)
    tensor = json_tensor([1, None, 3, 4, 5, 2**30], datatype=datatype)
    assert same(read_features(tensor, None, SCHEMA, LIMITS), wanted)
    whole = np.array([[1, -2, 3], [4, 5, 2**30 + 1]], DATATYPES[datatype])
    read = read_features(raw_tensor(datatype=datatype), memoryview(whole.tobytes()), SCHEMA, LIMITS)
    assert same(read, whole.astype(np.float32))


def test_bytes_are_a_matrix_where_they_lie():
    body = MATRIX.tobytes()
    read = read_features(raw_tensor(), memoryview(body), SCHEMA, LIMITS)
    assert same(read, MATRIX)
    assert np.shares_memory(read, np.frombuffer(body, np.uint8))


def test_bytes_across_words_are_moved():
    body = memoryview(b"x" + MATRIX.tobytes())
    read = read_features(raw_tensor(), body[1:], SCHEMA, LIMITS)
    assert read.flags.aligned
    assert same(read, MATRIX)


def test_doubles_are_rounded_as_those_of_json_are():
    doubles = np.array([[0.1, 2.0**24 + 1, 1e-50], [1 / 3, np.nan, 3.4028235e38]])
    by_bytes = read_features(raw_tensor(datatype="FP64"), memoryview(doubles.tobytes()), SCHEMA, LIMITS)
    by_json = read_features(
        json_tensor(orjson.loads(orjson.dumps(doubles, option=orjson.OPT_SERIALIZE_NUMPY))), None, SCHEMA, LIMITS
    )
    assert same(by_bytes, doubles.astype(np.float32))
    assert same(by_json, by_bytes)


REFUSED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("no datatype", {"datatype": None}, {"field": "datatype", "reason": "nothing is not taken"}),
    ("half floats", {"datatype": "FP16"}, {"field": "datatype", "reason": "'FP16' is not taken; send one of FP32"}),
    ("strings", {"datatype": "BYTES"}, {"field": "datatype", "reason": "'BYTES' is not taken"}),
    ("datatype a list", {"datatype": ["FP32"]}, {"field": "datatype", "reason": "['FP32'] is not taken"}),
    ("no shape", {"shape": None}, {"field": "shape", "reason": "nothing is no shape; the model takes [n, 3]"}),
    ("shape of floats", {"shape": [2.0, 3.0]}, {"field": "shape", "reason": "is no shape"}),
    ("shape of flags", {"shape": [True, 3]}, {"field": "shape", "reason": "is no shape"}),
    ("no dimensions", {"shape": []}, {"field": "shape", "reason": "is no shape"}),
    ("another width", {"shape": [3, 2]}, {"field": "shape", "reason": "the shape is [3, 2]; the model takes [n, 3]"}),
    ("one dimension", {"shape": [6]}, {"field": "shape", "reason": "the model takes [n, 3]"}),
    ("a batch of queries", {"shape": [1, 2, 3]}, {"field": "shape", "reason": "the model takes [n, 3]"}),
    ("negative", {"shape": [-1, 3]}, {"field": "shape", "reason": "the model takes [n, 3]"}),
    ("empty", {"shape": [0, 3], "data": []}, {"field": "shape", "reason": "at least one item"}),
    ("too many", {"shape": [5, 3]}, {"field": "shape", "reason": "5 items; this service takes at most 4"}),
    ("astronomical", {"shape": [2**62, 3]}, {"field": "shape", "reason": "at most 4"}),
    ("data a number", {"data": 1}, {"field": "data", "reason": "1 is not a list"}),
    ("data null", {"data": None}, {"field": "data", "reason": "nothing is not a list"}),
    ("too few", {"data": [1, 2, 3]}, {"field": "data", "reason": "3 values; the shape takes 6"}),
    ("too few rows", {"data": [[1, 2, 3]]}, {"field": "data", "reason": "1 rows of 3 values"}),
    ("ragged", {"data": [[1, 2, 3], [1]]}, {"field": "data", "reason": "2 rows of 1 to 3 values"}),
    ("string", {"data": [1, 2, 3, 4, "5", 6]}, {"item": 1, "feature": "length", "reason": 'the string "5" is not'}),
    ("flag", {"data": [1, 2, True, 4, 5, 6]}, {"item": 0, "feature": "clicks", "reason": "true is not a number"}),
    ("deeper", {"data": [[1, 2, 3], [4, [5], 6]]}, {"item": 1, "feature": "length", "reason": "an array is not"}),
    ("mixed", {"data": [1, 2, 3, [4], 5, 6]}, {"item": 1, "feature": "bm25", "reason": "an array is not"}),
    ("overflow", {"data": [1, 2, 3, 4, 5, 1e39]}, {"item": 1, "feature": "clicks", "reason": "1e+39 overflows"}),
    ("half a unit", {"datatype": "INT32", "data": [1, 2, 3, 4, 5.5, 6]}, {"item": 1, "reason": "5.5 is not whole"}),
]  # fmt: skip


@pytest.mark.parametrize(("about", "mistake"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_is_refused(about: dict[str, Any], mistake: dict[str, Any]):
    with pytest.raises(InvalidRequest) as caught:
        read_features(json_tensor([1, 2, 3, 4, 5, 6]) | about, None, SCHEMA, LIMITS)
    (error,) = caught.value.members["errors"]
    reason = mistake["reason"]
    assert reason in error["reason"]
    assert {**error, "reason": reason} | mistake == {**error, "reason": reason}


def test_data_are_given_once():
    with pytest.raises(InvalidRequest, match="neither data nor"):
        read_features(raw_tensor(), None, SCHEMA, LIMITS)
    with pytest.raises(InvalidRequest, match="given twice"):
        read_features(json_tensor(ROWS), memoryview(MATRIX.tobytes()), SCHEMA, LIMITS)


@pytest.mark.parametrize("size", [0, 1, 23, 25, 48])
def test_bytes_must_be_as_many_as_the_shape_takes(size: int):
    with pytest.raises(InvalidRequest, match=f"{size} bytes of data; the shape takes 24"):
        read_features(raw_tensor(), memoryview(bytes(size)), SCHEMA, LIMITS)


@pytest.mark.parametrize("dtype", ["FP32", "FP64"])
def test_infinite_bytes_are_named(dtype: str):
    values = np.array([[1, np.inf, np.nan], [-np.inf, 0, 0]], DATATYPES[dtype])
    with pytest.raises(InvalidRequest) as caught:
        read_features(raw_tensor(datatype=dtype), memoryview(values.tobytes()), SCHEMA, LIMITS)
    first, second = caught.value.members["errors"]
    assert (first["item"], first["feature"]) == (0, "length")
    assert (second["item"], second["feature"]) == (1, "bm25")
    assert first["reason"].startswith("inf overflows float32")


def test_mistakes_are_counted_and_ten_are_shown():
    wide = FeatureSchema.from_names([f"f{column}" for column in range(12)])
    for tensor, binary in (
        ({"datatype": "FP32", "shape": [1, 12], "data": ["x"] * 12}, None),
        ({"datatype": "FP32", "shape": [1, 12]}, memoryview(np.full(12, np.inf, np.float32).tobytes())),
    ):
        with pytest.raises(InvalidRequest) as caught:
            read_features(tensor, binary, wide, LIMITS)
        assert len(caught.value.members["errors"]) == 10
        assert caught.value.members["total_errors"] == 12


@given(st.binary(min_size=24, max_size=24), st.integers(0, 7))
def test_any_bytes_are_read_or_refused_for_infinity(raw: bytes, offset: int):
    values = np.frombuffer(raw, "<f4").reshape(2, 3)
    body = memoryview(bytes(offset) + raw)[offset:]
    if np.isinf(values).any():
        with pytest.raises(InvalidRequest):
            read_features(raw_tensor(), body, SCHEMA, LIMITS)
    else:
        assert same(read_features(raw_tensor(), body, SCHEMA, LIMITS), values)


def test_outputs_are_written_both_ways():
    scores = np.array([0.1, -2], np.float32)
    about, raw = written("scores", scores, binary=False)
    assert raw == b""
    text = orjson.dumps(about, option=orjson.OPT_SERIALIZE_NUMPY)
    assert text == b'{"name":"scores","datatype":"FP32","shape":[2],"data":[0.1,-2.0]}'
    order = np.array([1, 0, 9])[::2]
    about, raw = written("order", order, binary=True)
    wanted = {"name": "order", "datatype": "INT64", "shape": [2], "parameters": {"binary_data_size": 16}}
    assert about == wanted
    assert raw == np.array([1, 9], "<i8").tobytes()
