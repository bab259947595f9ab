"""What `/openapi.json` says of the Open Inference Protocol's requests and answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from service.mistakes import MAX_ID_LENGTH
from service.tensors import DATATYPES, INPUT, OUTPUTS

if TYPE_CHECKING:
    from service.mistakes import Limits

MAY_BE_BYTES = frozenset({"InferRequest", "InferAnswer"})
BYTES: Mapping[str, Any] = {
    "application/octet-stream": {
        "schema": {
            "type": "string",
            "description": "The JSON, whose length Inference-Header-Content-Length gives, and after it the bytes of "
            "the tensors that have binary_data_size: little-endian, row by row.",
        }
    }
}


def schemas(limits: Limits) -> dict[str, Any]:
    text, flag, whole = {"type": "string"}, {"type": "boolean"}, {"type": "integer"}
    parameters = {"type": ["object", "null"], "description": "Those that are not known are passed over."}
    shape = {"type": "array", "items": whole}
    number: dict[str, Any] = {"type": ["number", "null"]}
    values = {"type": "array", "items": number}
    tensor = {
        "name": {"const": INPUT},
        "datatype": {"enum": list(DATATYPES)},
        "shape": {
            **shape,
            "minItems": 2,
            "maxItems": 2,
            "prefixItems": [{"type": "integer", "minimum": 1, "maximum": limits.max_items}],
            "description": "Items and features.",
        },
        "parameters": parameters,
        "data": {
            "description": "All values row by row, or a list a row; null is missing.",
            "oneOf": [values, {"type": "array", "items": values}],
        },
    }
    wish = {"name": {"enum": list(OUTPUTS)}, "parameters": parameters}
    request = {
        "id": {"type": ["string", "null"], "maxLength": MAX_ID_LENGTH},
        "parameters": parameters,
        "inputs": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1,
            "items": _object(tensor, ("name", "datatype", "shape")),
        },
        "outputs": {"type": ["array", "null"], "items": _object(wish, ("name",))},
    }
    described = {"name": text, "datatype": text, "shape": shape}
    output = _object({**described, "data": {"type": "array", "items": {"type": "number"}}}, described)
    answer = {"model_name": text, "model_version": text, "outputs": {"type": "array", "items": output}}
    tensors = {"type": "array", "items": _object(described, described)}
    server = {"name": text, "version": text, "extensions": {"type": "array", "items": text}}
    model = {
        "name": text,
        "versions": {"type": "array", "items": text},
        "platform": text,
        "inputs": tensors,
        "outputs": tensors,
    }
    return {
        "InferRequest": _object(request, ("inputs",)),
        "InferAnswer": _object({**answer, "id": text}, answer),
        "ServerMetadata": _object(server, server),
        "ServerLive": _object({"live": flag}, ("live",)),
        "ServerReady": _object({"ready": flag}, ("ready",)),
        "ModelMetadata": _object(model, model),
        "ModelReady": _object({"name": text, "ready": flag}, ("name", "ready")),
    }


def _object(properties: Mapping[str, Any], required: Iterable[str]) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "required": sorted(required)}
