"""Recipes: named hyperparameters for `xgboost.XGBRanker`, kept as files under `training/recipes/`.

    [recipe]
    description = "what it is, for people"
    tried = 12                        # configurations that were compared to choose this one
    chosen_on = "the data and the measure that it was chosen by"

    [parameters]                      # XGBRanker's keyword arguments
    learning_rate = 0.1
    segment_trees = 50                # not XGBRanker's: can be cut off and go on after every 50 trees

    [provenance]                      # optional, as `python -m training tune` writes it: on which data, how, how good

XGBoost itself only warns about a name that it does not know, and trains on without it. Here such a name is an error.
"""

from __future__ import annotations

import difflib
import inspect
import math
import re
import tomllib
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import xgboost as xgb
from xgboost.core import XGBoostError

from training import toml

Value = bool | int | float | str

RECIPES = Path(__file__).parent / "recipes"
DEFAULT = "mslr-small"
TABLES = ("recipe", "parameters", "provenance")
EARLY_STOPPING = "early_stopping_rounds"
SEGMENT_TREES = "segment_trees"
# Ours, not XGBRanker's: how training goes about its trees.
OURS = (EARLY_STOPPING, SEGMENT_TREES)

KINDS: Mapping[str, type[Value]] = {
    "objective": str,
    "tree_method": str,
    "grow_policy": str,
    "sampling_method": str,
    "monotone_constraints": str,
    "interaction_constraints": str,
    "n_estimators": int,
    "early_stopping_rounds": int,
    "segment_trees": int,
    "max_depth": int,
    "max_leaves": int,
    "max_bin": int,
    "num_parallel_tree": int,
    "learning_rate": float,
    "gamma": float,
    "min_child_weight": float,
    "max_delta_step": float,
    "subsample": float,
    "colsample_bytree": float,
    "colsample_bylevel": float,
    "colsample_bynode": float,
    "reg_alpha": float,
    "reg_lambda": float,
    "base_score": float,
    # XGBoost's own names for ranking, which XGBRanker passes on (doc/parameter.rst, "Parameters for learning to rank").
    "lambdarank_pair_method": str,
    "lambdarank_num_pair_per_sample": int,
    "lambdarank_normalization": bool,
    "lambdarank_score_normalization": bool,
    "lambdarank_unbiased": bool,
    "lambdarank_bias_norm": float,
    "ndcg_exp_gain": bool,
}

# One name each, so that two spellings of a parameter cannot contradict each other.
ALIASES = {
    "eta": "learning_rate",
    "alpha": "reg_alpha",
    "lambda": "reg_lambda",
    "min_split_loss": "gamma",
    "num_boost_round": "n_estimators",
    "num_round": "n_estimators",
    "seed": "random_state",
    "nthread": "n_jobs",
}

# Parameters of XGBRanker that are no recipe's business, where the reason is not obvious.
REASONS = {
    "random_state": "the seed is an argument of training, not part of a recipe",
    "n_jobs": "the number of threads is an argument of training and does not change the model",
    "eval_metric": "early stopping always watches NDCG@10 of the validation queries",
    "missing": "NaN is what is missing, in training as in serving",
    "booster": "models are gradient boosted trees (gbtree)",
    "device": "models are trained on the CPU, where equal inputs give equal bytes",
    "scale_pos_weight": "ranking objectives do not use it",
}

# XGBoost accepts less than these, and then trains nothing or a constant.
MINIMUM = {"n_estimators": 1, "early_stopping_rounds": 1, "segment_trees": 1, "num_parallel_tree": 1}
POSITIVE = ("subsample", "colsample_bytree", "colsample_bylevel", "colsample_bynode")


class RecipeError(ValueError):
    """A recipe, or a value in one, that cannot be used; the message says which and what to do."""


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters and how they came to be. Made by `load_recipe`, which checks them."""

    name: str
    parameters: Mapping[str, Value]
    """XGBRanker's keyword arguments, under its own names."""
    description: str = ""
    tried: int = 1
    """How many configurations were compared to choose this one."""
    chosen_on: str = ""
    overrides: tuple[str, ...] = ()
    """Names of parameters that were changed after loading."""
    provenance: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """How a search found it; empty for recipes that people wrote."""

    @property
    def trees(self) -> int:
        return int(self.parameters.get("n_estimators", 100))

    @property
    def early_stopping_rounds(self) -> int | None:
        rounds = self.parameters.get(EARLY_STOPPING)
        return None if rounds is None else int(rounds)

    @property
    def segment_trees(self) -> int | None:
        """Trees a segment, after each of which training can go on. They change the model: see `training.segments`."""
        trees = self.parameters.get(SEGMENT_TREES)
        return None if trees is None else int(trees)

    def arguments(self) -> dict[str, Value]:
        """XGBRanker's keyword arguments with this project's defaults: `rank:ndcg` and histograms."""
        ours = {name: value for name, value in self.parameters.items() if name not in OURS}
        return {"objective": "rank:ndcg", "tree_method": "hist", "n_estimators": self.trees, **ours}

    def override(self, *assignments: str) -> Recipe:
        """This recipe with `name=value` changed, the values in TOML (strings may go without quotes).

        Raises:
            RecipeError: no `=`, an unknown name, a value of the wrong type.
        """
        changed = checked_parameters((_assignment(text) for text in assignments), "override")
        names = dict.fromkeys((*self.overrides, *changed))
        return replace(self, parameters={**self.parameters, **changed}, overrides=tuple(names))

    def check(self) -> None:
        """Has XGBoost judge the values, by growing one tree on eight rows, before hours go into reading data.

        Raises:
            RecipeError: a value out of range, or a parameter that has no effect beside the others.
        """
        # Constraints speak of columns, and how many there are is not known yet.
        arguments = {name: value for name, value in self.arguments().items() if not name.endswith("_constraints")}
        rows = np.arange(16, dtype=np.float32).reshape(8, 2)
        ranker = xgb.XGBRanker(**cast(Any, {**arguments, "n_estimators": 1, "n_jobs": 1}))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                ranker.fit(rows, np.arange(8) % 2, group=[4, 4])
            except XGBoostError as error:
                raise RecipeError(f"recipe {self.name}: {refusal(error, self.parameters)}") from error
        unused = [name for warning in caught for name in _unused(str(warning.message))]
        if unused:
            raise RecipeError(f"recipe {self.name}: {', '.join(unused)} has no effect with the other parameters")

    def to_json(self) -> dict[str, Any]:
        """What a manifest records: how the recipe was chosen, and `parameters`, all that XGBRanker was given."""
        chosen: dict[str, Any] = {"recipe": self.name, "tried": self.tried, "chosen_on": self.chosen_on}
        if self.overrides:
            chosen["overrides"] = list(self.overrides)
        if self.provenance:
            chosen["provenance"] = dict(self.provenance)
        ours = {name: self.parameters[name] for name in OURS if name in self.parameters}
        return {**chosen, "parameters": dict(sorted({**self.arguments(), **ours}.items()))}


def recipe_names() -> list[str]:
    """The recipes that come with the project."""
    return toml.names(RECIPES)


def load_recipe(name_or_path: str | Path = DEFAULT) -> Recipe:
    """A recipe of `training/recipes/` by name, or any file that ends in `.toml`.

    Raises:
        RecipeError: there is none, it is not TOML, or it names what XGBRanker does not know.
    """
    return _recipe(*toml.load(name_or_path, RECIPES, "recipe", RecipeError))


def _recipe(path: Path, content: Mapping[str, Any]) -> Recipe:
    known = {"description": str, "tried": int, "chosen_on": str}
    about = _table(path, content, "recipe")
    for table in content:
        if table not in TABLES:
            raise RecipeError(f"{path}: [{table}] is none of the tables of a recipe: [{'], ['.join(TABLES)}]")
    for name, value in about.items():
        if name not in known:
            raise RecipeError(f"{path}: [recipe] has no {name!r}{nearest(name, known)}, only {', '.join(known)}")
        if type(value) is not known[name] or (name == "tried" and about["tried"] < 1):
            what = "1 or more" if name == "tried" else "a string"
            raise RecipeError(f"{path}: [recipe] {name} must be {what}, not {value!r}")
    parameters = checked_parameters(_table(path, content, "parameters").items(), str(path))
    provenance = _table(path, content, "provenance")
    for name, value in provenance.items():
        if not all(_plain(each) for each in _flat(value)):
            raise RecipeError(f"{path}: [provenance] {name} must be text, true, false or finite numbers, not {value!r}")
    return Recipe(path.stem, parameters, **about, provenance=provenance)


def _plain(value: object) -> bool:
    # A manifest holds it as JSON, which has neither dates nor infinities.
    return math.isfinite(value) if isinstance(value, float) else isinstance(value, bool | int | str)


def _flat(value: object) -> list[object]:
    return cast(list[object], value) if isinstance(value, list) else [value]


def _table(path: Path, content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table: object = content.get(name, {})
    if not isinstance(table, Mapping):
        raise RecipeError(f"{path}: {name} must be a table, [{name}]")
    return cast(Mapping[str, Any], table)


def checked_parameters(pairs: Iterable[tuple[str, object]], where: str) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for spelling, value in pairs:
        name = ALIASES.get(spelling, spelling)
        if name not in KINDS:
            raise RecipeError(f"{where}: {_unknown(spelling, name)}")
        if name in found:
            raise RecipeError(f"{where}: {name} is given twice (once as {spelling})")
        found[name] = _typed(name, value, where)
    return found


def _typed(name: str, value: object, where: str) -> Value:
    kind = KINDS[name]
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise RecipeError(f"{where}: {name} must be {_KIND_NAMES[kind]}, not {value!r}")
    typed: Value = value
    if isinstance(typed, float) and not math.isfinite(typed):
        raise RecipeError(f"{where}: {name} must be a finite number, not {typed}")
    if name in MINIMUM and cast(int, typed) < MINIMUM[name]:
        raise RecipeError(f"{where}: {name} must be at least {MINIMUM[name]}, not {typed}")
    if name in POSITIVE and not 0 < cast(float, typed) <= 1:
        raise RecipeError(f"{where}: {name} must be above 0 and at most 1, not {typed}")
    if name == "objective" and not cast(str, typed).startswith("rank:"):
        raise RecipeError(f"{where}: objective must be one of XGBoost's rank: objectives, not {typed!r}")
    return typed


_KIND_NAMES: Mapping[type[object], str] = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
}


def _assignment(text: str) -> tuple[str, object]:
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not name or not value:
        raise RecipeError(f"{text!r} is no name=value, such as learning_rate=0.1")
    if re.fullmatch(r"(?!true$|false$|nan$|inf$)[A-Za-z][\w:.-]*", value):
        return name, value  # a string whose quotes the shell took away
    try:
        parsed = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{text!r}: {value!r} is no TOML value: {error}") from error
    if len(parsed) != 1:
        raise RecipeError(f"{text!r} holds more than one value")
    return name, parsed["value"]


def _unknown(spelling: str, name: str) -> str:
    if name in inspect.signature(xgb.XGBModel.__init__).parameters:
        reason = REASONS.get(name, "recipes hold hyperparameters only")
        return f"{spelling} cannot be set in a recipe: {reason}"
    return f"XGBRanker has no parameter {spelling!r}{nearest(spelling, [*KINDS, *ALIASES])}"


def nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _unused(warning: str) -> list[str]:
    found = re.search(r"Parameters: \{(.*)\} are not used", warning)
    return re.findall(r'"(.*?)"', found.group(1)) if found else []


def refusal(error: XGBoostError, parameters: Mapping[str, Value]) -> str:
    """XGBoost's reason alone: without time stamp, source line, C++ stack; with the parameter's name."""
    text = str(error).partition("Stack trace:")[0].strip()
    text = re.sub(r"^\[[\d:]+\] \S+: (Check failed: )?", "", text).partition("\n")[0].strip()
    choice = re.match(r"Invalid Input: '(.*?)', (.*)", text)
    if not choice:
        return text or "XGBoost gave no reason"
    # XGBoost names the value but not the parameter that has it.
    names = [name for name, value in parameters.items() if value == choice.group(1)]
    return f"{', '.join(names) or 'a parameter'} cannot be {choice.group(1)!r}: {choice.group(2)}"
