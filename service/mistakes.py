"""What is wrong with a request, said so that its author finds the place: field, item, feature, reason."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from json import JSONDecodeError
from typing import TYPE_CHECKING, Any, cast

from service.problems import InvalidRequest, Problem

if TYPE_CHECKING:
    from service.schema import FeatureSchema

REQUEST_KEYS = frozenset({"id", "items", "item_ids", "features", "top_k", "explain"})
ITEM_KEYS = frozenset({"id", "features"})
MAX_ID_LENGTH = 256
MAX_ERRORS = 10

# Halfway between the largest float32 and 2**128: from here on rounding gives infinity.
FLOAT32_END = 2.0**128 - 2.0**103

_MISSING_HINT = "send null for a missing value"


@dataclass(frozen=True)
class Limits:
    """What a request may ask for; `explain` says whether it may ask for contributions at all."""

    max_items: int = 2000
    explain: bool = False
    explain_max_items: int = 100


def of(document: Any, schema: FeatureSchema, limits: Limits) -> InvalidRequest:
    """The mistakes of a JSON value that `api.parse` could not read; there must be one."""
    found = _search(document, schema, limits)
    if not found.total:
        raise RuntimeError("a request was refused in which no mistake can be found")
    return InvalidRequest(found.errors, found.total)


def of_refused(body: bytes, refusal: JSONDecodeError, schema: FeatureSchema, limits: Limits) -> Problem:
    """The mistakes of a body that is not strict JSON.

    NaN, Infinity and numbers beyond a double are what numerical programs send by mistake. So the body
    is read once more by a reader that takes them, only to name item and feature.
    """
    if "depth limit" in refusal.msg:
        # How deep Python's own reader goes depends on its release.
        return not_json(refusal)
    try:
        document = reread(body)
    except ValueError:
        return not_json(refusal)
    found = _search(document, schema, limits)
    return InvalidRequest(found.errors, found.total) if found.total else not_json(refusal)


def reread(body: bytes) -> Any:
    """JSON with NaN and Infinity, which stand in the result as values that `number_mistake` names.

    Raises:
        ValueError: not even that.
    """
    try:
        return json.loads(body.decode(), parse_constant=_Literal, parse_int=_integer)
    except RecursionError:
        raise ValueError("nested too deep") from None


@dataclass(frozen=True)
class _Literal:
    text: str

    def __repr__(self) -> str:
        return self.text


@dataclass
class _Found:
    errors: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    total: int = 0

    def add(self, reason: str, **where: Any) -> None:
        self.total += 1
        if len(self.errors) < MAX_ERRORS:
            self.errors.append({**where, "reason": printable(reason)})

    def add_unknown(self, keys: Iterable[str], known: Collection[str], key: str, **where: Any) -> None:
        """A mistake for each of `keys` that is not known; only those that are shown cost a search for the closest."""
        unknown = [name for name in keys if name not in known]
        shown = unknown[: MAX_ERRORS - len(self.errors)]
        for name in shown:
            close = get_close_matches(name[:MAX_ID_LENGTH], known, 1)
            hint = f'; did you mean "{close[0]}"?' if close else ""
            self.add(f'there is no {key} "{name:.40}"{hint}', **where, **{key: printable(name)})
        self.total += len(unknown) - len(shown)


def _search(document: Any, schema: FeatureSchema, limits: Limits) -> _Found:
    found = _Found()
    if type(document) is not dict:
        found.add(f'the body is {_name(document)}; give an object with "items"')
        return found
    body = cast(dict[str, Any], document)
    found.add_unknown(body, REQUEST_KEYS, "field")
    _options(found, body, limits)
    given = [key for key in ("items", "item_ids") if key in body]
    if len(given) != 1:
        found.add('give one of "items" and "item_ids"' + (", not both" if given else ""), field="items")
    elif given == ["items"]:
        _items(found, body, schema, limits)
    else:
        _columns(found, body, schema, limits)
    return found


def _options(found: _Found, body: dict[str, Any], limits: Limits) -> None:
    query, top_k, explain = body.get("id"), body.get("top_k"), body.get("explain")
    if query is not None:
        _id(found, query, {"field": "id"})
    if top_k is not None and (type(top_k) is not int or top_k < 1):
        found.add(f"{_name(top_k)} is not a whole number of 1 or more", field="top_k")
    if explain is not None and type(explain) is not bool:
        found.add(f"{_name(explain)} is not true or false", field="explain")
    if explain is True and not limits.explain:
        found.add("explain is off on this service (PODIUM_EXPLAIN=on turns it on)", field="explain")


def _items(found: _Found, body: dict[str, Any], schema: FeatureSchema, limits: Limits) -> None:
    items = body["items"]
    if "features" in body:
        found.add('"features" goes with "item_ids"; with "items" each item has its own', field="features")
    if not _countable(found, "items", items, body, limits):
        return
    ids: list[Any] = []
    for index, item in enumerate(cast(list[Any], items)):
        if type(item) is not dict:
            ids.append(None)
            found.add(f'{_name(item)} is not an item; give an object with "id" and "features"', item=index)
            continue
        entry = cast(dict[str, Any], item)
        ids.append(entry.get("id"))
        where = _where(index, ids[-1])
        found.add_unknown(entry, ITEM_KEYS, "field", **where)
        if "id" in entry:
            _id(found, ids[-1], where)
        else:
            found.add('"id" is missing', **where)
        if "features" in entry:
            _row(found, entry["features"], schema, where)
        else:
            found.add('"features" is missing', **where)
    _duplicates(found, ids)


def _columns(found: _Found, body: dict[str, Any], schema: FeatureSchema, limits: Limits) -> None:
    ids, rows = body["item_ids"], body.get("features")
    if not _countable(found, "item_ids", ids, body, limits):
        return
    if type(rows) is not list:
        what = "is missing" if "features" not in body else f"is {_name(rows)}"
        found.add(f'"features" {what}; give a row for each of "item_ids"', field="features")
        return
    names, matrix = cast(list[Any], ids), cast(list[Any], rows)
    if len(names) != len(matrix):
        found.add(f"{len(matrix)} rows for {len(names)} item_ids", field="features")
        return
    for index, (name, row) in enumerate(zip(names, matrix, strict=True)):
        where = _where(index, name)
        _id(found, name, where)
        _row(found, row, schema, where)
    _duplicates(found, names)


def _countable(found: _Found, key: str, items: Any, body: dict[str, Any], limits: Limits) -> bool:
    if type(items) is not list:
        found.add(f"{_name(items)} is not a list", field=key)
        return False
    count = len(cast(list[Any], items))
    if count == 0:
        found.add("the list is empty; a query has at least one item", field=key)
    if count > limits.max_items:
        found.add(f"{count} items; this service takes at most {limits.max_items} a query", field=key)
        return False
    if body.get("explain") is True and limits.explain and count > limits.explain_max_items:
        found.add(f"{count} items; with explain at most {limits.explain_max_items} a query", field=key)
    return True


def _id(found: _Found, value: Any, where: dict[str, Any]) -> None:
    if type(value) is not str:
        found.add(f"an id is a string, not {_name(value)}", **where)
    elif not 0 < len(value) <= MAX_ID_LENGTH:
        found.add(f"an id has 1 to {MAX_ID_LENGTH} characters, this one {len(value)}", **where)


def _duplicates(found: _Found, ids: list[Any]) -> None:
    first: dict[str, int] = {}
    for index, name in enumerate(ids):
        if type(name) is not str:
            continue
        if first.setdefault(name, index) != index:
            found.add(f"duplicate id: item {first[name]} has it too", **_where(index, name))


def _row(found: _Found, row: Any, schema: FeatureSchema, where: dict[str, Any]) -> None:
    if type(row) is dict:
        named = cast(dict[str, Any], row)
        found.add_unknown(named, schema.index.keys(), "feature", **where)
        _values(found, ((name, value) for name, value in named.items() if name in schema.index), where)
        return
    if type(row) is not list:
        found.add(f"features are a list of {schema.width} numbers or an object by name, not {_name(row)}", **where)
        return
    values = cast(list[Any], row)
    if len(values) != schema.width:
        found.add(f"{len(values)} features; the model takes {schema.width} ({_MISSING_HINT})", **where)
        return
    _values(found, zip(schema.names, values, strict=True), where)


def _values(found: _Found, values: Iterable[tuple[str, Any]], where: dict[str, Any]) -> None:
    for name, value in values:
        reason = number_mistake(value)
        if reason is not None:
            found.add(reason, **where, feature=name)


def number_mistake(value: Any) -> str | None:
    """Why a JSON value is no feature's value, or None if it may be one."""
    if type(value) is int or type(value) is float:
        if abs(value) < FLOAT32_END:
            return None
        return f"{value!s:.40} overflows float32, which ends at 3.4028235e38 ({_MISSING_HINT})"
    if value is None:
        return None
    if type(value) is _Literal:
        return f"{value.text} is not JSON: {_MISSING_HINT}"
    shown = f'the string "{value:.40}"' if type(value) is str else _name(value)
    return f"{shown} is not a number ({_MISSING_HINT})"


def _where(index: int, name: Any) -> dict[str, Any]:
    return {"item": index, "id": printable(name[:MAX_ID_LENGTH])} if type(name) is str else {"item": index}


def _name(value: Any) -> str:
    if type(value) is _Literal:
        return value.text
    if value is None or type(value) is bool:
        return {None: "null", True: "true", False: "false"}[value]
    if type(value) is int or type(value) is float:
        return f"{value!s:.40}"
    return {dict: "an object", list: "an array", str: "a string"}[type(value)]


def printable(text: str) -> str:
    """`text` as it may stand in an answer."""
    # The second reader lets lone surrogates through, and no answer can be encoded with one.
    return text[:MAX_ID_LENGTH].encode(errors="replace").decode()


def _integer(digits: str) -> int | float:
    # As orjson does; and Python refuses to read an int of more than 4300 digits.
    return int(digits) if len(digits) < 20 else float(digits)


def not_json(refusal: JSONDecodeError) -> Problem:
    """The answer to a body that is no JSON by any reader."""
    place = f"line {refusal.lineno}, column {refusal.colno}"
    return Problem("not-json", f"{refusal.msg} at {place}", members={"line": refusal.lineno, "column": refusal.colno})
