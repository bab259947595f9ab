"""How well a ranker orders queries with known relevance, scored by the very function that serves: `Ranker.score`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from service.ranker import Ranker
from training.ndcg import Convention, PerQuery, interval, ndcg, random_order
from training.queries import Queries

HEADLINE = Convention.SKIP
LEVEL = 0.95

Progress = Callable[[int, int], None]
"""Called with the queries done and the queries in total."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """NDCG of one model on one split, and what is needed to judge the number.

    Means without a named convention leave blank queries out; intervals are at 95 %, over queries.
    """

    split: str
    rows: int
    ours: PerQuery
    random: PerQuery
    """The expectation under a random order."""
    tried: int | None = None
    """How many recipes were compared to choose the model's; None where nobody knows."""
    seed: int = 0
    """Of the bootstrap."""

    @property
    def queries(self) -> int:
        return len(self.ours.blank)

    @property
    def blank(self) -> int:
        """Queries without a relevant document."""
        return int(self.ours.blank.sum())

    @cached_property
    def intervals(self) -> dict[int, tuple[float, float]]:
        """The 95 % interval of the mean at every cut-off; NaN twice where all queries are blank."""
        return {cutoff: interval(self.ours.column(cutoff, HEADLINE), self.seed, LEVEL) for cutoff in self.ours.cutoffs}

    def to_json(self) -> dict[str, Any]:
        """For the manifest: floats rounded to 6 digits, null where there is no number, the same every time."""
        return {
            "split": self.split,
            "queries": self.queries,
            "blank_queries": self.blank,
            "rows": self.rows,
            "gain": "2^relevance - 1",
            "headline": str(HEADLINE),
            "interval_level": LEVEL,
            "recipes_tried": self.tried,
            **{f"ndcg@{cutoff}": self._at(cutoff) for cutoff in self.ours.cutoffs},
        }

    def table(self) -> Table:
        """For people: a line a cut-off, and below it all that says what the numbers mean."""
        return evaluation_table(self.to_json())

    def summary(self, cutoff: int = 10) -> str:
        """One line: the mean, its interval, and what a random order gets."""
        low, high = (_digits(edge) for edge in self.intervals[cutoff])
        mean, random = (_digits(each.mean(cutoff, HEADLINE)) for each in (self.ours, self.random))
        counted = f"{self.queries - self.blank} queries, blank ones skipped"
        tried = "an unknown number of" if self.tried is None else self.tried
        spread = f"{LEVEL:.0%} interval {low} to {high}, {counted}, {tried} recipes tried"
        return f"NDCG@{cutoff} on {self.split} {mean} ({spread}); random order {random}"

    def _at(self, cutoff: int) -> dict[str, Any]:
        means = {str(convention): _rounded(self.ours.mean(cutoff, convention)) for convention in Convention}
        spread = [_rounded(edge) for edge in self.intervals[cutoff]]
        return {**means, "interval": spread, "random": _rounded(self.random.mean(cutoff, HEADLINE))}


def evaluate(
    ranker: Ranker,
    queries: Queries,
    *,
    split: str = "test",
    tried: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Evaluation:
    """Scores `queries` one by one, as requests would come, and measures the order.

    Raises:
        ValueError: the ranker takes another number of features, or there are no queries.
    """
    return measured(score_queries(ranker, queries, progress), queries, split=split, tried=tried, seed=seed)


def score_queries(ranker: Ranker, queries: Queries, progress: Progress | None = None) -> NDArray[np.float32]:
    """The ranker's scores, float32 [rows]. Raises ValueError as `evaluate` does."""
    if queries.width != ranker.schema.width:
        raise ValueError(f"the data has {queries.width} features, the model was trained on {ranker.schema.width}")
    if not queries.count:
        raise ValueError("there are no queries to evaluate on")
    scores = np.empty(queries.rows, np.float32)
    for done, (start, stop) in enumerate(pairwise(queries.offsets.tolist()), 1):
        scores[start:stop] = ranker.score(queries.features[start:stop])
        if progress:
            progress(done, queries.count)
    return scores


def measured(
    scores: NDArray[np.float32], queries: Queries, *, split: str, tried: int | None = None, seed: int = 0
) -> Evaluation:
    """The evaluation of scores that are there already: float32 [rows]."""
    ours = ndcg(scores, queries.relevance, queries.offsets)
    return Evaluation(split, queries.rows, ours, random_order(queries.relevance, queries.offsets), tried, seed)


def evaluation_table(found: Mapping[str, Any]) -> Table:
    """`Evaluation.to_json` as a table, which a manifest's metrics make as well."""
    table = Table(
        title=f"NDCG, {found['split']}", caption=_caption(found), caption_justify="left", title_justify="left"
    )
    for column in ("", "NDCG", "95 % interval", "blank = 0", "blank = 1", "random order"):
        table.add_column(column, justify="right")
    for cutoff in sorted(int(name.removeprefix("ndcg@")) for name in found if name.startswith("ndcg@")):
        at = found[f"ndcg@{cutoff}"]
        span = " to ".join(_digits(edge) for edge in at["interval"])
        means = [_digits(at[convention]) for convention in Convention]
        table.add_row(f"@{cutoff}", means[0], span, *means[1:], _digits(at["random"]))
    return table


def _caption(found: Mapping[str, Any]) -> str:
    counted = f"{found['queries'] - found['blank_queries']} of {found['queries']} queries count"
    blank = f"{found['blank_queries']} are blank (no relevant document) and left out, except in the columns that say so"
    tried = found["recipes_tried"]
    return f"{counted}; {blank}. " + (
        "How many recipes were tried is not known." if tried is None else f"Recipes tried: {tried}."
    )


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)


def _digits(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.4f}"
