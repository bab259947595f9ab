from __future__ import annotations

import numpy as np
import pytest

from service.schema import FeatureSchema
from tests.training.reporting import GOOD, NAMES, POOR, fold, model
from training.evaluate import score_queries
from training.models import Model
from training.movers import effects, movers
from training.ndcg import ndcg
from training.queries import Fold, Queries

NAMED = FeatureSchema.from_names(NAMES)


@pytest.fixture(scope="module")
def data() -> Fold:
    return fold()


@pytest.fixture(scope="module")
def models(data: Fold) -> tuple[Model, Model]:
    return model(data, POOR), model(data, GOOD)


@pytest.mark.parametrize("cutoff", [1, 5, 10])
def test_effects_add_up_to_the_difference(data: Fold, models: tuple[Model, Model], cutoff: int) -> None:
    test = data.test
    scores = [score_queries(each.ranker, test) for each in models]
    before, after = (ndcg(each, test.relevance, test.offsets, [cutoff]) for each in scores)
    found = np.add.reduceat(effects(scores[0], scores[1], test, cutoff), test.offsets[:-1])
    np.testing.assert_allclose(found, np.where(before.blank, 0, (after.values - before.values)[:, 0]), atol=1e-12)


def test_movers_are_named_as_the_data_names_them(data: Fold, models: tuple[Model, Model]) -> None:
    test = data.test
    scores = tuple(score_queries(each.ranker, test) for each in models)
    found = movers(models, (scores[0], scores[1]), test, NAMED, count=6)
    assert len(found) == 6
    assert [abs(each.effect) for each in found] == sorted((abs(each.effect) for each in found), reverse=True)
    for each in found:
        row = int(test.offsets[test.qids.tolist().index(each.qid)]) + each.document - 1
        assert test.relevance[row] == each.relevance > 0
        assert (each.after < each.before) == (each.effect > 0)
        assert all((push > 0) == (each.after < each.before) for _, push in each.features)


def test_the_feature_that_moved_it_is_found(data: Fold) -> None:
    """The challenger is the champion on data with one column turned over: that column is what moves documents."""
    fitted = model(data, GOOD)
    test = data.test
    features = test.features.copy()
    features[:, 2] = -features[:, 2]
    turned = model(Fold(Queries(_turned(data.train.features), data.train.relevance, data.train.qids,
                                data.train.offsets), None, test), GOOD)  # fmt: skip
    scores = (score_queries(fitted.ranker, test), score_queries(turned.ranker, test))
    found = movers((fitted, turned), scores, test, NAMED, count=5)
    assert sum(each.features[0][0] == "f3" for each in found) >= 3


def _turned(features: np.ndarray) -> np.ndarray:
    turned = features.copy()
    turned[:, 2] = -turned[:, 2]
    return turned


def test_equal_models_move_nothing(data: Fold, models: tuple[Model, Model]) -> None:
    scores = score_queries(models[0].ranker, data.test)
    assert movers((models[0], models[0]), (scores, scores), data.test, NAMED) == []
