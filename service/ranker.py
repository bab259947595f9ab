"""The one scoring function: HTTP, batch and offline evaluation all rank through `Ranker`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from service import ubj
from service.errors import ModelUnreadable, SchemaMismatch
from service.prediction import Prediction
from service.schema import FeatureSchema

Floats = NDArray[np.float32]

# Trees only: gblinear has no in-place prediction and no notion of a missing value.
BOOSTERS = ("gbtree", "dart")


@dataclass(frozen=True)
class Ranking:
    """`order`: int64 [k], item indices, best first. `scores`: float32 [n], in the order of the input."""

    order: NDArray[np.int64]
    scores: Floats


class Ranker:
    """A booster and the schema of its columns. Synchronous, and safe to call from several threads.

    Scores are XGBoost's own float32 values, computed on one thread: OpenMP threads that spin for each
    other cost up to ten times on a busy machine, and a pod's parallelism lies between requests.

    Raises:
        SchemaMismatch: the model was trained on another number of features.
        ModelUnreadable: it is no tree model, or gives more than one score a document.
    """

    def __init__(self, booster: xgb.Booster, schema: FeatureSchema) -> None:
        if booster.num_features() != schema.width:
            raise SchemaMismatch(
                f"the model takes {booster.num_features()} features, the schema names {schema.width}: "
                "publish the model with the schema it was trained on"
            )
        self.schema = schema
        self._booster = booster
        booster.set_param("nthread", "1")  # pyright: ignore[reportUnknownMemberType]
        kind = _booster_kind(booster)
        if kind not in BOOSTERS:
            raise ModelUnreadable(f"booster {kind!r} cannot rank here: it must be one of {', '.join(BOOSTERS)}")
        self._trees = _tree_range(booster)
        probe = np.atleast_1d(booster.inplace_predict(np.zeros((1, schema.width), np.float32)))
        if probe.shape != (1,):
            raise ModelUnreadable(f"the model gives {probe.size} values a document; a ranker gives one score")
        self._predict = Prediction(booster, self._trees)

    @classmethod
    def load(cls, path: Path, schema: FeatureSchema) -> Ranker:
        """Reads a natively saved booster (`model.ubj`)."""
        return cls(booster_from_bytes(path.read_bytes()), schema)

    def score(self, features: Floats) -> Floats:
        """Scores of `features`, float32 [n, width] with NaN for missing, as float32 [n].

        Raises:
            ValueError: another shape or dtype.
        """
        if features.ndim != 2 or features.shape[1] != self.schema.width or features.dtype != np.float32:
            raise ValueError(
                f"features are {features.dtype} {list(features.shape)}; float32 [n, {self.schema.width}] is expected"
            )
        if len(features) == 0:
            return np.empty(0, np.float32)
        return self._predict(features)

    def rank(self, features: Floats, top_k: int | None = None) -> Ranking:
        """Orders documents by falling score, equal scores by input order; `top_k` beyond n is n."""
        return self.ranking(self.score(features), top_k)

    @staticmethod
    def ranking(scores: Floats, top_k: int | None = None) -> Ranking:
        """The order that `rank` gives documents with these scores."""
        # Negating a float32 is exact, and a stable sort then keeps the input order of equal scores.
        order = np.argsort(-scores, kind="stable").astype(np.int64, copy=False)
        return Ranking(order if top_k is None else order[:top_k], scores)

    def contributions(self, features: Floats) -> Floats:
        """What each feature added to each score (TreeSHAP): float32 [n, width + 1], the last column the bias.

        A row's sum is the score up to float32 rounding (Lundberg et al. 2020, as XGBoost implements it).
        """
        matrix = xgb.DMatrix(features, missing=np.nan, nthread=1)
        return self._booster.predict(matrix, pred_contribs=True, iteration_range=self._trees)


def booster_from_bytes(model: bytes) -> xgb.Booster:
    """
    Raises:
        ModelUnreadable: these are not the bytes of a saved booster.
    """
    try:
        ubj.decode(model)
    except ValueError as error:
        raise ModelUnreadable(f"model.ubj is no UBJSON document: {error}") from error
    booster = xgb.Booster()
    try:
        booster.load_model(bytearray(model))  # pyright: ignore[reportUnknownMemberType]
    except xgb.core.XGBoostError as error:
        raise ModelUnreadable(f"model.ubj: XGBoost cannot read these {len(model)} bytes: {_reason(error)}") from error
    return booster


def _tree_range(booster: xgb.Booster) -> tuple[int, int]:
    # A booster that was stopped early keeps its later trees; XGBRanker.predict leaves them out, so do we.
    best = booster.attr("best_iteration")
    return (0, 0) if best is None else (0, int(best) + 1)


def _booster_kind(booster: xgb.Booster) -> str:
    learner = json.loads(booster.save_config())["learner"]
    return str(learner["gradient_booster"]["name"])


def _reason(error: Exception) -> str:
    # XGBoost's text is a time stamp and a source line, the reason, then a C++ stack.
    head = str(error).split("Stack trace:")[0].strip()
    return head.rpartition("]")[2].strip(": ") or "no reason given"
