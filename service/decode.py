"""The fast way into `/v1/rank`: JSON numbers straight to a matrix, without a Python float for each of them.

Whatever this reader does not take at once (missing values, named features, any mistake) it leaves to the plain one in
`service.api`, which gives the same matrix or says what is wrong.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

try:
    import simdjson  # pyright: ignore[reportMissingTypeStubs]
except ImportError:  # pragma: no cover - a platform without a wheel and a compiler
    simdjson = None

if TYPE_CHECKING:
    from service.ranker import Floats

OPTIONS = frozenset(("id", "top_k", "explain"))
ITEMS = OPTIONS | {"items"}
COLUMNS = OPTIONS | {"item_ids", "features"}

_local = threading.local()

Read = tuple[dict[str, Any], list[Any], "Floats"]
"""The options that were given, the item ids as they stand, and float32 [n, width] in C order."""


def read(body: bytes, width: int, max_items: int) -> Read | None:
    """Reads a request whose features are lists of `width` numbers each; None for any other, right or wrong.

    Numbers are doubles rounded to float32, as in `service.api.parse`.
    """
    if simdjson is None:
        return None
    try:
        return _read(_parser().parse(body), body, width, max_items)
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError):
        # Not JSON, other values than the ones read here, or a parser whose last document somebody still holds.
        return None


def _parser() -> Any:
    # A parser keeps its buffers, and is no business of another thread.
    parser = getattr(_local, "parser", None)
    if parser is None:
        parser = _local.parser = simdjson.Parser()  # pyright: ignore
    return parser


def _read(document: Any, body: bytes, width: int, max_items: int) -> Read | None:
    keys = list(document.keys())
    found = frozenset(keys)
    # A key that stands twice is left to the plain reader, which takes the last one.
    if len(found) != len(keys) or not (found <= ITEMS or found <= COLUMNS):
        return None
    rows: list[Any]
    features: Any = None
    if "items" in found:
        items = list(document["items"])
        if set(map(len, items)) != {2}:
            return None
        ids = [item["id"] for item in items]
        rows = [item["features"] for item in items]
        arrays = 1 + len(rows)
    else:
        ids = document["item_ids"].as_list()
        features = document["features"]
        rows = list(features)
        arrays = 2 + len(rows)
    if len(rows) > max_items:
        return None
    # A buffer of nested lists is as long as that of a flat one, so each bracket must be one that belongs here.
    if len(ids) != len(rows) or set(map(len, rows)) != {width} or _brackets(body) != arrays:
        return None
    # Of nested lists one buffer can be had for all.
    parts = rows if features is None else [features]
    matrix = _matrix([part.as_buffer(of_type="d") for part in parts], len(rows), width)
    return None if matrix is None else ({key: document[key] for key in found & OPTIONS}, ids, matrix)


def _brackets(body: bytes) -> int:
    # bytes.count takes several times as long for a single byte.
    return int(np.count_nonzero(np.frombuffer(body, np.uint8) == ord("[")))


def _matrix(parts: list[bytes], size: int, width: int) -> Floats | None:
    doubles = np.frombuffer(parts[0] if len(parts) == 1 else b"".join(parts), np.float64)
    if len(doubles) != size * width:
        return None
    with np.errstate(over="ignore"):
        matrix = doubles.astype(np.float32).reshape(size, width)
    return None if np.isinf(matrix).any() else matrix
