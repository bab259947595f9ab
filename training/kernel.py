"""The reader's inner loop over bytes, compiled by numba: one pass over the text, no array but the results.

It takes whatever it reads beyond doubt, and says no to all else. It is worth its compilation (seconds, once on a
machine) for large files only.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, cast

import numba
import numpy as np
from numpy.typing import NDArray

from training.parse import MAX_WIDTH, Rows, Rules

_THREADS = min(8, os.cpu_count() or 1)
_POWERS = 10.0 ** np.arange(23)
_TAB, _NEWLINE, _RETURN, _BLANK, _COMMENT = 9, 10, 13, 32, 35
_PLUS, _MINUS, _DOT, _ZERO, _COLON = 43, 45, 46, 48, 58
_EXACT = 2**53
_NO = -1


def parse_compiled(text: bytes, rules: Rules) -> Rows | None:
    """The rows of whole lines, or None when the text needs a closer look."""
    if not text.endswith(b"\n") or (rules.allow_missing and rules.width is None):
        return None
    width = rules.width or text.partition(b"\n")[0].partition(b"#")[0].count(b":") - 1
    if not 1 <= width <= MAX_WIDTH:
        return None
    parts = _parts(text)
    lines = [part.count(b"\n") for part in parts]
    total = sum(lines)
    features = np.empty((total, width), np.float32)
    relevance, qids = np.empty(total, np.int32), np.empty(total, np.int64)
    limit = rules.relevance_limit(width)
    ends = np.cumsum(lines)
    spans = [slice(int(end) - count, int(end)) for end, count in zip(ends, lines, strict=True)]

    def run(part: bytes, span: slice) -> int:
        source = np.frombuffer(part, np.uint8)
        return _fill(source, features[span], relevance[span], qids[span], limit, rules.allow_missing, _POWERS)

    with ThreadPoolExecutor(len(parts)) as pool:
        found = list(pool.map(run, parts, spans))
    if min(found) == _NO:
        return None
    if found == lines:
        return Rows(features, relevance, qids)
    kept = np.concatenate([np.arange(span.start, span.start + rows) for span, rows in zip(spans, found, strict=True)])
    return Rows(features[kept], relevance[kept], qids[kept])


def _parts(text: bytes) -> list[bytes]:
    """Whole lines, in about as many parts as there are threads."""
    cuts = {text.find(b"\n", len(text) * part // _THREADS) + 1 for part in range(1, _THREADS)} - {0}
    edges = sorted({0, *cuts, len(text)})
    return [text[start:end] for start, end in pairwise(edges)] or [b""]


# One loop, because calls between its parts cost what it saves.
def _fill_lines(  # noqa: PLR0911, PLR0912, PLR0915, PLR0917
    text: NDArray[np.uint8],
    features: NDArray[np.float32],
    relevance: NDArray[np.int32],
    qids: NDArray[np.int64],
    limit: int,
    allow_missing: bool,
    powers: NDArray[np.float64],
) -> int:
    """Fills the arrays from whole lines; returns the number of rows, or _NO."""
    width = features.shape[1]
    size = text.size
    at, row = 0, 0
    while at < size:
        while text[at] == _BLANK or text[at] == _TAB or text[at] == _RETURN:
            at += 1
        if text[at] == _COMMENT:
            while text[at] != _NEWLINE:
                at += 1
        if text[at] == _NEWLINE:
            at += 1
            continue
        number, start = 0, at
        while text[at] >= _ZERO and text[at] < _COLON:
            number = number * 10 + (text[at] - _ZERO)
            at += 1
            if at - start > 9:
                return _NO
        if at == start or number > limit or not (text[at] == _BLANK or text[at] == _TAB):
            return _NO
        relevance[row] = number
        while text[at] == _BLANK or text[at] == _TAB:
            at += 1
        if at + 4 >= size or text[at] != 113 or text[at + 1] != 105 or text[at + 2] != 100 or text[at + 3] != _COLON:
            return _NO
        at += 4
        number, start = 0, at
        while text[at] >= _ZERO and text[at] < _COLON:
            number = number * 10 + (text[at] - _ZERO)
            at += 1
            if at - start > 18:
                return _NO
        if at == start:
            return _NO
        qids[row] = number
        last = 0
        while True:
            # Between two fields, and after the last.
            start = at
            while text[at] == _BLANK or text[at] == _TAB or text[at] == _RETURN:
                at += 1
            if text[at] == _COMMENT:
                while text[at] != _NEWLINE:
                    at += 1
            if text[at] == _NEWLINE:
                at += 1
                break
            if at == start:
                return _NO
            index, start = 0, at
            while text[at] >= _ZERO and text[at] < _COLON:
                index = index * 10 + (text[at] - _ZERO)
                at += 1
                if at - start > 6:
                    return _NO
            if text[at] != _COLON or index <= last or index > width:
                return _NO
            if index != last + 1:
                if not allow_missing:
                    return _NO
                features[row, last : index - 1] = np.nan
            at += 1
            negative = text[at] == _MINUS
            if negative or text[at] == _PLUS:
                at += 1
            mantissa, scale, digits = 0, 0, 0
            while text[at] >= _ZERO and text[at] < _COLON:
                mantissa = mantissa * 10 + (text[at] - _ZERO)
                at += 1
                digits += 1
                if mantissa > _EXACT:
                    return _NO
            if text[at] == _DOT:
                at += 1
                while text[at] >= _ZERO and text[at] < _COLON:
                    mantissa = mantissa * 10 + (text[at] - _ZERO)
                    at += 1
                    digits += 1
                    scale -= 1
                    if mantissa > _EXACT:
                        return _NO
            if digits == 0:
                return _NO
            if text[at] == 101 or text[at] == 69:
                at += 1
                down = text[at] == _MINUS
                if down or text[at] == _PLUS:
                    at += 1
                exponent, start = 0, at
                while text[at] >= _ZERO and text[at] < _COLON:
                    exponent = exponent * 10 + (text[at] - _ZERO)
                    at += 1
                    if at - start > 4:
                        return _NO
                if at == start:
                    return _NO
                scale += -exponent if down else exponent
            # Below 2^53 and 10^22 both numbers are exact, and so one division or product is the nearest double.
            if scale < -22 or scale > 22:
                return _NO
            value = float(mantissa)
            value = value / powers[-scale] if scale < 0 else value * powers[scale]
            single = np.float32(-value if negative else value)
            if not np.isfinite(single):
                return _NO
            features[row, index - 1] = single
            last = index
        if last < width:
            if not allow_missing:
                return _NO
            features[row, last:] = np.nan
        row += 1
    return row


def _compile(function: Callable[..., int]) -> Callable[..., int]:
    compiler = cast(Any, numba).njit
    try:
        return compiler(nogil=True, cache=True)(function)
    except RuntimeError:
        # Neither beside the source nor in the user's folder can it keep the machine code.
        return compiler(nogil=True)(function)


_fill = _compile(_fill_lines)
