"""How alike two orders of the same documents are, query by query; relevance plays no part in it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from service.ranker import Ranker
from training.ndcg import Doubles, Ints

PERSISTENCE = 0.9
"""A reader goes on to the next rank nine times in ten, so that the first ten ranks carry 86 % of the weight."""


@dataclass(frozen=True, eq=False)
class Likeness:
    """Each [queries]: rank-biased overlap from 0 to 1, Kendall's tau from -1 to 1 (NaN below two documents), and
    how many of the first ten documents are the same ones (of as many as there are, if fewer)."""

    overlap: Doubles
    tau: Doubles
    shared: Doubles


def likeness(one: NDArray[np.float32], other: NDArray[np.float32], offsets: Ints) -> Likeness:
    """Compares the orders that two rankers' scores [rows] give the documents of every query, ties as they are served.

    Raises ValueError when there are not as many scores as rows.
    """
    if one.shape != other.shape or one.shape != (int(offsets[-1]),):
        raise ValueError(f"{offsets[-1]} rows need as many scores of both, not {one.shape} and {other.shape}")
    places = [(ranks(one[a:b]), ranks(other[a:b])) for a, b in pairwise(offsets.tolist())]
    found = [(rank_biased_overlap(*both), _tau(*both), _shared(*both)) for both in places]
    overlap, tau, shared = np.array(found, np.float64).reshape(-1, 3).T
    return Likeness(overlap, tau, shared)


def ranks(scores: NDArray[np.float32]) -> Ints:
    """The rank, from 1, of every document of a query."""
    found = np.empty(len(scores), np.int64)
    found[Ranker.ranking(scores).order] = np.arange(1, len(scores) + 1)
    return found


def rank_biased_overlap(one: Ints, other: Ints, persistence: float = PERSISTENCE) -> float:
    """RBO_EXT of two full orders, given as the ranks of the same documents (Webber, Moffat and Zobel, "A Similarity
    Measure for Indefinite Rankings", TOIS 2010, equation 32); NaN without documents.

    Raises ValueError for a persistence outside (0, 1).
    """
    if not 0 < persistence < 1:
        raise ValueError(f"the persistence must be between 0 and 1, not {persistence}")
    count = len(one)
    if not count:
        return float("nan")
    # A document is in both prefixes from the deeper of its two ranks on.
    common = np.cumsum(np.bincount(np.maximum(one, other), minlength=count + 1)[1:])
    depths = np.arange(1, count + 1)
    agreement = common / depths
    weights = persistence ** (depths - 1)
    return float((1 - persistence) * (agreement * weights).sum() + agreement[-1] * persistence**count)


def _tau(one: Ints, other: Ints) -> float:
    if len(one) < 2:
        return float("nan")
    found: Any = kendalltau(one, other)
    return float(found.statistic)


def _shared(one: Ints, other: Ints, depth: int = 10) -> float:
    return float((np.maximum(one, other) <= depth).sum() / min(depth, len(one))) if len(one) else float("nan")
