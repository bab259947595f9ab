"""The commands that make a model and its report again, out of what the model says about itself."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from pathlib import Path

from training.lambdarank import INSTALL
from training.models import Model
from training.queries import Fold
from training.recipe import Value, recipe_names

PYTHON = ".venv/bin/python"


def commands_of(model: Model, fold: Fold, args: argparse.Namespace, *, lightgbm: bool = False) -> list[str]:
    """Shell commands in order. `args` are those of the report: how its data is read, and what it compares with."""
    foreign = [INSTALL.replace("python", "python3", 1)] if lightgbm else []
    data = ["--data", str(fold.folder or args.data), *_reading(args)]
    return [
        shlex.join(["git", "checkout", model.about["source"]["commit"]]),
        "python3 -m training.environment",
        *foreign,
        shlex.join([PYTHON, "-m", "training", "run", *data, *_making(model, args)]),
        shlex.join([PYTHON, "-m", "training", "report", args.target, *data, *_comparing(args)]),
    ]


def _making(model: Model, args: argparse.Namespace) -> Iterator[str]:
    recipe = model.about["recipe"]
    name = recipe["recipe"]
    yield from ("--recipe", name if name in recipe_names() else f"{name}.toml")
    for changed in recipe.get("overrides", []):
        yield from ("--set", f"{changed}={_toml(recipe['parameters'][changed])}")
    yield from ("--seed", str(model.about["seed"]), "--name", model.name)
    if not model.version:
        # A run's folder is found again below the same folder.
        yield from ("--runs", str(Path(args.target).parent))


def _reading(args: argparse.Namespace) -> Iterator[str]:
    if args.width is not None:
        yield from ("--width", str(args.width))
    if args.max_relevance is not None:
        yield from ("--max-relevance", str(args.max_relevance))
    if args.allow_missing:
        yield "--allow-missing"


def _comparing(args: argparse.Namespace) -> Iterator[str]:
    if args.champion:
        yield from ("--champion", str(args.champion))
    if args.minimum:
        yield from ("--minimum", repr(args.minimum))
    yield from ("--seed", str(args.seed))
    if args.out is not None:
        yield from ("--out", str(Path(args.out)))


def _toml(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
