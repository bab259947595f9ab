"""What a model is made of: which features its scores come from, and what each further tree was good for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np

from service.ranker import Ranker
from training.evaluate import score_queries
from training.models import Model
from training.ndcg import ndcg
from training.queries import Queries

EXPLAINED_ROWS = 5000
"""TreeSHAP of more rows takes minutes with large trees, and the means hardly move."""
CURVE_POINTS = 20
CURVE_QUERIES = 2000


class Importance(NamedTuple):
    """Shares of 1 over all features."""

    feature: str
    contribution: float
    """Of the mean absolute contribution to a score (TreeSHAP), on the evaluated queries: what the model uses."""
    gain: float
    """Of the loss that splits on it removed, in training: what the model was grown by."""


def importance(model: Model, queries: Queries) -> list[Importance]:
    """Every feature, most important first. `queries` has the model's own features."""
    some = queries.select(queries.offsets[1:] <= max(EXPLAINED_ROWS, int(queries.offsets[1])))
    spread = np.abs(model.ranker.contributions(some.features)[:, :-1].astype(np.float64)).mean(axis=0)
    # Without names in the model, XGBoost calls its columns f0, f1, ...
    found = cast(Mapping[str, float], model.booster.get_score(importance_type="total_gain"))
    gains = np.array([found.get(f"f{column}", 0.0) for column in range(model.schema.width)])
    shares = [values / (values.sum() or 1.0) for values in (spread, gains)]
    order = np.lexsort((np.arange(len(spread)), -shares[0]))
    return [Importance(model.schema.names[i], float(shares[0][i]), float(shares[1][i])) for i in order]


def learning_curve(model: Model, queries: Queries, cutoff: int = 10) -> list[tuple[float, float]]:
    """(trees, mean NDCG without blank queries) of the model's first trees, up to all of them."""
    some = queries.select(np.arange(queries.count) < CURVE_QUERIES)
    found: list[tuple[float, float]] = []
    for trees in _points(model.trees):
        scores = score_queries(Ranker(model.booster[:trees], model.schema), some)
        found.append((float(trees), ndcg(scores, some.relevance, some.offsets, [cutoff]).mean(cutoff)))
    return found


def _points(trees: int) -> Sequence[int]:
    # Denser where the curve bends: the first trees bring the most.
    count = min(CURVE_POINTS, trees)
    return sorted({round((1 + (trees**0.5 - 1) * step / max(1, count - 1)) ** 2) for step in range(count)})
