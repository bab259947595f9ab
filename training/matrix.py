"""What XGBoost trains on: binned copies of the data, in memory, or in files where a memory budget does not allow that.

Both have the same bins, in the same order, so the model's bytes are equal. Features that the cache mapped from a file
take no memory of their own: the system drops their pages when it needs them.
"""

from __future__ import annotations

import mmap
import tempfile
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from training.queries import Queries
from training.sizes import show_size

# Peaks of anonymous memory while binning and training, as multiples of the float32 matrix, and what the process takes
# besides, whatever the data. Above all that was measured with 136 features and 256 bins: 174, 435 and 855 MB in memory
# and 174, 266 and 300 MB from files, for 163, 544 and 1,211 MB (`python -m tests.bench.training memory`).
IN_MEMORY, EXTERNAL, BESIDES = 0.75, 0.3, 400 * 10**6
PLAIN = 4.5
"""Of `DMatrix`, which the tree methods other than `hist` need."""
BATCH_ROWS = 65_536

Say = Callable[[str], None]


class MemoryBudgetError(ValueError):
    """The data does not fit the budget in any form; the message says what would."""


@dataclass(frozen=True)
class Form:
    """How the training matrix is held, and why so."""

    external: bool
    reason: str


def choose(
    train: Queries, watched: Queries | None, budget: int | None, *, hist: bool = True, max_bin: int | None = None
) -> Form:
    """In memory where the budget allows it, else in files. Raises MemoryBudgetError where neither keeps to it."""
    if budget is None:
        return Form(False, "no memory budget was given: the training matrix is held in memory")
    # More than 256 bins take two bytes a value instead of one.
    bins = 2 if (max_bin or 256) > 256 else 1
    matrix = train.features.nbytes
    shared = BESIDES + sum(_held(queries) for queries in (train, watched) if queries is not None)
    shared += int(bins * IN_MEMORY * watched.features.nbytes) if watched is not None else 0
    inside = int((bins * IN_MEMORY if hist else PLAIN) * matrix) + shared
    if inside <= budget:
        return Form(
            False,
            f"training needs about {show_size(inside)}, within the memory budget of {show_size(budget)}: "
            "the training matrix is held in memory",
        )
    outside = int(bins * EXTERNAL * matrix) + shared
    if not hist:
        raise MemoryBudgetError(
            f"training needs about {show_size(inside)}, more than the memory budget of {show_size(budget)}, and only "
            "tree_method=hist can train from files; use it, or raise --memory-budget"
        )
    if outside > budget:
        raise MemoryBudgetError(
            f"training needs about {show_size(inside)} in memory and {show_size(outside)} with its matrix in files, "
            f"both more than the memory budget of {show_size(budget)}; raise --memory-budget{_advice(train)}"
        )
    return Form(
        True,
        f"training in memory needs about {show_size(inside)}, more than the memory budget of {show_size(budget)}: "
        f"the training matrix goes to files (about {show_size(outside)} of memory, the same model, a slower training)",
    )


@dataclass
class Matrices:
    """What to train on, and what to watch meanwhile. Keep no other reference to either."""

    train: xgb.DMatrix
    watched: xgb.DMatrix | None


@contextmanager
def matrices(
    train: Queries,
    watched: Queries | None = None,
    *,
    max_bin: int | None = None,
    threads: int | None = None,
    hist: bool = True,
    budget: int | None = None,
    folder: Path | None = None,
    say: Say | None = None,
) -> Generator[Matrices]:
    """The training matrix, and that of queries to watch. No booster that was trained on them may outlive the block.

    Args:
        hist: whether the tree method is `hist`, which all but `DMatrix` need.
        budget: bytes of memory that training may take.
        folder: where files go, if it comes to that; by default where temporary files go.
        say: is told what was chosen and why, where there is a budget.

    Raises MemoryBudgetError.
    """
    form = choose(train, watched, budget, hist=hist, max_bin=max_bin)
    if say and budget is not None:
        say(form.reason)
    with tempfile.TemporaryDirectory(prefix="podium-bins-", dir=folder) if form.external else nullcontext() as files:
        held = _made(train, watched, max_bin, threads, hist=hist, files=files)
        try:
            yield held
        except BaseException as error:
            # What failed inside has them among its variables, and XGBoost's files must be closed before they go.
            traceback.clear_frames(error.__traceback__)
            raise
        finally:
            vars(held).clear()


def _made(
    train: Queries, watched: Queries | None, max_bin: int | None, threads: int | None, *, hist: bool, files: str | None
) -> Matrices:
    if not hist:
        return Matrices(_plain(train, threads), _plain(watched, threads) if watched is not None else None)
    matrix = _binned(train, max_bin, threads) if files is None else _filed(train, max_bin, threads, Path(files))
    return Matrices(matrix, _binned(watched, max_bin, threads, matrix) if watched is not None else None)


def _plain(queries: Queries, threads: int | None) -> xgb.DMatrix:
    return xgb.DMatrix(queries.features, queries.relevance, group=queries.group_sizes, nthread=threads)


def _binned(
    queries: Queries, max_bin: int | None, threads: int | None, ref: xgb.DMatrix | None = None
) -> xgb.QuantileDMatrix:
    return xgb.QuantileDMatrix(
        queries.features, queries.relevance, group=queries.group_sizes, max_bin=max_bin, nthread=threads, ref=ref
    )


def _filed(queries: Queries, max_bin: int | None, threads: int | None, folder: Path) -> xgb.DMatrix:
    return xgb.ExtMemQuantileDMatrix(Batches(queries, folder), max_bin=max_bin, nthread=threads)


class Batches(xgb.DataIter):
    """Whole queries, about BATCH_ROWS rows at a time. XGBoost goes through them several times."""

    def __init__(self, queries: Queries, folder: Path) -> None:
        self._queries = queries
        self._spans = list(pairwise(_cuts(queries.offsets)))
        self._next = 0
        super().__init__(cache_prefix=str(folder / "bins"), on_host=False)

    def next(self, input_data: Callable[..., Any]) -> bool:
        if self._next == len(self._spans):
            return False
        first, last = self._spans[self._next]
        offsets = self._queries.offsets[first : last + 1]
        rows = slice(int(offsets[0]), int(offsets[-1]))
        input_data(
            data=self._queries.features[rows],
            label=self._queries.relevance[rows],
            qid=np.repeat(np.arange(first, last), np.diff(offsets)),
        )
        self._next += 1
        return True

    def reset(self) -> None:
        self._next = 0


def _cuts(offsets: NDArray[np.int64]) -> list[int]:
    """Numbers of queries that batches begin and end with."""
    marks = np.arange(BATCH_ROWS, int(offsets[-1]), BATCH_ROWS)
    inner = np.searchsorted(offsets, marks)
    return sorted({0, *(int(cut) for cut in inner), len(offsets) - 1})


def _held(queries: Queries) -> int:
    """Bytes of memory that the features take already: none where they are mapped from a file."""
    return 0 if _mapped(queries.features) else queries.features.nbytes


def _mapped(array: NDArray[np.float32]) -> bool:
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, mmap.mmap)


def _advice(train: Queries) -> str:
    return "" if _mapped(train.features) else ", or let the data be cached (it is held in memory now)"
