"""Search spaces: what `python -m training tune` may change, from where to where, and why, as files like recipes.

[space]
description = "for which data it is"

[start]                       # the first trial, a value for each name that is searched
learning_rate = 0.3

[fixed]                       # the same in every trial
objective = "rank:ndcg"

[search.learning_rate]
low = 0.03
high = 0.3
scale = "log"                 # else linear; whole numbers where both edges are
reason = "why these edges"

[search.max_depth]
choices = [0, 4, 6]
reason = "why these"
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from service.manifest import canonical_json
from training import toml
from training.recipe import Recipe, Value, checked_parameters

if TYPE_CHECKING:
    # Loading it takes a while, and the command line reads spaces for verbs that search nothing.
    from optuna.trial import Trial

SPACES = Path(__file__).parent / "spaces"
DEFAULT = "small"
TABLES = ("space", "start", "fixed", "search")


class SpaceError(ValueError):
    """A search space that cannot be used; the message says where and why."""


@dataclass(frozen=True)
class Span:
    """Numbers between two edges, both included."""

    low: int | float
    high: int | float
    log: bool
    reason: str

    def suggest(self, trial: Trial, name: str) -> Value:
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(name, self.low, self.high, log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)

    def holds(self, value: Value) -> bool:
        kind = int if isinstance(self.low, int) and isinstance(self.high, int) else float
        return type(value) is kind and self.low <= value <= self.high

    def ends(self) -> tuple[Value, ...]:
        return self.low, self.high


@dataclass(frozen=True)
class Choice:
    """One of some values, between which nothing lies."""

    values: tuple[Value, ...]
    reason: str

    def suggest(self, trial: Trial, name: str) -> Value:
        return cast(Value, trial.suggest_categorical(name, self.values))

    def holds(self, value: Value) -> bool:
        return any(type(value) is type(each) and value == each for each in self.values)

    def ends(self) -> tuple[Value, ...]:
        return self.values


@dataclass(frozen=True)
class Space:
    """What is searched. Made by `load_space`, which checks it."""

    name: str
    description: str
    start: Mapping[str, Value]
    fixed: Mapping[str, Value]
    search: Mapping[str, Span | Choice]

    def suggest(self, trial: Trial) -> dict[str, Value]:
        """All parameters of one trial: those that the sampler chose, and the fixed ones."""
        return {**self.fixed, **{name: each.suggest(trial, name) for name, each in self.search.items()}}

    def parameters(self, chosen: Mapping[str, Any]) -> dict[str, Value]:
        """All parameters of a trial that is over."""
        return {**self.fixed, **{name: chosen[name] for name in self.search}}

    @property
    def sha256(self) -> str:
        """Of what decides over a search; reasons may be reworded."""
        search = {name: repr(replace(each, reason="")) for name, each in self.search.items()}
        content = {"start": dict(self.start), "fixed": dict(self.fixed), "search": search}
        return hashlib.sha256(canonical_json(content)).hexdigest()

    def check(self) -> None:
        """Has XGBoost judge the space's corners, before hours go into reading data.

        Raises:
            RecipeError: a name that XGBRanker does not know, or a value that it refuses.
        """
        where = f"search space {self.name}"
        start = self.parameters(self.start)
        for name, each in self.search.items():
            for value in each.ends():
                Recipe(where, checked_parameters({**start, name: value}.items(), where)).check()


def space_names() -> list[str]:
    """The spaces that come with the project."""
    return toml.names(SPACES)


def load_space(name_or_path: str | Path = DEFAULT) -> Space:
    """A space of `training/spaces/` by name, or any file that ends in `.toml`.

    Raises:
        SpaceError: there is none, it is not TOML, or not a search space.
    """
    return _space(*toml.load(name_or_path, SPACES, "search space", SpaceError))


def _space(path: Path, content: Mapping[str, Any]) -> Space:
    tables = {name: _table(f"{path}: [{name}]", content.get(name, {})) for name in TABLES}
    for name in content:
        if name not in TABLES:
            raise SpaceError(f"{path}: [{name}] is none of the tables of a search space: [{'], ['.join(TABLES)}]")
    search = {name: _dimension(f"{path}: [search.{name}]", each) for name, each in tables["search"].items()}
    if not search:
        raise SpaceError(f"{path}: there is nothing to search, no table [search.NAME]")
    start, fixed = tables["start"], tables["fixed"]
    both = sorted(set(fixed) & set(search))
    if both:
        raise SpaceError(f"{path}: {both[0]} is both fixed and searched")
    if set(start) != set(search):
        odd = min(set(start) ^ set(search))
        raise SpaceError(f"{path}: [start] must have a value for each name that is searched and no other: see {odd}")
    for name, each in search.items():
        if not each.holds(start[name]):
            raise SpaceError(f"{path}: [start] {name} = {start[name]!r} is not in [search.{name}]")
    return Space(path.stem, str(tables["space"].get("description", "")), start, fixed, search)


def _table(where: str, given: object) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise SpaceError(f"{where} must be a table, not {given!r}")
    return cast(Mapping[str, Any], given)


def _dimension(where: str, given: object) -> Span | Choice:
    table = _table(where, given)
    reason = table.get("reason")
    if not isinstance(reason, str) or not reason:
        raise SpaceError(f"{where} needs a reason: one who reads the space wants to know why these edges")
    names = set(table) - {"reason"}
    if names == {"choices"}:
        return Choice(_choices(where, table["choices"]), reason)
    if not {"low", "high"} <= names <= {"low", "high", "scale"}:
        raise SpaceError(f"{where} needs low and high, with scale or without it, or choices, and nothing else")
    low, high, scale = table["low"], table["high"], table.get("scale", "linear")
    if type(low) is not type(high) or type(low) not in (int, float) or not math.isfinite(high - low) or low >= high:
        raise SpaceError(f"{where}: low and high must be two rising numbers, both whole or both not: {low!r}, {high!r}")
    if scale not in ("log", "linear") or (scale == "log" and low <= 0):
        raise SpaceError(f'{where}: scale must be "linear", or "log" where low is above 0, not {scale!r}')
    return Span(low, high, scale == "log", reason)


def _choices(where: str, given: object) -> tuple[Value, ...]:
    values = cast(list[Value], given) if isinstance(given, list) else []
    alike: set[type[object]] = {type(each) for each in values}
    if len(alike) != 1 or not alike < {int, float, str, bool} or len(values) < 2 or len(set(values)) < len(values):
        raise SpaceError(f"{where}: choices must be two or more different values of one type, not {given!r}")
    return tuple(values)
