"""Strict schemas: Kubernetes' own of three minors, and those of the custom resources."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs

from infra.settings import ClusterSettings
from tests.deploy.render import Object
from tests.engines.environments import python_for, requirement

CORE = {"v1", "apps/v1", "batch/v1", "policy/v1"}


def minors() -> list[str]:
    """The cluster's minor, and the next two: an upgrade must not find what it refuses."""
    major, minor = next(f.default for f in ClusterSettings.__dataclass_fields__.values() if f.name == "version").split(
        "."
    )
    return [f"{major}.{int(minor) + more}" for more in range(3)]


def custom(document: Object) -> bool:
    group = document["apiVersion"].partition("/")[0]
    return document["apiVersion"] not in CORE and not group.endswith(".k8s.io")


def folder() -> Path:
    (found,) = python_for(requirement("manifests")).parent.parent.glob("lib/python*/site-packages/kubernetes_validate")
    return found / "kubernetes-json-schema"


def core_findings(document: Object, minor: str) -> list[str]:
    group, _, version = document["apiVersion"].rpartition("/")
    name = "-".join(filter(None, (document["kind"].lower(), group.partition(".")[0], version)))
    return _said(_core(minor, name), document)


def custom_findings(document: Object, crds: Path) -> list[str]:
    return _said(_custom(crds, document["apiVersion"], document["kind"]), document)


@cache
def _core(minor: str, name: str) -> Any:
    place = folder() / f"v{minor}.0-local-strict"
    schema = json.loads((place / f"{name}.json").read_text())
    registry = _registry(place)
    return jsonschema_rs.Draft202012Validator({**schema, "$id": "https://kubernetes.io/schema.json"}, registry=registry)


@cache
def _registry(place: Path) -> Any:
    definitions = json.loads((place / "_definitions.json").read_text())
    return jsonschema_rs.Registry([(definitions["$id"], definitions)])


@cache
def _custom(crds: Path, version: str, kind: str) -> Any:
    group, _, number = version.partition("/")
    schema = json.loads((crds / group / f"{kind.lower()}_{number}.json").read_text())
    return jsonschema_rs.Draft202012Validator(_closed(schema, top=True))


def _closed(schema: Any, *, top: bool = False) -> Any:
    """The schema with every object that lists its members closed, as a server that prunes would have it; the catalogue
    leaves some open."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    copy = {key: _closed(value) for key, value in schema.items()}
    if top:
        copy["properties"] = {**copy["properties"], "metadata": {"type": "object"}}
    open_ended = copy.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in copy
    if isinstance(copy.get("properties"), dict) and copy.get("type") == "object" and not open_ended:
        copy["additionalProperties"] = False
    return copy


def _said(validator: Any, document: Object) -> list[str]:
    return list(_lines(validator, document))


def _lines(validator: Any, document: Object) -> Iterator[str]:
    for error in validator.iter_errors(document):
        where = "/".join(map(str, error.instance_path))
        yield f"{document['kind']} {document['metadata']['name']}: {where}: {error.message:.200}"
