"""A job's hyperparameters: strings that name the recipe, change it, and say what the job should find.

recipe            a built-in recipe's name, or a .toml file's in the channel `recipe` (default: mslr-small)
<a parameter>     changes it in the recipe, such as learning_rate; segment_trees makes checkpoints possible
seed, name        as `python -m training run` has them
width, max_relevance, allow_missing   of the data, as well
data_sha256       of the data, as manifests have it: other data is refused
commit            of the code: an image of another one is refused
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import xgboost as xgb

from service.manifest import valid_name
from service.revision import UNKNOWN, Revision
from training.container import ConfigError, Tree, near
from training.fit import MAX_SEED
from training.parse import MAX_RELEVANCE, MAX_WIDTH
from training.recipe import ALIASES, DEFAULT, KINDS, Recipe, RecipeError, load_recipe

# Of CreateTrainingJob.
MAX_COUNT, MAX_KEY, MAX_VALUE = 100, 256, 2500
# SageMaker's tuning jobs tell every training job what they look at.
IGNORED = "_tuning_objective_metric"


@dataclass(frozen=True)
class Hyperparameters:
    recipe: Recipe
    seed: int = 0
    name: str | None = None
    width: int | None = None
    max_relevance: int | None = None
    allow_missing: bool = False
    data_sha256: str | None = None
    commit: str | None = None


def read_hyperparameters(tree: Tree, channels: list[str]) -> Hyperparameters:
    """
    Raises:
        ConfigError: one that is unknown, too long or wrong; the message names it.
    """
    given = _strings(tree.config("hyperparameters"))
    ours = {key: value for key, value in given.items() if key in OURS}
    changes = [f"{key}={value}" for key, value in given.items() if key not in OURS]
    for key in given:
        if key not in OURS and not _is_recipes(key):
            raise ConfigError(f"there is no hyperparameter {key!r}{near(key, [*OURS, *KINDS, *ALIASES])}")
    try:
        recipe = _recipe(ours.pop("recipe", DEFAULT), tree, channels).override(*changes)
        recipe.check()
    except RecipeError as error:
        raise ConfigError(f"hyperparameters: {str(error).removeprefix('override: ')}") from error
    return Hyperparameters(recipe, **{key: OURS[key](key, value) for key, value in ours.items()})


def check_commit(asked: str | None, code: Revision) -> None:
    """
    Raises:
        ConfigError: the code that runs is known to be of another commit.
    """
    if asked is not None and code.commit not in (UNKNOWN, asked):
        raise ConfigError(f"commit: the job is for {asked}, but this image holds {code.commit}; name the image of it")


def _strings(given: Mapping[str, Any]) -> dict[str, str]:
    if len(given) > MAX_COUNT:
        raise ConfigError(f"{len(given)} hyperparameters, but SageMaker takes at most {MAX_COUNT}")
    for key, value in given.items():
        if len(key) > MAX_KEY:
            raise ConfigError(f"hyperparameter {key[:40]}...: a name of {len(key)} characters; {MAX_KEY} are allowed")
        if not isinstance(value, str):
            raise ConfigError(f"hyperparameter {key} must be a string, not {value!r}")
        if len(value) > MAX_VALUE:
            raise ConfigError(f"hyperparameter {key}: a value of {len(value)} characters; {MAX_VALUE} are allowed")
    return {key: value for key, value in given.items() if key != IGNORED}


def _is_recipes(key: str) -> bool:
    # XGBRanker's other parameters are refused by the recipe, which knows the reasons.
    return key in KINDS or key in ALIASES or key in inspect.signature(xgb.XGBModel.__init__).parameters


def _recipe(named: str, tree: Tree, channels: list[str]) -> Recipe:
    if not named.endswith(".toml"):
        return load_recipe(named)
    if "recipe" not in channels:
        raise ConfigError(f"recipe: {named} is a file's name, but there is no channel `recipe` to hold it")
    if "/" in named:
        raise ConfigError(f"recipe: {named!r} must be the name of a file in the channel `recipe`, without folders")
    return load_recipe(tree.data / "recipe" / named)


def _whole(least: int, most: int) -> Callable[[str, str], int]:
    def read(key: str, value: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", value) or not least <= int(value) <= most:
            raise ConfigError(f"hyperparameter {key} must be a whole number from {least} to {most}, not {value!r}")
        return int(value)

    return read


def _matching(pattern: str, what: str) -> Callable[[str, str], str]:
    def read(key: str, value: str) -> str:
        match = re.fullmatch(pattern, value)
        if not match:
            raise ConfigError(f"hyperparameter {key} must be {what}, not {value!r}")
        return match[1]

    return read


def _truth(key: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise ConfigError(f"hyperparameter {key} must be true or false, not {value!r}")
    return value == "true"


def _model_name(key: str, value: str) -> str:
    if not valid_name(value):
        raise ConfigError(f"{key}: {value!r} cannot name a model; use 1 to 63 of a-z, 0-9, dot, dash and underscore")
    return value


def _as_it_is(key: str, value: str) -> str:
    del key
    return value


OURS: Mapping[str, Callable[[str, str], Any]] = {
    "recipe": _as_it_is,
    "seed": _whole(0, MAX_SEED),
    "name": _model_name,
    "width": _whole(1, MAX_WIDTH),
    "max_relevance": _whole(1, MAX_RELEVANCE),
    "allow_missing": _truth,
    "data_sha256": _matching(r"(?:sha256:)?([0-9a-f]{64})", "64 hex digits"),
    "commit": _matching(r"([0-9a-f]{40})(?:-dirty)?", "40 hex digits"),
}
