"""LETOR text to arrays: a fast path for text laid out like MSLR's own files, an exact path for everything else.

The fast path takes a piece of text only when its separators form the expected grid and every byte of it can be
part of a number, so it never guesses. Whatever it does not take goes line by line through the exact path, which
either reads the same numbers or says what is wrong. Both read numbers as doubles and round them to float32.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

MAX_WIDTH = 65_536
"""More features than any public ranking data has; bounds what one mistyped index can make us allocate."""
MSLR_WIDTH, MSLR_RELEVANCE = 136, 4
MAX_RELEVANCE = 31
"""XGBoost's exponential gain, 2^relevance - 1, refuses labels above this."""

_MAX_INT64 = 2**63 - 1
_VALUE_BYTES = b"0123456789.eE+-qid"
_COLON_TO_BLANK = bytes.maketrans(b":", b" ")
_NUMBER = re.compile(rb"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INTEGER = re.compile(rb"[+-]?[0-9]+")
_NOT_FINITE = re.compile(rb"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_NOT_TEXT = re.compile(rb"[^\t\r\x20-\x7e]")


class BadLine(ValueError):
    """A line that must not be in a LETOR file. `line` is counted from 0 at the start of the piece."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


class _Bad(ValueError):
    pass


@dataclass(frozen=True)
class Rules:
    """What a line may hold. Width None: as in the first line, or (with `allow_missing`) the largest index seen."""

    width: int | None = None
    max_relevance: int | None = None
    allow_missing: bool = False

    def relevance_limit(self, width: int | None) -> int:
        if self.max_relevance is not None:
            return self.max_relevance
        return MSLR_RELEVANCE if width == MSLR_WIDTH else MAX_RELEVANCE


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of one piece of text, in file order."""

    features: NDArray[np.float32]
    relevance: NDArray[np.int32]
    qids: NDArray[np.int64]


def parse(text: bytes, rules: Rules) -> Rows:
    """All rows of whole lines, each ended by a newline. Raises BadLine."""
    rows = parse_fast(text, rules)
    return parse_exact(text, rules) if rows is None else rows


def parse_fast(text: bytes, rules: Rules) -> Rows | None:
    """The rows, or None when the text needs a closer look."""
    text = _plain_line_ends(text)
    width = rules.width or text.partition(b"\n")[0].count(b":") - 1
    if not 1 <= width <= MAX_WIDTH:
        return None
    # What is left without the bytes of values must be the separators of a full grid: one comparison
    # proves the number of fields in every line, single blanks, no comments and no NaN text.
    grid = b" :" * (width + 1) + b"\n"
    if text.translate(None, _VALUE_BYTES) != grid * text.count(b"\n"):
        return None
    indices = [f"i{index}" for index in range(1, width + 1)]
    values = [f"v{index}" for index in range(1, width + 1)]
    frame = _read_columns(text.translate(_COLON_TO_BLANK), indices, values)
    if frame is None:
        return None
    labels = frame["label"].to_numpy()
    qids = frame["qid"].to_numpy()
    features = _to_float32(frame.select(values).to_numpy())
    limit = rules.relevance_limit(rules.width if rules.allow_missing else width)
    if min(labels.min(), qids.min()) < 0 or labels.max() > limit or not np.isfinite(features).all():
        return None
    return Rows(features, labels.astype(np.int32), qids.astype(np.int64))


def _plain_line_ends(text: bytes) -> bytes:
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n")
    return text.replace(b" \n", b"\n")


def _read_columns(text: bytes, indices: Sequence[str], values: Sequence[str]) -> pl.DataFrame | None:
    schema: dict[str, type[pl.DataType]] = {"label": pl.Int64, "key": pl.String, "qid": pl.Int64}
    for index, value in zip(indices, values, strict=True):
        schema[index] = pl.Int32
        schema[value] = pl.Float64
    try:
        frame = pl.read_csv(text, has_header=False, separator=" ", schema=schema, quote_char=None)
    except pl.exceptions.PolarsError:
        return None
    if any(frame.null_count().row(0)) or not bool((frame["key"] == "qid").all()):
        return None
    in_place = all(bool((frame[name] == index).all()) for index, name in enumerate(indices, 1))
    return frame if in_place else None


def _to_float32(values: NDArray[np.float64]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return values.astype(np.float32, order="C")


def parse_exact(text: bytes, rules: Rules) -> Rows:
    """The rows, line by line: blank runs, tabs, CRLF, comments after '#', empty lines. Raises BadLine."""
    width = rules.width
    found: list[tuple[int, int, NDArray[np.int64], NDArray[np.float32]]] = []
    for number, line in enumerate(text.split(b"\n")):
        try:
            tokens = _tokens(line)
            if not tokens:
                continue
            if width is None and not rules.allow_missing:
                width = _first_width(tokens)
            found.append(_parse_line(tokens, width, rules))
        except _Bad as error:
            raise BadLine(number, str(error)) from None
    if width is None:
        width = max((int(indices[-1]) for _, _, indices, _ in found if len(indices)), default=0)
    features = np.full((len(found), width), np.nan, np.float32)
    for row, (_, _, indices, values) in enumerate(found):
        features[row, indices - 1] = values
    relevance = np.array([label for label, _, _, _ in found], np.int32)
    return Rows(features, relevance, np.array([qid for _, qid, _, _ in found], np.int64))


def _tokens(line: bytes) -> list[bytes]:
    fields = line.partition(b"#")[0]
    junk = _NOT_TEXT.search(fields)
    if junk:
        byte, place = fields[junk.start()], junk.start() + 1
        raise _Bad(f"byte 0x{byte:02x} at position {place} is not text; is this a LETOR text file?")
    return fields.split()


def _first_width(tokens: list[bytes]) -> int:
    width = len(tokens) - 2
    if width > MAX_WIDTH:
        raise _Bad(f"{width} features, but at most {MAX_WIDTH} can be read")
    return max(width, 1)


def _parse_line(
    tokens: list[bytes], width: int | None, rules: Rules
) -> tuple[int, int, NDArray[np.int64], NDArray[np.float32]]:
    relevance = _relevance(tokens[0], rules.relevance_limit(width))
    qid = _qid(tokens[1] if len(tokens) > 1 else b"")
    indices: list[int] = []
    values: list[float] = []
    last = 0
    for token in tokens[2:]:
        last, value = _feature(token, last, width, rules.allow_missing)
        indices.append(last)
        values.append(value)
    if not values and not rules.allow_missing:
        raise _Bad("no features; a line is <label> qid:<id> 1:<value> 2:<value> ...")
    if not rules.allow_missing and len(values) != width:
        raise _Bad(f"{len(values)} features, but {width} are expected in every line; {_ALLOW_MISSING}")
    features = _to_float32(np.array(values, np.float64))
    beyond = np.flatnonzero(~np.isfinite(features))
    if beyond.size:
        token = tokens[2 + int(beyond[0])].partition(b":")[2]
        raise _Bad(f"feature {indices[int(beyond[0])]} is {_show(token)}, beyond float32 (3.4e38); rescale it")
    return relevance, qid, np.array(indices, np.int64), features


_ALLOW_MISSING = "if features may be left out, read with missing values allowed"


def _relevance(token: bytes, limit: int) -> int:
    if not _INTEGER.fullmatch(token):
        raise _Bad(f"the label {_show(token)} is not a whole number; labels are grades of relevance such as 0 to 4")
    relevance = _int(token)
    if not 0 <= relevance <= limit:
        raise _Bad(f"the label {_show(token)} is out of range 0 to {limit}; give a larger maximum if grades go higher")
    return relevance


def _qid(token: bytes) -> int:
    key, colon, number = token.partition(b":")
    if key != b"qid" or not colon:
        raise _Bad(f"no query id: the second field is {_show(token)}, but must be qid:<number>")
    if not _INTEGER.fullmatch(number):
        raise _Bad(f"the query id {_show(number)} is not a number; write qid:<number>")
    qid = _int(number)
    if not 0 <= qid <= _MAX_INT64:
        raise _Bad(f"the query id {_show(number)} is out of range 0 to {_MAX_INT64}; renumber the queries")
    return qid


def _feature(token: bytes, last: int, width: int | None, allow_missing: bool) -> tuple[int, float]:
    name, colon, text = token.partition(b":")
    if not colon or not _INTEGER.fullmatch(name):
        raise _Bad(f"{_show(token)} is not <index>:<value>")
    index = _int(name)
    if index != last + 1 or index > (width or MAX_WIDTH):
        _check_index(index, last, width, allow_missing)
    if _NUMBER.fullmatch(text):
        return index, float(text)
    if _NOT_FINITE.fullmatch(text):
        raise _Bad(f"feature {index} is {_show(text)}; a missing value is written by leaving its index out")
    raise _Bad(f"feature {index} is {_show(text)}, which is not a number")


def _check_index(index: int, last: int, width: int | None, allow_missing: bool) -> None:
    if index < 1:
        raise _Bad(f"feature index {index}; indices start at 1 (where they start at 0, add one to each)")
    if index == last:
        raise _Bad(f"feature index {index} appears twice")
    if index < last:
        raise _Bad(f"feature index {index} comes after {last}; indices must ascend")
    if index > (width or MAX_WIDTH):
        raise _Bad(f"feature index {index} is out of range 1 to {width or MAX_WIDTH}")
    if not allow_missing:
        raise _Bad(f"feature index {last + 1} is left out (found {index}); {_ALLOW_MISSING}")


def _int(digits: bytes) -> int:
    # Python refuses to convert thousands of digits; all such numbers are out of every range we have.
    return int(digits) if len(digits) <= 1000 else (-1 if digits.startswith(b"-") else 2**64)


def _show(token: bytes) -> str:
    text = token.decode("ascii", "backslashreplace")
    return repr(text if len(text) <= 40 else text[:40] + "...")
