from __future__ import annotations

import tomllib
from pathlib import Path

import optuna
import pytest

from training.recipe import RecipeError, load_recipe
from training.space import SPACES, Choice, SpaceError, Span, load_space, space_names

GOOD = """
[space]
description = "d"
[start]
learning_rate = 0.3
max_depth = 6
[fixed]
n_estimators = 5
[search.learning_rate]
low = 0.01
high = 0.5
scale = "log"
reason = "r"
[search.max_depth]
choices = [3, 6]
reason = "r"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", space_names())
def test_spaces_that_come_with_the_project(name: str) -> None:
    space = load_space(name)
    space.check()
    assert space.description
    assert all(len(each.reason) > 20 for each in space.search.values())
    assert space.fixed["objective"] == "rank:ndcg"


def test_the_small_space_starts_with_what_xgboost_does_untold() -> None:
    # As many leaves as a tree of depth 6 can have make the same tree leaf by leaf as level by level.
    start = load_space("small").start
    assert (start["max_leaves"], start["max_depth"]) == (64, 6)
    assert start["n_estimators"] == load_recipe("xgboost-defaults").trees


def test_the_full_space_starts_with_the_full_recipe() -> None:
    space = load_space("full")
    recipe = load_recipe("mslr-web30k").parameters
    assert {name: recipe[name] for name in space.start if name in recipe} == {
        name: value for name, value in space.start.items() if name in recipe
    }
    assert {name: recipe[name] for name in space.fixed} == space.fixed


def test_suggestions_stay_inside_and_reach_all_choices(tmp_path: Path) -> None:
    space = load_space(written(tmp_path, GOOD))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found = [space.suggest(study.ask()) for _ in range(30)]
    assert {each["max_depth"] for each in found} == {3, 6}
    assert all(0.01 <= float(each["learning_rate"]) <= 0.5 for each in found)
    assert min(float(each["learning_rate"]) for each in found) < 0.05
    assert {each["n_estimators"] for each in found} == {5}


def test_whole_numbers_stay_whole() -> None:
    trial = optuna.create_study().ask()
    assert type(Span(1, 9, True, "r").suggest(trial, "a")) is int
    assert type(Span(1.0, 9.0, False, "r").suggest(trial, "b")) is float
    assert Choice((True, False), "r").suggest(trial, "c") in (True, False)


def test_the_hash_is_of_what_decides_over_a_search(tmp_path: Path) -> None:
    first = load_space(written(tmp_path, GOOD)).sha256
    assert load_space(written(tmp_path, GOOD.replace('"r"', '"because"'))).sha256 == first
    for old, new in (("0.01", "0.02"), ('"log"', '"linear"'), ("[3, 6]", "[2, 6]"), ("= 5", "= 6"), ("= 0.3", "= 0.4")):
        assert load_space(written(tmp_path, GOOD.replace(old, new))).sha256 != first


BAD = [
    pytest.param("x", "is not TOML", id="not TOML"),
    pytest.param(GOOD + "[more]", r"\[more\] is none of the tables", id="unknown table"),
    pytest.param("search = 3", r"\[search\] must be a table", id="no table"),
    pytest.param("[fixed]\nmax_depth = 3", "there is nothing to search", id="nothing to search"),
    pytest.param(GOOD.replace("n_estimators", "max_depth"), "max_depth is both fixed and searched", id="both"),
    pytest.param(GOOD.replace("max_depth = 6\n", ""), r"\[start\] must have a value .* see max_depth", id="no start"),
    pytest.param(GOOD.replace("[fixed]", "gamma = 1.0\n[fixed]"), "see gamma", id="start of something else"),
    pytest.param(GOOD.replace("= 0.3", "= 0.7"), r"\[start\] learning_rate = 0.7 is not in", id="start outside"),
    pytest.param(
        GOOD.replace("= 0.3", "= true").replace("0.5", "2.0"),
        "learning_rate = True is not in",
        id="start of other type",
    ),
    pytest.param(GOOD.replace("max_depth = 6", "max_depth = 5"), r"\[start\] max_depth = 5 is not in", id="no choice"),
    pytest.param(GOOD.replace("[3, 6]", "[6]"), "two or more different values", id="one choice"),
    pytest.param(GOOD.replace("[3, 6]", "[6, 6]"), "two or more different values", id="the same choice twice"),
    pytest.param(GOOD.replace("[3, 6]", "[6, true]"), "of one type", id="mixed choices"),
    pytest.param(GOOD.replace("[3, 6]", "[[3], [6]]"), "of one type", id="lists"),
    pytest.param(GOOD.replace("[3, 6]", "6"), "of one type", id="no list"),
    pytest.param(GOOD.replace("choices = [3, 6]", ""), r"\[search.max_depth\] needs low and high", id="no values"),
    pytest.param(GOOD.replace("choices = [3, 6]", "choices = [3, 6]\nlow = 1"), "needs low and high", id="both kinds"),
    pytest.param(GOOD.replace("scale", "step"), "needs low and high, with scale", id="unknown word"),
    pytest.param(GOOD.replace("low = 0.01", "low = 0.6"), "two rising numbers", id="edges fall"),
    pytest.param(GOOD.replace("low = 0.01", "low = 0"), "both whole or both not", id="mixed edges"),
    pytest.param(GOOD.replace("high = 0.5", "high = inf"), "two rising numbers", id="infinite"),
    pytest.param(GOOD.replace("low = 0.01", "low = 0.0"), "where low is above 0", id="logarithm of 0"),
    pytest.param(GOOD.replace('"log"', '"sqrt"'), 'scale must be "linear", or "log"', id="unknown scale"),
    pytest.param(GOOD.replace('reason = "r"', ""), "needs a reason", id="no reason"),
    pytest.param("[start]\na = 1\n[search]\na = 3", r"\[search.a\] must be a table", id="a number to search"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_bad_files(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SpaceError, match=message) as caught:
        load_space(written(tmp_path, text))
    assert "mine.toml" in str(caught.value)


def test_spaces_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"no search space 'smal' \(did you mean small\?\): there are full, small"):
        load_space("smal")
    with pytest.raises(SpaceError, match=r"cannot read the search space .*none\.toml: No such file"):
        load_space(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("n_estimators = 5", "banana = 5", "no parameter 'banana'"),
        ("n_estimators = 5", "subsample = 2.0", "subsample must be above 0"),
        ("[3, 6]", "[-3, 6]", "max_depth"),
    ],
)
def test_xgboost_judges_the_corners(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_space(written(tmp_path, GOOD.replace(old, new))).check()


def test_every_reason_is_beside_its_edges() -> None:
    for name in space_names():
        tables = tomllib.loads((SPACES / f"{name}.toml").read_text())["search"]
        assert list(tables) == list(load_space(name).search)
