from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import xgboost as xgb

from service.prediction import Prediction
from service.ranker import booster_from_bytes
from tests.service.bundles import train_model

WIDTH = 5


def rows(count: int, seed: int = 0) -> Any:
    random = np.random.default_rng(seed)
    features = random.normal(size=(count, WIDTH)).astype(np.float32)
    features[random.random(features.shape) < 0.2] = np.nan
    return features


def booster(**parameters: Any) -> xgb.Booster:
    return booster_from_bytes(train_model(WIDTH, trees=30, **parameters))


def bits(scores: Any) -> bytes:
    assert scores.dtype == np.float32
    return scores.tobytes()


@pytest.mark.parametrize("parameters", [{}, {"booster": "dart", "rate_drop": 0.3}, {"num_parallel_tree": 2}])
@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 300])
def test_scores_are_the_bits_of_inplace_predict(parameters: dict[str, Any], count: int):
    model, features = booster(**parameters), rows(count)
    assert bits(Prediction(model, (0, 0))(features)) == bits(model.inplace_predict(features))


@pytest.mark.parametrize("trees", [(0, 1), (0, 7), (3, 9)])
def test_a_range_of_trees_is_kept_to(trees: tuple[int, int]):
    model, features = booster(), rows(10)
    scores = Prediction(model, trees)(features)
    assert bits(scores) == bits(model.inplace_predict(features, iteration_range=trees))
    assert bits(scores) != bits(Prediction(model, (0, 0))(features))


@pytest.mark.parametrize("view", [lambda m: m[::2], lambda m: m[:, ::-1], np.asfortranarray, lambda m: m[3:]])
def test_views_are_read_as_they_look(view: Any):
    model, features = booster(), view(rows(20))
    assert bits(Prediction(model, (0, 0))(features)) == bits(model.inplace_predict(np.array(features, order="C")))


def test_scores_are_the_callers_own():
    score = Prediction(booster(), (0, 0))
    first = score(rows(4))
    kept = first.copy()
    assert bits(score(rows(4, seed=1))) != bits(kept)
    assert bits(first) == bits(kept)
    first[0] = 7


def test_another_width_is_refused():
    with pytest.raises(xgb.core.XGBoostError, match="columns"):
        Prediction(booster(), (0, 0))(np.zeros((2, WIDTH + 1), np.float32))


def test_the_booster_lives_as_long():
    score = Prediction(booster(), (0, 0))
    gc.collect()
    assert score(rows(3)).shape == (3,)


def test_threads_do_not_get_each_others_scores():
    score, model = Prediction(booster(), (0, 0)), booster()
    expected = [bits(model.inplace_predict(rows(40, seed))) for seed in range(16)]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            assert [bits(scores) for scores in pool.map(lambda seed: score(rows(40, seed)), range(16))] == expected
