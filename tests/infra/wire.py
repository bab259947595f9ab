"""Pulumi's properties on the wire, and as plain JSON.

What is more than JSON there is a map with a signature: secrets, references to resources, assets (pulumi's
sdk/python/lib/pulumi/runtime/rpc.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import json_format, struct_pb2

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - how a secret is marked
RESOURCE = "5cf8f73096256a8f31e491e813e4eb8e"
ASSET = "c44067f5952c0a294b673a41bacd8c17"
ARCHIVE = "0def7320c3a5731c473e5ecbe6d01bc7"
# What says that a value is not known yet (the same file). Nothing here may be: there is no preview.
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


class WireError(Exception):
    """A property that no program should have sent."""


@dataclass(frozen=True)
class Plain:
    """
    Args:
        value: JSON; references stand as the id of their resource, or its URN where it has none.
        secrets: the paths of what is secret, `environment.variables.TOKEN`.
        references: the URN that is referred to, by the path of the reference.
    """

    value: Any
    secrets: frozenset[str] = frozenset()
    references: Mapping[str, str] = field(default_factory=dict[str, str])


def plain(properties: struct_pb2.Struct) -> Plain:
    """
    Raises:
        WireError: if a value is unknown, or marked as something that is not known here.
    """
    secrets: set[str] = set()
    references: dict[str, str] = {}
    value = _plain(json_format.MessageToDict(properties), "", secrets, references)
    return Plain(value, frozenset(secrets), references)


def struct(value: Mapping[str, Any], secrets: frozenset[str] = frozenset()) -> struct_pb2.Struct:
    """JSON for the wire, those of its keys secret that are named."""
    made = struct_pb2.Struct()
    marked = {
        key: {SIGNATURE: SECRET, "value": each} if key in secrets else each
        for key, each in value.items()
        if each is not None
    }
    json_format.ParseDict(marked, made)
    return made


def reference(urn: str, id_: str) -> dict[str, str]:
    return {SIGNATURE: RESOURCE, "urn": urn, "id": id_}


def strings(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Each text in a JSON value, by its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from strings(each, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from strings(each, f"{path}[{index}]")


def _plain(value: Any, path: str, secrets: set[str], references: dict[str, str]) -> Any:
    if isinstance(value, Mapping):
        return _mapping(value, path, secrets, references)
    if isinstance(value, list):
        return [_plain(each, f"{path}[{index}]", secrets, references) for index, each in enumerate(value)]
    if value == UNKNOWN:
        raise WireError(f"{path} is unknown; whatever it came from answered nothing for it")
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        # The wire knows doubles alone.
        return int(value)
    return value


def _mapping(value: Mapping[str, Any], path: str, secrets: set[str], references: dict[str, str]) -> Any:
    match value.get(SIGNATURE):
        case None:
            inside = {
                key: _plain(each, f"{path}.{key}" if path else key, secrets, references) for key, each in value.items()
            }
            return {key: each for key, each in inside.items() if each is not None}
        case secret if secret == SECRET:
            secrets.add(path)
            return _plain(value["value"], path, secrets, references)
        case resource if resource == RESOURCE:
            references[path] = value["urn"]
            return value.get("id") or value["urn"]
        case asset if asset in (ASSET, ARCHIVE):
            return {key: each for key, each in value.items() if key in ("path", "text", "uri", "assets")}
        case other:
            raise WireError(f"{path} is marked {other!r}, which is not known here")
