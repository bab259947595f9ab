"""What a search may see, how it is judged, and when it ends.

Two ways to keep queries from a search:

* A holdout: it sees the training and validation queries; the recipe that wins is scored on the test queries, once.
* Nested cross-validation, where there are too few queries to set some aside: as many searches as outer folds, each
  without the queries that its winner is then scored on. That measures the way of choosing; the recipe itself comes
  from one more search, over all of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from functools import reduce

import numpy as np

from service.manifest import canonical_json
from training.fit import MAX_SEED
from training.queries import Fold, Queries, concat
from training.runs import libraries
from training.search import Seen
from training.space import Space

TEST = 0
"""`Plan.outer` for a holdout, the test queries."""
VALI = 0
"""`Plan.inner` for scoring trials on the validation queries."""


@dataclass(frozen=True)
class Plan:
    """How to search, and how to judge the searching."""

    outer: int = TEST
    inner: int = 3
    trials: int = 40
    minutes: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.seed <= MAX_SEED:
            raise ValueError(f"the seed must be from 0 to {MAX_SEED}, not {self.seed}")
        if self.trials < 1:
            raise ValueError(f"a search needs 1 trial or more, not {self.trials}")
        if self.minutes is not None and not 0 < self.minutes < float("inf"):
            raise ValueError(f"a time budget is a number of minutes above 0, not {self.minutes:g}")
        if self.outer != TEST and self.inner == VALI:
            raise ValueError("nested cross-validation pools all queries: give a number of inner folds, not vali")
        if self.outer == 1 or self.inner == 1 or min(self.outer, self.inner) < 0:
            raise ValueError("cross-validation needs 2 folds or more")

    @property
    def searches(self) -> int:
        return self.outer + 1

    @property
    def how(self) -> str:
        """How trials are scored."""
        return "the validation queries" if self.inner == VALI else f"{self.inner}-fold cross-validation"


def seen_and_hidden(fold: Fold, plan: Plan, exclude: Collection[int] = ()) -> tuple[Seen, Queries | None]:
    """What the search for the recipe sees, and the holdout that it never does (None: nested cross-validation).

    Queries in `exclude` are in neither.

    Raises:
        ValueError: nothing is left to search on or to hold out.
    """
    gone = np.fromiter(exclude, np.int64, len(exclude))
    # Full splits are gigabytes: copied only where something is to go.
    parts = {name: split.select(~np.isin(split.qids, gone)) if gone.size else split for name, split in fold.splits}
    hidden = parts.pop("test") if plan.outer == TEST else None
    if hidden is not None and not hidden.count:
        raise ValueError("there are no test queries to hold out")
    if plan.inner != VALI:
        return Seen(reduce(concat, parts.values()), None, plan.inner, plan.seed), hidden
    if "vali" not in parts or not parts["vali"].count:
        raise ValueError("there are no validation queries to score trials on: give a number of inner folds")
    return Seen(parts["train"], parts["vali"], seed=plan.seed), hidden


def study_key(seen: Seen, hidden: Queries | None, space: Space, plan: Plan) -> str:
    """Names the study file: the same for equal searches, whatever their budgets."""
    data = [seen.to_json(), hidden.sha256 if hidden else None]
    about = [data, space.sha256, plan.outer, plan.inner, plan.seed, libraries()]
    return hashlib.sha256(canonical_json(about)).hexdigest()[:12]
