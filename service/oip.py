"""The Open Inference Protocol, version 2, over HTTP: the same ranking for KServe, Triton and MLServer clients.

One input, `features` [-1, width], where null (in bytes: NaN) is missing. Two outputs: `scores` [n] in the order of the
input, and `order` [n], the places of the items, best first. Tensors are JSON or raw bytes (`binary_tensor_data`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import orjson

from service import api, mistakes, tensors
from service.mistakes import MAX_ID_LENGTH
from service.problems import InvalidRequest
from service.tensors import INPUT, OUTPUTS, refuse

if TYPE_CHECKING:
    from json import JSONDecodeError

    from service.mistakes import Limits
    from service.problems import Problem
    from service.ranker import Floats, Ranker
    from service.schema import FeatureSchema

EXTENSIONS = ["binary_tensor_data"]
PLATFORM = "xgboost_ubj"
HEADER_LENGTH = "inference-header-content-length"

# They would have the answer elsewhere, or another answer; without them it would be silently another one.
_NOT_HERE = ("shared_memory_region", "classification")


@dataclass(frozen=True)
class Answer(api.Answer):
    """`header_length`: how many bytes of the body are its JSON, None if all are."""

    header_length: int | None


def server_metadata(commit: str) -> dict[str, Any]:
    return {"name": "podium", "version": commit, "extensions": EXTENSIONS}


def model_metadata(model: Mapping[str, str], schema: FeatureSchema) -> dict[str, Any]:
    """
    Args:
        model: name and version.
    """
    return {
        "name": model["name"],
        "versions": [model["version"]],
        "platform": PLATFORM,
        "inputs": [{"name": INPUT, "datatype": "FP32", "shape": [-1, schema.width]}],
        "outputs": [{"name": name, "datatype": datatype, "shape": [-1]} for name, datatype in OUTPUTS.items()],
    }


def answer(
    body: bytes, header_length: str | None, ranker: Ranker, limits: Limits, *, model: Mapping[str, str]
) -> Answer:
    """The whole of `infer` but for HTTP: bytes in, bytes out.

    Args:
        header_length: what the request says in `Inference-Header-Content-Length`.
        model: name and version, as the answer shows them.

    Raises:
        Problem: 400 if it is not JSON.
        InvalidRequest: 422 naming the mistakes.
    """
    return api.whole(answering(body, header_length, ranker, limits, model=model))


def answering(
    body: bytes, header_length: str | None, ranker: Ranker, limits: Limits, *, model: Mapping[str, str]
) -> api.Steps[Answer]:
    """`answer` in slices, as `api.answering`."""
    text, binary = _split(body, header_length)
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as refusal:
        raise _of_refused(bytes(text), binary, refusal, ranker.schema, limits) from None
    request = _read(document, binary, ranker.schema, limits)
    scores, seconds = yield from api.scoring(request.features, ranker)
    ranking = ranker.ranking(scores)
    values = {"scores": ranking.scores, "order": ranking.order}
    written = [tensors.written(name, values[name], binary=raw) for name, raw in request.outputs.items()]
    head: dict[str, Any] = {"model_name": model["name"], "model_version": model["version"]}
    if request.id is not None:
        head["id"] = request.id
    head["outputs"] = [about for about, _ in written]
    answered = orjson.dumps(head, option=orjson.OPT_SERIALIZE_NUMPY)
    length = len(answered) if any(request.outputs.values()) else None
    return Answer(b"".join([answered, *(raw for _, raw in written)]), len(request.features), seconds, length)


@dataclass(frozen=True)
class _Request:
    """`outputs`: those that are asked for, in their order, and whether as bytes."""

    id: str | None
    features: Floats
    outputs: Mapping[str, bool]


def _split(body: bytes, header_length: str | None) -> tuple[bytes | memoryview, memoryview | None]:
    if header_length is None:
        return body, None
    if not (header_length.isascii() and header_length.isdecimal() and len(header_length) < 19):
        refuse(f"{header_length[:40]!r} is not a number of bytes", field=HEADER_LENGTH)
    length = int(header_length)
    if length > len(body):
        refuse(f"{length} bytes of JSON in a body of {len(body)}", field=HEADER_LENGTH)
    whole = memoryview(body)
    return whole[:length], whole[length:]


def _of_refused(
    text: bytes, binary: memoryview | None, refusal: JSONDecodeError, schema: FeatureSchema, limits: Limits
) -> Problem:
    # Triton's client writes a missing value as NaN, which is no JSON: it is worth saying so, and where.
    try:
        _read(mistakes.reread(text), binary, schema, limits)
    except InvalidRequest as found:
        return found
    except ValueError:
        pass
    return mistakes.not_json(refusal)


def _read(document: Any, binary: memoryview | None, schema: FeatureSchema, limits: Limits) -> _Request:
    """Keys and parameters that the protocol does not name are passed over, as it demands."""
    if type(document) is not dict:
        refuse(f'the body is no object; give one with "inputs": [{{"name": "{INPUT}", ...}}]')
    body = cast(dict[str, Any], document)
    name = body.get("id")
    if name is not None and (type(name) is not str or len(name) > MAX_ID_LENGTH):
        refuse(f"an id is a string of at most {MAX_ID_LENGTH} characters", field="id")
    outputs = _outputs(body)
    tensor = _input(body)
    parameters = _parameters(tensor, "inputs.parameters")
    size = parameters.get("binary_data_size")
    if size is None:
        if binary:
            refuse(f"{len(binary)} bytes follow the JSON, and no input has binary_data_size", field="inputs")
        return _Request(name, tensors.read_features(tensor, None, schema, limits), outputs)
    if type(size) is not int or size < 0:
        refuse(f"{size!r:.40} is not a number of bytes", field="binary_data_size")
    if binary is None:
        refuse("without this header there is no telling where the bytes of the tensor begin", field=HEADER_LENGTH)
    if size != len(binary):
        refuse(f"{size} bytes are announced, {len(binary)} follow the JSON", field="binary_data_size")
    return _Request(name, tensors.read_features(tensor, binary, schema, limits), outputs)


def _input(body: dict[str, Any]) -> dict[str, Any]:
    found = _objects(body.get("inputs"), "inputs")
    names = [tensor.get("name") for tensor in found]
    if names != [INPUT]:
        refuse(f'{names!r:.100} are the inputs; the model takes one, "{INPUT}"', field="inputs")
    return found[0]


def _outputs(body: dict[str, Any]) -> dict[str, bool]:
    binary = _flag(_parameters(body, "parameters"), "binary_data_output", default=False)
    asked = body.get("outputs")
    wishes = [] if asked is None else _objects(asked, "outputs")
    outputs: dict[str, bool] = {}
    for wish in wishes:
        name = wish.get("name")
        if type(name) is not str or name not in OUTPUTS:
            refuse(f"there is no output {name!r:.40}; the model gives {' and '.join(OUTPUTS)}", field="outputs")
        if name in outputs:
            refuse(f"{name} is asked for twice", field="outputs")
        outputs[name] = _flag(_parameters(wish, "outputs.parameters"), "binary_data", default=binary)
    return outputs or dict.fromkeys(OUTPUTS, binary)


def _objects(value: Any, field: str) -> list[dict[str, Any]]:
    if type(value) is not list or not set(map(type, cast(list[Any], value))) <= {dict}:
        refuse(f"{field} are a list of objects", field=field)
    return cast(list[dict[str, Any]], value)


def _parameters(holder: dict[str, Any], field: str) -> dict[str, Any]:
    parameters: Any = holder.get("parameters")
    if parameters is None:
        return {}
    if type(parameters) is not dict:
        refuse("parameters are an object", field=field)
    found = cast(dict[str, Any], parameters)
    for name in _NOT_HERE:
        if name in found:
            refuse(f"{name} is an extension that this service does not have", field=field)
    return found


def _flag(parameters: dict[str, Any], name: str, *, default: bool) -> bool:
    value = parameters.get(name, default)
    if type(value) is not bool:
        refuse(f"{value!r:.40} is not true or false", field=name)
    return value
