from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost as xgb

from service.ranker import Ranker, booster_from_bytes
from service.schema import FeatureSchema
from tests.training.tiny import tiny_queries
from training.fit import METRIC, FitError, fit, model_bytes, usable_cpus
from training.queries import Queries
from training.recipe import Recipe, RecipeError, load_recipe

ROOT = Path(__file__).resolve().parents[2]
QUICK = Recipe("quick", {"n_estimators": 20, "max_depth": 3, "subsample": 0.8, "colsample_bytree": 0.5})
STOPPING = Recipe("stopping", {"n_estimators": 60, "subsample": 0.7, "early_stopping_rounds": 3})

TRAIN_IN_A_PROCESS = """
import hashlib, sys
from tests.training.tiny import tiny_queries
from training.fit import fit, model_bytes
from training.recipe import load_recipe
recipe = load_recipe("mslr-small").override("n_estimators=30")
model = model_bytes(fit(tiny_queries(40), None, recipe, seed=7, threads=int(sys.argv[1])))
print(hashlib.sha256(model).hexdigest())
"""


def relevance(queries: Queries, value: int) -> Queries:
    same = np.full(queries.rows, value, np.int32)
    return Queries(queries.features, same, queries.qids, queries.offsets)


def saved(model: bytes) -> Mapping[str, Any]:
    """All that the model file says, as XGBoost's own JSON."""
    return json.loads(bytes(booster_from_bytes(model).save_raw("json")))


def test_equal_bytes_over_processes_and_threads() -> None:
    digests: set[str] = set()
    for threads in ("1", "2"):
        command = [sys.executable, "-c", TRAIN_IN_A_PROCESS, threads]
        # Another hash seed orders sets otherwise; nothing of that may reach the model.
        environ = {**os.environ, "PYTHONHASHSEED": threads}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ, cwd=ROOT)
        digests.add(done.stdout.strip())
    recipe = load_recipe("mslr-small").override("n_estimators=30")
    here = model_bytes(fit(tiny_queries(40), None, recipe, seed=7, threads=1))
    assert digests == {hashlib.sha256(here).hexdigest()}


def test_is_xgbranker_fitted_by_query_id() -> None:
    train = tiny_queries(noise=2)
    plain = xgb.XGBRanker(n_estimators=20, max_depth=3, subsample=0.8, colsample_bytree=0.5, random_state=3, n_jobs=1)
    plain.fit(train.features, train.relevance, qid=train.row_qids())
    ours = fit(train, None, QUICK, seed=3, threads=1)
    np.testing.assert_array_equal(ours.predict(train.features), plain.predict(train.features))


def test_the_seed_counts() -> None:
    first, second = (model_bytes(fit(tiny_queries(), None, QUICK, seed=seed, threads=1)) for seed in (0, 1))
    assert first != second


@pytest.mark.parametrize("recipe", [QUICK, STOPPING], ids=lambda recipe: recipe.name)
def test_the_file_gives_xgbrankers_scores(recipe: Recipe, tmp_path: Path) -> None:
    train, vali, test = (tiny_queries(20, seed=seed, noise=2) for seed in range(3))
    ranker = fit(train, vali, recipe, threads=1)
    path = tmp_path / "model.ubj"
    path.write_bytes(model_bytes(ranker))
    expected = ranker.predict(test.features)

    again = xgb.XGBRanker()
    again.load_model(path)
    plain = xgb.Booster(model_file=path)
    ours = Ranker.load(path, FeatureSchema.from_names(["a", "b", "c", "d"]))
    np.testing.assert_array_equal(again.predict(test.features), expected)
    np.testing.assert_array_equal(plain.predict(xgb.DMatrix(test.features)), expected)
    np.testing.assert_array_equal(ours.score(test.features), expected)


def test_early_stopping_leaves_the_trees_that_it_would_have_stopped_at() -> None:
    train, vali = tiny_queries(20, seed=0, noise=2), tiny_queries(20, seed=1, noise=2)
    ranker = fit(train, vali, STOPPING, threads=1)
    trees = ranker.best_iteration + 1
    assert trees + 3 == ranker.get_booster().num_boosted_rounds() < STOPPING.trees
    fixed = Recipe("fixed", {"n_estimators": trees, "subsample": 0.7})
    assert model_bytes(ranker) == model_bytes(fit(train, None, fixed, threads=1))
    assert ranker.get_booster().attr("best_iteration") is not None  # the estimator itself stays as it was


def test_early_stopping_needs_validation_queries_and_the_recipes_word() -> None:
    train, vali = tiny_queries(20, noise=2), tiny_queries(20, seed=1, noise=2)
    without = fit(train, None, STOPPING, threads=1)
    assert without.get_booster().num_boosted_rounds() == STOPPING.trees
    assert model_bytes(fit(train, vali, QUICK, threads=1)) == model_bytes(fit(train, None, QUICK, threads=1))


def test_the_file_holds_nothing_that_varies() -> None:
    train, vali = tiny_queries(20, noise=2), tiny_queries(20, seed=1, noise=2)
    ranker = fit(train, vali, STOPPING, threads=1)
    ranker.get_booster().set_attr(host="here", scikit_learn="{}")
    model = model_bytes(ranker)
    learner = saved(model)["learner"]
    assert learner["attributes"] == {}
    assert learner["feature_names"] == []
    assert learner["feature_types"] == []
    assert b"nthread" not in model
    assert b"seed" not in model


def test_feature_names_are_dropped() -> None:
    train = tiny_queries()
    matrix = xgb.DMatrix(train.features, train.relevance, group=train.group_sizes, feature_names=list("abcd"))
    ranker = xgb.XGBRanker(n_estimators=1)
    ranker.fit(train.features, train.relevance, group=train.group_sizes)
    ranker.get_booster().feature_names = list("abcd")
    assert saved(model_bytes(ranker))["learner"]["feature_names"] == []
    assert ranker.get_booster().feature_names == list("abcd")
    assert ranker.get_booster().predict(matrix).shape == (train.rows,)


def test_progress_tells_of_every_tree() -> None:
    told: list[tuple[int, int, float | None]] = []
    fit(tiny_queries(), None, QUICK, threads=1, progress=lambda *now: told.append(now))
    assert told == [(tree, 20, None) for tree in range(1, 21)]


def test_progress_tells_the_validation_ndcg_and_changes_nothing() -> None:
    train, vali = tiny_queries(), tiny_queries(seed=1)
    told: list[float | None] = []
    ranker = fit(train, vali, QUICK, threads=1, progress=lambda _tree, _trees, ndcg: told.append(ndcg))
    assert told == ranker.evals_result()["validation_0"][METRIC]
    assert model_bytes(ranker) == model_bytes(fit(train, None, QUICK, threads=1))


def test_progress_can_stop_the_training() -> None:
    def stop(tree: int, _trees: int, _ndcg: float | None) -> None:
        if tree == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(tiny_queries(), None, QUICK, threads=1, progress=stop)


def test_missing_values_and_one_document_queries() -> None:
    train = tiny_queries()
    alone = Queries.grouped(train.features[:3], train.relevance[:3], np.array([1, 2, 3]))
    mixed = Queries.grouped(
        np.concatenate([train.features, alone.features]),
        np.concatenate([train.relevance, alone.relevance]),
        np.concatenate([train.row_qids(), alone.row_qids() + 100]),
    )
    scores = fit(mixed, None, QUICK, threads=1).predict(np.full((2, 4), np.nan, np.float32))
    assert np.isfinite(scores).all()


@pytest.mark.parametrize(
    ("train", "vali", "message"),
    [
        pytest.param(tiny_queries(0), None, "there are no training queries", id="no queries"),
        pytest.param(tiny_queries(), tiny_queries(0), "there are no validation queries", id="no validation queries"),
        pytest.param(tiny_queries(), tiny_queries(width=5), "have 5 features, the training queries 4", id="widths"),
        pytest.param(relevance(tiny_queries(), 0), None, "none of the 12 training queries", id="all blank"),
        pytest.param(relevance(tiny_queries(), 3), None, "none of the 12 training queries", id="all equal"),
        pytest.param(
            Queries(np.ones((2, 1), np.float32), np.array([0, 40], np.int32), np.array([1]), np.array([0, 2])),
            None,
            "recipe quick on 1 queries: .*31",
            id="label too large for the gain",
        ),
    ],
)
def test_data_that_makes_no_model(train: Queries, vali: Queries | None, message: str) -> None:
    with pytest.raises(FitError, match=message) as caught:
        fit(train, vali, QUICK, threads=1)
    assert "Stack trace" not in str(caught.value)


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_bad_seed(seed: int) -> None:
    with pytest.raises(FitError, match="the seed must be from 0 to 2147483647"):
        fit(tiny_queries(), None, QUICK, seed=seed)


def test_bad_values_are_the_recipes_fault() -> None:
    with pytest.raises(RecipeError, match="recipe bad: value -1 for Parameter learning_rate"):
        fit(tiny_queries(), None, Recipe("bad", {"learning_rate": -1.0}))


def test_binary_relevance_only() -> None:
    with pytest.raises(FitError, match="map can only be used with binary labels"):
        fit(tiny_queries(), None, QUICK.override("objective=rank:map"), threads=1)


def test_usable_cpus() -> None:
    assert 1 <= usable_cpus() <= (os.cpu_count() or 1)
