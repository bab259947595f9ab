"""Reads learning-to-rank data in the LETOR / SVMlight text format, plain or gzip-compressed.

A line is `relevance qid:ID 1:value 2:value ... N:value`, by default with every feature on every line. Files are
read in pieces, so that text and parser take a fixed amount of memory, however long the file.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from io import BufferedReader
from pathlib import Path

import numpy as np

from training.parse import MAX_WIDTH, BadLine, Rows, Rules, parse
from training.queries import Fold, Queries, concat, group

__all__ = ["DataError", "Fold", "Progress", "Queries", "concat", "read_files", "read_fold", "read_split"]

Progress = Callable[[int, int], None]
"""Called with the bytes done and the bytes in total (compressed bytes, for a .gz file)."""

PIECE_BYTES = 16 * 1024 * 1024
MAX_LINE_BYTES = 16 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_GZIP_MAGIC = b"\x1f\x8b"
_DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error)


class DataError(ValueError):
    """Data that cannot be used: which file, which line (from 1; None when it is about the file), why, what to do."""

    def __init__(self, path: Path, line: int | None, reason: str) -> None:
        super().__init__(f"{path}:{line}: {reason}" if line is not None else f"{path}: {reason}")
        self.path = path
        self.line = line
        self.reason = reason


def read_split(
    path: Path,
    *,
    width: int | None = None,
    max_relevance: int | None = None,
    allow_missing: bool = False,
    progress: Progress | None = None,
    piece_bytes: int = PIECE_BYTES,
) -> Queries:
    """The queries of one file, `.gz` by its name. Raises DataError.

    Every line must hold the features 1 to `width` (default: as many as the first line has). With `allow_missing`
    indices may be left out and become NaN; the width is then the given one or the largest index in the file.
    Labels are 0 to `max_relevance`, by default 4 at a width of 136 (MSLR) and else 31, which is where XGBoost's
    exponential gain ends (31 also when the width is only known at the end). Rows of a query need not be adjacent.
    """
    if width is not None and not 1 <= width <= MAX_WIDTH:
        raise ValueError(f"width is {width}, but must be 1 to {MAX_WIDTH}")
    rules = Rules(width, max_relevance, allow_missing)
    total = _size(path)
    parts: list[Rows] = []
    try:
        for text, line, done in _pieces(path, piece_bytes):
            rows = _parse(path, line, text, rules)
            if len(rows.relevance):
                parts.append(rows)
                if not allow_missing:
                    rules = replace(rules, width=rows.features.shape[1])
            if progress:
                progress(min(done, total), total)
        return _join(path, parts, width)
    except MemoryError:
        raise DataError(path, None, "the rows do not fit into memory; read fewer queries at a time") from None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(path, None, "there is no such file; check the path")
    return DataError(path, None, f"cannot be read ({error.strerror or error}); check what it is and its permissions")


def _parse(path: Path, first_line: int, text: bytes, rules: Rules) -> Rows:
    try:
        return parse(text, rules)
    except BadLine as error:
        raise DataError(path, first_line + error.line, error.reason) from None


def _pieces(path: Path, piece_bytes: int = PIECE_BYTES) -> Iterator[tuple[bytes, int, int]]:
    """Whole lines, about `piece_bytes` at a time, the number of the first, and the file's bytes consumed."""
    try:
        with path.open("rb") as raw:
            if path.suffix != ".gz" and raw.peek(2).startswith(_GZIP_MAGIC):
                raise DataError(path, None, "the content is gzip-compressed; let its name end in .gz")
            for text, line in _whole_lines(path, raw, piece_bytes):
                yield text, line, raw.tell() if raw.seekable() else 0
    except OSError as error:
        raise _unreadable(path, error) from None


def _whole_lines(path: Path, raw: BufferedReader, piece_bytes: int) -> Iterator[tuple[bytes, int]]:
    source = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
    line, rest = 1, b""
    while True:
        more, damage = _fill(source, piece_bytes)
        text = rest + more
        if line == 1:
            text = text.removeprefix(_BOM)
        cut = text.rfind(b"\n") + 1
        if cut:
            yield text[:cut], line
        line += text.count(b"\n")
        rest = text[cut:]
        if damage is not None:
            raise DataError(path, line, f"{_damage_reason(damage)}; fetch or compress the file again")
        if len(rest) > MAX_LINE_BYTES:
            raise DataError(path, line, f"a line of more than {MAX_LINE_BYTES} bytes; this is not LETOR text")
        if not more:
            break
    if rest:
        yield rest + b"\n", line


def _fill(source: BufferedReader | gzip.GzipFile, size: int) -> tuple[bytes, Exception | None]:
    """Up to `size` bytes; what was read before the damage, and the damage, of a broken gzip stream."""
    chunks: list[bytes] = []
    while size > 0:
        try:
            chunk = source.read1(size)
        except _DAMAGE as error:
            return b"".join(chunks), error
        if not chunk:
            break
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks), None


def _damage_reason(error: Exception) -> str:
    if isinstance(error, EOFError):
        return "the gzip stream is truncated here"
    return f"the gzip stream is damaged at or after this line ({error})"


def _join(path: Path, parts: list[Rows], width: int | None) -> Queries:
    """All parts in one matrix, each freed as soon as it is copied, so that the peak stays below two matrices."""
    width = width or max((rows.features.shape[1] for rows in parts), default=0)
    if not parts or not width:
        lacking = "features" if parts else "rows"
        raise DataError(path, None, f"the file has no {lacking}; expected lines such as '2 qid:1 1:0.5 2:3'")
    row_qids = np.concatenate([rows.qids for rows in parts])
    relevance = np.concatenate([rows.relevance for rows in parts])
    qids, offsets = group(row_qids)
    order = np.argsort(row_qids, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    features = np.empty((len(order), width), np.float32)
    start = 0
    parts.reverse()
    while parts:
        part = parts.pop().features
        target = place[start : start + len(part)]
        features[target, : part.shape[1]] = part
        if part.shape[1] < width:
            features[target, part.shape[1] :] = np.nan
        start += len(part)
    return Queries(features, relevance[order], qids, offsets)


def read_fold(
    folder: Path,
    *,
    width: int | None = None,
    max_relevance: int | None = None,
    allow_missing: bool = False,
    progress: Progress | None = None,
) -> Fold:
    """`train.txt`, `vali.txt` (may be absent) and `test.txt` of a folder, each plain or `.gz`. Raises DataError.

    The width of the training file (or the given one) holds for all three. A query in two of them is refused:
    the model would be tested on what it was trained on.
    """
    if not folder.is_dir():
        raise DataError(folder, None, "there is no such folder; name one with train.txt and test.txt")
    train, vali, test = (_split_path(folder, name) for name in ("train", "vali", "test"))
    if train is None or test is None:
        name = "train" if train is None else "test"
        raise DataError(folder / f"{name}.txt", None, f"there is no such file, nor {name}.txt.gz{_hint(folder)}")
    return read_files(
        train,
        vali,
        test,
        folder,
        width=width,
        max_relevance=max_relevance,
        allow_missing=allow_missing,
        progress=progress,
    )


def read_files(
    train: Path,
    vali: Path | None,
    test: Path,
    folder: Path | None = None,
    *,
    width: int | None = None,
    max_relevance: int | None = None,
    allow_missing: bool = False,
    progress: Progress | None = None,
) -> Fold:
    """As `read_fold`, of files that lie anywhere. Each is read once, from its start to its end: it may be a stream."""
    paths = [path for path in (train, vali, test) if path is not None]
    splits: list[Queries] = []
    for path, report in zip(paths, _shares(paths, progress), strict=True):
        split = read_split(path, width=width, max_relevance=max_relevance, allow_missing=allow_missing, progress=report)
        width = split.width
        for earlier, other in zip(paths, splits, strict=False):
            _refuse_overlap(earlier, other, path, split)
        splits.append(split)
    return Fold(splits[0], splits[1] if vali else None, splits[-1], folder)


def _split_path(folder: Path, name: str) -> Path | None:
    plain, packed = folder / f"{name}.txt", folder / f"{name}.txt.gz"
    if plain.exists() and packed.exists():
        raise DataError(plain, None, f"{packed.name} is there as well; remove one of the two")
    return next((path for path in (plain, packed) if path.exists()), None)


def _hint(folder: Path) -> str:
    folds = sorted(path.parent.name for path in folder.glob("*/train.txt*"))
    return f"; name one of the folders in it, such as {folder / folds[0]}" if folds else "; name a fold's folder"


def _shares(paths: Sequence[Path], progress: Progress | None) -> Iterator[Progress | None]:
    """For each file a callback that reports on all of them together."""
    if progress is None:
        yield from [None] * len(paths)
        return
    sizes = [_size(path) for path in paths]
    for index in range(len(paths)):
        yield partial(_report, progress, sum(sizes[:index]), sum(sizes))


def _report(progress: Progress, before: int, total: int, done: int, _: int) -> None:
    progress(before + done, total)


def _refuse_overlap(first: Path, queries: Queries, second: Path, others: Queries) -> None:
    both = np.intersect1d(queries.qids, others.qids)
    if not both.size:
        return
    qid = int(both[0])
    reason = f"query {qid} is in {first.name} as well ({both.size} such queries); a query belongs to one split"
    raise DataError(second, _first_line(second, qid), reason)


def _first_line(path: Path, qid: int) -> int | None:
    if not path.is_file():
        return None  # a stream, and what it said is gone
    pattern = re.compile(rb"^[^:#\n]*\sqid:[+]?0*%d\s" % qid, re.MULTILINE)
    for text, line, _ in _pieces(path):
        match = pattern.search(text)
        if match:
            return line + text.count(b"\n", 0, match.start())
    return None
