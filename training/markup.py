"""HTML and SVG out of functions: whatever is not `Markup` is escaped, so that no name out of data can become a tag."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

VOID = frozenset({"meta", "br", "hr", "line", "rect", "circle", "path", "polyline"})
"""Elements that are written without an end tag or, in SVG, closed in themselves."""
_SELF_CLOSED = frozenset({"line", "rect", "circle", "path", "polyline"})


class Markup(str):
    """Text that is HTML already. Only `tag`, `join` and constants of this project make it."""

    __slots__ = ()


Content = str | int | float | Markup | None
"""What may stand in an element; None is nothing."""


def tag(name: str, /, *content: Content, **attributes: str | float | bool | None) -> Markup:
    """One element. `class_` is the attribute `class`, `_` in names is `-`; None and False leave an attribute out."""
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Markup(f"<{name}{written}/>" if name in _SELF_CLOSED else f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(content)}</{name}>")


def join(content: Iterable[Content], between: Content = None) -> Markup:
    """All of it in a row, escaped where it is no markup."""
    separator = "" if between is None else _text(between)
    return Markup(separator.join(_text(each) for each in content if each is not None))


def table(
    head: Sequence[Content], rows: Iterable[Iterable[Content]], caption: str | None = None, text_columns: int = 1
) -> Markup:
    """A table with a header cell for every row and, unless `head` is empty, every column.

    Columns after the first `text_columns` hold numbers.
    """
    heads = [tag("th", each, scope="col", class_=_align(column, text_columns)) for column, each in enumerate(head)]
    body = (
        tag(
            "tr",
            *(
                tag("td", each, class_=_align(column, text_columns)) if column else tag("th", each, scope="row")
                for column, each in enumerate(row)
            ),
        )
        for row in rows
    )
    parts = (tag("thead", tag("tr", *heads)) if heads else None, tag("tbody", *body))
    inner = tag("table", None if caption is None else tag("caption", caption), *parts)
    # Wide tables scroll by themselves, by keyboard as well, instead of widening the page.
    return tag("div", inner, class_="wide", tabindex="0", role="region", aria_label=caption or "table")


def _attribute(key: str, value: str | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    return f' {name}="{escape(str(value), quote=True)}"'


def _text(content: Content) -> str:
    return str(content) if isinstance(content, Markup) else escape(str(content), quote=True)


def _align(column: int, text_columns: int) -> str | None:
    return None if column < text_columns else "number"
