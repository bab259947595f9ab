"""k-fold cross-validation by query: how recipes are compared where there are too few queries to set some aside.

Every query is scored by models that never saw it. To keep a test split honest, exclude its queries here (`--exclude
test.txt`) and look at it once, with the recipe that won.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import sys
import zlib
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import reduce
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.ranker import Ranker, booster_from_bytes
from service.schema import FeatureSchema
from training import console
from training.evaluate import Evaluation, measured, score_queries
from training.fit import fit, model_bytes
from training.letor import DataError, read_fold
from training.ndcg import PerQuery
from training.queries import Queries, concat
from training.recipe import DEFAULT, Recipe, load_recipe

Progress = Callable[[int, int], None]
"""Called with the fits done and the fits in total."""


def crossval(
    queries: Queries,
    recipe: Recipe,
    *,
    folds: int = 5,
    repeats: int = 1,
    seed: int = 0,
    exclude: Collection[int] = (),
    threads: int | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Pooled NDCG of every query under models fitted without it; repeats, on other foldings, are averaged by query.

    Queries whose id is in `exclude` are neither trained on nor scored. Early stopping is off: no query is spare.
    The interval covers which queries were drawn, not which recipe was chosen: the best of many looks too good.

    Raises:
        ValueError: fewer than two folds, no repeat, or fewer queries left than folds.
        FitError, RecipeError: as `training.fit.fit`.
    """
    kept = queries.select(~np.isin(queries.qids, np.fromiter(exclude, np.int64, len(exclude))))
    if folds < 2 or repeats < 1:
        raise ValueError(f"cross-validation needs folds >= 2 and repeats >= 1, not {folds} and {repeats}")
    if kept.count < folds:
        gone = f" ({queries.count - kept.count} are excluded)" if exclude else ""
        raise ValueError(f"{folds} folds need as many queries, but there are {kept.count}{gone}")
    rounds: list[Evaluation] = []
    for repeat in range(repeats):
        members = fold_members(kept.count, folds, seed + repeat)
        scores = np.empty(kept.rows, np.float32)
        for fold in range(folds):
            held_out = members == fold
            model = model_bytes(fit(kept.select(~held_out), None, recipe, seed=seed, threads=threads))
            scores[np.repeat(held_out, kept.group_sizes)] = model_scores(model, kept.select(held_out))
            if progress:
                progress(repeat * folds + fold + 1, repeats * folds)
        rounds.append(measured(scores, kept, split="", tried=recipe.tried, seed=seed))
    values = np.mean([each.ours.values for each in rounds], axis=0)
    split = f"{repeats} x {folds}-fold cross-validation, recipe {recipe.name}"
    return replace(rounds[0], split=split, ours=PerQuery(values, rounds[0].ours.blank, rounds[0].ours.cutoffs))


def read_qids(path: Path) -> set[int]:
    """Query ids from a list of one a line, or from a data file (`qid:ID` in every line); plain or `.gz`.

    Raises DataError for a line that is neither, a file that cannot be read, or one without ids.
    """
    found: set[int] = set()
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                match = re.match(rb"\s*(\d+)\s*$|\s*\S+\s+qid:(\d+)\s", line)
                if not match:
                    raise DataError(path, number, "neither a query id alone nor a line of data with qid:ID")
                found.add(int(match[1] or match[2]))
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(path, None, f"cannot be read: {error}") from error
    if not found:
        raise DataError(path, None, "holds no query ids")
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `python -m training crossval`."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="fold folder; all its splits are used")
    parser.add_argument("--recipe", default=DEFAULT, help=f"name or .toml file (default: {DEFAULT})")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change a parameter of the recipe; repeatable"
    )
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=1, help="average over this many ways to fold (default: 1)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="default: all CPUs that the process may use")
    parser.add_argument(
        "--exclude", type=Path, metavar="FILE", help="leave these queries out: a data file, or one query id a line"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def run(arguments: argparse.Namespace) -> int:
    """Prints the table (or JSON) and returns 0. Raises DataError, RecipeError, FitError and other ValueErrors."""
    recipe = load_recipe(arguments.recipe).override(*arguments.set)
    recipe.check()
    excluded = read_qids(arguments.exclude) if arguments.exclude else set[int]()
    queries = reduce(concat, (split for _, split in read_fold(arguments.data).splits))
    hit = int(np.isin(queries.qids, list(excluded)).sum())
    with console.bar("cross-validating", "fits") as progress:
        result = crossval(
            queries,
            recipe,
            folds=arguments.folds,
            repeats=arguments.repeats,
            seed=arguments.seed,
            exclude=excluded,
            threads=arguments.threads,
            progress=progress,
        )
    if arguments.json:
        sys.stdout.write(json.dumps({**result.to_json(), "excluded_queries": hit, **recipe.to_json()}, indent=2) + "\n")
        return 0
    show = console.results().print
    show(result.table())
    if excluded:
        show(f"{hit} of the {len(excluded)} queries in {arguments.exclude} were in the data and left out.")
    return 0


def fold_members(count: int, folds: int, seed: int) -> NDArray[np.int64]:
    """The fold of each query; sizes differ by one at most."""
    return np.random.default_rng(seed).permutation(count) % folds


def model_scores(model: bytes, queries: Queries) -> NDArray[np.float32]:
    # The names do not matter here, only that scoring goes the way that serving goes.
    schema = FeatureSchema.from_names(f"f{column}" for column in range(1, queries.width + 1))
    return score_queries(Ranker(booster_from_bytes(model), schema), queries)
