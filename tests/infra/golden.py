"""A graph as a file for review: sorted, policies as JSON, and made-up ids as what they are the ids of."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from typing import Any

from tests.conftest import ROOT
from tests.infra.graph import Graph, GraphError, Resource
from tests.infra.rules import AWS
from tests.infra.wire import strings

WIDTH = 110
FOLDER = ROOT / "tests" / "infra" / "golden"


def golden(graph: Graph) -> str:
    """The text of `golden/<stack>.json`."""
    paths = {each.urn: path(graph, each) for each in graph.resources}
    references = _references(graph, paths)
    lone_provider = {each.urn for each in graph.of(AWS)} if len(graph.of(AWS)) == 1 else set[str]()
    resources = {paths[each.urn]: _shown(each, paths, lone_provider) for each in graph.resources}
    if len(resources) < len(graph.resources):
        raise GraphError("two resources of a type have the same name, and so have components that they are in")
    whole = {"outputs": graph.outputs, "secret outputs": sorted(graph.secret_outputs), "resources": resources}
    return _written(_readable(whole, references)) + "\n"


def path(graph: Graph, resource: Resource) -> str:
    """As `delayed/work/work-dead sqs/queue:Queue`: what it lies below, and its type."""
    above = [each.name for each in reversed(graph.above(resource))]
    return f"{'/'.join([*above, resource.name])} {resource.type.removeprefix('aws:')}"


def _written(value: Any, depth: int = 0, before: int = 0) -> str:
    """JSON with sorted keys, where what fits into a line is one: a policy's statement is read at a glance."""
    line = json.dumps(value, sort_keys=True, ensure_ascii=False)
    if len(line) + 2 * depth + before <= WIDTH or not isinstance(value, dict | list) or not value:
        return line
    space = "  " * (depth + 1)
    if isinstance(value, list):
        inside = [_written(each, depth + 1) for each in value]
        return "[\n" + ",\n".join(space + each for each in inside) + f"\n{space[2:]}]"
    keys = {json.dumps(key, ensure_ascii=False): each for key, each in sorted(value.items())}
    inside = [f"{key}: {_written(each, depth + 1, len(key) + 2)}" for key, each in keys.items()]
    return "{\n" + ",\n".join(space + each for each in inside) + f"\n{space[2:]}}}"


def _shown(each: Resource, paths: Mapping[str, str], lone_provider: set[str]) -> dict[str, Any]:
    """Only what is said: most have no aliases, and all the same provider."""
    by_inputs = {urn for urns in each.property_dependencies.values() for urn in urns}
    provider = "" if each.provider in lone_provider else paths.get(each.provider, each.provider)
    if each.custom and each.type.startswith("aws:") and not each.provider:
        provider = "default"
    said = {
        "protect": each.protect,
        "retain": each.retain,
        "remote": each.remote,
        # By inputs it shows in them.
        "after": sorted(paths.get(urn, urn) for urn in set(each.dependencies) - by_inputs),
        "provider": provider,
        "aliases": list(each.aliases),
        "ignores": list(each.ignore_changes),
        "secret": sorted(each.secrets),
        "inputs": each.inputs,
    }
    return {key: value for key, value in said.items() if value}


def _references(graph: Graph, paths: Mapping[str, str]) -> dict[str, str]:
    """What was made up for a resource, and what to write instead: `${network/vpc.id}`."""
    found: dict[str, str] = {}
    for each in graph.resources:
        if not each.custom:
            continue
        what = f"{each.type}::{each.name}"
        marks = (hashlib.sha256(what.encode()).hexdigest()[:7], str(uuid.uuid5(uuid.NAMESPACE_URL, what)))
        given = {text for _, text in strings(each.inputs)}
        name = paths[each.urn].rpartition(" ")[0]
        for key, text in [("id", each.id), *strings(each.outputs)]:
            if any(mark in text.lower() for mark in marks) and text not in given:
                found.setdefault(text, f"${{{name}.{key}}}")
    return found


def _readable(value: Any, references: Mapping[str, str]) -> Any:
    longest = sorted(references, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, longest)) or r"(?!)")

    def shown(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: shown(each) for key, each in value.items()}
        if isinstance(value, list):
            return [shown(each) for each in value]
        if isinstance(value, str):
            parsed = _parsed(value)
            return pattern.sub(lambda hit: references[hit[0]], value) if parsed is None else shown(parsed)
        return value

    return shown(value)


def _parsed(text: str) -> Any:
    """A policy, which differs by its meaning and not by its spaces."""
    if text[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None
