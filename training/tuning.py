"""Searching a recipe by a plan, and measuring it on queries that the search never saw."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
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
from training.fit import fit, model_bytes
from training.ndcg import interval
from training.plan import Plan
from training.queries import Queries
from training.recipe import Recipe, Value
from training.runs import libraries
from training.search import CUTOFF, Budget, Fitter, Found, Seen, Tell, search
from training.space import Space
from training.study import looked, storage

RECIPE = "recipe"
"""The study of the search that gives the recipe."""

Done = Callable[[str, int], None]
"""Called with the name of a search and the trials that it has done."""


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
