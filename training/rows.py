"""Where the rows of a file go while it is read: into memory, or into a file that is mapped into memory afterwards.

Rows come in the order of the file, in parts, and leave as `Queries`: grouped by query id, ids ascending. Neither way
takes much more memory than the matrix itself; through a file only one part at a time is in memory.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from training.parse import Rows
from training.queries import Queries, group

FEATURES = "features.f32"
_UNSORTED = "unsorted.f32"
_ROWS_A_STEP = 16_384


class Sink(Protocol):
    def append(self, rows: Rows, share: float) -> None:
        """Adds rows; `share` of the file, more than 0 and up to 1, has been read with them."""
        ...

    def queries(self, width: int) -> Queries:
        """All rows; those of a part with fewer features than `width` lack the rest (NaN)."""
        ...


class _Heads:
    """Labels and query ids, which are small whatever the number of rows."""

    def __init__(self) -> None:
        self._relevance: list[NDArray[np.int32]] = []
        self._qids: list[NDArray[np.int64]] = []

    def append(self, rows: Rows) -> None:
        self._relevance.append(rows.relevance)
        self._qids.append(rows.qids)

    def grouped(self) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
        """The order that groups the rows, then relevance in this order, query ids and offsets."""
        row_qids = np.concatenate(self._qids)
        order = np.argsort(row_qids, kind="stable")
        return order, np.concatenate(self._relevance)[order], *group(row_qids)


class InMemory:
    """A `Sink` whose parts are given back to the system one by one as they are copied to their places."""

    def __init__(self) -> None:
        self._heads = _Heads()
        self._parts: list[NDArray[np.float32]] = []

    def append(self, rows: Rows, share: float) -> None:
        self._heads.append(rows)
        # Memory of its own: what the allocator gets back in pieces it keeps, and the peak would be two matrices.
        own = np.frombuffer(mmap.mmap(-1, max(rows.features.nbytes, 1)), np.float32, rows.features.size)
        own = own.reshape(rows.features.shape)
        own[:] = rows.features
        self._parts.append(own)

    def queries(self, width: int) -> Queries:
        order, relevance, qids, offsets = self._heads.grouped()
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        features = np.empty((len(order), width), np.float32)
        start = 0
        self._parts.reverse()
        while self._parts:
            part = self._parts.pop()
            target = place[start : start + len(part)]
            features[target, : part.shape[1]] = part
            if part.shape[1] < width:
                features[target, part.shape[1] :] = np.nan
            start += len(part)
        return Queries(features, relevance, qids, offsets)


class OnDisk:
    """A `Sink` that leaves the features in `folder` as raw float32 [rows, width] under the name FEATURES.

    Once the first rows tell how many bytes of disk it is going to take, it calls `reserve` with them.
    """

    def __init__(self, folder: Path, reserve: Callable[[int], None]) -> None:
        self._folder = folder
        self._reserve = reserve
        self._heads = _Heads()
        self._shapes: list[tuple[int, int]] = []
        self._file = (folder / _UNSORTED).open("wb")

    def append(self, rows: Rows, share: float) -> None:
        if not self._shapes:
            # Twice, because sorting needs a second file.
            self._reserve(int(2 * rows.features.nbytes / share))
        self._heads.append(rows)
        self._shapes.append((rows.features.shape[0], rows.features.shape[1]))
        self._file.write(rows.features.data)

    def queries(self, width: int) -> Queries:
        self._file.close()
        if any(found < width for _, found in self._shapes):
            self._widen(width)
        order, relevance, qids, offsets = self._heads.grouped()
        unsorted, features = self._folder / _UNSORTED, self._folder / FEATURES
        if np.all(order[:-1] < order[1:]):
            unsorted.rename(features)
        else:
            rows = np.memmap(unsorted, np.float32, "r", shape=(len(order), width))
            with features.open("wb") as file:
                for start in range(0, len(order), _ROWS_A_STEP):
                    file.write(rows[order[start : start + _ROWS_A_STEP]].data)
            del rows
            unsorted.unlink()
        return Queries(mapped(self._folder, len(order), width), relevance, qids, offsets)

    def close(self) -> None:
        self._file.close()

    def _widen(self, width: int) -> None:
        narrow, wide = self._folder / _UNSORTED, self._folder / "wide.f32"
        with narrow.open("rb") as source, wide.open("wb") as file:
            for rows, found in self._shapes:
                full = np.full((rows, width), np.nan, np.float32)
                full[:, :found] = np.fromfile(source, np.float32, rows * found).reshape(rows, found)
                file.write(full.data)
        wide.replace(narrow)


def mapped(folder: Path, rows: int, width: int) -> NDArray[np.float32]:
    """What `OnDisk` left, read-only. Raises ValueError when the file is shorter, OSError when it is not there."""
    return np.asarray(np.memmap(folder / FEATURES, np.float32, "r", shape=(rows, width)))
