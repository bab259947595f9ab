"""The documents that a new ranker moved with the largest effect on NDCG, and the features that moved them.

A query's NDCG is a sum over documents, each its gain by the discount of its rank. So the difference between two orders
is a sum as well, and each document's part in it says how much its move was worth: +0.1 is a relevant document that came
up. Documents without relevance have no part of their own.

Scores of two models have no common unit. Contributions (TreeSHAP) are therefore taken against the mean of the query's
documents, which alone decides over the order, and in units of the spread of the query's scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from service.schema import FeatureSchema
from training.models import Model
from training.ndcg import Doubles, Ints
from training.orders import ranks
from training.queries import Queries

Floats = NDArray[np.float32]

MOVERS = 10
FEATURES = 3


@dataclass(frozen=True)
class Mover:
    qid: int
    document: int
    """Its place among the query's documents in the data, from 1."""
    relevance: int
    before: int
    """Its rank by the champion, from 1."""
    after: int
    effect: float
    """Its part in the query's difference in NDCG."""
    features: tuple[tuple[str, float], ...]
    """Those that moved it the most that way, with how far, in spreads of the query's scores."""


def effects(before: Floats, after: Floats, queries: Queries, cutoff: int = 10) -> Doubles:
    """[rows], every document's part in its query's NDCG@`cutoff` difference, 0 in blank queries."""
    found = np.zeros(queries.rows)
    for start, stop in _spans(queries):
        gains = np.exp2(queries.relevance[start:stop]) - 1.0
        ideal = _discounted(np.sort(gains)[::-1], np.arange(1, len(gains) + 1), cutoff).sum()
        if ideal > 0:
            places = [ranks(scores[start:stop]) for scores in (before, after)]
            found[start:stop] = (_discounted(gains, places[1], cutoff) - _discounted(gains, places[0], cutoff)) / ideal
    return found


def movers(
    models: tuple[Model, Model],
    scores: tuple[Floats, Floats],
    queries: Queries,
    names: FeatureSchema,
    *,
    cutoff: int = 10,
    count: int = MOVERS,
) -> list[Mover]:
    """The `count` largest effects on NDCG@`cutoff`, of either sign, largest first.

    Args:
        models: champion and challenger.
        scores: the champion's and the challenger's, [rows] each.
        names: of the columns of `queries`; each model takes those that it knows.
    """
    worth = effects(*scores, queries, cutoff)
    order = np.argsort(-np.abs(worth), kind="stable")[:count]
    return [
        _mover(int(row), float(worth[row]), models, scores, queries, names=names) for row in order if worth[row] != 0
    ]


def _mover(
    row: int,
    effect: float,
    models: tuple[Model, Model],
    scores: tuple[Floats, Floats],
    queries: Queries,
    *,
    names: FeatureSchema,
) -> Mover:
    query = int(np.searchsorted(queries.offsets, row, side="right")) - 1
    one = queries.select(np.arange(queries.count) == query)
    place = row - int(queries.offsets[query])
    before, after = (int(ranks(each[queries.offsets[query] : queries.offsets[query + 1]])[place]) for each in scores)
    pushes = [_push(model, one, place, names) for model in models]
    # Upwards is towards rank 1. A document that kept its rank has no way that it was moved.
    way = np.sign(before - after)
    push = (pushes[1] - pushes[0]) * way
    first: list[int] = np.argsort(-push, kind="stable")[:FEATURES].tolist()
    told = tuple((names.names[column], float(way * push[column])) for column in first if push[column] > 0)
    return Mover(int(one.qids[0]), place + 1, int(one.relevance[place]), before, after, effect, told)


def _push(model: Model, query: Queries, place: int, names: FeatureSchema) -> Doubles:
    """[columns of the data], what every feature does for one document against the query's mean."""
    view = model.view(query, names)
    parts = model.ranker.contributions(view.features)[:, :-1].astype(np.float64)
    spread = float(parts.sum(axis=1).std()) or 1.0
    found = np.zeros(names.width)
    found[model.columns(names)] = (parts[place] - parts.mean(axis=0)) / spread
    return found


def _discounted(gains: Doubles, places: Ints, cutoff: int) -> Doubles:
    return np.where(places <= cutoff, gains / np.log2(places + 1), 0.0)


def _spans(queries: Queries) -> list[tuple[int, int]]:
    return list(pairwise(queries.offsets.tolist()))
