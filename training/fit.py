"""Training: `xgboost.XGBRanker`, from queries and a recipe to a model whose bytes depend on nothing else.

Equal data, recipe, seed, xgboost wheel and CPU architecture give equal bytes, whatever the number of threads. Row order
inside a query is part of the data: LambdaMART's first tree breaks ties of the score by it.
"""

from __future__ import annotations

import os
from typing import Any, cast

import numpy as np
import xgboost as xgb
from xgboost.callback import TrainingCallback
from xgboost.core import XGBoostError

from training.queries import Queries
from training.recipe import Recipe, RecipeError, load_recipe, refusal
from training.segments import METRIC, Progress, Save, Tell, early_stopping, grow

__all__ = [
    "METRIC",
    "FitError",
    "Progress",
    "Recipe",
    "RecipeError",
    "Save",
    "fit",
    "load_recipe",
    "model_bytes",
    "usable_cpus",
]

MAX_SEED = 2**31 - 1


class FitError(ValueError):
    """Data and recipe do not make a model; the message says why."""


def fit(
    train: Queries,
    vali: Queries | None,
    recipe: Recipe,
    *,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
    resume: bytes | None = None,
    save: Save | None = None,
) -> xgb.XGBRanker:
    """An `XGBRanker` fitted to `train`, on `threads` threads (all the CPUs that this process may use).

    Validation queries only tell when to stop, and only if the recipe asks for early stopping; without them it grows
    all its trees. They are watched by XGBoost's `ndcg@10-`, in which blank queries count 0.

    Raises:
        FitError: no query has documents to tell apart, widths differ, or XGBoost refuses the data.
        RecipeError: XGBoost refuses a value of the recipe.
    """
    recipe.check()
    _check_data(train, vali)
    if not 0 <= seed <= MAX_SEED:
        raise FitError(f"the seed must be from 0 to {MAX_SEED}, not {seed}")
    stopping = recipe.early_stopping_rounds if vali is not None else None
    # Scoring the validation queries costs about a seventh of a tree: not where nobody looks.
    watched = vali if stopping or progress else None
    own = {"random_state": seed, "n_jobs": threads or usable_cpus(), "eval_metric": METRIC}
    ranker = xgb.XGBRanker(**cast(Any, {**recipe.arguments(), **own}))
    try:
        if recipe.segment_trees is None:
            _fit_at_once(ranker, train, watched, trees=recipe.trees, stopping=stopping, progress=progress)
            return ranker
        model = grow(
            ranker.get_xgb_params(),
            train,
            watched,
            trees=recipe.trees,
            segment_trees=recipe.segment_trees,
            seed=seed,
            stopping=stopping,
            progress=progress,
            resume=resume,
            save=save,
        )
    except XGBoostError as error:
        raise FitError(f"recipe {recipe.name} on {train.count} queries: {refusal(error, recipe.parameters)}") from error
    cast(Any, ranker).load_model(bytearray(model))
    return ranker


def model_bytes(ranker: xgb.XGBRanker) -> bytes:
    """The fitted trees as a native XGBoost model (UBJ), and nothing else.

    Trees after the best iteration are left out, as `XGBRanker.predict` does, so every reader gives its scores. No
    attributes and no feature names are kept: XGBoost would demand those names of every matrix to predict on.
    """
    fitted = ranker.get_booster()
    best = fitted.attr("best_iteration")
    booster = fitted.copy() if best is None else fitted[: int(best) + 1]
    booster.set_attr(**dict.fromkeys(booster.attributes()))
    booster.feature_names = None
    booster.feature_types = None
    return bytes(booster.save_raw("ubj"))


def usable_cpus() -> int:
    """CPUs that this process may run on: in a container often fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _fit_at_once(
    ranker: xgb.XGBRanker,
    train: Queries,
    watched: Queries | None,
    *,
    trees: int,
    stopping: int | None,
    progress: Progress | None,
) -> None:
    callbacks: list[TrainingCallback] = []
    if stopping:
        callbacks.append(early_stopping(stopping))
    if progress:
        callbacks.append(Tell(progress, trees))
    ranker.set_params(callbacks=callbacks)
    ranker.fit(
        train.features,
        train.relevance,
        group=train.group_sizes,
        eval_set=[(watched.features, watched.relevance)] if watched else None,
        eval_group=[watched.group_sizes] if watched else None,
    )


def _check_data(train: Queries, vali: Queries | None) -> None:
    if vali is not None and vali.width != train.width:
        raise FitError(f"the validation queries have {vali.width} features, the training queries {train.width}")
    if vali is not None and not vali.count:
        raise FitError("there are no validation queries: leave the file out, or fill it")
    if not train.count:
        raise FitError("there are no training queries")
    starts = train.offsets[:-1]
    best = np.maximum.reduceat(train.relevance, starts)
    if (best == np.minimum.reduceat(train.relevance, starts)).all():
        raise FitError(f"none of the {train.count} training queries has documents of different relevance to tell apart")
