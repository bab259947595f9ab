"""TOML files that are called by name, and writing TOML, which the standard library only reads."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast


def load(name_or_path: str | Path, folder: Path, what: str, error: type[ValueError]) -> tuple[Path, dict[str, Any]]:
    """A file of `folder` by its name, or any file that ends in `.toml`.

    Args:
        what: a file of this kind is called in messages.
        error: is raised where there is none, or it is not TOML.
    """
    text = str(name_or_path)
    path = Path(text) if text.endswith(".toml") else folder / f"{text}.toml"
    if not text.endswith(".toml") and text not in (known := names(folder)):
        near = "".join(f" (did you mean {each}?)" for each in get_close_matches(text, known, n=1))
        raise error(f"there is no {what} {text!r}{near}: there are {', '.join(known)}, or give a .toml")
    try:
        return path, tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as failure:
        raise error(f"cannot read the {what} {path}: {failure.strerror}") from failure
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as failure:
        raise error(f"{path} is not TOML: {failure}") from failure


def names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.toml"))


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
