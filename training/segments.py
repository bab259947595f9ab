"""Growing trees in segments, so that training that was cut off goes on to the same bytes.

XGBoost's random state is not part of a model: rows and columns that are sampled after a restart are others. So each
segment is an `xgb.train` of its own, on top of the saved bytes of the trees before it, with a seed of its own. It
computes the same whether the process lived through the segment before or read it from a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import xgboost as xgb
from xgboost.callback import EarlyStopping, TrainingCallback

from training.matrix import Matrices

# The minus makes a blank query count 0 and not 1, so that it cannot be won without ranking anything.
METRIC = "ndcg@10-"
WATCHED = "validation_0"

Progress = Callable[[int, int, float | None], None]
"""Called after every tree with: trees so far, trees in all, NDCG@10 of the validation queries where there are any."""

Save = Callable[[int, bytes], None]
"""Called at the end of every segment with the trees so far: how many, and the model that training can go on from."""


class Tell(TrainingCallback):
    def __init__(self, progress: Progress, trees: int, before: int = 0) -> None:
        self._progress = progress
        self._trees = trees
        self._before = before

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        found: list[float] | None = evals_log.get(WATCHED, {}).get(METRIC)
        self._progress(self._before + epoch + 1, self._trees, float(found[-1]) if found else None)
        return False


def early_stopping(rounds: int, model: bytes = b"") -> EarlyStopping:
    """Early stopping on `METRIC`, going on from what it noted in a model's attributes, where one is given."""
    stopping = EarlyStopping(rounds=rounds, metric_name=METRIC, data_name=WATCHED, maximize=True)
    if not model:
        return stopping
    booster = loaded(model)
    best = float(booster.attr("best_score") or 0)
    stopping.stopping_history = {WATCHED: {METRIC: [best]}}
    stopping.best_scores = {WATCHED: {METRIC: [best]}}
    stopping.current_rounds = _since_best(booster)
    return stopping


def grow(
    parameters: Mapping[str, Any],
    data: Matrices,
    *,
    trees: int,
    segment_trees: int,
    seed: int,
    stopping: int | None = None,
    progress: Progress | None = None,
    resume: bytes | None = None,
    save: Save | None = None,
) -> bytes:
    """The model of `trees` trees, or of fewer by early stopping, with XGBoost's attributes.

    Args:
        parameters: as `XGBRanker.get_xgb_params` gives them.
        data: made once for all segments, as binning takes as long as dozens of trees.
        resume: what `save` was given at the end of a segment, in this process or another.
    """
    model = resume or b""
    done = loaded(model).num_boosted_rounds() if model else 0
    evals = [(data.watched, WATCHED)] if data.watched is not None else []
    while done < trees and not (model and stopping and _since_best(loaded(model)) >= stopping):
        callbacks: list[TrainingCallback] = []
        if stopping:
            callbacks.append(early_stopping(stopping, model))
        if progress:
            callbacks.append(Tell(progress, trees, done))
        booster = xgb.train(
            {**parameters, "random_state": segment_seed(seed, done // segment_trees)},
            data.train,
            min(segment_trees, trees - done),
            evals=evals,
            verbose_eval=False,
            # From bytes also where the booster is at hand: one that lives on keeps predictions and random state.
            xgb_model=bytearray(model) or None,
            callbacks=callbacks,
        )
        model, done = bytes(booster.save_raw("ubj")), booster.num_boosted_rounds()
        if save:
            save(done, model)
    return model


def segment_seed(seed: int, segment: int) -> int:
    """The first segment has the run's own seed: a run of one segment is a run without segments."""
    if segment == 0:
        return seed
    return int.from_bytes(hashlib.sha256(f"podium segment {seed} {segment}".encode()).digest()[:4]) >> 1


def loaded(model: bytes) -> xgb.Booster:
    return xgb.Booster(model_file=bytearray(model))


def _since_best(booster: xgb.Booster) -> int:
    best = booster.attr("best_iteration")
    return 0 if best is None else booster.num_boosted_rounds() - 1 - int(best)
