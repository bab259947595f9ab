from __future__ import annotations

import numpy as np
import pytest
import xgboost as xgb

from tests.training.tiny import tiny_queries
from training.fit import fit, model_bytes
from training.matrix import matrices
from training.recipe import Recipe
from training.segments import grow, segment_seed

TRAIN, VALI = tiny_queries(40, noise=2), tiny_queries(20, seed=1, noise=2)
SAMPLING = {"n_estimators": 24, "max_depth": 3, "subsample": 0.7, "colsample_bytree": 0.5, "segment_trees": 7}
RECIPES = [
    pytest.param(Recipe("sampling", {**SAMPLING, "colsample_bynode": 0.5}), id="rows and columns sampled"),
    pytest.param(Recipe("pairs", {**SAMPLING, "lambdarank_pair_method": "mean"}), id="pairs sampled"),
    pytest.param(Recipe("unbiased", {**SAMPLING, "lambdarank_unbiased": True}), id="state in the objective"),
    pytest.param(Recipe("forest", {**SAMPLING, "num_parallel_tree": 2}), id="two trees a round"),
    pytest.param(Recipe("leaves", {**SAMPLING, "grow_policy": "lossguide", "max_leaves": 6}), id="lossguide"),
    pytest.param(Recipe("approx", {**SAMPLING, "tree_method": "approx"}), id="approx"),
    pytest.param(Recipe("bins", {**SAMPLING, "max_bin": 16}), id="few bins"),
]


def saved(recipe: Recipe, *, resume: bytes | None = None, threads: int = 1) -> tuple[bytes, dict[int, bytes]]:
    kept: dict[int, bytes] = {}
    ranker = fit(TRAIN, VALI, recipe, seed=5, threads=threads, resume=resume, save=kept.__setitem__)
    return model_bytes(ranker), kept


@pytest.mark.parametrize("recipe", RECIPES)
def test_going_on_from_any_segment_gives_the_same_bytes(recipe: Recipe) -> None:
    model, kept = saved(recipe)
    assert list(kept) == [7, 14, 21, 24]
    for trees, checkpoint in kept.items():
        again, later = saved(recipe, resume=checkpoint, threads=2)
        assert again == model, trees
        assert later == {more: kept[more] for more in kept if more > trees}


def test_one_segment_is_a_run_without_segments() -> None:
    at_once = Recipe("at-once", {name: value for name, value in SAMPLING.items() if name != "segment_trees"})
    one = at_once.override("segment_trees=24")
    assert saved(one)[0] == saved(at_once)[0]
    assert saved(at_once)[1] == {}
    # Else segments would be of no use: they would make no difference to what a restart draws.
    assert saved(Recipe("sampling", SAMPLING))[0] != saved(at_once)[0]


def test_without_sampling_segments_change_nothing() -> None:
    plain = Recipe("plain", {"n_estimators": 20, "max_depth": 3})
    assert saved(plain.override("segment_trees=6"))[0] == saved(plain)[0]


@pytest.mark.parametrize("segment", [1, 2, 5, 8, 100])
def test_early_stopping_survives(segment: int) -> None:
    recipe = Recipe("stopping", {"n_estimators": 80, "max_depth": 3, "early_stopping_rounds": 4})
    at_once, in_segments = recipe, recipe.override(f"segment_trees={segment}")
    expected = fit(TRAIN, VALI, at_once, seed=5, threads=1)
    grown = expected.get_booster().num_boosted_rounds()
    assert expected.best_iteration + 5 == grown < 80, "this recipe must stop early"
    model, kept = saved(in_segments)
    assert model == model_bytes(expected)
    assert list(kept)[-1] == grown, "not a tree more than at once"
    for trees, checkpoint in kept.items():
        again, later = saved(in_segments, resume=checkpoint)
        assert again == model, trees
        assert list(later) == [more for more in kept if more > trees]


def test_progress_counts_all_trees() -> None:
    recipe = Recipe("sampling", SAMPLING)
    told: list[tuple[int, int, float | None]] = []
    kept: dict[int, bytes] = {}
    fit(TRAIN, VALI, recipe, seed=5, threads=1, progress=lambda *now: told.append(now), save=kept.__setitem__)
    assert [(trees, total) for trees, total, _ in told] == [(trees, 24) for trees in range(1, 25)]
    later: list[tuple[int, int, float | None]] = []
    fit(TRAIN, VALI, recipe, seed=5, threads=1, progress=lambda *now: later.append(now), resume=kept[14])
    assert later == told[14:], "the same NDCG as well"


def test_the_ranker_is_ready_to_predict() -> None:
    recipe = Recipe("stopping", {**SAMPLING, "early_stopping_rounds": 2})
    ranker = fit(TRAIN, VALI, recipe, seed=5, threads=1)
    assert ranker.predict(VALI.features).shape == (VALI.rows,)
    assert ranker.best_iteration < 24


def test_a_finished_run_grows_nothing() -> None:
    recipe = Recipe("sampling", SAMPLING)
    _, kept = saved(recipe)
    parameters = {"objective": "rank:ndcg", "tree_method": "hist", "n_jobs": 1}
    last = kept[24]
    with matrices(TRAIN) as data:
        assert grow(parameters, data, trees=24, segment_trees=7, seed=5, resume=last, save=refuse) == last


def refuse(trees: int, model: bytes) -> None:
    raise AssertionError(f"a segment ended at {trees} trees, {len(model)} bytes")


def test_every_segment_and_seed_has_its_own() -> None:
    seeds = [segment_seed(seed, segment) for seed in range(4) for segment in range(50)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert segment_seed(7, 0) == 7
    assert segment_seed(7, 1) == 828567334, "a change of this changes models"


def test_segments_are_xgboosts_own_continuation_each_with_its_seed() -> None:
    recipe = Recipe("sampling", SAMPLING)
    matrix = xgb.QuantileDMatrix(TRAIN.features, TRAIN.relevance, group=TRAIN.group_sizes)
    booster: xgb.Booster | None = None
    for segment, trees in enumerate((7, 7, 7, 3)):
        seed = segment_seed(5, segment)
        chosen = {"max_depth": 3, "subsample": 0.7, "colsample_bytree": 0.5, "objective": "rank:ndcg", "seed": seed}
        booster = xgb.train({**chosen, "nthread": 1}, matrix, trees, xgb_model=booster)
    assert booster is not None
    expected = booster.predict(xgb.DMatrix(VALI.features))
    np.testing.assert_array_equal(fit(TRAIN, None, recipe, seed=5, threads=1).predict(VALI.features), expected)
