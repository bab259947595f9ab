from __future__ import annotations

import numpy as np
import pytest

from tests.training.reporting import GOOD, POOR, fold, model
from training import anatomy
from training.anatomy import importance, learning_curve
from training.evaluate import score_queries
from training.ndcg import ndcg


def test_importance_is_of_the_features_that_trees_use() -> None:
    data = fold()
    found = importance(model(data, POOR), data.test)
    # One tree with one split: one feature is everything.
    assert [(each.contribution, each.gain) for each in found] == [(1, 1), *[(0, 0)] * 4]
    splits = model(data, POOR).booster.get_score(importance_type="weight")
    assert [f"f{int(name[1:]) + 1}" for name in splits] == [found[0].feature]


def test_shares_add_up_and_come_in_order() -> None:
    data = fold()
    found = importance(model(data, GOOD), data.test)
    assert sum(each.contribution for each in found) == pytest.approx(1)
    assert sum(each.gain for each in found) == pytest.approx(1)
    assert [each.contribution for each in found] == sorted((each.contribution for each in found), reverse=True)


def test_the_curve_ends_with_the_whole_model() -> None:
    data = fold()
    fitted = model(data, GOOD)
    found = learning_curve(fitted, data.train)
    trees = [each for each, _ in found]
    assert (trees[0], trees[-1]) == (1, 30)
    assert trees == sorted(set(trees))
    assert len(trees) <= anatomy.CURVE_POINTS
    whole = ndcg(score_queries(fitted.ranker, data.train), data.train.relevance, data.train.offsets).mean(10)
    assert found[-1][1] == whole > found[0][1]
    assert learning_curve(model(data, POOR), data.test)[-1][0] == 1


def test_large_data_is_sampled_by_whole_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    data = fold()
    fitted = model(data, GOOD)
    monkeypatch.setattr(anatomy, "EXPLAINED_ROWS", 1)
    first = data.test.select(np.arange(data.test.count) == 0)
    assert importance(fitted, data.test) == importance(fitted, first)
