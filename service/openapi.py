"""`/openapi.json`, made of the same limits and tables as the code that checks requests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from service import tensor_schemas
from service.admission import MAX_DEADLINE_MS
from service.mistakes import FLOAT32_END, ITEM_KEYS, MAX_ERRORS, MAX_ID_LENGTH, REQUEST_KEYS, Limits
from service.problems import KINDS, MEDIA_TYPE, TYPE_PREFIX

if TYPE_CHECKING:
    from service.schema import FeatureSchema

JSON = "application/json"

# Larger numbers are read as doubles, whole or not.
MAX_INTEGER = 2**64 - 1


@dataclass(frozen=True)
class RouteDoc:
    """`problems` are the slugs that this route may answer with, beside internal-error."""

    method: str
    summary: str
    success: str
    problems: tuple[str, ...] = ()
    request: str | None = None


RANK_PROBLEMS = (
    "not-json", "invalid-header", "body-too-large", "unsupported-media-type", "invalid-request",
    "not-ready", "overloaded", "deadline-exceeded",
)  # fmt: skip
MODEL_PROBLEMS = ("model-not-found", "not-ready")
INFER_PROBLEMS = (*RANK_PROBLEMS, "model-not-found")

ROUTES: Mapping[str, RouteDoc] = {
    "/": RouteDoc("GET", "What is here", "Index"),
    "/v1/rank": RouteDoc("POST", "Rank the items of a query, best first", "RankAnswer", RANK_PROBLEMS, "RankRequest"),
    "/livez": RouteDoc("GET", "200 while the process answers at all", "Alive"),
    "/startupz": RouteDoc("GET", "200 once the model is ready; until then 503 with the phase", "Ready", ("not-ready",)),
    "/readyz": RouteDoc("GET", "200 when the model is proven and in memory", "Ready", ("not-ready",)),
    "/metrics": RouteDoc("GET", "Prometheus metrics", "Metrics"),
    "/version": RouteDoc("GET", "The commit of the service and the model it serves", "Version"),
    "/openapi.json": RouteDoc("GET", "This document", "OpenAPI"),
    "/v2": RouteDoc("GET", "Open Inference Protocol: the server and its extensions", "ServerMetadata"),
    "/v2/health/live": RouteDoc("GET", "Open Inference Protocol: as /livez", "ServerLive"),
    "/v2/health/ready": RouteDoc("GET", "Open Inference Protocol: as /readyz", "ServerReady", ("not-ready",)),
    **{
        path + suffix: RouteDoc(method, f"Open Inference Protocol: {summary}", success, problems, request)
        for path in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}")
        for suffix, method, summary, success, problems, request in (
            ("", "GET", "the model's tensors", "ModelMetadata", MODEL_PROBLEMS, None),
            ("/ready", "GET", "whether the model is ready", "ModelReady", MODEL_PROBLEMS, None),
            ("/infer", "POST", "rank items given as a tensor", "InferAnswer", INFER_PROBLEMS, "InferRequest"),
        )
    },
}

HEADERS: Mapping[str, str] = {
    "x-request-id": "The id the client sent, if it is 1 to 128 of A-Z a-z 0-9 . _ -, or a new one.",
    "x-podium-commit": "The commit of the service.",
    "x-podium-model": "The name of the model, once known.",
    "x-podium-version": "The version of the model, once known.",
}


def document(
    limits: Limits, max_body_bytes: int, features: FeatureSchema | None = None, version: str = "1"
) -> dict[str, Any]:
    """An OpenAPI 3.1 document. `version` is that of the interface: the 1 in `/v1/rank`.

    Args:
        features: those of the model, which the document then lists; None while no model is known.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Podium",
            "version": version,
            "description": "Ranks the candidate items of a query with a learning-to-rank model.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {path: _path(path, route, max_body_bytes) for path, route in ROUTES.items()},
        "components": {
            "headers": {name: {"description": text, "schema": {"type": "string"}} for name, text in HEADERS.items()},
            "responses": {slug: _problem(slug) for slug in KINDS},
            "schemas": _schemas(limits, features),
        },
    }


def _path(path: str, route: RouteDoc, max_body_bytes: int) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": re.sub(r"[^a-z0-9]+", "_", path).strip("_") or "index",
        "summary": route.summary,
        "responses": {"200": _success(route.success)},
    }
    by_status: dict[str, list[str]] = {}
    for slug in (*route.problems, "internal-error"):
        by_status.setdefault(str(KINDS[slug].status), []).append(slug)
    for status, slugs in by_status.items():
        # A status has one response, and a response cannot say "one of these".
        shared = {"$ref": f"#/components/responses/{slugs[0]}"} if len(slugs) == 1 else _problem(*slugs)
        operation["responses"][status] = shared
    text = {"type": "string"}
    names = re.findall(r"{(\w+)}", path)
    parameters: list[Any] = [{"name": name, "in": "path", "required": True, "schema": text} for name in names]
    if "deadline-exceeded" in route.problems:
        parameters.append(_deadline())
    if parameters:
        operation["parameters"] = parameters
    if route.request is not None:
        operation["requestBody"] = {
            "required": True,
            "description": f"At most {max_body_bytes} bytes.",
            "content": _content(route.request),
        }
    return {route.method.lower(): operation}


def _success(name: str) -> dict[str, Any]:
    return {"description": "Done.", "headers": _headers(), "content": _content(name)}


def _content(name: str) -> dict[str, Any]:
    if name == "Metrics":
        return {"text/plain": {"schema": {"type": "string"}}}
    content: dict[str, Any] = {JSON: {"schema": _ref(name)}}
    if name in tensor_schemas.MAY_BE_BYTES:
        content |= tensor_schemas.BYTES
    return content


def _deadline() -> dict[str, Any]:
    return {
        "name": "X-Request-Deadline-Ms",
        "in": "header",
        "description": "How long the caller still waits. What cannot be scored by then is not scored.",
        "schema": {"type": "integer", "minimum": 0, "maximum": MAX_DEADLINE_MS},
    }


def _problem(*slugs: str) -> dict[str, Any]:
    headers = _headers()
    if any(KINDS[slug].status == 503 for slug in slugs):
        headers["retry-after"] = {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
    return {
        "description": " ".join(f"{TYPE_PREFIX}{slug}: {KINDS[slug].meaning}" for slug in slugs),
        "headers": headers,
        "content": {MEDIA_TYPE: {"schema": _ref("Problem")}},
    }


def _headers() -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in HEADERS}


def _schemas(limits: Limits, schema: FeatureSchema | None) -> dict[str, Any]:
    identifier = {"type": "string", "minLength": 1, "maxLength": MAX_ID_LENGTH}
    features = _ref("Features")
    count = {"minItems": 1, "maxItems": limits.max_items}
    options = {
        "id": {**identifier, "type": ["string", "null"], "description": "The id of the query, given back."},
        "top_k": {
            "type": ["integer", "null"],
            "minimum": 1,
            "maximum": MAX_INTEGER,
            "description": "How many items to give back; null is all.",
        },
        "explain": {"type": ["boolean", "null"], "description": _explain(limits)},
    }
    item = _object({"id": identifier, "features": features}, ITEM_KEYS, additional=False)
    items = {"type": "array", "description": "Their ids differ.", "items": _ref("Item"), **count}
    item_ids = {"type": "array", "uniqueItems": True, "items": identifier, **count}
    rows = {"type": "array", "description": "A row for each of item_ids.", "items": features, **count}
    by_item = _object({**options, "items": items}, ("items",), additional=False)
    by_column = _object({**options, "item_ids": item_ids, "features": rows}, ("item_ids", "features"), additional=False)
    if by_item["properties"].keys() | by_column["properties"].keys() != REQUEST_KEYS:
        raise RuntimeError("the document and the reader know different fields of a request")
    return {
        "Features": _features(schema),
        "Item": item,
        "RankRequest": {"oneOf": [by_item, by_column]},
        **_answers(identifier),
        **tensor_schemas.schemas(limits),
    }


def _features(schema: FeatureSchema | None) -> dict[str, Any]:
    number = {
        "type": ["number", "null"],
        "exclusiveMinimum": -FLOAT32_END,
        "exclusiveMaximum": FLOAT32_END,
        "description": "Rounded to float32; null is missing.",
    }
    listed: dict[str, Any] = {"type": "array", "items": number}
    named: dict[str, Any] = {"type": "object", "additionalProperties": number}
    if schema is not None:
        listed |= {"minItems": schema.width, "maxItems": schema.width}
        named |= {"properties": dict.fromkeys(schema.names, number), "additionalProperties": False}
    description = "Every feature of the model in its order, or those that are known by name."
    return {"description": description, "oneOf": [listed, named]}


def _answers(identifier: Mapping[str, Any]) -> dict[str, Any]:
    text, number, whole = {"type": "string"}, {"type": "number"}, {"type": "integer", "minimum": 1}
    model = _object({"name": text, "version": text}, ("name", "version"))
    phase = _object({"phase": text, "seconds": number}, ("phase", "seconds"))
    ranked = _object(
        {
            "id": identifier,
            "score": {"type": "number", "description": "The shortest decimal that gives the float32 back."},
            "rank": whole,
            "contributions": {"type": "object", "additionalProperties": number},
            "bias": {"type": "number", "description": "With the contributions it sums to the score."},
        },
        ("id", "score", "rank"),
    )
    answer = {"id": text, "model": model, "items": {"type": "array", "items": ranked}, "took_ms": number}
    mistake = {"item": {"type": "integer"}, "id": text, "feature": text, "field": text, "reason": text}
    problem = {
        "type": {"type": "string", "enum": [TYPE_PREFIX + slug for slug in KINDS]},
        "title": text,
        "status": {"type": "integer"},
        "detail": text,
        "request_id": text,
    }
    return {
        "RankAnswer": _object(answer, answer),
        "Problem": _object(
            {
                **problem,
                "errors": {"type": "array", "maxItems": MAX_ERRORS, "items": _object(mistake, ("reason",))},
                "total_errors": whole,
                "phase": text,
                "reason": text,
                "error": {"type": "string", "description": "As detail, below /v2."},
                "retry_in": number,
            },
            problem,
        ),
        "Alive": _object({"status": {"const": "alive"}}, ("status",)),
        "Ready": _object(
            {"status": {"const": "ready"}, "model": model, "phases": {"type": "array", "items": phase}},
            ("status", "model", "phases"),
        ),
        "Version": _object(
            {"service": text, "commit": text, "model": {"oneOf": [model, {"type": "null"}]}},
            ("service", "commit", "model"),
        ),
        "Index": _object({"service": text, "routes": {"type": "object"}}, ("service", "routes")),
        "OpenAPI": {"type": "object"},
    }


def _explain(limits: Limits) -> str:
    if not limits.explain:
        return "Off on this service: true is refused."
    return f"true adds each feature's contribution to each score; at most {limits.explain_max_items} items then."


def _object(properties: Mapping[str, Any], required: Iterable[str], *, additional: bool = True) -> dict[str, Any]:
    schema = {"type": "object", "properties": dict(properties), "required": sorted(required)}
    return schema if additional else {**schema, "additionalProperties": False}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
