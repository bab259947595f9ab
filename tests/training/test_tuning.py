from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from tests.training.tiny import tiny_queries
from training import tuning
from training.crossval import fold_members, model_scores
from training.fit import fit, model_bytes
from training.ndcg import ndcg
from training.plan import TEST, VALI, Plan, seen_and_hidden
from training.queries import Fold, concat
from training.recipe import Recipe, RecipeError
from training.search import Seen
from training.space import Choice, Space, Span
from training.study import StudyError
from training.tuning import Tuned, XGBoost, tune

SPACE = Space(
    "tiny",
    "",
    {"learning_rate": 0.3, "max_depth": 3},
    {"n_estimators": 5},
    {"learning_rate": Span(0.01, 0.5, True, "r"), "max_depth": Choice((1, 3, 5), "r")},
)
FOLD = Fold(tiny_queries(12), tiny_queries(6, first=101, seed=1), tiny_queries(9, first=201, seed=2))
UNUSED = JournalStorage(JournalFileBackend(os.devnull))
Call = tuple[set[int], set[int], set[int]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Queries that each fit was given: learnt from, watched, scored."""
    seen: list[Call] = []
    real = XGBoost.__call__

    def spy(self: XGBoost, parameters: Any, *given: Any) -> NDArray[np.float32]:
        train, vali, scored, _ = given
        seen.append((set(train.qids.tolist()), set(vali.qids.tolist() if vali else ()), set(scored.qids.tolist())))
        return real(self, parameters, *given)

    monkeypatch.setattr(XGBoost, "__call__", spy)
    return seen


def tuned(folder: Path, plan: Plan, fold: Fold = FOLD, exclude: tuple[int, ...] = (), study: str = "s.log") -> Tuned:
    seen, hidden = seen_and_hidden(fold, plan, exclude)
    return tune(seen, hidden, SPACE, plan, folder / study, threads=1)


@pytest.mark.parametrize("inner", [3, VALI])
def test_the_search_never_sees_the_holdout(tmp_path: Path, calls: list[Call], inner: int) -> None:
    found = tuned(tmp_path, Plan(TEST, inner, trials=6))
    hidden = set(FOLD.test.qids.tolist())
    *searching, last = calls
    assert len(searching) >= 6
    for learnt, watched, scored in searching:
        assert not (learnt | watched | scored) & hidden
        assert not learnt & scored
    assert last[2] == hidden
    assert not (last[0] | last[1]) & hidden
    assert found.outer.queries == len(hidden)


def test_another_holdout_changes_the_outer_score_and_nothing_else(tmp_path: Path) -> None:
    other = Fold(FOLD.train, FOLD.vali, tiny_queries(7, first=301, seed=5, noise=3))
    first, second = (tuned(tmp_path, Plan(trials=6), fold, study=fold.sha256) for fold in (FOLD, other))
    assert first.recipe.parameters == second.recipe.parameters
    assert first.inner == second.inner
    assert first.outer.to_json()["ndcg@10"] != second.outer.to_json()["ndcg@10"]


def test_no_outer_fold_is_seen_by_its_search(tmp_path: Path, calls: list[Call]) -> None:
    plan = Plan(outer=3, inner=2, trials=4)
    found = tuned(tmp_path, plan)
    pooled = concat(concat(FOLD.train, FOLD.vali or FOLD.train), FOLD.test)
    members = fold_members(pooled.count, 3, plan.seed)
    at = 0
    for fold in range(3):
        hidden = set(pooled.qids[members == fold].tolist())
        # The calls of this outer fold end with the one that scores it.
        end = next(number for number, call in enumerate(calls[at:], at) if call[2] == hidden)
        assert end - at >= 4
        for learnt, watched, scored in calls[at:end]:
            assert not (learnt | watched | scored) & hidden
        assert calls[end][0] == set(pooled.qids.tolist()) - hidden
        at = end + 1
    assert found.outer.queries == pooled.count
    assert found.looks == 0
    assert [each.trials for each in found.searches] == [4, 4, 4, 4]
    assert found.recipe.provenance["outer_trials"] == [4, 4, 4]
    assert found.outer.split == "3-fold nested cross-validation"


def test_excluded_queries_are_neither_searched_nor_scored(tmp_path: Path, calls: list[Call]) -> None:
    gone = (1, 2, 101, 201, 202, 999)
    found = tuned(tmp_path, Plan(trials=2), exclude=gone)
    assert not set().union(*(part for call in calls for part in call)) & set(gone)
    assert found.outer.queries == 7
    assert found.recipe.provenance["searched_queries"] == 15


def test_the_outer_score_is_that_of_the_recipe_fitted_to_what_was_seen(tmp_path: Path) -> None:
    found = tuned(tmp_path, Plan(trials=4))
    assert FOLD.vali is not None
    model = model_bytes(fit(concat(FOLD.train, FOLD.vali), None, found.recipe, threads=1))
    expected = ndcg(model_scores(model, FOLD.test), FOLD.test.relevance, FOLD.test.offsets)
    np.testing.assert_array_equal(found.outer.ours.values, expected.values)


def test_provenance_says_how_it_was_found(tmp_path: Path) -> None:
    plan = Plan(trials=5, seed=3)
    found = tuned(tmp_path, plan)
    seen, hidden = seen_and_hidden(FOLD, plan)
    assert hidden is not None
    recipe = found.recipe
    assert recipe.tried == 5 == found.outer.tried
    assert recipe.chosen_on == "mean NDCG@10 (blank queries skipped) on 3-fold cross-validation of 18 queries"
    told = dict(recipe.provenance)
    assert (told["space"], told["space_sha256"]) == ("tiny", SPACE.sha256)
    assert (told["seed"], told["trials_asked"], told["trials"]) == (3, 5, 5)
    assert (told["searched_queries"], told["searched_sha256"]) == (18, seen.sha256)
    assert (told["outer"], told["outer_queries"], told["outer_sha256"]) == ("test", 9, hidden.sha256)
    assert told["inner_ndcg@10"] == round(found.inner, 6)
    low, high = told["inner_interval"]
    assert low < told["inner_ndcg@10"] < high
    low, high = told["outer_interval"]
    assert low < told["outer_ndcg@10"] < high
    assert told["holdout_looks"] == 1
    assert "minutes_asked" not in told


def test_equal_plans_give_equal_recipes_and_going_on_changes_nothing(tmp_path: Path) -> None:
    first = tuned(tmp_path, Plan(trials=6))
    again = tuned(tmp_path, Plan(trials=6), study="other.log")
    tuned(tmp_path, Plan(trials=2), study="parts.log")
    parts = tuned(tmp_path, Plan(trials=6), study="parts.log")
    assert first.recipe == again.recipe
    assert parts.recipe.parameters == first.recipe.parameters
    assert parts.inner == first.inner


def test_every_further_recipe_on_the_holdout_is_counted(tmp_path: Path) -> None:
    looks: list[int] = []
    parameters: set[str] = set()
    for trials in (1, 1, 12):
        found = tuned(tmp_path, Plan(trials=trials))
        looks.append(found.looks)
        parameters.add(str(found.recipe.parameters))
    assert looks == [1, 1, len(parameters)] == [1, 1, 2]


def test_time_is_shared_among_the_searches(tmp_path: Path) -> None:
    # No time for more than the one trial that each search gets anyway.
    found = tuned(tmp_path, Plan(outer=3, inner=2, trials=50, minutes=1e-6))
    assert [each.trials for each in found.searches] == [1, 1, 1, 1]
    assert found.recipe.provenance["minutes_asked"] == 1e-6


def test_later_searches_get_what_earlier_ones_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(tuning.time, "monotonic", lambda: now)
    searches = tuning.Searches(SPACE, XGBoost(), Plan(outer=3, minutes=1), UNUSED, began=100.0)
    assert searches._budget().until == 100 + 60 / 4
    searches.found.extend([tuning.Found({}, np.ones(1), 1, 0)] * 2)
    now = 110.0
    assert searches._budget().until == 110 + 50 / 2
    assert tuning.Searches(SPACE, XGBoost(), Plan(), UNUSED)._budget().until == float("inf")


def test_one_study_file_is_not_for_two_plans(tmp_path: Path) -> None:
    tuned(tmp_path, Plan(trials=1))
    with pytest.raises(StudyError, match="with other seed"):
        tuned(tmp_path, Plan(trials=1, seed=1))
    with pytest.raises(StudyError, match="with other folds"):
        tuned(tmp_path, Plan(trials=1, inner=4))


def test_more_outer_folds_than_queries(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="27 queries cannot be nested in 28 outer folds"):
        tuned(tmp_path, Plan(outer=28, inner=2))


def test_a_space_that_xgboost_refuses(tmp_path: Path) -> None:
    space = Space("bad", "", {"max_depth": 3}, {}, {"max_depth": Span(-5, 3, False, "r")})
    with pytest.raises(RecipeError, match="max_depth"):
        tune(Seen(FOLD.train), FOLD.test, space, Plan(), tmp_path / "s.log")
    assert not (tmp_path / "s.log").exists()


def test_a_recipe_of_a_trial_is_fitted_as_any_other() -> None:
    scores = XGBoost(seed=4, threads=1)({"n_estimators": 3, "subsample": 0.5}, FOLD.train, None, FOLD.test, None)
    recipe = Recipe("r", {"n_estimators": 3, "subsample": 0.5})
    np.testing.assert_array_equal(scores, fit(FOLD.train, None, recipe, seed=4, threads=1).predict(FOLD.test.features))
