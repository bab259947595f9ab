from __future__ import annotations

import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.mistakes import Limits
from service.oip import Answer, answer, model_metadata, server_metadata
from service.problems import InvalidRequest, Problem
from service.ranker import Ranker, booster_from_bytes
from service.schema import FeatureSchema
from tests.service.bundles import NAMES, model_and_golden

SCHEMA = FeatureSchema.from_names(NAMES)
RANKER = Ranker(booster_from_bytes(model_and_golden(0)[0]), SCHEMA)
LIMITS = Limits(max_items=20)
MODEL = {"name": "tiny", "version": "1"}
MATRIX = np.array([[1, 2, 3, 4], [np.nan, -1, 0.1, 7], [1, 2, 3, 4]], np.float32)
RANKING = RANKER.rank(MATRIX)
TENSOR: dict[str, Any] = {"name": "features", "datatype": "FP32", "shape": [3, 4]}
DATA = [[None if np.isnan(value) else float(value) for value in row] for row in MATRIX]
JSON: dict[str, Any] = {"inputs": [{**TENSOR, "data": DATA}]}
RAW = MATRIX.tobytes()
BINARY: dict[str, Any] = {"inputs": [{**TENSOR, "parameters": {"binary_data_size": len(RAW)}}]}


def ask(document: Any, raw: bytes | None = None, header: str | None = None) -> Answer:
    head = document if isinstance(document, bytes) else json.dumps(document).encode()
    if raw is not None and header is None:
        header = str(len(head))
    return answer(head + (raw or b""), header, RANKER, LIMITS, model=MODEL)


def opened(found: Answer) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """The JSON of an answer, and its outputs as arrays, in their order."""
    length = found.header_length
    document = orjson.loads(found.body if length is None else found.body[:length])
    at = length or 0
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for output in document["outputs"]:
        dtype = {"FP32": np.float32, "INT64": np.int64}[output["datatype"]]
        if "data" in output:
            arrays[output["name"]] = np.array(output["data"]).astype(dtype)
        else:
            size = output["parameters"]["binary_data_size"]
            arrays[output["name"]] = np.frombuffer(found.body[at : at + size], dtype)
            at += size
        assert output["shape"] == list(arrays[output["name"]].shape)
    assert length is None or at == len(found.body)
    return document, arrays


def test_metadata():
    assert server_metadata("c0ffee")["extensions"] == ["binary_tensor_data"]
    about = model_metadata(MODEL, SCHEMA)
    assert (about["name"], about["versions"]) == ("tiny", ["1"])
    assert about["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 4]}]
    assert [output["name"] for output in about["outputs"]] == ["scores", "order"]


@pytest.mark.parametrize("wish", [None, False, True])
@pytest.mark.parametrize("binary", [False, True])
def test_scores_are_the_rankers_bit_for_bit(binary: bool, wish: bool | None):
    parameters = {} if wish is None else {"parameters": {"binary_data_output": wish}}
    found = ask({**BINARY, **parameters}, RAW) if binary else ask({**JSON, **parameters})
    document, arrays = opened(found)
    assert (document["model_name"], document["model_version"]) == ("tiny", "1")
    assert "id" not in document
    assert arrays["scores"].tobytes() == RANKING.scores.tobytes()
    assert arrays["order"].tolist() == RANKING.order.tolist()
    assert (found.header_length is not None) == bool(wish)
    assert found.items == 3
    assert found.seconds > 0


def test_the_wished_outputs_come_in_their_order_and_form():
    one = {"name": "order", "parameters": {"binary_data": True}}
    other = {"name": "scores", "parameters": {"binary_data": False}}
    document, arrays = opened(ask({**JSON, "outputs": [one, other], "parameters": {"binary_data_output": False}}))
    assert list(arrays) == ["order", "scores"]
    assert ["data" in output for output in document["outputs"]] == [False, True]
    document, arrays = opened(ask({**JSON, "outputs": [other], "parameters": {"binary_data_output": True}}))
    assert list(arrays) == ["scores"]
    assert "data" in document["outputs"][0]
    document, arrays = opened(ask({**JSON, "outputs": [{"name": "order"}], "parameters": {"binary_data_output": True}}))
    assert "data" not in document["outputs"][0]
    assert list(opened(ask({**JSON, "outputs": []}))[1]) == ["scores", "order"]


def test_the_id_is_given_back_and_what_is_not_known_is_passed_over():
    more = {"id": "42", "model_name": "other", "parameters": {"sequence_id": 3, "mine": [1]}, "extra": {}}
    document, arrays = opened(ask({**JSON, **more}))
    assert document["id"] == "42"
    assert arrays["order"].tolist() == RANKING.order.tolist()


@pytest.mark.parametrize("padding", range(9))
def test_a_tensor_may_begin_at_any_byte(padding: int):
    found = ask(json.dumps(BINARY).encode() + b" " * padding, RAW)
    assert opened(found)[1]["scores"].tobytes() == RANKING.scores.tobytes()


def test_a_header_may_cover_a_body_of_json_alone():
    text = json.dumps(JSON).encode()
    assert opened(ask(text, b""))[1]["order"].tolist() == RANKING.order.tolist()


def tensor(**about: Any) -> dict[str, Any]:
    return {"inputs": [{**JSON["inputs"][0], **about}]}


def sized(size: Any) -> dict[str, Any]:
    return {"inputs": [{**TENSOR, "parameters": {"binary_data_size": size}}]}


LENGTH = "inference-header-content-length"
REFUSED: list[tuple[str, Any, bytes | None, str | None, str, str]] = [
    ("a list", [], None, None, "", "the body is no object"),
    ("no inputs", {}, None, None, "inputs", "inputs are a list of objects"),
    ("inputs an object", {"inputs": {}}, None, None, "inputs", "inputs are a list of objects"),
    ("inputs of numbers", {"inputs": [1]}, None, None, "inputs", "inputs are a list of objects"),
    ("empty inputs", {"inputs": []}, None, None, "inputs", "[] are the inputs"),
    ("another input", tensor(name="input-0"), None, None, "inputs", "['input-0'] are the inputs; the model takes one"),
    ("two inputs", {"inputs": JSON["inputs"] * 2}, None, None, "inputs", "the model takes one"),
    ("an unhashable name", tensor(name={}), None, None, "inputs", "the model takes one"),
    ("id a number", {**JSON, "id": 42}, None, None, "id", "an id is a string"),
    ("id too long", {**JSON, "id": "x" * 257}, None, None, "id", "at most 256"),
    ("parameters a list", {**JSON, "parameters": []}, None, None, "parameters", "parameters are an object"),
    ("flag a number", {**JSON, "parameters": {"binary_data_output": 1}}, None, None, "binary_data_output", "1 is not"),
    ("outputs an object", {**JSON, "outputs": {}}, None, None, "outputs", "outputs are a list"),
    ("another output", {**JSON, "outputs": [{"name": "rank"}]}, None, None, "outputs", "there is no output 'rank'"),
    ("a list as output", {**JSON, "outputs": [{"name": []}]}, None, None, "outputs", "there is no output []"),
    ("an output twice", {**JSON, "outputs": [{"name": "order"}] * 2}, None, None, "outputs", "asked for twice"),
    (
        "shared memory in",
        tensor(parameters={"shared_memory_region": "r"}),
        None,
        None,
        "inputs.parameters",
        "does not have",
    ),
    (
        "shared memory out",
        {**JSON, "outputs": [{"name": "order", "parameters": {"shared_memory_region": "r"}}]},
        None,
        None,
        "outputs.parameters",
        "shared_memory_region is an extension that this service does not have",
    ),
    (
        "classes",
        {**JSON, "outputs": [{"name": "scores", "parameters": {"classification": 1}}]},
        None,
        None,
        "outputs.parameters",
        "classification is an extension",
    ),
    ("NaN in JSON", b'{"inputs":[{"name":"features","datatype":"FP32","shape":[1,4],"data":[1,2,NaN,4]}]}', None, None,
     "", "NaN is not JSON: send null"),
    ("beyond a double", b'{"inputs":[{"name":"features","datatype":"FP32","shape":[1,4],"data":[1,2,1e999,4]}]}', None,
     None, "", "inf overflows float32"),
    ("a lone surrogate", b'{"inputs":[{"name":"features","datatype":"FP32","shape":[1,4],"data":[1,2,"\\ud800",4]}]}',
     None, None, "", "is not a number"),
    ("no header", BINARY, RAW, "absent", LENGTH, ""),
    ("header no number", BINARY, RAW, "12x", LENGTH, "'12x' is not a number of bytes"),
    ("header negative", BINARY, RAW, "-1", LENGTH, "is not a number of bytes"),
    ("header of other digits", BINARY, RAW, "١٢", LENGTH, "is not a number of bytes"),
    ("header too long", BINARY, RAW, "9" * 5000, LENGTH, "is not a number of bytes"),
    ("header beyond the body", BINARY, RAW, "99999", LENGTH, "99999 bytes of JSON in a body of"),
    ("size a string", sized("48"), RAW, None, "binary_data_size", "'48' is not a number of bytes"),
    ("size a flag", sized(True), RAW, None, "binary_data_size", "is not a number of bytes"),
    ("size negative", sized(-48), RAW, None, "binary_data_size", "is not a number of bytes"),
    ("size too small", sized(44), RAW, None, "binary_data_size", "44 bytes are announced, 48 follow"),
    ("size too large", sized(52), RAW, None, "binary_data_size", "52 bytes are announced, 48 follow"),
    ("size absurd", sized(2**70), RAW, None, "binary_data_size", "is not a number of bytes"),
    ("bytes for nobody", JSON, RAW, None, "inputs", "48 bytes follow the JSON, and no input has"),
    ("bytes of another shape", sized(24), RAW[:24], None, "binary_data_size", "24 bytes of data; the shape takes 48"),
    ("infinity", BINARY, RAW[:4] + np.float32(-np.inf).tobytes() + RAW[8:], None, "", "-inf overflows float32"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("document", "raw", "header", "field", "reason"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_what_is_refused(document: Any, raw: bytes | None, header: str | None, field: str, reason: str):
    with pytest.raises(Problem) as caught:
        if header == "absent":
            answer(json.dumps(document).encode(), None, RANKER, LIMITS, model=MODEL)
        else:
            ask(document, raw, header)
    assert isinstance(caught.value, InvalidRequest), caught.value.detail
    first = caught.value.members["errors"][0]
    assert first.get("field", "") == field
    assert reason in first["reason"]
    assert caught.value.body("id")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"inputs": NaN', b"[" * 5000, b'{"id": "\\ud800"}x'])
def test_what_is_no_json(body: bytes):
    with pytest.raises(Problem) as caught:
        ask(body)
    assert caught.value.slug == "not-json"


def test_json_with_nan_elsewhere_is_no_json():
    text = json.dumps({**JSON, "parameters": {"mine": float("nan")}}).encode()
    with pytest.raises(Problem) as caught:
        ask(text)
    assert caught.value.slug == "not-json"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
PARAMETERS = st.fixed_dictionaries(
    {}, optional={"binary_data_size": st.sampled_from([0, 16, 48]) | VALUES, "binary_data": VALUES, "x": VALUES}
)
TENSORS = st.fixed_dictionaries(
    {"name": st.just("features") | VALUES},
    optional={
        "datatype": st.sampled_from(["FP32", "FP64", "INT32", "INT64", "FP16"]) | VALUES,
        "shape": st.sampled_from([[1, 4], [3, 4], [0, 4], [4]]) | VALUES,
        "data": st.lists(st.floats() | st.none(), min_size=4, max_size=4) | VALUES,
        "parameters": PARAMETERS | VALUES,
    },
)
DOCUMENTS = st.fixed_dictionaries(
    {"inputs": st.lists(TENSORS, max_size=2) | VALUES},
    optional={
        "id": VALUES,
        "parameters": st.fixed_dictionaries({}, optional={"binary_data_output": st.booleans() | VALUES}) | VALUES,
        "outputs": st.lists(
            st.fixed_dictionaries(
                {"name": st.sampled_from(["scores", "order"]) | VALUES}, optional={"parameters": PARAMETERS}
            ),
            max_size=3,
        )
        | VALUES,
    },
)


@given(DOCUMENTS | VALUES, st.binary(max_size=64), st.none() | st.integers(-3, 3) | st.text(max_size=4))
def test_any_header_and_body_is_answered_or_refused_with_reasons(document: Any, raw: bytes, header: int | str | None):
    head = json.dumps(document).encode()
    length = str(len(head) + header) if isinstance(header, int) else header
    try:
        found = answer(head + raw, length, RANKER, LIMITS, model=MODEL)
    except Problem as problem:
        assert problem.slug in ("not-json", "invalid-request")
        assert problem.body("id")
    else:
        opened(found)
