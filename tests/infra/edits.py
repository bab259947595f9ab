"""Ways to break a graph."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.infra.graph import Graph, Resource

Edit = Callable[[Graph], Graph]
MISSING: Any = object()


def put(kind: str, name: str, path: str, value: Any = MISSING) -> Edit:
    """Sets what lies at a path of the inputs, through JSON in a string too (`policy/Statement/0/Effect`), or removes
    it."""

    def change(resource: Resource) -> Resource:
        inputs = copy.deepcopy(resource.inputs)
        _put(inputs, path.split("/"), value)
        # A provider answers what it was given: of what is given no longer it says nothing.
        left = {key: each for key, each in resource.outputs.items() if key in inputs or key not in resource.inputs}
        return replace(resource, inputs=inputs, outputs=left)

    return _changing(kind, name, change)


def gone(kind: str, name: str) -> Edit:
    def edit(graph: Graph) -> Graph:
        target = _found(graph, kind, name)
        return replace(graph, resources=tuple(each for each in graph.resources if each is not target))

    return edit


def unprotected(kind: str, name: str) -> Edit:
    return _changing(kind, name, lambda resource: replace(resource, protect=False))


def added(*resources: Resource) -> Edit:
    return lambda graph: replace(graph, resources=(*graph.resources, *resources))


def both(*edits: Edit) -> Edit:
    def edit(graph: Graph) -> Graph:
        for each in edits:
            graph = each(graph)
        return graph

    return edit


def _changing(kind: str, name: str, change: Callable[[Resource], Resource]) -> Edit:
    def edit(graph: Graph) -> Graph:
        target = _found(graph, kind, name)
        changed = change(target)
        assert changed != target, f"nothing to break in {kind} {name}"
        return replace(graph, resources=tuple(changed if each is target else each for each in graph.resources))

    return edit


def _found(graph: Graph, kind: str, name: str) -> Resource:
    (found,) = [each for each in graph.resources if each.type.endswith(f":{kind}") and each.name == name]
    return found


def _put(holder: Any, path: list[str], value: Any) -> None:
    step: Any = int(path[0]) if isinstance(holder, list) else path[0]
    if len(path) == 1:
        if value is MISSING:
            del holder[step]
        else:
            holder[step] = value
        return
    inside = holder[step]
    if isinstance(inside, str):
        decoded = json.loads(inside)
        _put(decoded, path[1:], value)
        holder[step] = json.dumps(decoded)
        return
    _put(inside, path[1:], value)
