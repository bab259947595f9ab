"""Seeded queries shaped like MSLR-WEB10K, for where the real ones cannot be had: tests, demos without network.

Documents have a hidden relevance that labels are cut from and that many columns show through noise, so that a
trained ranker is clearly better than a random order; beyond that the numbers mean nothing.

`synthetic_fold` makes arrays, `write_synthetic` text of any length in little memory.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.letor import Fold, Queries

LABEL_SHARES = (377957, 232569, 95082, 12658, 5146)
"""How often MSLR-WEB10K Fold1 train has each label 0 to 4."""
BLANK_SHARE = 0.03
"""Queries without any relevant document; as in MSLR-WEB30K."""
MIN_DOCUMENTS, MEDIAN_DOCUMENTS, MAX_DOCUMENTS = 10, 103, 300

_MIN_QUERIES = 5
_ROWS_A_WRITE = 4096
_QUERIES_A_BLOCK = 1000

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Column:
    """How one column shows the hidden relevance: the weight of it, and what becomes of the noisy view."""

    weight: float
    shape: Callable[[Floats], Floats]
    empty: float = 0.0
    """Share of documents that lack this stream and have 0."""


def _count(scale: float, spread: float) -> Callable[[Floats], Floats]:
    return lambda view: np.floor(scale * np.exp(spread * view))


def _scaled(scale: float, spread: float) -> Callable[[Floats], Floats]:
    return lambda view: scale * np.exp(spread * view)


def _ratio(view: Floats) -> Floats:
    return np.clip(np.round((view + 2) * 2) / 8, 0, 1)


def _score(view: Floats) -> Floats:
    return 15 + 8 * view


def _language_model(view: Floats) -> Floats:
    return -np.exp(2.2 - 0.5 * view)


def _flag(view: Floats) -> Floats:
    return np.where(view > 0.3, 1.0, 0.0)


def _heavy(view: Floats) -> Floats:
    return np.floor(np.minimum(np.exp(5.5 * view), 1e8))


_STATISTICS: tuple[tuple[float, Callable[[Floats], Floats]], ...] = (
    (0.3, _count(2.5, 0.5)),
    (0.4, _ratio),
    (0.1, _count(400, 1.0)),
    (0.0, _score),
    (0.3, _count(12, 1.2)),
    (0.2, _count(2, 1.2)),
    (0.3, _count(8, 1.2)),
    (0.3, _scaled(6, 1)),
    (0.1, _scaled(1, 3)),
    (0.2, _scaled(0.04, 0.8)),
    (0.1, _scaled(0.005, 1)),
    (0.2, _scaled(0.02, 0.8)),
    (0.2, _scaled(0.014, 0.8)),
    (0.1, _scaled(1e-5, 2)),
    (0.4, _scaled(40, 1)),
    (0.2, _scaled(5, 1.2)),
    (0.3, _scaled(27, 1)),
    (0.4, _scaled(19, 0.8)),
    (0.1, _scaled(20, 3)),
    (0.2, _flag),
    (0.3, _ratio),
    (0.5, _score),
    (0.4, _language_model),
    (0.4, _language_model),
    (0.4, _language_model),
)
_EMPTY = (0.1, 0.85, 0.25, 0.65, 0.05)
"""Of body, anchor, title, url, whole document: the share of documents without a term of the query there."""
_PAGE = (
    _Column(-0.2, _count(3, 0.4)),
    _Column(-0.1, _count(40, 0.4)),
    _Column(0.2, _heavy, 0.3),
    _Column(0.0, _count(2, 1.5), 0.4),
    _Column(0.3, _count(7000, 1.0)),
    _Column(0.3, _count(30000, 0.4)),
    _Column(0.4, _count(8, 1.2)),
    _Column(0.2, _count(10, 1.2)),
    _Column(0.5, _count(3, 2.0), 0.95),
    _Column(0.4, _count(20, 2.5), 0.75),
    _Column(0.4, _scaled(20, 1), 0.75),
)
_COLUMNS = (*_PAGE, *(_Column(weight, shape, empty) for weight, shape in _STATISTICS for empty in _EMPTY))


def synthetic_fold(seed: int = 0, queries: int = 200, width: int = 136, missing: float = 0.0) -> Fold:
    """Train, vali and test in 3 to 1 to 1, query ids 1 to `queries`, split by id modulo 5 as MSLR-WEB30K is.

    `missing` is the share of values that become NaN. The same arguments give the same arrays. Raises ValueError
    for fewer than 5 queries, a width below 1 or a share outside [0, 1).
    """
    _check(queries, width, missing)
    rng = np.random.default_rng(seed)
    return _split(_queries(rng, np.arange(1, queries + 1, dtype=np.int64), width, missing))


def write_synthetic(
    folder: Path, *, seed: int = 0, queries: int = 200, width: int = 136, missing: float = 0.0, gz: bool = False
) -> None:
    """Writes a fold of any size as text, a thousand queries at a time; raises ValueError as `synthetic_fold` does.

    Up to a thousand queries are those of `synthetic_fold`. Beyond, each thousand has random numbers of its own, and
    later query ids come first: the ids of real files do not ascend either.
    """
    _check(queries, width, missing)
    folder.mkdir(parents=True, exist_ok=True)
    with _new_files(folder, ("train", "vali", "test"), gz) as files:
        for block in reversed(range(0, queries, _QUERIES_A_BLOCK)):
            rng = np.random.default_rng([seed, block] if block else seed)
            qids = np.arange(block + 1, min(block + _QUERIES_A_BLOCK, queries) + 1, dtype=np.int64)
            for (_, split), file in zip(_split(_queries(rng, qids, width, missing)).splits, files, strict=True):
                _write(split, file)


def _check(queries: int, width: int, missing: float) -> None:
    if queries < _MIN_QUERIES:
        raise ValueError(f"queries is {queries}, but three splits need at least {_MIN_QUERIES}")
    if width < 1:
        raise ValueError(f"width is {width}, but must be at least 1")
    if not 0 <= missing < 1:
        raise ValueError(f"missing is {missing}, but must be at least 0 and less than 1")


def _split(every: Queries) -> Fold:
    part = every.qids % 5
    return Fold(every.select((part >= 1) & (part <= 3)), every.select(part == 4), every.select(part == 0))


def _queries(rng: np.random.Generator, qids: NDArray[np.int64], width: int, missing: float) -> Queries:
    sizes = np.exp(rng.normal(np.log(MEDIAN_DOCUMENTS), 0.55, len(qids)))
    sizes = np.clip(sizes, MIN_DOCUMENTS, MAX_DOCUMENTS).astype(np.int64)
    row_qids = np.repeat(qids, sizes)
    rows = len(row_qids)
    # Some queries have good answers and others have none; the columns only know about the documents.
    ease = np.repeat(rng.normal(size=len(qids)), sizes)
    document = rng.normal(size=rows)
    blank = np.repeat(rng.random(len(qids)) < BLANK_SHARE, sizes)
    relevance = np.where(blank, 0, _labels(0.5 * ease + 0.55 * document + 0.67 * rng.normal(size=rows)))
    features = np.empty((rows, width), np.float32)
    for index in range(width):
        column = _COLUMNS[_place(index, width)]
        view = column.weight * document + np.sqrt(1 - column.weight**2) * rng.normal(size=rows)
        # Rounded like the real files, which also hides the last bits of exp and log that differ between CPUs.
        values = np.round(column.shape(view), 6)
        features[:, index] = np.where(rng.random(rows) < column.empty, 0.0, values)
    if missing:
        features[rng.random(features.shape) < missing] = np.nan
    return Queries.grouped(features, relevance.astype(np.int32), row_qids)


def _labels(hidden: Floats) -> NDArray[np.int64]:
    shares = np.cumsum(LABEL_SHARES[:-1]) / sum(LABEL_SHARES)
    return np.searchsorted(np.quantile(hidden, shares), hidden, side="right")


def _place(index: int, width: int) -> int:
    # MSLR's own order has the page features last; at other widths they come first, for the signal in them.
    shift = len(_PAGE) if width == len(_COLUMNS) else 0
    return (index + shift) % len(_COLUMNS)


def write_fold(fold: Fold, folder: Path, gz: bool = False) -> None:
    """Writes train, vali (where there is one) and test as LETOR text that `read_fold` reads back to equal arrays.

    Missing values are left out, so such a fold is read with `allow_missing`. Files appear whole or not at all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _new_files(folder, [name for name, _ in fold.splits], gz) as files:
        for (_, split), file in zip(fold.splits, files, strict=True):
            _write(split, file)


@contextmanager
def _new_files(folder: Path, names: Sequence[str], gz: bool) -> Generator[list[BufferedIOBase]]:
    """Files to write, which get their names `NAME.txt` or `NAME.txt.gz` when the block ends well."""
    paths = [folder / (f"{name}.txt.gz" if gz else f"{name}.txt") for name in names]
    asides = [path.with_name(f".{path.name}.{os.getpid()}") for path in paths]
    try:
        with ExitStack() as stack:
            files: list[BufferedIOBase] = [stack.enter_context(aside.open("wb")) for aside in asides]
            if gz:
                # No name and no time in the header: the same fold gives the same bytes.
                files = [stack.enter_context(gzip.GzipFile("", "wb", fileobj=file, mtime=0)) for file in files]
            yield files
        for aside, path in zip(asides, paths, strict=True):
            aside.replace(path)
    finally:
        for aside in asides:
            aside.unlink(missing_ok=True)


def _write(split: Queries, file: BufferedIOBase) -> None:
    for start in range(0, split.rows, _ROWS_A_WRITE):
        file.write(_lines(split, start, min(start + _ROWS_A_WRITE, split.rows)))


def _lines(split: Queries, start: int, stop: int) -> bytes:
    # Text of a float32 is the shortest decimal that gives it back.
    frame = pl.DataFrame(split.features[start:stop], schema=[str(index) for index in range(1, split.width + 1)])
    fields = [
        pl.when(pl.col(name).is_nan())
        .then(pl.lit(""))
        .otherwise(pl.lit(f" {name}:") + pl.col(name).cast(pl.String).str.strip_suffix(".0"))
        for name in frame.columns
    ]
    features = frame.select(pl.concat_str(fields)).to_series().to_list()
    heads = zip(split.relevance[start:stop].tolist(), split.row_qids()[start:stop].tolist(), features, strict=True)
    return "".join(f"{label} qid:{qid}{text}\n" for label, qid, text in heads).encode()
