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

from training.matrix import Matrices, Say, matrices
from training.queries import Queries
from training.recipe import Recipe, RecipeError, load_recipe, refusal
from training.segments import METRIC, WATCHED, Progress, Save, Tell, early_stopping, grow

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
    memory_budget: int | None = None,
    say: Say | None = None,
) -> xgb.XGBRanker:
    """An `XGBRanker` fitted to `train`, on `threads` threads (all the CPUs that this process may use).

    Validation queries only tell when to stop, and only if the recipe asks for early stopping; without them it grows
    all its trees. They are watched by XGBoost's `ndcg@10-`, in which blank queries count 0.

    With a `memory_budget` in bytes, data whose training takes more is trained on from files, to the same model; `say`
    is told what was chosen.

    Raises:
        MemoryBudgetError: not even that keeps to the budget.
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
    threads = threads or usable_cpus()
    own = {"random_state": seed, "n_jobs": threads, "eval_metric": METRIC}
    ranker = xgb.XGBRanker(**cast(Any, {**recipe.arguments(), **own}))
    held = matrices(
        train,
        watched,
        max_bin=ranker.max_bin,
        threads=threads,
        hist=ranker.tree_method in ("hist", "auto"),
        budget=memory_budget,
        say=say,
    )
    history: dict[str, Any] = {}
    try:
        with held as data:
            if recipe.segment_trees is None:
                model = _grown(ranker, data, recipe.trees, stopping=stopping, progress=progress, history=history)
            else:
                model = grow(
                    ranker.get_xgb_params(),
                    data,
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
    # The estimator as its own `fit` leaves it, which takes arrays only and no matrix.
    cast(Any, ranker).load_model(bytearray(model))
    if history:
        ranker.evals_result_ = history
    return ranker


def _grown(
    ranker: xgb.XGBRanker,
    data: Matrices,
    trees: int,
    *,
    stopping: int | None,
    progress: Progress | None,
    history: dict[str, Any],
) -> bytes:
    """The saved booster, as the booster itself would hold on to the data."""
    callbacks: list[TrainingCallback] = []
    if stopping:
        callbacks.append(early_stopping(stopping))
    if progress:
        callbacks.append(Tell(progress, trees))
    booster = xgb.train(
        ranker.get_xgb_params(),
        data.train,
        trees,
        evals=[(data.watched, WATCHED)] if data.watched is not None else None,
        evals_result=history,
        verbose_eval=False,
        callbacks=callbacks,
    )
    return bytes(booster.save_raw("ubj"))


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
