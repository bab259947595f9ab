"""What a model has to beat: rankers that are cheaper, simpler, or another library's, trained on the same queries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from service.ranker import Ranker, booster_from_bytes
from service.schema import FeatureSchema
from training.evaluate import score_queries
from training.fit import fit, model_bytes, usable_cpus
from training.lambdarank import NotMeasured, lambdarank_scores
from training.models import Model
from training.ndcg import PerQuery, ndcg, random_order
from training.queries import Fold, Queries
from training.recipe import EARLY_STOPPING, load_recipe

RANDOM = "random order"
FEATURE = "best single feature"
POINTWISE = "pointwise regression"
DEFAULTS = "XGBoost defaults"
LAMBDARANK = "LightGBM lambdarank"
NAMES = (RANDOM, FEATURE, POINTWISE, DEFAULTS, LAMBDARANK)

SAMPLE = 2000
"""Training queries that the best single feature is chosen on: more do not change the choice, and 272 orders of
2 million rows take minutes."""
DEPTH = 10

Floats = NDArray[np.float32]
Tell = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Baseline:
    """One yardstick: `found` is None where it could not be measured, and `about` then says why."""

    name: str
    about: str
    found: PerQuery | None
    scores: Floats | None = None
    """[rows]; a random order has none."""
    model: Model | None = None
    """Where it is one that the report can take apart."""


@dataclass(frozen=True, eq=False)
class Yardsticks:
    """What baselines are made from, so that they differ from the judged model in nothing but what they stand for."""

    fold: Fold
    schema: FeatureSchema
    parameters: Mapping[str, Any]
    """XGBRanker's keyword arguments of the judged model; the pointwise one shares them."""
    trees: int
    """How many the judged model has."""
    seed: int = 0
    threads: int | None = None

    def measure(self, tell: Tell | None = None) -> list[Baseline]:
        """All of `NAMES`, fitted to the training queries and measured on the test queries."""
        found: list[Baseline] = []
        for each in self._each():
            found.append(each)
            if tell:
                tell(len(found), len(NAMES))
        return found

    def _each(self) -> Iterator[Baseline]:
        test = self.fold.test
        expected = random_order(test.relevance, test.offsets)
        yield Baseline(RANDOM, "the exact expectation over all orders of a query's documents", expected)
        column, falling = best_feature(self.fold.train, self.schema)
        about = f"{self.schema.names[column]}, {'falling' if falling else 'rising'}; chosen on the training queries"
        yield _measured(FEATURE, about, feature_scores(test, column, falling), test)
        about = f"squared error on the labels, {self.trees} trees, otherwise the model's own parameters"
        yield _measured(POINTWISE, about, self._pointwise(), test)
        recipe = load_recipe("xgboost-defaults")
        about = f"rank:ndcg, {recipe.trees} trees of depth 6, learning rate 0.3"
        fitted = model_bytes(fit(self.fold.train, None, recipe, seed=self.seed, threads=self._cpus))
        booster = booster_from_bytes(fitted)
        model = Model(DEFAULTS, "", Ranker(booster, self.schema), booster, {})
        yield replace(_measured(DEFAULTS, about, score_queries(model.ranker, test), test), model=model)
        try:
            scores = lambdarank_scores(self.fold.train, test, seed=self.seed, threads=self._cpus)
        except NotMeasured as error:
            yield Baseline(LAMBDARANK, f"not measured: {error}", None)
            return
        yield _measured(LAMBDARANK, "its defaults: 100 trees of 31 leaves, learning rate 0.1", scores, test)

    def _pointwise(self) -> Floats:
        foreign = ("objective", "ndcg_exp_gain", EARLY_STOPPING)
        kept = {key: value for key, value in self.parameters.items() if key not in foreign and "lambdarank" not in key}
        own = {"objective": "reg:squarederror", "n_estimators": self.trees}
        who = {"random_state": self.seed, "n_jobs": self._cpus}
        regressor = xgb.XGBRegressor(**cast(Any, {**kept, **own, **who}))
        regressor.fit(self.fold.train.features, self.fold.train.relevance)
        return score_queries(Ranker(regressor.get_booster(), self.schema), self.fold.test)

    @property
    def _cpus(self) -> int:
        return self.threads or usable_cpus()


def best_feature(train: Queries, schema: FeatureSchema) -> tuple[int, bool]:
    """The column that alone orders the training queries best, and whether its large values come first."""
    some = train.select(np.arange(train.count) < SAMPLE)
    tried = [(column, falling) for column in range(schema.width) for falling in (True, False)]
    means = [ndcg(feature_scores(some, *each), some.relevance, some.offsets, [DEPTH]).mean(DEPTH) for each in tried]
    # Without a query that counts every mean is NaN, and any feature is as good as the next.
    return tried[int(np.nan_to_num(means).argmax())]


def feature_scores(queries: Queries, column: int, falling: bool) -> Floats:
    """One column as a score; missing values come last."""
    values = queries.features[:, column]
    return np.where(np.isnan(values), np.float32(-np.inf), values if falling else -values)


def _measured(name: str, about: str, scores: Floats, queries: Queries) -> Baseline:
    return Baseline(name, about, ndcg(scores, queries.relevance, queries.offsets), scores)
