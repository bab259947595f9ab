"""NDCG of whole data sets at once: flat numpy, no loop over queries.

Gain is `2^relevance - 1`, discount `1 / log2(rank + 1)` with ranks from 1, and equal scores keep their input order, as
the service ranks them. A query without a relevant document ("blank") has no ideal order to compare with; tools count
it as nothing, 0 or 1, and on real data the choice moves the mean by several points, so every mean names its convention.

A data set is flat arrays over rows, and `offsets` [queries + 1] says where its queries lie: query `i` is
`offsets[i]:offsets[i + 1]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

CUTOFFS = (1, 3, 5, 10)
MAX_RELEVANCE = 31
"""The gain 2^31 - 1 is the last one that XGBoost's ranking objectives accept."""

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]


class Convention(StrEnum):
    """What a blank query counts as in a mean."""

    SKIP = "skip"
    ZERO = "zero"
    ONE = "one"


@dataclass(frozen=True, eq=False)
class PerQuery:
    """NDCG query by query.

    `values` is [queries, cutoffs] float64, NaN in the rows of blank queries; `blank` is [queries] bool.
    """

    values: Doubles
    blank: NDArray[np.bool_]
    cutoffs: tuple[int, ...] = CUTOFFS

    def column(self, cutoff: int, convention: Convention = Convention.SKIP) -> Doubles:
        """NDCG@`cutoff` of the queries that count: [queries], or [queries that are not blank] under `skip`."""
        if cutoff not in self.cutoffs:
            raise ValueError(f"NDCG@{cutoff} was not computed, only the cut-offs {_listed(self.cutoffs)}")
        values = self.values[:, self.cutoffs.index(cutoff)]
        if convention is Convention.SKIP:
            return values[~self.blank]
        return np.where(self.blank, 0.0 if convention is Convention.ZERO else 1.0, values)

    def mean(self, cutoff: int, convention: Convention = Convention.SKIP) -> float:
        """Mean NDCG@`cutoff`; NaN where no query counts."""
        values = self.column(cutoff, convention)
        return float(values.mean()) if values.size else float("nan")


def ndcg(
    scores: NDArray[np.float32],
    relevance: NDArray[np.integer],
    offsets: NDArray[np.integer],
    cutoffs: Sequence[int] = CUTOFFS,
) -> PerQuery:
    """NDCG of every query when its documents are ordered by `scores`, best first.

    `scores` is [rows] float32 (what XGBoost predicts), `relevance` [rows] integers from 0 to 31.
    Raises ValueError for scores that are NaN or of another type, bad relevance, bad offsets, and lengths that differ.
    """
    labels, starts = _checked(relevance, offsets)
    at = _checked_cutoffs(cutoffs)
    _check_scores(scores, labels.size)
    order = _order(scores, starts)
    found = _gains(_top(labels[order], starts, max(at)))
    return _normalised(found, _ideal(labels, starts, max(at)), at)


def random_order(
    relevance: NDArray[np.integer], offsets: NDArray[np.integer], cutoffs: Sequence[int] = CUTOFFS
) -> PerQuery:
    """The exact expectation of NDCG when every order of a query's documents is as likely as any other.

    Each rank then holds the query's mean gain, so no sampling is needed. Raises ValueError as `ndcg` does.
    """
    labels, starts = _checked(relevance, offsets)
    at = _checked_cutoffs(cutoffs)
    sizes = np.diff(starts)
    totals = np.concatenate([[0.0], np.cumsum(_gains(labels))])
    means = np.diff(totals[starts]) / np.maximum(sizes, 1)
    expected = np.where(np.arange(max(at)) < sizes[:, None], means[:, None], 0.0)
    return _normalised(expected, _ideal(labels, starts, max(at)), at)


def interval(values: Doubles, seed: int = 0, level: float = 0.95, samples: int = 2000) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of `values` [queries], drawing whole queries with replacement.

    The same values and seed give the same interval. NaN twice where there are no values.
    Raises ValueError for values that are not finite, a level outside (0, 1) or no samples.
    """
    if not np.isfinite(values).all():
        raise ValueError("the values to draw from must be finite: drop or replace blank queries first")
    if not 0 < level < 1 or samples < 1:
        raise ValueError(f"an interval needs a level between 0 and 1 and samples >= 1, not {level} and {samples}")
    if not values.size:
        return float("nan"), float("nan")
    random = np.random.default_rng(seed)
    # In pieces of about a million draws, because all of a full test split at once would take 100 MB.
    piece = max(1, 1_000_000 // values.size)
    means = [
        values[random.integers(0, values.size, (min(piece, samples - done), values.size))].mean(axis=1)
        for done in range(0, samples, piece)
    ]
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _order(scores: NDArray[np.float32], starts: Ints) -> Ints:
    """Row numbers, query by query, best score first, equal scores by input order.

    One sort of one 64-bit key a row: the query above, the score's bits below. `lexsort` takes ten times as long.
    """
    # Adding zero turns -0.0 into 0.0: the two are equal as scores and must tie, but their bits differ.
    bits = (scores + np.float32(0)).view(np.uint32)
    # IEEE order: the bits of negative floats count downwards. Flipped so that the best score has the smallest key.
    descending = np.where(bits >> 31, bits, ~(bits | np.uint32(1 << 31)))
    queries = np.repeat(np.arange(starts.size - 1, dtype=np.uint64), np.diff(starts))
    return np.argsort(queries << np.uint64(32) | descending, kind="stable")


def _top(labels: Ints, starts: Ints, depth: int) -> Ints:
    """The first `depth` labels of every query, [queries, depth], filled up with 0 (which has no gain)."""
    ranks = np.arange(depth)
    if not labels.size:
        return np.zeros((starts.size - 1, depth), np.int64)
    places = np.minimum(starts[:-1, None] + ranks, labels.size - 1)
    return np.where(ranks < np.diff(starts)[:, None], labels[places], 0)


def _ideal(labels: Ints, starts: Ints, depth: int) -> Doubles:
    """Gains in the best possible order, [queries, depth], by counting labels instead of sorting them."""
    kinds = int(labels.max(initial=0)) + 1
    queries = np.repeat(np.arange(starts.size - 1), np.diff(starts))
    counts = np.bincount(queries * kinds + labels, minlength=(starts.size - 1) * kinds).reshape(-1, kinds)
    at_least = counts[:, ::-1].cumsum(axis=1)[:, ::-1]
    # Rank j of the ideal order holds the highest label that more than j documents reach.
    best = np.zeros((starts.size - 1, depth), np.int64)
    for label in range(1, kinds):
        best += at_least[:, label, None] > np.arange(depth)
    return _gains(best)


def _gains(labels: Ints) -> Doubles:
    return np.exp2(labels) - 1.0


def _normalised(found: Doubles, ideal: Doubles, cutoffs: tuple[int, ...]) -> PerQuery:
    discounts = 1.0 / np.log2(np.arange(2, max(cutoffs) + 2))
    columns = np.asarray(cutoffs) - 1
    best = (ideal * discounts).cumsum(axis=1)[:, columns]
    blank = ideal[:, 0] == 0
    values = np.full_like(best, np.nan)
    np.divide((found * discounts).cumsum(axis=1)[:, columns], best, out=values, where=~blank[:, None])
    return PerQuery(values, blank, cutoffs)


def _checked(relevance: NDArray[np.integer], offsets: NDArray[np.integer]) -> tuple[Ints, Ints]:
    labels = np.asarray(relevance)
    starts = np.asarray(offsets)
    if not np.issubdtype(labels.dtype, np.integer) or not np.issubdtype(starts.dtype, np.integer):
        raise ValueError(f"relevance and offsets must be integers, not {labels.dtype} and {starts.dtype}")
    if labels.ndim != 1 or starts.ndim != 1 or not starts.size:
        raise ValueError("relevance must be [rows] and offsets [queries + 1]")
    labels, starts = labels.astype(np.int64), starts.astype(np.int64)
    if starts[0] != 0 or starts[-1] != labels.size or (np.diff(starts) < 0).any():
        raise ValueError(f"offsets must rise from 0 to the number of rows, {labels.size}")
    if labels.size and (labels.min() < 0 or labels.max() > MAX_RELEVANCE):
        raise ValueError(f"relevance must be from 0 to {MAX_RELEVANCE}, not {labels.min()} to {labels.max()}")
    return labels, starts


def _checked_cutoffs(cutoffs: Sequence[int]) -> tuple[int, ...]:
    if not cutoffs or min(cutoffs) < 1:
        raise ValueError(f"cut-offs must be whole numbers from 1, at least one of them, not {_listed(cutoffs)}")
    return tuple(cutoffs)


def _check_scores(scores: NDArray[np.float32], rows: int) -> None:
    if scores.dtype != np.float32:
        # Rounding here would tie scores behind the caller's back.
        raise ValueError(f"scores must be float32, as XGBoost predicts them, not {scores.dtype}: convert them first")
    if scores.shape != (rows,):
        raise ValueError(f"{rows} rows need as many scores in one array, not the shape {scores.shape}")
    unordered = np.isnan(scores)
    if unordered.any():
        raise ValueError(f"row {int(unordered.argmax())} has a NaN score, which no order can place")


def _listed(cutoffs: Sequence[int]) -> str:
    return ", ".join(str(cutoff) for cutoff in cutoffs) or "none"
