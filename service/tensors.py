"""Tensors of the Open Inference Protocol: JSON or raw bytes to a float32 matrix, and scores back to either."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any, NoReturn, cast

import numpy as np

from service.mistakes import MAX_ERRORS, number_mistake, printable
from service.problems import InvalidRequest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from service.mistakes import Limits
    from service.ranker import Floats
    from service.schema import FeatureSchema

INPUT = "features"

# Little-endian, as the protocol lays tensors out. Clients send doubles and whole numbers where their data is of
# them; like the numbers of /v1/rank, they become doubles and are then rounded to float32.
DATATYPES: Mapping[str, np.dtype[Any]] = {
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
}
OUTPUTS: Mapping[str, str] = {"scores": "FP32", "order": "INT64"}

_WHOLE = {int, type(None)}
_NUMBERS = {int, float, type(None)}


def refuse(reason: str, **where: Any) -> NoReturn:
    """
    Raises:
        InvalidRequest: always, with this one mistake.
    """
    raise InvalidRequest([{**where, "reason": reason}], 1)


def read_features(
    tensor: Mapping[str, Any], binary: memoryview | None, schema: FeatureSchema, limits: Limits
) -> Floats:
    """The matrix that an input tensor stands for: float32 [n, width], C order, NaN for missing.

    Args:
        tensor: the input as the request's JSON describes it.
        binary: its raw bytes, or None if the JSON holds its data.

    Raises:
        InvalidRequest: 422 naming the field, or up to 10 items and features.
    """
    datatype = tensor.get("datatype")
    if type(datatype) is not str or datatype not in DATATYPES:
        refuse(f"{_shown(datatype)} is not taken; send one of {', '.join(DATATYPES)}", field="datatype")
    count = _count(tensor.get("shape"), schema, limits)
    if binary is not None:
        if "data" in tensor:
            refuse("the data is given twice, in the JSON and as binary_data_size", field="data")
        return _from_bytes(binary, DATATYPES[datatype], (count, schema.width), schema)
    if "data" not in tensor:
        refuse("the tensor has neither data nor the parameter binary_data_size", field="data")
    return _from_json(tensor["data"], datatype, (count, schema.width), schema)


def written(name: str, values: NDArray[Any], *, binary: bool) -> tuple[dict[str, Any], bytes]:
    """An output tensor: what the JSON says of it, and the bytes that follow the JSON (none if it is not binary)."""
    datatype = OUTPUTS[name]
    about: dict[str, Any] = {"name": name, "datatype": datatype, "shape": list(values.shape)}
    exact = np.ascontiguousarray(values, DATATYPES[datatype])
    if not binary:
        return {**about, "data": exact}, b""
    return {**about, "parameters": {"binary_data_size": exact.nbytes}}, exact.tobytes()


def _count(shape: Any, schema: FeatureSchema, limits: Limits) -> int:
    wanted = f"[n, {schema.width}]"
    if type(shape) is not list or set(map(type, cast(list[Any], shape))) != {int}:
        refuse(f"{_shown(shape)} is no shape; the model takes {wanted}", field="shape")
    dimensions = cast(list[int], shape)
    if len(dimensions) != 2 or dimensions[1] != schema.width or dimensions[0] < 0:
        refuse(f"the shape is {_shown(dimensions)}; the model takes {wanted}", field="shape")
    if dimensions[0] == 0:
        refuse("the tensor is empty; a query has at least one item", field="shape")
    if dimensions[0] > limits.max_items:
        refuse(f"{dimensions[0]} items; this service takes at most {limits.max_items} a query", field="shape")
    return dimensions[0]


def _from_bytes(binary: memoryview, dtype: np.dtype[Any], shape: tuple[int, int], schema: FeatureSchema) -> Floats:
    needed = shape[0] * shape[1] * dtype.itemsize
    if len(binary) != needed:
        refuse(f"{len(binary)} bytes of data; the shape takes {needed}", field="binary_data_size")
    values = np.frombuffer(binary, dtype).reshape(shape)
    if dtype == np.float32:
        # Nothing is copied, unless the JSON before the tensor has a length that puts it across words: XGBoost
        # refuses such addresses.
        features = cast("Floats", np.require(values, np.float32, "A"))
    else:
        features = _rounded(values.astype(np.float64))
    if np.isinf(features).any():
        _refuse_infinite(values, features, schema)
    return features


def _from_json(data: Any, datatype: str, shape: tuple[int, int], schema: FeatureSchema) -> Floats:
    flat = _flat(data, shape)
    # bool is an int in Python and not in JSON, so types are compared exactly.
    if not set(map(type, flat)) <= (_WHOLE if datatype.startswith("INT") else _NUMBERS):
        _refuse_values(flat, datatype, schema)
    # numpy reads None as NaN here.
    features = _rounded(np.array(flat, np.float64).reshape(shape))
    if np.isinf(features).any():
        _refuse_values(flat, datatype, schema)
    return features


def _flat(data: Any, shape: tuple[int, int]) -> list[Any]:
    count, width = shape
    if type(data) is not list:
        refuse(f"{_shown(data)} is not a list", field="data")
    values = cast(list[Any], data)
    # An array among numbers is named by its place later on, as is one that lies deeper than the shape.
    if set(map(type, values)) == {list}:
        rows = cast(list[list[Any]], values)
        if len(rows) != count or set(map(len, rows)) != {width}:
            refuse(f"{len(rows)} rows of {_span(rows)} values; the shape is [{count}, {width}]", field="data")
        return list(chain.from_iterable(rows))
    if len(values) != count * width:
        refuse(f"{len(values)} values; the shape takes {count * width}", field="data")
    return values


def _rounded(doubles: NDArray[np.float64]) -> Floats:
    with np.errstate(over="ignore"):
        return doubles.astype(np.float32)


def _refuse_infinite(values: NDArray[Any], features: Floats, schema: FeatureSchema) -> NoReturn:
    places = np.argwhere(np.isinf(features))
    shown: list[list[int]] = places[:MAX_ERRORS].tolist()
    errors: list[dict[str, Any]] = [
        {"item": row, "feature": schema.names[column], "reason": _beyond(values[row, column].item())}
        for row, column in shown
    ]
    raise InvalidRequest(errors, len(places))


def _beyond(value: float) -> str:
    return number_mistake(value) or f"{value} is beyond float32"


def _refuse_values(flat: list[Any], datatype: str, schema: FeatureSchema) -> NoReturn:
    errors: list[dict[str, Any]] = []
    total = 0
    for place, value in enumerate(flat):
        reason = number_mistake(value)
        if reason is None and datatype.startswith("INT") and type(value) is float:
            reason = f"{value} is not whole, which {datatype} says it is"
        if reason is None:
            continue
        total += 1
        if total <= MAX_ERRORS:
            row, column = divmod(place, schema.width)
            errors.append({"item": row, "feature": schema.names[column], "reason": printable(reason)})
    if not total:
        raise RuntimeError("a tensor was refused in which no mistake can be found")
    raise InvalidRequest(errors, total)


def _span(rows: list[list[Any]]) -> str:
    lengths = sorted(set(map(len, rows)))
    return str(lengths[0]) if len(lengths) == 1 else f"{lengths[0]} to {lengths[-1]}"


def _shown(value: Any) -> str:
    return "nothing" if value is None else f"{value!r:.40}"
