from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from optuna.storages import JournalStorage
from optuna.trial import TrialState

from tests.conftest import ROOT
from tests.training.tiny import tiny_queries
from training.queries import Queries
from training.recipe import Value
from training.search import Budget, Found, Seen, Tell, search
from training.space import Choice, Space, Span
from training.study import StudyError, storage
from training.tuning import XGBoost

WEIGHTS = Space(
    "weights", "", {"first": 0.5, "second": 1.0}, {}, {n: Span(-1.0, 1.0, False, "r") for n in ("first", "second")}
)
TREES = Space(
    "trees",
    "",
    {"learning_rate": 0.3, "max_depth": 3},
    {"n_estimators": 8},
    {"learning_rate": Span(0.01, 0.5, True, "r"), "max_depth": Choice((1, 3, 5), "r")},
)


@dataclass
class Linear:
    """A ranker without training: two features weighed by the parameters. Optimal where all weight is on the first."""

    calls: list[tuple[dict[str, Value], Queries, Queries]] = field(default_factory=list[Any])
    dies_at: int = 0
    seconds: float = 0.0

    def __call__(
        self, parameters: Mapping[str, Value], train: Queries, vali: Queries | None, scored: Queries, tell: Tell | None
    ) -> NDArray[np.float32]:
        self.calls.append((dict(parameters), train, scored))
        time.sleep(self.seconds)
        if len(self.calls) == self.dies_at:
            raise KeyboardInterrupt
        for tree in range(1, 9) if tell else ():
            assert tell is not None
            # A curve that ends where the weights say.
            tell(tree, 8, float(parameters["first"]) * tree / 8)
        weights = np.array([parameters["first"], parameters["second"]], np.float32)
        return np.nan_to_num(scored.features[:, :2]) @ weights


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "study.log"


def searched(path: Path, trials: int, fitter: Any = None, seen: Seen | None = None, **more: Any) -> Found:
    given = seen or Seen(tiny_queries(24), folds=3)
    with storage(path) as store:
        return search(given, more.pop("space", WEIGHTS), fitter or Linear(), Budget(trials), store, **more)


def trials_of(path: Path, name: str = "search") -> list[Any]:
    """What was tried, without what depends on time."""
    with storage(path) as store:
        return _ended(store, name)


def _ended(store: JournalStorage, name: str) -> list[Any]:
    study = store.get_study_id_from_name(name)
    ended = (TrialState.COMPLETE, TrialState.PRUNED)
    found = store.get_all_trials(study, states=ended)
    return [(each.state.name, each.params, each.values, each.user_attrs) for each in found]


def test_it_finds_what_is_to_be_found(path: Path) -> None:
    told: list[int] = []
    found = searched(path, 20, tell=told.append)
    assert abs(float(found.parameters["second"])) < 0.5 * float(found.parameters["first"])
    assert found.trials == 20 == len(trials_of(path))
    assert told == list(range(1, 21))
    assert found.inner.shape == (24,)
    best = max(each[2][0] for each in trials_of(path) if each[0] == "COMPLETE")
    assert found.inner.mean() == best > 0.9


def test_the_first_trial_is_the_start(path: Path) -> None:
    found = searched(path, 1)
    assert found.parameters == WEIGHTS.start
    assert (found.trials, found.pruned) == (1, 0)


def test_fixed_parameters_come_with_the_chosen_ones(path: Path) -> None:
    found = searched(path, 2, XGBoost(threads=1), space=TREES)
    assert set(found.parameters) == {"n_estimators", "learning_rate", "max_depth"}


def test_equal_seeds_give_equal_trials(tmp_path: Path) -> None:
    queries = tiny_queries(24)
    runs: list[list[Any]] = []
    for number, seed in enumerate((0, 0, 1)):
        fitter = XGBoost(threads=1 + number)
        searched(tmp_path / f"{number}", 12, fitter, Seen(queries, folds=3, seed=seed), space=TREES)
        runs.append(trials_of(tmp_path / f"{number}"))
    assert runs[0] == runs[1]
    assert runs[0][1][1] != runs[2][1][1]
    assert len({str(each[1]) for each in runs[0]}) == 12


def test_going_on_is_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    once, twice = Linear(), Linear()
    whole = searched(tmp_path / "once", 14, once)
    for trials in (3, 9, 9, 14):
        parts = searched(tmp_path / "twice", trials, twice)
    assert trials_of(tmp_path / "once") == trials_of(tmp_path / "twice")
    assert parts.parameters == whole.parameters
    # No trial was measured twice.
    assert [call[0] for call in once.calls] == [call[0] for call in twice.calls]


@pytest.mark.parametrize("call", [1, 2, 8, 13])
def test_an_interrupted_trial_is_done_again(tmp_path: Path, call: int) -> None:
    searched(tmp_path / "whole", 10)
    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path / "parts", 10, Linear(dies_at=call))
    searched(tmp_path / "parts", 10)
    assert trials_of(tmp_path / "whole") == trials_of(tmp_path / "parts")


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.training.test_search import Linear, searched

class Killed(Linear):
    def __call__(self, *given):
        if len(self.calls) == 11:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(*given)

searched(Path(sys.argv[1]), 10, Killed())
"""


def test_a_killed_search_goes_on(tmp_path: Path) -> None:
    searched(tmp_path / "whole", 10, whole := Linear())
    command = [sys.executable, "-c", KILLED, tmp_path / "parts"]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ}, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    before = trials_of(tmp_path / "parts")
    assert 0 < len(before) < 10
    searched(tmp_path / "parts", 10, rest := Linear())
    assert trials_of(tmp_path / "parts") == trials_of(tmp_path / "whole")
    # Those of the killed trial are done again, and no others.
    ended = len(before)
    again = [call[0] for call in whole.calls if call[0] not in [each[1] for each in before]]
    assert ended
    assert [call[0] for call in rest.calls] == again


def test_losers_are_pruned_and_cost_less(path: Path) -> None:
    fitter = Linear()
    found = searched(path, 20, fitter, Seen(tiny_queries(60), folds=5))
    assert found.pruned > 3
    assert len(fitter.calls) < 20 * 5 - found.pruned
    kept = [each for each in trials_of(path) if each[0] == "COMPLETE"]
    pruned = [each for each in trials_of(path) if each[0] == "PRUNED"]
    assert max(np.mean(each[3]["ndcg"]) for each in pruned) < max(each[2][0] for each in kept)
    assert all(len(each[3]["ndcg"]) < 60 for each in pruned)


def test_equals_and_few_queries_are_not_pruned(tmp_path: Path) -> None:
    # Two folds of eight queries: after the first there are too few to judge by.
    assert searched(tmp_path / "few", 15, seen=Seen(tiny_queries(16), folds=2)).pruned == 0
    same = Space("same", "", {"second": 0.5}, {"first": 0.0}, {"second": Span(0.1, 1.0, False, "r")})
    assert searched(tmp_path / "same", 10, seen=Seen(tiny_queries(60), folds=5), space=same).pruned == 0


def test_with_validation_queries_the_curve_decides(path: Path) -> None:
    fitter = Linear()
    train, vali = tiny_queries(6), tiny_queries(12, first=50, seed=2)
    found = searched(path, 20, fitter, Seen(train, vali))
    assert all((call[1], call[2]) == (train, vali) for call in fitter.calls)
    assert found.pruned > 3
    assert found.inner.shape == (12,)
    with storage(path) as store:
        trials = store.get_all_trials(store.get_study_id_from_name("search"))
    assert all(set(each.intermediate_values) == {1, 2, 3, 4} for each in trials if each.state is TrialState.COMPLETE)
    assert {max(each.intermediate_values) for each in trials if each.state is TrialState.PRUNED} <= {1, 2, 3}


def test_real_fits_are_pruned_while_they_grow(path: Path) -> None:
    train, vali = tiny_queries(10), tiny_queries(10, first=50, seed=2)
    space = Space("s", "", {"learning_rate": 0.5}, {"n_estimators": 12}, {"learning_rate": Span(1e-6, 0.5, True, "r")})
    found = searched(path, 16, XGBoost(threads=1), Seen(train, vali), space=space)
    assert found.pruned > 0
    assert found.trials == 16


def test_no_time_at_all_is_time_for_one_trial(path: Path) -> None:
    with storage(path) as store:
        found = search(Seen(tiny_queries(24)), WEIGHTS, Linear(), Budget(9, time.monotonic() - 1), store)
    assert (found.trials, found.parameters) == (1, WEIGHTS.start)
    assert searched(path, 9).trials == 9


@pytest.mark.parametrize("vali", [None, tiny_queries(12, first=50)])
def test_a_trial_that_time_runs_out_for_does_not_count(path: Path, vali: Queries | None) -> None:
    seen = Seen(tiny_queries(24), vali)
    searched(path, 2, seen=seen)

    slow = Linear(seconds=0.15)
    with storage(path) as store:
        found = search(seen, WEIGHTS, slow, Budget(9, time.monotonic() + 0.1), store)
    assert found.trials == 2
    assert len(slow.calls) == 1
    searched(path, 9, seen=seen)
    searched(path.with_name("whole"), 9, seen=seen)
    assert trials_of(path) == trials_of(path.with_name("whole"))


def test_another_search_is_refused(path: Path) -> None:
    queries = tiny_queries(24)
    searched(path, 1, about={"library": 1})
    for seen, space, about, odd in (
        (Seen(tiny_queries(24, seed=1)), WEIGHTS, 1, "queries"),
        (Seen(queries, folds=4), WEIGHTS, 1, "folds"),
        (Seen(queries, tiny_queries(3, first=99)), WEIGHTS, 1, "folds, validation"),
        (Seen(queries, seed=1), WEIGHTS, 1, "seed"),
        (Seen(queries), TREES, 1, "space"),
        (Seen(queries), WEIGHTS, 2, "library"),
    ):
        with pytest.raises(StudyError, match=f"of another search, with other {odd}:"):
            searched(path, 1, seen=seen, space=space, about={"library": about})
    assert searched(path, 1, name="other", seen=Seen(queries, seed=1)).trials == 1


def test_each_query_is_scored_once_by_what_did_not_see_it(path: Path) -> None:
    fitter, queries = Linear(), tiny_queries(13)
    searched(path, 1, fitter, Seen(queries, folds=4))
    assert sorted(qid for call in fitter.calls for qid in call[2].qids) == queries.qids.tolist()
    for _, train, scored in fitter.calls:
        assert sorted([*train.qids, *scored.qids]) == queries.qids.tolist()


def test_blank_queries_are_left_out(path: Path) -> None:
    queries = tiny_queries(24)
    relevance = np.where(np.isin(queries.row_qids(), [3, 5, 9]), 0, queries.relevance).astype(np.int32)
    some = Queries(queries.features, relevance, queries.qids, queries.offsets)
    assert searched(path, 2, seen=Seen(some)).inner.shape == (21,)
    blank = Queries(queries.features, np.zeros_like(relevance), queries.qids, queries.offsets)
    with pytest.raises(ValueError, match="none of the 24 queries that the search sees has a relevant document"):
        searched(path, 2, seen=Seen(blank), name="blank")


@pytest.mark.parametrize(
    ("count", "folds", "message"),
    [(0, 3, "no queries to search on"), (4, 5, "needs 2 to 4 folds, not 5"), (4, 1, "needs 2 to 4 folds, not 1")],
)
def test_too_few_queries(count: int, folds: int, message: str) -> None:
    queries = tiny_queries(6)
    with pytest.raises(ValueError, match=message):
        Seen(queries.select(np.arange(6) < count), folds=folds)


def test_no_trials(path: Path) -> None:
    with pytest.raises(ValueError, match="needs 1 trial or more, not 0"):
        searched(path, 0)
