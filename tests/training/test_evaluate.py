from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost as xgb
from rich.console import Console

from service.ranker import Ranker, booster_from_bytes
from service.schema import FeatureSchema
from tests.training.tiny import tiny_queries
from training.evaluate import Evaluation, evaluate, measured, score_queries
from training.fit import fit, model_bytes
from training.letor import read_fold
from training.ndcg import Convention
from training.queries import Queries
from training.recipe import Recipe, load_recipe

QUICK = Recipe("quick", {"n_estimators": 20, "max_depth": 3})


def ranker_of(estimator: xgb.XGBRanker, width: int = 4) -> Ranker:
    schema = FeatureSchema.from_names(f"f{column}" for column in range(1, width + 1))
    return Ranker(booster_from_bytes(model_bytes(estimator)), schema)


@pytest.fixture(scope="module")
def estimator() -> xgb.XGBRanker:
    return fit(tiny_queries(30), None, QUICK, threads=1)


def with_blank(queries: Queries, blank: int) -> Queries:
    """The same with the first `blank` queries without a relevant document."""
    relevance = queries.relevance.copy()
    relevance[: queries.offsets[blank]] = 0
    return Queries(queries.features, relevance, queries.qids, queries.offsets)


def printed(evaluation: Evaluation) -> str:
    text = StringIO()
    Console(width=100, file=text).print(evaluation.table())
    return text.getvalue()


def test_scores_are_xgbrankers(estimator: xgb.XGBRanker) -> None:
    queries = tiny_queries(seed=5)
    told: list[tuple[int, int]] = []
    scores = score_queries(ranker_of(estimator), queries, lambda *now: told.append(now))
    np.testing.assert_array_equal(scores, estimator.predict(queries.features))
    assert told == [(query, 12) for query in range(1, 13)]


def test_a_model_beats_a_random_order(estimator: xgb.XGBRanker) -> None:
    evaluation = evaluate(ranker_of(estimator), tiny_queries(seed=5), tried=4)
    assert evaluation.ours.mean(10) > 0.8 > evaluation.random.mean(10) + 0.1
    low, high = evaluation.intervals[10]
    assert low < evaluation.ours.mean(10) < high


def test_json_for_the_manifest(estimator: xgb.XGBRanker) -> None:
    queries = with_blank(tiny_queries(seed=5), 3)
    evaluation = evaluate(ranker_of(estimator), queries, split="vali", tried=4)
    found = evaluation.to_json()
    assert json.dumps(found) == json.dumps(evaluate(ranker_of(estimator), queries, split="vali", tried=4).to_json())
    at_ten: dict[str, Any] = found.pop("ndcg@10")
    assert {name: value for name, value in found.items() if not name.startswith("ndcg@")} == {
        "split": "vali",
        "queries": 12,
        "blank_queries": 3,
        "rows": queries.rows,
        "gain": "2^relevance - 1",
        "headline": "skip",
        "interval_level": 0.95,
        "recipes_tried": 4,
    }
    assert at_ten == {
        "skip": round(evaluation.ours.mean(10, Convention.SKIP), 6),
        "zero": round(evaluation.ours.mean(10, Convention.ZERO), 6),
        "one": round(evaluation.ours.mean(10, Convention.ONE), 6),
        "interval": [round(edge, 6) for edge in evaluation.intervals[10]],
        "random": round(evaluation.random.mean(10), 6),
    }
    assert at_ten["zero"] < at_ten["skip"] < at_ten["one"]


def test_all_blank_has_no_headline(estimator: xgb.XGBRanker) -> None:
    evaluation = evaluate(ranker_of(estimator), with_blank(tiny_queries(), 12))
    found = evaluation.to_json()["ndcg@10"]
    assert found == {"skip": None, "zero": 0.0, "one": 1.0, "interval": [None, None], "random": None}
    assert json.loads(json.dumps(evaluation.to_json(), allow_nan=False))
    assert "- to -" in printed(evaluation)


def test_the_table_says_what_the_numbers_mean(estimator: xgb.XGBRanker) -> None:
    evaluation = evaluate(ranker_of(estimator), with_blank(tiny_queries(seed=5), 3), split="vali", tried=4)
    text = " ".join(printed(evaluation).split())
    assert "NDCG, vali" in text
    assert f"{evaluation.intervals[10][0]:.4f} to {evaluation.intervals[10][1]:.4f}" in text
    assert f"{evaluation.random.mean(10):.4f}" in text
    assert "9 of 12 queries count; 3 are blank (no relevant document) and left out" in text
    assert "Recipes tried: 4." in text
    assert "95%" in evaluation.summary()
    assert "9 queries, blank ones skipped" in evaluation.summary()


def test_tried_is_not_made_up() -> None:
    queries = tiny_queries()
    evaluation = measured(queries.features[:, 0].copy(), queries, split="test")
    assert evaluation.to_json()["recipes_tried"] is None
    assert "how many recipes were tried is not known" in str(evaluation.table().caption).lower()


def test_refusals(estimator: xgb.XGBRanker) -> None:
    ranker = ranker_of(estimator)
    with pytest.raises(ValueError, match="the data has 5 features, the model was trained on 4"):
        evaluate(ranker, tiny_queries(width=5))
    with pytest.raises(ValueError, match="no queries to evaluate on"):
        evaluate(ranker, tiny_queries(0))


def test_floor_on_real_queries(mslr_sample: Path) -> None:
    """Published LambdaMART got 0.348 here, a random order gets 0.173; a floor nearer than 0.30 would fire on noise."""
    fold = read_fold(mslr_sample)
    recipe = load_recipe()
    estimator = fit(fold.train, None, recipe)
    evaluation = evaluate(ranker_of(estimator, 136), fold.test, tried=recipe.tried)
    assert (evaluation.queries, evaluation.blank) == (43, 0)
    assert evaluation.random.mean(10) < 0.18
    assert evaluation.ours.mean(10) >= 0.30
