import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import ubj
from tests.service.bundles import train_model


def as_json(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    return value


def test_a_saved_model_reads_as_xgboost_writes_it_in_json() -> None:
    import xgboost as xgb

    model = train_model()
    booster = xgb.Booster(model_file=bytearray(model))
    # JSON text has shortened floats, so compare what both spell exactly: structure, integers, strings.
    text = json.loads(bytes(booster.save_raw("json")))
    mine = as_json(ubj.decode(model))
    assert mine.keys() == text.keys()
    for ours, theirs in zip(trees(mine), trees(text), strict=True):
        assert ours["left_children"] == theirs["left_children"]
        assert ours["split_indices"] == theirs["split_indices"]
        assert ours["tree_param"] == theirs["tree_param"]
        assert np.array_equal(np.float32(ours["split_conditions"]), np.float32(theirs["split_conditions"]))


def trees(document: Any) -> Any:
    return document["learner"]["gradient_booster"]["model"]["trees"]


def test_every_truncation_is_refused() -> None:
    # XGBoost 3.2 itself aborts the process on some of these.
    model = train_model(trees=2)
    for size in range(len(model)):
        with pytest.raises(ValueError, match="byte"):
            ubj.decode(model[:size])


def test_bytes_after_the_end_are_refused() -> None:
    with pytest.raises(ValueError, match="ends at byte 2 of 3"):
        ubj.decode(b"{}x")


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"Z", None),
        (b"T", True),
        (b"U\xff", 255),
        (b"i\xff", -1),
        (b"I\x01\x00", 256),
        (b"l\x00\x00\x01\x00", 256),
        (b"L" + struct.pack(">q", -5), -5),
        (b"D" + struct.pack(">d", 0.1), 0.1),
        (b"SU\x02hi", "hi"),
        (b"[U\x01U\x02]", [1, 2]),
        (b"[#U\x02TF", [True, False]),
        (b"[$U#U\x03abc", [97, 98, 99]),
        (b"{U\x01a[]U\x01b{}}", {"a": [], "b": {}}),
    ],
)
def test_values(data: bytes, value: Any) -> None:
    assert as_json(ubj.decode(data)) == value


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"[" * 100, b"[$Z#U\x01", b"[$U!U\x01a", b"SL" + b"\xff" * 8, b"S\x00", b"{U\x01aZ", b"SU\x01\xff"],
)
def test_nonsense_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="byte"):
        ubj.decode(data)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_a_value_error(data: bytes) -> None:
    try:
        ubj.decode(data)
    except ValueError as error:
        assert "byte" in str(error)
