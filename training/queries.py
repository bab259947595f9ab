"""Queries and their documents as arrays: what the reader makes, and what fitting and evaluation take."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Queries:
    """One split: the rows of each query lie together, queries ascend by id, rows keep their order in the file.

    Two splits are equal when their `sha256` is.
    """

    features: NDArray[np.float32]
    """[rows, width], C order, NaN = missing."""
    relevance: NDArray[np.int32]
    """[rows], 0 = not relevant."""
    qids: NDArray[np.int64]
    """[queries], ascending, distinct."""
    offsets: NDArray[np.int64]
    """[queries + 1]; rows of query i are offsets[i]:offsets[i + 1]."""
    known_sha256: str | None = None
    """What `sha256` is, where whoever made this knows."""

    @classmethod
    def grouped(
        cls, features: NDArray[np.float32], relevance: NDArray[np.int32], row_qids: NDArray[np.int64]
    ) -> Queries:
        """From rows in any order: a stable sort by query id, since files are seldom sorted by it."""
        qids, offsets = group(row_qids)
        if np.all(row_qids[:-1] <= row_qids[1:]):
            return cls(np.ascontiguousarray(features), relevance, qids, offsets)
        order = np.argsort(row_qids, kind="stable")
        return cls(features[order], relevance[order], qids, offsets)

    @property
    def rows(self) -> int:
        return len(self.relevance)

    @property
    def width(self) -> int:
        return int(self.features.shape[1])

    @property
    def count(self) -> int:
        """How many queries."""
        return len(self.qids)

    @property
    def group_sizes(self) -> NDArray[np.int64]:
        """[queries], documents of each."""
        return np.diff(self.offsets)

    def row_qids(self) -> NDArray[np.int64]:
        """[rows], the query id of each row."""
        return np.repeat(self.qids, self.group_sizes)

    def select(self, mask: NDArray[np.bool_]) -> Queries:
        """The queries where `mask` [queries] is true."""
        if mask.shape != self.qids.shape:
            raise ValueError(f"the mask has shape {mask.shape}, but there are {self.count} queries")
        rows = np.repeat(mask, self.group_sizes)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.group_sizes[mask])])
        return Queries(self.features[rows], self.relevance[rows], self.qids[mask], offsets)

    @cached_property
    def sha256(self) -> str:
        """Hex digest of the content; the same whatever file format or compression it was read from."""
        if self.known_sha256 is not None:
            return self.known_sha256
        digest = hashlib.sha256(f"podium queries 1 {self.rows} {self.width} {self.count}\n".encode())
        for array, dtype in (
            (self.qids, "<i8"),
            (self.offsets, "<i8"),
            (self.relevance, "<i4"),
            (self.features, "<f4"),
        ):
            digest.update(np.ascontiguousarray(array, dtype).data)
        return digest.hexdigest()


def group(row_qids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(qids [queries], offsets [queries + 1]) that rows have once they are sorted by query id."""
    qids, sizes = np.unique(row_qids, return_counts=True)
    return qids, np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)])


def concat(first: Queries, second: Queries) -> Queries:
    """Both splits as one. Raises ValueError when their widths differ or a query is in both."""
    if first.width != second.width:
        raise ValueError(f"{first.width} features in one split, {second.width} in the other")
    both = np.intersect1d(first.qids, second.qids)
    if both.size:
        raise ValueError(f"query {both[0]} is in both splits ({both.size} such queries)")
    return Queries.grouped(
        np.concatenate([first.features, second.features]),
        np.concatenate([first.relevance, second.relevance]),
        np.concatenate([first.row_qids(), second.row_qids()]),
    )


@dataclass(frozen=True, eq=False)
class Fold:
    """Training, validation (where there is one) and test queries; no query is in two of them."""

    train: Queries
    vali: Queries | None
    test: Queries
    folder: Path | None = None

    @property
    def splits(self) -> Sequence[tuple[str, Queries]]:
        named = (("train", self.train), ("vali", self.vali), ("test", self.test))
        return [(name, split) for name, split in named if split is not None]

    @property
    def sha256(self) -> str:
        """Hex digest of the content of all splits."""
        lines = "".join(f"{name} {split.sha256}\n" for name, split in self.splits)
        return hashlib.sha256(f"podium fold 1\n{lines}".encode()).hexdigest()
