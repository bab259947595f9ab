"""How settings are declared and read: each has its kind, its meaning and its reason where it is declared."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from difflib import get_close_matches
from ipaddress import IPv4Network
from typing import Any, cast

VERSION_FLOOR = (1, 35)
"""Of Kubernetes: standard support of 1.34 ends on 2026-12-02."""


class SettingsError(ValueError):
    """A stack's configuration cannot be used; the message names the key, what it allows, and what to do."""


@dataclass(frozen=True)
class Kind:
    """What a value may be, in code and in words. `read` raises ValueError for all else."""

    read: Callable[[object], Any]
    allowed: str
    several: bool = False


def matching(pattern: str, allowed: str) -> Kind:
    def read(value: object) -> str:
        if not isinstance(value, str) or re.fullmatch(pattern, value) is None:
            raise ValueError(value)
        return value

    return Kind(read, allowed)


def integer(low: int, high: int) -> Kind:
    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(value)
        return value

    return Kind(read, f"a whole number from {low} to {high}")


def among(*numbers: int) -> Kind:
    def read(value: object) -> int:
        if isinstance(value, bool) or value not in numbers:
            raise ValueError(value)
        return cast(int, value)

    return Kind(read, f"one of {', '.join(map(str, numbers))}")


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(value)  # noqa: TRY004 - who calls it asks for one kind of error
    return value


def one_of(*words: str) -> Kind:
    return matching("|".join(words), " or ".join(words))


def many(kind: Kind) -> Kind:
    def read(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise ValueError(value)  # noqa: TRY004 - who calls it asks for one kind of error
        return tuple(kind.read(each) for each in cast(list[object], value))

    return Kind(read, f"a list, each {kind.allowed}", several=True)


def _network(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(value)  # noqa: TRY004 - who calls it asks for one kind of error
    return str(IPv4Network(value))


def _version(value: object) -> str:
    text = cast(str, matching(r"1\.[0-9]{2}", "").read(value))
    if tuple(int(part) for part in text.split(".")) < VERSION_FLOOR:
        raise ValueError(value)
    return text


SWITCH = Kind(_flag, "true or false")
NETWORK = Kind(_network, "a network as 10.40.0.0/16, with no bit set behind its length")
ACCOUNT = matching(r"\d{12}", "the 12 digits of an AWS account, in quotes")
ROLE = matching(r"arn:aws:iam::\d{12}:role/[\w+=,.@/-]+", "the ARN of an IAM role")
VERSION = Kind(_version, f"a Kubernetes version from {'.'.join(map(str, VERSION_FLOOR))} on, in quotes")
NAME = matching(r"[A-Za-z0-9_.-]{1,100}", "a name of letters, digits, dots, dashes and underscores")
ENVIRONMENT = matching(r"[A-Za-z0-9_-]{1,100}", "the name of a GitHub environment")
ID = integer(1, 10**15)
LOG_DAYS = among(
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653
)


def setting(default: Any, kind: Kind, doc: str, why: str = "") -> Any:
    return field(default=default, metadata={"kind": kind, "doc": doc, "why": why})


def needed(kind: Kind, doc: str, example: str) -> Any:
    return field(metadata={"kind": kind, "doc": doc, "example": example, "why": "Only the owner of a stack knows it."})


def key(name: str) -> str:
    """A field as it is written in a stack's file: log_days -> logDays."""
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


def section(values: object, of: type[Any], where: str) -> Any:
    """
    Args:
        of: a dataclass whose fields `setting` and `needed` made.

    Raises:
        SettingsError: a key is unknown, missing, or has a value that is not allowed.
    """
    if not isinstance(values, Mapping):
        raise SettingsError(f"{where} is {values!r}: it is a table of settings")
    table = cast(Mapping[str, object], values)
    known(table, [key(each.name) for each in fields(of)], where)
    return of(**{each.name: value_of(table, each, where) for each in fields(of)})


def value_of(values: Mapping[str, object], of: Field[Any], where: str) -> Any:
    name, kind = key(of.name), cast(Kind, of.metadata["kind"])
    path = f"{where}:{name}" if where == "podium" else f"{where}.{name}"
    value = values.get(name)
    if value is None:
        if of.default is not MISSING:
            return of.default
        how = path if where == "podium" else f"--path '{path}{'[0]' if kind.several else ''}'"
        raise SettingsError(
            f"{path} is not set: {of.metadata['doc']} Set it: pulumi config set {how} {of.metadata['example']}"
        )
    try:
        return kind.read(value)
    except ValueError:
        raise SettingsError(f"{path} is {value!r}: it is {kind.allowed}") from None


def known(values: Mapping[str, object], names: list[str], where: str) -> None:
    for name in values:
        if name not in names:
            near = "".join(f" (did you mean {each}?)" for each in get_close_matches(name, names, n=1))
            raise SettingsError(f"{where} has no setting {name!r}{near}: there are {', '.join(sorted(names))}")
