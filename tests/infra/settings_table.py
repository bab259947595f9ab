"""The settings' table of docs/infrastructure.md, from the settings themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from typing import Any, cast

from infra.options import key
from infra.settings import SECTIONS, Settings
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "infrastructure.md"
START, END = "<!-- settings -->\n", "<!-- end of settings -->\n"


def table() -> str:
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *_rows(), ""])


def written(page: str) -> str:
    """The table as it stands in the page."""
    return page.partition(START)[2].partition(END)[0]


def renew() -> None:
    page = PAGE.read_text()
    PAGE.write_text(page.replace(START + written(page) + END, START + table() + END))


def _rows() -> Iterator[str]:
    yield from (_row(key(each.name), each) for each in fields(Settings) if each.metadata)
    for name, section in SECTIONS.items():
        yield from (_row(f"{name}.{key(each.name)}", each) for each in fields(section))


def _row(name: str, of: Field[Any]) -> str:
    meaning = " ".join(part for part in (of.metadata["doc"], of.metadata["why"]) if part)
    return f"| `{name}` | {_default(of.default)} | {meaning} |"


def _default(value: object) -> str:
    if value is MISSING:
        return "*yours*"
    if value is None or value == ():
        return "none"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, cast(tuple[object, ...], value)))}]`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
