"""Whether a request is one that AWS would take: walks botocore's own model of the service, which botocore itself
checks only for types and required members."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.session

# Java's classes, in which the models are written, as Python's.
_CLASSES = {
    r"\p{Alnum}": "A-Za-z0-9", r"\p{L}": r"\w", r"\p{N}": r"\d", r"\p{Z}": r" ",
    r"\p{Print}+": "[ -~]+", r"\p{ASCII}+": r"[\x00-\x7f]+",
    r"\uD800\uDC00-\uDBFF\uDFFF": r"\U00010000-\U0010FFFF", r"[\w-_]": r"[\w_-]",
}  # fmt: skip


class Refused(Exception):
    """An error answer: AWS's code for it, and its words."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


def problems(service: str, operation: str, body: Any) -> list[str]:
    """What is wrong with the parsed JSON of a request, an entry a fault; empty if nothing is."""
    shape = _service(service).operation_model(operation).input_shape
    return faults(shape, body) if shape is not None else []


def faults(shape: Any, body: Any) -> list[str]:
    """As `problems`, by botocore's own input shape."""
    return list(_walk(shape, body, ""))


def known(service: str, operation: str) -> bool:
    return operation in _service(service).operation_names


@cache
def _service(name: str) -> Any:
    return botocore.session.get_session().get_service_model(name)


def _walk(shape: Any, value: Any, where: str) -> Iterator[str]:
    yield from _KINDS[shape.type_name](shape, value, where)


def _structure(shape: Any, value: Any, where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where or 'the request'} is not a structure"
        return
    for name in shape.required_members:
        if name not in value:
            yield f"{where}.{name} is required"
    for name, member in value.items():
        if name not in shape.members:
            yield f"{where}.{name} is unknown"
        else:
            yield from _walk(shape.members[name], member, f"{where}.{name}")


def _list(shape: Any, value: Any, where: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{where} is not a list"
        return
    yield from _range(shape, len(value), f"{where}: length")
    for index, member in enumerate(value):
        yield from _walk(shape.member, member, f"{where}[{index}]")


def _map(shape: Any, value: Any, where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where} is not a map"
        return
    yield from _range(shape, len(value), f"{where}: length")
    for key, member in value.items():
        yield from _walk(shape.key, key, f"{where} key {key!r:.60}")
        yield from _walk(shape.value, member, f"{where}[{key!r:.60}]")


def _string(shape: Any, value: Any, where: str) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{where} is not a string"
        return
    yield from _range(shape, len(value), f"{where}: length")
    if shape.enum and value not in shape.enum:
        yield f"{where} {value!r:.60} is none of those allowed"
    pattern = shape.metadata.get("pattern")
    if pattern and _compiled(pattern).fullmatch(value) is None:
        yield f"{where} {value!r:.60} does not match {pattern}"


def _number(shape: Any, value: Any, where: str) -> Iterator[str]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        yield f"{where} is not a number"
    elif shape.type_name in ("integer", "long") and not isinstance(value, int):
        yield f"{where} is not a whole number"
    else:
        yield from _range(shape, value, where)


def _boolean(shape: Any, value: Any, where: str) -> Iterator[str]:
    if not isinstance(value, bool):
        yield f"{where} is not a boolean"


def _blob(shape: Any, value: Any, where: str) -> Iterator[str]:
    if not isinstance(value, bytes):
        yield f"{where} is not bytes"
    else:
        yield from _range(shape, len(value), f"{where}: length")


def _range(shape: Any, value: float, what: str) -> Iterator[str]:
    if value < shape.metadata.get("min", value):
        yield f"{what} {value} is below {shape.metadata['min']}"
    if value > shape.metadata.get("max", value):
        yield f"{what} {value} is above {shape.metadata['max']}"


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    for java, python in _CLASSES.items():
        pattern = pattern.replace(java, python)
    return re.compile(pattern)


_KINDS = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "string": _string,
    "boolean": _boolean,
    "blob": _blob,
    **dict.fromkeys(("integer", "long", "float", "double", "timestamp"), _number),
}
