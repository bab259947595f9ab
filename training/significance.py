"""Whether one ranker is better than another, judged query by query: what a gate may rely on.

The same queries are ranked by both, so only their differences count (Sakai, "Laboratory Experiments in Information
Retrieval", 2018). Two questions are asked of them, and a difference is called shown only when both say so:

* Randomisation test (Fisher; Smucker, Allan and Carterette, CIKM 2007): were the two rankers the same, every query's
  difference could as well have the other sign. p is the share of such sign flips whose mean is as far from 0.
* Paired bootstrap (Efron, Annals of Statistics 1979): the percentile interval of the mean over queries drawn anew.

Several slices are several chances to be wrong, so their p values are adjusted together (Holm, Scandinavian Journal of
Statistics 1979). Blank queries, those without a relevant document, rank nothing and are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from training.ndcg import Doubles, PerQuery, interval

Mask = NDArray[np.bool_]

ALPHA = 0.05
POWER = 0.8
MIN_QUERIES = 10
"""Fewer are not tested: with 7 no p is below 2 / 2^7, which over the slices here is never enough."""
FLIPS = 9999
"""Signs drawn by the randomisation test: p is then known to about 0.002 where it is 0.05."""
FEW_RELEVANT = 10
"""As many relevant documents as the headline looks at ranks: with more, it does not matter which are found."""


class Verdict(StrEnum):
    BETTER = "better"
    WORSE = "worse"
    NONE = "no difference shown"


@dataclass(frozen=True)
class Difference:
    """Challenger minus champion over some queries; NaN where there are none."""

    queries: int
    mean: float
    interval: tuple[float, float]
    p: float
    """Of the randomisation test, two-sided."""
    detectable: float
    """The true difference that so many queries, varying like these, would show in 4 of 5 cases."""

    def verdict(self, alpha: float = ALPHA, p: float | None = None) -> Verdict:
        """`p` replaces the test's own where it was adjusted for being one of several."""
        low, high = self.interval
        if self.queries < MIN_QUERIES or (self.p if p is None else p) > alpha or low <= 0 <= high:
            return Verdict.NONE
        return Verdict.BETTER if self.mean > 0 else Verdict.WORSE


@dataclass(frozen=True)
class Slice:
    """The difference on some of the queries."""

    name: str
    difference: Difference
    adjusted: float | None
    """p by Holm over all slices that were tested; None where the queries are too few to test."""
    verdict: Verdict


@dataclass(frozen=True)
class Comparison:
    """What comparing a challenger with a champion came to, and why."""

    cutoff: int
    difference: Difference
    slices: tuple[Slice, ...]
    alpha: float
    minimum: float

    @property
    def verdict(self) -> Verdict:
        """Over all queries; `regressions` names the slices that say otherwise."""
        # Nothing is nearer to 0 than NaN, which has no verdict anyway.
        return Verdict.NONE if abs(self.difference.mean) < self.minimum else self.difference.verdict(self.alpha)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the verdict is what it is, a sentence each; the first has the numbers."""
        return tuple(_reasons(self))

    @property
    def regressions(self) -> tuple[Slice, ...]:
        """Slices on which the challenger is shown to be worse."""
        return tuple(each for each in self.slices if each.verdict is Verdict.WORSE)

    def not_worse_than(self, margin: float) -> bool:
        """Whether the interval rules out that the challenger loses `margin` or more: proof, not lack of evidence."""
        return self.difference.queries >= MIN_QUERIES and self.difference.interval[0] > -margin


def compare(
    champion: PerQuery,
    challenger: PerQuery,
    slices: Mapping[str, Mask] | None = None,
    *,
    cutoff: int = 10,
    minimum: float = 0.0,
    alpha: float = ALPHA,
    seed: int = 0,
) -> Comparison:
    """Compares NDCG@`cutoff` of two rankers on the same queries; equal arguments give equal results.

    Args:
        slices: masks over all queries [queries] by name, as `slice_queries` makes them.
        minimum: a mean difference nearer to 0 than this is called none, however sure it is.

    Raises:
        ValueError: the two were not measured on the same queries, a mask of another length, a bad level or minimum.
    """
    if not 0 < alpha < 1 or not minimum >= 0:
        raise ValueError(f"alpha must be between 0 and 1 and the minimum at least 0, not {alpha} and {minimum}")
    if champion.blank.shape != challenger.blank.shape or (champion.blank != challenger.blank).any():
        raise ValueError("the two rankers were not measured on the same queries")
    counted = ~champion.blank
    deltas = challenger.column(cutoff) - champion.column(cutoff)
    overall = difference(deltas, alpha=alpha, seed=seed)
    found = _slices(deltas, counted, slices or {}, alpha, seed)
    return Comparison(cutoff, overall, found, alpha, minimum)


def difference(deltas: Doubles, *, alpha: float = ALPHA, seed: int = 0) -> Difference:
    """The mean of `deltas` [queries] with its bootstrap interval at 1 - `alpha` and its randomisation test."""
    if not deltas.size:
        return Difference(0, float("nan"), (float("nan"), float("nan")), 1.0, float("inf"))
    spread = interval(deltas, seed, 1 - alpha)
    normal = NormalDist()
    reach = normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(POWER)
    error = float(deltas.std(ddof=1)) / deltas.size**0.5 if deltas.size > 1 else float("inf")
    return Difference(deltas.size, float(deltas.mean()), spread, randomisation_p(deltas, seed), reach * error)


def randomisation_p(deltas: Doubles, seed: int = 0, flips: int = FLIPS) -> float:
    """The two-sided p of `deltas` [queries] under random signs: exact where all signs can be tried in `flips`.

    Else of drawn signs, the observed ones among them, so that p is never 0 and the test keeps its level.
    Raises ValueError for values that are not finite.
    """
    if not np.isfinite(deltas).all():
        raise ValueError("differences must be finite: leave blank queries out")
    moved = deltas[deltas != 0]
    if not moved.size:
        return 1.0
    # Sums of the same numbers in another order differ by some last bits of the largest, and must count as ties.
    observed = abs(float(moved.sum())) - 1e-12 * float(np.abs(moved).sum())
    if 2**moved.size <= flips:
        every = np.arange(2**moved.size, dtype=np.int64)[:, None] >> np.arange(moved.size) & 1
        return float((np.abs(_flipped(every, moved)) >= observed).mean())
    random = np.random.default_rng(seed)
    width = -(-moved.size // 8)
    piece = max(1, 4_000_000 // moved.size)
    as_far = 0
    for done in range(0, flips, piece):
        drawn = random.integers(0, 256, (min(piece, flips - done), width), np.uint8)
        signs = np.unpackbits(drawn, axis=1, count=moved.size)
        as_far += int((np.abs(_flipped(signs, moved)) >= observed).sum())
    return (1 + as_far) / (1 + flips)


def holm(p_values: Sequence[float]) -> list[float]:
    """p values adjusted for being several: rejecting those at most alpha errs once or more in alpha of all cases."""
    values = np.asarray(p_values, np.float64)
    order = np.argsort(values, kind="stable")
    steps = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted.tolist()


def slice_queries(relevance: NDArray[np.integer], offsets: NDArray[np.integer]) -> dict[str, Mask]:
    """Masks over queries by length, by share of documents without relevance, and by how few are relevant.

    Thirds and halves are those of the data's own queries that are not blank. A slice that holds none or all of
    them is left out.
    """
    sizes = np.diff(offsets)
    relevant = np.array([int((relevance[a:b] > 0).sum()) for a, b in pairwise(offsets.tolist())], np.int64)
    counted = relevant > 0
    if not counted.any():
        return {}
    share = 1 - relevant / np.maximum(sizes, 1)
    short, long = (int(edge) for edge in np.quantile(sizes[counted], [1 / 3, 2 / 3], method="inverted_cdf"))
    half = float(np.quantile(share[counted], 0.5, method="inverted_cdf"))
    named = {
        f"up to {short} documents": sizes <= short,
        f"{short + 1} to {long} documents": (sizes > short) & (sizes <= long),
        f"more than {long} documents": sizes > long,
        f"up to {half:.0%} irrelevant documents": share <= half,
        f"more than {half:.0%} irrelevant documents": share > half,
        f"{FEW_RELEVANT} or fewer relevant documents": relevant <= FEW_RELEVANT,
        f"more than {FEW_RELEVANT} relevant documents": relevant > FEW_RELEVANT,
    }
    masks = {name: mask & counted for name, mask in named.items()}
    return {name: mask for name, mask in masks.items() if 0 < mask.sum() < counted.sum()}


def _slices(deltas: Doubles, counted: Mask, masks: Mapping[str, Mask], alpha: float, seed: int) -> tuple[Slice, ...]:
    for name, mask in masks.items():
        if mask.shape != counted.shape:
            raise ValueError(f"the slice {name!r} is over {mask.size} queries, the rankers over {counted.size}")
    found = {name: difference(deltas[mask[counted]], alpha=alpha, seed=seed) for name, mask in masks.items()}
    tested = [name for name, each in found.items() if each.queries >= MIN_QUERIES]
    adjusted = dict(zip(tested, holm([found[name].p for name in tested]), strict=True))
    return tuple(
        Slice(name, each, adjusted.get(name), each.verdict(alpha, adjusted.get(name))) for name, each in found.items()
    )


def _reasons(comparison: Comparison) -> Iterator[str]:
    found, alpha, verdict = comparison.difference, comparison.alpha, comparison.verdict
    if not found.queries:
        yield "no query has a relevant document, so there is nothing to compare"
        return
    low, high = found.interval
    measured = (
        f"NDCG@{comparison.cutoff} differs by {found.mean:+.4f}, {1 - alpha:.0%} interval {low:+.4f} to {high:+.4f}"
    )
    yield f"{measured}, over {found.queries} queries; randomisation test p = {found.p:.4f}"
    if found.queries < MIN_QUERIES:
        yield f"{found.queries} queries are too few to show a difference; {MIN_QUERIES} are asked for"
    elif verdict is Verdict.NONE and found.verdict(alpha) is not Verdict.NONE:
        yield f"a difference of less than {comparison.minimum:g} is called none"
    elif verdict is Verdict.NONE and found.detectable > 0:
        yield (
            f"that is no proof of equality: so many queries show a true difference of {found.detectable:.4f} "
            f"in {POWER:.0%} of cases, and smaller ones less often"
        )
    for each in comparison.slices:
        if each.verdict is not Verdict.NONE and each.verdict is not verdict:
            told = f"{each.verdict} on {each.difference.queries} queries with {each.name}"
            yield f"{told}: {each.difference.mean:+.4f}, p = {each.adjusted:.4f} by Holm"


def _flipped(negative: NDArray[np.int64 | np.uint8], moved: Doubles) -> Doubles:
    """The sum of `moved` [queries] under each row of signs [flips, queries], 1 being the other sign."""
    return moved.sum() - 2 * (negative.astype(np.float64) @ moved)
