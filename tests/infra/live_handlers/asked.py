"""A resource that a program asks for, on its way to being requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Made:
    """What the account answered: the resource's id, and its outputs beside its inputs."""

    id: str
    outputs: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass
class Asked:
    """
    Args:
        inputs: the provider's, in camelCase.
        client: a service's client of the account's owner.
        default_tags: the provider's, which it gives to all that has tags.
    """

    type: str
    name: str
    inputs: Mapping[str, Any]
    account: str
    region: str
    client: Callable[[str], Any]
    default_tags: Mapping[str, str] = field(default_factory=dict[str, str])
    _read: set[str] = field(default_factory=set[str])

    def __post_init__(self) -> None:
        self._given = set(self.inputs)
        if self.default_tags:
            self.inputs = {**self.inputs, "tags": {**self.default_tags, **(self.inputs.get("tags") or {})}}

    def __getitem__(self, key: str) -> Any:
        self._read.add(key)
        return self.inputs[key]

    def __contains__(self, key: str) -> bool:
        return key in self.inputs

    def get(self, key: str, default: Any = None) -> Any:
        self._read.add(key)
        return self.inputs.get(key, default)

    def some(self, *keys: str, **renamed: str) -> dict[str, Any]:
        """Those of the inputs that are there, as a request has them: their first letter large, what is in them
        likewise.

        Args:
            renamed: what a request calls an input, `CidrBlock="cidr"`.
        """
        pairs = {pascal(key): key for key in keys} | renamed
        return {wire: upper(self[key]) for wire, key in pairs.items() if key in self.inputs}

    def same(self, *keys: str, **renamed: str) -> dict[str, Any]:
        """As `some` where the request is in camelCase as well."""
        pairs = {key: key for key in keys} | renamed
        return {wire: self[key] for wire, key in pairs.items() if key in self.inputs}

    def tags(self) -> list[dict[str, str]]:
        return [{"Key": key, "Value": value} for key, value in (self.get("tags") or {}).items()]

    def called(self, key: str = "name") -> str:
        """Its physical name, which is the provider's to choose where the program does not."""
        return str(self.get(key) or f"{self.name}-0a1b2c3")

    def arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"

    def unread(self) -> set[str]:
        """The inputs that no request was made of."""
        return self._given - self._read


def pascal(key: str) -> str:
    return key[:1].upper() + key[1:]


def upper(value: Any) -> Any:
    """A nested input as the services write it that begin names with a large letter."""
    if isinstance(value, Mapping):
        return {pascal(str(key)): upper(each) for key, each in value.items()}
    if isinstance(value, list):
        return [upper(each) for each in value]
    return value
