from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

import orjson
import pytest

from service.mistakes import Limits
from service.openapi import HEADERS, ROUTES, document
from service.problems import KINDS, TYPE_PREFIX

DOCUMENT = document(Limits(max_items=7, explain=True, explain_max_items=3), 12345)


def references(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        for key, value in cast(Mapping[str, Any], node).items():
            if key == "$ref":
                yield value
            yield from references(value)
    elif isinstance(node, list):
        for value in cast(list[Any], node):
            yield from references(value)


def resolve(reference: str) -> Any:
    node: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def test_the_head_of_an_openapi_document():
    assert re.fullmatch(r"3\.1\.\d", DOCUMENT["openapi"])
    assert {"title", "version"} <= DOCUMENT["info"].keys()
    assert orjson.loads(orjson.dumps(DOCUMENT)) == DOCUMENT


def test_every_reference_leads_somewhere():
    found = set(references(DOCUMENT))
    assert len(found) > 10
    for reference in found:
        assert resolve(reference)


def test_no_component_is_unused():
    used = set(references(DOCUMENT))
    components = DOCUMENT["components"]
    unused = {f"#/components/{kind}/{name}" for kind in components for name in components[kind]} - used
    # The first two answer on any path, also on those that the document does not know; the others share a status.
    slugs = {"not-found", "method-not-allowed", "not-json", "invalid-header", "overloaded"}
    assert unused == {f"#/components/responses/{slug}" for slug in slugs}


def test_problems_that_share_a_status_are_both_told():
    response = DOCUMENT["paths"]["/v1/rank"]["post"]["responses"]["503"]
    assert f"{TYPE_PREFIX}not-ready: " in response["description"]
    assert f"{TYPE_PREFIX}overloaded: " in response["description"]
    assert "retry-after" in response["headers"]


def test_only_what_waits_has_a_deadline():
    with_deadline = {
        path
        for path, methods in DOCUMENT["paths"].items()
        for operation in methods.values()
        if any(parameter["in"] == "header" for parameter in operation.get("parameters", ()))
    }
    assert with_deadline == {path for path in ROUTES if path == "/v1/rank" or path.endswith("/infer")}
    assert len(with_deadline) == 3


@pytest.mark.parametrize("path", list(ROUTES))
def test_every_route_is_an_operation(path: str):
    ((method, operation),) = DOCUMENT["paths"][path].items()
    assert method == ROUTES[path].method.lower()
    assert ("requestBody" in operation) == (method == "post")
    assert set(operation["responses"]["200"]["headers"]) == set(HEADERS)
    statuses = {str(KINDS[slug].status) for slug in (*ROUTES[path].problems, "internal-error")}
    assert set(operation["responses"]) == {"200", *statuses}


def test_operation_ids_differ():
    names = [op["operationId"] for methods in DOCUMENT["paths"].values() for op in methods.values()]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[a-z0-9_]+", name) for name in names)


def test_every_problem_is_a_response():
    responses = DOCUMENT["components"]["responses"]
    assert set(responses) == set(KINDS)
    for slug, response in responses.items():
        assert response["description"].startswith(TYPE_PREFIX + slug)
        assert list(response["content"]) == ["application/problem+json"]
    assert "retry-after" in responses["not-ready"]["headers"]


def test_the_limits_are_those_of_the_reader():
    by_item, by_column = DOCUMENT["components"]["schemas"]["RankRequest"]["oneOf"]
    assert by_item["properties"]["items"]["maxItems"] == 7
    assert by_column["properties"]["item_ids"]["maxItems"] == 7
    assert by_item["additionalProperties"] is False
    assert "at most 3 items" in by_item["properties"]["explain"]["description"]
    assert "12345" in DOCUMENT["paths"]["/v1/rank"]["post"]["requestBody"]["description"]
