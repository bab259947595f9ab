"""The features that a model was trained on: their names, their order, and a hash of both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

MAX_NAME_LENGTH = 128


@dataclass(frozen=True)
class FeatureSchema:
    """Feature names in column order. Build it with `from_names`, which checks them."""

    names: tuple[str, ...]

    @classmethod
    def from_names(cls, names: Iterable[str]) -> FeatureSchema:
        """
        Raises:
            ValueError: no names, or a name that is empty, too long, unprintable or given twice.
        """
        schema = cls(tuple(names))
        if not schema.names:
            raise ValueError("a feature schema needs at least one feature")
        for column, name in enumerate(schema.names):
            if not name or len(name) > MAX_NAME_LENGTH or not name.isprintable():
                raise ValueError(f"feature {column}: {name!r} is not 1 to {MAX_NAME_LENGTH} printable characters")
            if schema.index[name] != column:
                # The mapping keeps the last of two equal names, so the first of them is caught here.
                raise ValueError(f"feature name {name!r} stands at columns {column} and {schema.index[name]}")
        return schema

    @property
    def width(self) -> int:
        return len(self.names)

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Column of each name."""
        return {name: column for column, name in enumerate(self.names)}

    @cached_property
    def sha256(self) -> str:
        """Hash of the names in order, as hex: two schemas are interchangeable exactly when it is equal."""
        return hashlib.sha256(json.dumps(self.names, separators=(",", ":")).encode()).hexdigest()
