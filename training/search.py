"""One search: trials of a space on the queries that it is given, kept in a study file.

A trial that did not end counts for nothing and is done again: equal queries, space, seed and number of trials give
equal trials, in one go or in several.
"""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from optuna.exceptions import ExperimentalWarning, TrialPruned
from optuna.pruners import BasePruner, MedianPruner
from optuna.samplers import BaseSampler, PartialFixedSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from service.manifest import canonical_json
from training.crossval import fold_members
from training.ndcg import Doubles, ndcg
from training.queries import Queries
from training.recipe import Value
from training.space import Space
from training.study import open_study

CUTOFF = 10
STARTUP = 8
"""Trials at random before the sampler learns from them."""
LOSING = 1.645
"""A trial is pruned when it would be no better than the best in 19 of 20 cases, its queries so far being drawn anew."""
FEWEST = 10
"""Queries to judge by; fewer prune nothing."""
QUARTERS = 4
NDCG = "ndcg"

Tell = Callable[[int, int, float | None], None]
"""As `training.fit.Progress`. It may raise, which ends the fit."""


class Fitter(Protocol):
    """What is tuned: a library, here as in comparisons with others."""

    def __call__(
        self, parameters: Mapping[str, Value], train: Queries, vali: Queries | None, scored: Queries, tell: Tell | None
    ) -> NDArray[np.float32]:
        """Scores of `scored` [rows] by a model of `train`, which may watch `vali` to stop early."""
        ...


@dataclass(frozen=True, eq=False)
class Seen:
    """The queries that a search may look at. Nothing else reaches it."""

    train: Queries
    vali: Queries | None = None
    """What every trial is scored on; without it, cross-validation over `train`."""
    folds: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.train.count:
            raise ValueError("there are no queries to search on")
        if self.vali is None and not 2 <= self.folds <= self.train.count:
            raise ValueError(f"a search by cross-validation needs 2 to {self.train.count} folds, not {self.folds}")

    @property
    def count(self) -> int:
        return self.train.count + (self.vali.count if self.vali else 0)

    @property
    def sha256(self) -> str:
        """Of the content of all of them."""
        return hashlib.sha256(canonical_json(self.to_json())).hexdigest()

    def splits(self) -> Iterator[tuple[Queries, Queries]]:
        """What is learnt from and what is scored, once for each fit of a trial."""
        if self.vali is not None:
            yield self.train, self.vali
            return
        members = fold_members(self.train.count, self.folds, self.seed)
        for fold in range(self.folds):
            yield self.train.select(members != fold), self.train.select(members == fold)

    def to_json(self) -> dict[str, Any]:
        parts = {"queries": self.train.sha256, "validation": self.vali.sha256 if self.vali else None}
        return {**parts, "folds": None if self.vali else self.folds}


@dataclass(frozen=True)
class Budget:
    """When a search ends: after so many trials in all, or at a time of `time.monotonic`, but never with none."""

    trials: int
    until: float = float("inf")

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.until


@dataclass(frozen=True, eq=False)
class Found:
    """What a search came to."""

    parameters: dict[str, Value]
    """All of them, fixed ones included."""
    inner: Doubles
    """NDCG@10 of the winner, query by query, blank ones left out: what it was chosen by, so it looks too good."""
    trials: int
    """Configurations that were compared, pruned ones included."""
    pruned: int


class Race(BasePruner):
    """Prunes a trial that, query by query, loses to the best one so far by more than chance.

    Folds differ in difficulty by more than configurations do, so means are not compared, only paired differences.
    """

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        finished = _ended(study, TrialState.COMPLETE)
        if not finished:
            return False
        mine = np.asarray(trial.user_attrs.get(NDCG, []), np.float64)
        best = np.asarray(_best(finished).user_attrs[NDCG], np.float64)[: mine.size]
        if mine.size < FEWEST:
            return False
        deltas = mine - best
        return bool(deltas.mean() + LOSING * deltas.std(ddof=1) / deltas.size**0.5 < 0)


class _OutOfTime(Exception):
    pass


def search(
    seen: Seen,
    space: Space,
    fitter: Fitter,
    budget: Budget,
    store: JournalStorage,
    *,
    name: str = "search",
    about: Mapping[str, Any] | None = None,
    tell: Callable[[int], None] | None = None,
) -> Found:
    """The best parameters of `space` by NDCG@10 on what is `seen`, going on where the study `name` stands.

    Args:
        about: what else the trials depend on; a study with another one is refused.
        tell: called with the trials done, after each.

    Raises:
        StudyError: the study is of other data, another space, seed or library.
        ValueError: nothing can be measured; and as the fitter does.
    """
    if budget.trials < 1:
        raise ValueError(f"a search needs 1 trial or more, not {budget.trials}")
    study = open_study(store, name, {"space": space.sha256, "seed": seen.seed, **seen.to_json(), **(about or {})})
    study.pruner = MedianPruner(n_startup_trials=STARTUP // 2) if seen.vali else Race()
    while (done := len(_ended(study))) < budget.trials:
        first = not _ended(study, TrialState.COMPLETE)
        if budget.over and not first:
            break
        study.sampler = _sampler(space, seen.seed, done)
        _try(study, lambda trial, first=first: _measure(trial, seen, space, fitter, None if first else budget))
        if tell:
            tell(min(done + 1, budget.trials))
    best = _best(_ended(study, TrialState.COMPLETE))
    inner = np.asarray(best.user_attrs[NDCG], np.float64)
    return Found(space.parameters(best.params), inner, len(_ended(study)), len(_ended(study, TrialState.PRUNED)))


def _try(study: Study, measure: Callable[[Trial], float]) -> None:
    trial = study.ask()
    try:
        value = measure(trial)
    except TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
    except _OutOfTime:
        study.tell(trial, state=TrialState.FAIL)
    except BaseException:
        study.tell(trial, state=TrialState.FAIL)
        raise
    else:
        study.tell(trial, value)


def _measure(trial: Trial, seen: Seen, space: Space, fitter: Fitter, budget: Budget | None) -> float:
    """The trial's NDCG@10, blank queries skipped. Raises TrialPruned and _OutOfTime."""
    parameters = space.suggest(trial)
    values: list[float] = []
    fits = 1 if seen.vali else seen.folds
    for done, (train, scored) in enumerate(seen.splits(), 1):
        tell = _quarterly(trial, budget) if seen.vali else None
        scores = fitter(parameters, train, seen.vali, scored, tell)
        values += ndcg(scores, scored.relevance, scored.offsets, [CUTOFF]).column(CUTOFF).tolist()
        if not values and done == fits:
            raise ValueError(f"none of the {seen.count} queries that the search sees has a relevant document")
        trial.set_user_attr(NDCG, values)
        if values:
            trial.report(float(np.mean(values)), QUARTERS * done)
        if done < fits:
            _go_on(trial, budget)
    return float(np.mean(values))


def _quarterly(trial: Trial, budget: Budget | None) -> Tell:
    """With one fit a trial, its validation curve has to tell: looked at after each quarter of its own trees."""

    def tell(done: int, total: int, found: float | None) -> None:
        if budget and budget.over:
            raise _OutOfTime
        if found is not None and done < total and done * QUARTERS // total > (done - 1) * QUARTERS // total:
            trial.report(found, done * QUARTERS // total)
            _go_on(trial, budget)

    return tell


def _go_on(trial: Trial, budget: Budget | None) -> None:
    if trial.should_prune():
        raise TrialPruned
    if budget and budget.over:
        raise _OutOfTime


def _sampler(space: Space, seed: int, done: int) -> BaseSampler:
    """A sampler of its own for each trial: its numbers cannot depend on how often the search was interrupted."""
    drawn = int(np.random.SeedSequence([seed, done]).generate_state(1)[0])
    sampler = TPESampler(seed=drawn, n_startup_trials=STARTUP)
    if done:
        return sampler
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return PartialFixedSampler(dict(space.start), sampler)


def _ended(study: Study, *states: TrialState) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=states or (TrialState.COMPLETE, TrialState.PRUNED))


def _best(finished: list[FrozenTrial]) -> FrozenTrial:
    return max(finished, key=lambda trial: (trial.value or 0.0, -trial.number))
