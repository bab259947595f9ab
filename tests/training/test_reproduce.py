from __future__ import annotations

import argparse
import shlex
from pathlib import Path

import pytest

from tests.training.reporting import HOSTILE, fold, model
from training.cli import parser
from training.recipe import Recipe, load_recipe
from training.reproduce import commands_of
from training.runs import Run

DATA = fold()


def report_arguments(*words: str) -> argparse.Namespace:
    return parser().parse_args(["report", *words])


def test_the_commands_parse_and_make_the_same_recipe() -> None:
    recipe = load_recipe("xgboost-defaults").override("eta=0.1", "max_depth=3", "lambdarank_normalization=false")
    args = report_arguments(
        "runs/x y", "--champion", "a;b", "--data", "my data", "--width", "5", "--allow-missing", "--minimum", "0.01"
    )
    checkout, _, run, report = (shlex.split(each) for each in commands_of(model(DATA, recipe), DATA, args))
    assert checkout == ["git", "checkout", "c0ffee"]
    made = parser().parse_args(run[3:])
    assert load_recipe(made.recipe).override(*made.set).parameters == recipe.parameters
    assert (made.data, made.width, made.allow_missing, made.seed) == ("my data", 5, True, 0)
    assert parser().parse_args(report[3:]) == argparse.Namespace(**vars(args))


def test_nothing_from_outside_reaches_the_shell() -> None:
    args = report_arguments("$(rm -rf x)", "--champion", "`id`", "--out", "a b")
    bad = model(DATA, Recipe("; id", {"n_estimators": 1}))
    for command in commands_of(bad, DATA, args):
        assert shlex.join(shlex.split(command)) == command
    assert "'$(rm -rf x)'" in commands_of(bad, DATA, args)[3]
    assert (
        shlex.split(commands_of(model(DATA, Recipe(HOSTILE[0], {"n_estimators": 1})), DATA, args)[2])[-3] == HOSTILE[0]
    )


@pytest.mark.parametrize(("name", "written"), [("mslr-small", "mslr-small"), ("mine", "mine.toml")])
def test_a_recipe_of_ones_own_is_a_file(name: str, written: str) -> None:
    made = commands_of(model(DATA, Recipe(name, {"n_estimators": 1})), DATA, report_arguments("x"))[2]
    assert shlex.split(made)[7] == written


def test_a_runs_data_folder_is_named(run: Run, tmp_path: Path) -> None:
    from training.letor import read_fold
    from training.models import open_model

    made = commands_of(open_model(str(run.folder), tmp_path), read_fold(run.data_folder), report_arguments("x"))
    assert f"--data {run.data_folder}" in made[2]


def test_what_was_measured_is_installed_again() -> None:
    small = model(DATA, Recipe("x", {"n_estimators": 1}))
    plain, with_foreign = (
        commands_of(small, DATA, report_arguments("runs/x"), lightgbm=each) for each in (False, True)
    )
    assert [each for each in with_foreign if each not in plain] == ["python3 -m training.environment lightgbm"]
    # The same run comes to lie where the report looks for it.
    assert shlex.split(plain[2])[-2:] == ["--runs", "runs"]
