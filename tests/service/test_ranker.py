from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import xgboost as xgb

from service.errors import ModelUnreadable, SchemaMismatch
from service.ranker import Floats, Ranker, booster_from_bytes
from service.schema import FeatureSchema
from tests.service.bundles import NAMES, train_model

SCHEMA = FeatureSchema.from_names(NAMES)


def make_ranker(**parameters: object) -> Ranker:
    return Ranker(booster_from_bytes(train_model(**parameters)), SCHEMA)  # pyright: ignore[reportArgumentType]


def documents(count: int, seed: int = 7) -> Floats:
    random = np.random.default_rng(seed)
    features = random.normal(size=(count, len(NAMES))).astype(np.float32)
    features[random.random(features.shape) < 0.2] = np.nan
    return features


def test_scores_are_xgboosts_own() -> None:
    model = train_model()
    features = documents(130)
    direct = xgb.Booster(model_file=bytearray(model)).predict(xgb.DMatrix(features, missing=np.nan))
    assert np.array_equal(Ranker(booster_from_bytes(model), SCHEMA).score(features), direct)


def test_score_of_a_document_does_not_depend_on_its_company() -> None:
    ranker, features = make_ranker(), documents(130)
    alone = np.concatenate([ranker.score(features[row : row + 1]) for row in range(len(features))])
    assert np.array_equal(ranker.score(features), alone)


def test_order_is_falling_score_then_input_order() -> None:
    ranker, features = make_ranker(trees=1), documents(60)
    ranking = ranker.rank(features)
    expected = sorted(range(60), key=lambda item: (-ranking.scores[item], item))
    assert len(set(ranking.scores.tolist())) < 60, "a single tree must give ties for this to test anything"
    assert ranking.order.tolist() == expected


def test_permuted_documents_keep_their_scores() -> None:
    ranker, features = make_ranker(), documents(50)
    permutation = np.random.default_rng(1).permutation(50)
    assert np.array_equal(ranker.score(features)[permutation], ranker.score(features[permutation]))


@pytest.mark.parametrize(("top_k", "length"), [(None, 9), (1, 1), (9, 9), (100, 9)])
def test_top_k(top_k: int | None, length: int) -> None:
    ranker, features = make_ranker(), documents(9)
    ranking = ranker.rank(features, top_k)
    assert ranking.order.tolist() == ranker.rank(features).order.tolist()[:length]
    assert len(ranking.scores) == 9


def test_missing_is_not_zero() -> None:
    ranker = make_ranker()
    missing = np.full((1, len(NAMES)), np.nan, np.float32)
    assert ranker.score(missing) != ranker.score(np.zeros_like(missing))


def test_contributions_add_up_to_the_score() -> None:
    ranker, features = make_ranker(), documents(20)
    contributions = ranker.contributions(features)
    assert contributions.shape == (20, len(NAMES) + 1)
    np.testing.assert_allclose(contributions.sum(axis=1), ranker.score(features), atol=1e-5)


def test_early_stopped_booster_scores_like_the_estimator_that_made_it() -> None:
    features = np.nan_to_num(documents(200))
    relevance = np.clip(np.round(features[:, 0]), 0, 3)
    estimator = xgb.XGBRanker(n_estimators=40, early_stopping_rounds=3, eval_metric="ndcg@10")
    noise = np.random.default_rng(0).permutation(relevance)
    estimator.fit(features, relevance, group=[20] * 10, eval_set=[(features, noise)], eval_group=[[20] * 10], verbose=0)
    booster = estimator.get_booster()
    assert estimator.best_iteration + 1 < booster.num_boosted_rounds(), "nothing was cut, so nothing is tested"
    assert np.array_equal(Ranker(booster, SCHEMA).score(features), estimator.predict(features))


def test_one_ranker_serves_several_threads() -> None:
    ranker = make_ranker()
    batches = [documents(1 + size % 70, seed=size) for size in range(200)]
    expected = [ranker.score(batch).tobytes() for batch in batches]
    with ThreadPoolExecutor(4) as threads:
        assert [scores.tobytes() for scores in threads.map(ranker.score, batches)] == expected


def test_no_documents_give_no_scores() -> None:
    assert make_ranker().score(np.empty((0, len(NAMES)), np.float32)).shape == (0,)


@pytest.mark.parametrize(
    "features",
    [np.zeros((2, 3), np.float32), np.zeros(4, np.float32), np.zeros((2, 4), np.float64), np.zeros((1, 2, 4), "f4")],
)
def test_other_shapes_and_types_are_refused(features: Floats) -> None:
    with pytest.raises(ValueError, match=r"float32 \[n, 4\] is expected"):
        make_ranker().score(features)


def test_width_must_be_the_models() -> None:
    with pytest.raises(SchemaMismatch, match="takes 4 features, the schema names 3"):
        Ranker(booster_from_bytes(train_model()), FeatureSchema.from_names(NAMES[:3]))


@pytest.mark.parametrize("cut", [0, 1, 500, -100, -1])
def test_broken_model_files_are_refused(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "model.ubj"
    path.write_bytes(train_model()[:cut])
    with pytest.raises(ModelUnreadable, match=r"model\.ubj is no UBJSON document"):
        Ranker.load(path, SCHEMA)


def test_well_formed_nonsense_is_refused() -> None:
    with pytest.raises(ModelUnreadable, match="XGBoost cannot read these 6 bytes"):
        booster_from_bytes(b"{U\x01aZ}")


def test_linear_boosters_are_refused() -> None:
    model = train_model(booster="gblinear", max_depth=None)
    with pytest.raises(ModelUnreadable, match="'gblinear' cannot rank here"):
        Ranker(booster_from_bytes(model), SCHEMA)


def test_models_with_several_outputs_are_refused() -> None:
    matrix = xgb.DMatrix(np.nan_to_num(documents(60)), np.arange(60) % 3)
    booster = xgb.train({"objective": "multi:softprob", "num_class": 3}, matrix, 2)
    with pytest.raises(ModelUnreadable, match="gives 3 values a document"):
        Ranker(booster, SCHEMA)


def test_dart_ranks_too() -> None:
    ranker = make_ranker(booster="dart", rate_drop=0.5)
    assert ranker.score(documents(5)).shape == (5,)
