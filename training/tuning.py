"""Searching a recipe, and measuring it on queries that the search never saw.

Two ways to keep queries from the search:

* A holdout: it sees the training and validation queries; the recipe that wins is scored on the test queries, once.
* Nested cross-validation, where there are too few queries to set some aside: as many searches as outer folds, each
  without the queries that its winner is then scored on. That measures the way of choosing; the recipe itself comes
  from one more search, over all of them.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial, reduce
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.storages import JournalStorage

from service.manifest import canonical_json
from service.revision import current_revision
from training.crossval import fold_members, model_scores
from training.evaluate import LEVEL, Evaluation, measured
from training.fit import MAX_SEED, fit, model_bytes
from training.ndcg import interval
from training.queries import Fold, Queries, concat
from training.recipe import Recipe, Value
from training.runs import libraries
from training.search import CUTOFF, Budget, Fitter, Found, Seen, Tell, search
from training.space import Space
from training.study import looked, storage

TEST = 0
"""`Plan.outer` for a holdout, the test queries."""
VALI = 0
"""`Plan.inner` for scoring trials on the validation queries."""
RECIPE = "recipe"
"""The study of the search that gives the recipe."""

Done = Callable[[str, int], None]
"""Called with the name of a search and the trials that it has done."""


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


@dataclass(frozen=True, eq=False)
class Tuned:
    """A recipe and how good it is."""

    recipe: Recipe
    inner: float
    """NDCG@10 that the recipe was chosen by: the best of many, so it looks too good."""
    inner_interval: tuple[float, float]
    outer: Evaluation
    """On queries that the search never saw."""
    searches: tuple[Found, ...]
    """Those of the outer folds, and last the recipe's own."""
    looks: int
    """Recipes of this study that were scored on the holdout, this one included; 0 where there is none."""


@dataclass(frozen=True)
class XGBoost:
    """The fitter of this project's recipes."""

    seed: int = 0
    threads: int | None = None

    def __call__(
        self, parameters: Mapping[str, Value], train: Queries, vali: Queries | None, scored: Queries, tell: Tell | None
    ) -> NDArray[np.float32]:
        recipe = Recipe("of a trial", parameters)
        fitted = fit(train, vali, recipe, seed=self.seed, threads=self.threads, progress=tell)
        return model_scores(model_bytes(fitted), scored)


@dataclass
class Searches:
    """The searches of one plan over one space, which share a study file and a time budget."""

    space: Space
    fitter: Fitter
    plan: Plan
    store: JournalStorage
    tell: Done | None = None
    about: Mapping[str, Any] = field(default_factory=libraries)
    """What trials depend on besides queries, space and seed."""
    found: list[Found] = field(default_factory=list[Found])
    began: float = field(default_factory=time.monotonic)

    def search(self, name: str, seen: Seen) -> Found:
        """One of them; raises as `training.search.search` does."""
        told = partial(self.tell, name) if self.tell else None
        found = search(
            seen, self.space, self.fitter, self._budget(), self.store, name=name, about=self.about, tell=told
        )
        self.found.append(found)
        return found

    def nested(self, queries: Queries) -> NDArray[np.float32]:
        """Scores of all `queries` [rows], each by the winner of a search that never saw it.

        Raises:
            ValueError: fewer queries than outer folds; and as `search` does.
        """
        outer = self.plan.outer
        if not 2 <= outer <= queries.count:
            raise ValueError(f"{queries.count} queries cannot be nested in {outer} outer folds")
        members = fold_members(queries.count, outer, self.plan.seed)
        scores = np.empty(queries.rows, np.float32)
        for fold in range(outer):
            hidden = members == fold
            seen = Seen(queries.select(~hidden), None, self.plan.inner, self.plan.seed)
            winner = self.search(f"outer fold {fold + 1} of {outer}", seen)
            scores[np.repeat(hidden, queries.group_sizes)] = self.fitter(
                winner.parameters, seen.train, None, queries.select(hidden), None
            )
        return scores

    def _budget(self) -> Budget:
        if self.plan.minutes is None:
            return Budget(self.plan.trials)
        # An equal share of what is left, so that later searches get what the earlier ones did not use.
        now = time.monotonic()
        left = self.began + self.plan.minutes * 60 - now
        return Budget(self.plan.trials, now + left / (self.plan.searches - len(self.found)))


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


def tune(
    seen: Seen,
    hidden: Queries | None,
    space: Space,
    plan: Plan,
    study: Path,
    *,
    name: str = "tuned",
    threads: int | None = None,
    tell: Done | None = None,
) -> Tuned:
    """The recipe `name`, going on where the study file stands.

    Raises:
        StudyError: the study file is another search's.
        ValueError: too few queries for the plan, or nothing to measure; and as `training.fit.fit`.
    """
    space.check()
    fitter = XGBoost(plan.seed, threads)
    with storage(study) as store:
        searches = Searches(space, fitter, plan, store, tell)
        if hidden is None:
            judged, scores, looks = seen.train, searches.nested(seen.train), 0
            winner = searches.search(RECIPE, seen)
        else:
            winner = searches.search(RECIPE, seen)
            # The choice is made; only now is the holdout touched.
            looks = looked(store, RECIPE, hashlib.sha256(canonical_json(winner.parameters)).hexdigest()[:12])
            judged, scores = hidden, fitter(winner.parameters, seen.train, seen.vali, hidden, None)
    what = "test" if hidden is not None else f"{plan.outer}-fold nested cross-validation"
    outer = measured(scores, judged, split=what, tried=winner.trials, seed=plan.seed)
    inner = float(winner.inner.mean())
    spread = interval(winner.inner, plan.seed, LEVEL)
    provenance = {
        **_search(space, plan, seen, winner),
        f"inner_ndcg@{CUTOFF}": round(inner, 6),
        "inner_interval": [round(edge, 6) for edge in spread],
        **_outer(outer, judged),
        **({"holdout_looks": looks} if looks else {"outer_trials": [each.trials for each in searches.found[:-1]]}),
    }
    recipe = Recipe(
        name,
        winner.parameters,
        description=f"Found by a search of space {space.name}.",
        tried=winner.trials,
        chosen_on=f"mean NDCG@{CUTOFF} (blank queries skipped) on {plan.how} of {seen.count} queries",
        provenance=provenance,
    )
    return Tuned(recipe, inner, spread, outer, tuple(searches.found), looks)


def _search(space: Space, plan: Plan, seen: Seen, winner: Found) -> dict[str, Any]:
    return {
        "space": space.name,
        "space_sha256": space.sha256,
        "seed": plan.seed,
        "trials_asked": plan.trials,
        **({} if plan.minutes is None else {"minutes_asked": plan.minutes}),
        "trials": winner.trials,
        "trials_pruned": winner.pruned,
        "commit": current_revision().commit,
        "optuna": optuna.__version__,
        "xgboost": libraries()["xgboost"],
        "searched_queries": seen.count,
        "searched_sha256": seen.sha256,
        "inner": plan.how,
    }


def _outer(found: Evaluation, judged: Queries) -> dict[str, Any]:
    at = found.to_json()[f"ndcg@{CUTOFF}"]
    return {
        "outer": found.split,
        "outer_queries": found.queries,
        "outer_sha256": judged.sha256,
        # TOML has no null: where all queries are blank there is no number.
        **({} if at["skip"] is None else {f"outer_ndcg@{CUTOFF}": at["skip"], "outer_interval": at["interval"]}),
    }
