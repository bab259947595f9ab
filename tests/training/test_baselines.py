from __future__ import annotations

import numpy as np
import pytest
import xgboost as xgb

from service.schema import FeatureSchema
from tests.training.reporting import GOOD, NAMES, fold
from tests.training.tiny import tiny_queries
from training.baselines import (
    DEFAULTS,
    FEATURE,
    LAMBDARANK,
    POINTWISE,
    RANDOM,
    Yardsticks,
    best_feature,
    feature_scores,
)
from training.fit import fit
from training.queries import Queries
from training.recipe import load_recipe

NAMED = FeatureSchema.from_names(NAMES)


def test_each_yardstick_is_what_it_says() -> None:
    told: list[tuple[int, int]] = []
    data = fold()
    yardsticks = Yardsticks(data, NAMED, {**GOOD.parameters, "lambdarank_pair_method": "topk"}, 30, threads=1)
    found = {each.name: each for each in yardsticks.measure(lambda *now: told.append(now))}
    assert list(found) == [RANDOM, FEATURE, POINTWISE, DEFAULTS, LAMBDARANK]
    assert told[-1] == (5, 5)
    means = {name: each.found.mean(10) for name, each in found.items() if each.found is not None}
    assert means[RANDOM] < means[FEATURE] < means[DEFAULTS]
    assert means[POINTWISE] > means[RANDOM] + 0.05
    defaults = fit(data.train, None, load_recipe("xgboost-defaults"), threads=1)
    np.testing.assert_array_equal(found[DEFAULTS].scores, defaults.predict(data.test.features))
    assert found[DEFAULTS].model is not None
    # Not there means not measured, never a number.
    assert found[LAMBDARANK].found is None
    assert "not measured: install it with python -m training.environment lightgbm" in found[LAMBDARANK].about


def test_the_pointwise_model_is_fitted_to_labels_by_the_models_own_parameters() -> None:
    data = fold()
    parameters = {"max_depth": 4, "learning_rate": 0.2, "ndcg_exp_gain": True, "lambdarank_unbiased": True}
    scores = Yardsticks(data, NAMED, {"objective": "rank:ndcg", **parameters}, 20, threads=1)._pointwise()
    regressor = xgb.XGBRegressor(max_depth=4, learning_rate=0.2, n_estimators=20, random_state=0)
    regressor.fit(data.train.features, data.train.relevance)
    np.testing.assert_array_equal(scores, regressor.predict(data.test.features))
    # Labels and not differences: their mean is learned.
    assert abs(scores.mean() - data.train.relevance.mean()) < 0.2


@pytest.mark.parametrize("sign", [1, -1])
def test_the_best_feature_and_its_direction(sign: int) -> None:
    queries = tiny_queries(30)
    features = queries.features.copy()
    features[:, [0, 2]] = sign * features[:, [2, 0]]
    turned = Queries(features, queries.relevance, queries.qids, queries.offsets)
    assert best_feature(turned, FeatureSchema.from_names("abcd")) == (2, sign == 1)


def test_missing_values_come_last_either_way() -> None:
    queries = Queries(
        np.array([[np.nan], [1], [3]], np.float32), np.array([0, 1, 2], np.int32), np.array([1]), np.array([0, 3])
    )
    assert np.argsort(-feature_scores(queries, 0, True), kind="stable").tolist() == [2, 1, 0]
    assert np.argsort(-feature_scores(queries, 0, False), kind="stable").tolist() == [1, 2, 0]


def test_queries_that_tell_nothing_still_name_a_feature() -> None:
    queries = tiny_queries(3)
    blank = Queries(queries.features, np.zeros_like(queries.relevance), queries.qids, queries.offsets)
    assert best_feature(blank, FeatureSchema.from_names("abcd")) == (0, True)
