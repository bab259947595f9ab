"""Models and findings for the tests of the report: small, synthetic, and with names that try to break out of a page."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from service.ranker import Ranker, booster_from_bytes
from service.schema import FeatureSchema
from training.findings import Findings, gather
from training.fit import fit, model_bytes
from training.models import Model
from training.queries import Fold, Queries
from training.recipe import Recipe
from training.synthetic import synthetic_fold

GOOD = Recipe("good", {"n_estimators": 30, "max_depth": 3}, tried=4)
POOR = Recipe("poor", {"n_estimators": 1, "max_depth": 1})
WIDTH = 5
NAMES = tuple(f"f{column}" for column in range(1, WIDTH + 1))
HOSTILE = (
    "</title><script>alert(1)</script>",
    '" onload="alert(2)',
    "| `a` ``b`` | @team #1 <img src=x>",
    "](javascript:alert(3)) ![x](http://example.org/x.png)",
    "&lt;b&gt; &amp; ' {{x}} ${x}",
)


def fold(seed: int = 3, queries: int = 150) -> Fold:
    """90 training and 30 test queries, three of those blank."""
    made = synthetic_fold(seed=seed, queries=queries, width=WIDTH)
    relevance = made.test.relevance.copy()
    relevance[: made.test.offsets[2]] = 0
    return replace(made, test=Queries(made.test.features, relevance, made.test.qids, made.test.offsets))


def model(of: Fold, recipe: Recipe, names: tuple[str, ...] = NAMES, **about: Any) -> Model:
    booster = booster_from_bytes(model_bytes(fit(of.train, None, recipe, threads=1)))
    facts = {
        "recipe": recipe.to_json(),
        "seed": 0,
        "features": list(names),
        "data": {"sha256": of.sha256},
        "source": {"commit": "c0ffee", "dirty": False, "created": "2026-01-01T00:00:00+00:00"},
        "libraries": {"xgboost": "3.2.0"},
    }
    return Model(recipe.name, "", Ranker(booster, FeatureSchema.from_names(names)), booster, {**facts, **about})


def with_columns(queries: Queries, columns: list[int]) -> Queries:
    features = np.ascontiguousarray(queries.features[:, columns])
    return Queries(features, queries.relevance, queries.qids, queries.offsets)


def hostile_findings() -> Findings:
    """Of a good model against a poor champion, both of whom have names that are markup."""
    data = fold()
    good = model(data, replace(GOOD, name=HOSTILE[0], chosen_on=HOSTILE[1], overrides=("max_depth",)), HOSTILE)
    poor = replace(model(data, POOR, HOSTILE, libraries={HOSTILE[2]: HOSTILE[3]}), name=HOSTILE[2], version=HOSTILE[3])
    return gather(good, data, poor, threads=1)
