"""Writing TOML, which the standard library only reads: tables of plain values, as recipes have them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import cast


def dumps(tables: Mapping[str, Mapping[str, object]]) -> str:
    """TOML text that `tomllib` reads as what was given. Raises TypeError for a value of another type."""
    parts = ["\n".join([f"[{_key(name)}]", *_lines(table)]) for name, table in tables.items()]
    return "\n\n".join(parts) + "\n"


def _lines(table: Mapping[str, object]) -> list[str]:
    return [f"{_key(name)} = {_value(value)}" for name, value in table.items()]


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _text(name)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        # A float always has a point, an exponent or a name, so that it stays one.
        return repr(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(each) for each in cast(Sequence[object], value))}]"
    raise TypeError(f"TOML tables hold text, numbers, truth values and lists of them here, not {value!r}")


def _text(text: str) -> str:
    # JSON's escapes are TOML's but for one control character, and surrogates, which JSON writes in pairs.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
