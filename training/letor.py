"""Reads learning-to-rank data in the LETOR / SVMlight text format, plain or gzip-compressed.

A line is `relevance qid:ID 1:value 2:value ... N:value`, by default with every feature on every line. Files are
read in pieces, so that text and parser take a fixed amount of memory, however long the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from training.cache import DataCache
from training.parse import MAX_WIDTH, BadLine, Rows, Rules, parse
from training.queries import Fold, Queries, concat
from training.rows import InMemory, Sink
from training.text import PIECE_BYTES, DataError, ahead, digested, pieces, size_of

__all__ = ["DataError", "Fold", "Progress", "Queries", "concat", "read_files", "read_fold", "read_split"]

Progress = Callable[[int, int], None]
"""Called with the bytes done and the bytes in total (compressed bytes, for a .gz file)."""


COMPILED_FROM = 32 * 10**6
"""Bytes of text from which the compiled parser pays."""


def read_split(
    path: Path,
    *,
    width: int | None = None,
    max_relevance: int | None = None,
    allow_missing: bool = False,
    progress: Progress | None = None,
    piece_bytes: int = PIECE_BYTES,
    cache: DataCache | None = None,
) -> Queries:
    """The queries of one file, `.gz` by its name. Raises DataError, and CacheError when the cache is at fault.

    Every line must hold the features 1 to `width` (default: as many as the first line has). With `allow_missing`
    indices may be left out and become NaN; the width is then the given one or the largest index in the file.
    Labels are 0 to `max_relevance`, by default 4 at a width of 136 (MSLR) and else 31, which is where XGBoost's
    exponential gain ends (31 also when the width is only known at the end). Rows of a query need not be adjacent.

    With a cache, a file that is large enough is read once, and mapped into memory from then on.
    """
    if width is not None and not 1 <= width <= MAX_WIDTH:
        raise ValueError(f"width is {width}, but must be 1 to {MAX_WIDTH}")
    rules = Rules(width, max_relevance, allow_missing)
    if cache is None or size_of(path) < cache.smallest:
        return _read(path, rules, InMemory(), pieces(path, piece_bytes), progress)

    def read(sink: Sink) -> tuple[Queries, str]:
        with digested(path) as file, closing(ahead(pieces(path, piece_bytes, file))) as texts:
            queries = _read(path, rules, sink, texts, progress)
            return queries, file.sha256.hexdigest()

    # The name's ending tells whether the file is packed.
    found = cache.queries(path, json.dumps([width, max_relevance, allow_missing, path.suffix == ".gz"]), read)
    if progress:
        progress(size_of(path), size_of(path))
    return found


def _read(
    path: Path, rules: Rules, sink: Sink, texts: Iterator[tuple[bytes, int, int]], progress: Progress | None
) -> Queries:
    total, width, widest, any_row = size_of(path), rules.width, 0, False
    compiled = total >= COMPILED_FROM
    try:
        for text, line, done in texts:
            rows = _parse(path, line, text, rules, compiled)
            if len(rows.relevance):
                any_row, widest = True, max(widest, rows.features.shape[1])
                sink.append(rows, min(done, total) / total if total else 1.0)
                if not rules.allow_missing:
                    rules = replace(rules, width=widest)
            if progress:
                progress(min(done, total), total)
        width = width or widest
        if not any_row or not width:
            lacking = "features" if any_row else "rows"
            raise DataError(path, None, f"the file has no {lacking}; expected lines such as '2 qid:1 1:0.5 2:3'")
        return sink.queries(width)
    except MemoryError:
        raise DataError(path, None, "the rows do not fit into memory; read fewer queries at a time") from None


def _parse(path: Path, first_line: int, text: bytes, rules: Rules, compiled: bool) -> Rows:
    try:
        return (_parse_compiled(text, rules) if compiled else None) or parse(text, rules)
    except BadLine as error:
        raise DataError(path, first_line + error.line, error.reason) from None


def _parse_compiled(text: bytes, rules: Rules) -> Rows | None:
    # Here, because to import and compile it takes longer than to read a small file without.
    from training.kernel import parse_compiled  # noqa: PLC0415

    return parse_compiled(text, rules)


def read_fold(
    folder: Path,
    *,
    width: int | None = None,
    max_relevance: int | None = None,
    allow_missing: bool = False,
    progress: Progress | None = None,
    cache: DataCache | None = None,
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
        cache=cache,
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
    cache: DataCache | None = None,
) -> Fold:
    """As `read_fold`, of files that lie anywhere. Each is read once, from its start to its end: it may be a stream."""
    paths = [path for path in (train, vali, test) if path is not None]
    splits: list[Queries] = []
    for path, report in zip(paths, _shares(paths, progress), strict=True):
        split = read_split(
            path,
            width=width,
            max_relevance=max_relevance,
            allow_missing=allow_missing,
            progress=report,
            cache=cache,
        )
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
    sizes = [size_of(path) for path in paths]
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
    for text, line, _ in pieces(path):
        match = pattern.search(text)
        if match:
            return line + text.count(b"\n", 0, match.start())
    return None
