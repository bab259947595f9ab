from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT
from training.cli import main
from training.recipe import Recipe, RecipeError, load_recipe
from training.tune import check_target, write_recipe

SPACE = """
[start]
learning_rate = 0.3
max_depth = 3
[fixed]
n_estimators = 6
[search.learning_rate]
low = 0.01
high = 0.5
scale = "log"
reason = "r"
[search.max_depth]
low = 1
high = 5
reason = "r"
"""


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "space.toml"
    path.write_text(SPACE)
    return path


@pytest.fixture
def words(data: Path, space: Path, tmp_path: Path) -> list[str]:
    """A search of milliseconds, but for what the test adds."""
    study, out = str(tmp_path / "study.log"), str(tmp_path / "found.toml")
    return ["tune", "--data", str(data), "--space", str(space), "--study", study, "--out", out, "--threads", "1"]


def test_it_writes_a_recipe_that_the_other_verbs_take(
    words: list[str], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--trials", "5"]) == 0
    told = capsys.readouterr()
    out = tmp_path / "found.toml"
    assert told.out.splitlines()[-1] == str(out)
    assert "Recipes tried: 5" in " ".join(told.out.split())
    assert "looks too good" in " ".join(told.out.split())
    assert "The search sees 12 queries" in told.err
    assert "It never sees the 3 test queries" in told.err
    recipe = load_recipe(out)
    assert (recipe.name, recipe.tried, recipe.trees) == ("found", 5, 6)
    runs = tmp_path / "runs"
    assert main(["fit", "--data", str(data), "--recipe", str(out), "--runs", str(runs)]) == 0
    (run,) = runs.iterdir()
    assert main(["evaluate", str(run)]) == 0
    assert "Recipes tried: 5" in " ".join(capsys.readouterr().out.split())


def test_equal_searches_write_equal_bytes(words: list[str], tmp_path: Path) -> None:
    assert main([*words, "--trials", "4"]) == 0
    first = (tmp_path / "found.toml").read_bytes()
    assert main([*words, "--trials", "4"]) == 0
    assert (tmp_path / "found.toml").read_bytes() == first
    (tmp_path / "study.log").unlink()
    assert main([*words, "--trials", "4"]) == 0
    assert (tmp_path / "found.toml").read_bytes() == first


def test_without_names_equal_searches_find_each_other(
    data: Path, space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["tune", "--data", str(data), "--space", str(space), "--threads", "1", "--trials", "2"]
    for more in ([], [], ["--outer", "3", "--inner", "2"]):
        assert main([*words, *more]) == 0
    assert len(list((tmp_path / ".podium/studies").iterdir())) == 2
    assert len(list((tmp_path / ".podium/recipes").iterdir())) == 2
    assert "3-fold nested cross-validation" in capsys.readouterr().out


def test_a_killed_search_goes_on_where_it_was(words: list[str], tmp_path: Path) -> None:
    whole = [word.replace("study.log", "whole.log").replace("found", "whole") for word in words]
    assert main([*whole, "--trials", "25"]) == 0
    command = [sys.executable, "-m", "training", *words, "--trials", "25"]
    study = tmp_path / "study.log"
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ}, stderr=subprocess.DEVNULL) as process:
        # Ten lines or so a trial.
        while process.poll() is None and (not study.exists() or study.read_bytes().count(b"\n") < 60):
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "found.toml").exists()
    before = study.read_bytes()
    assert main([*words, "--trials", "25"]) == 0
    # What was there stays (but for half a line), and it is less than all.
    kept = before[: before.rfind(b"\n") + 1]
    assert study.read_bytes().startswith(kept)
    assert len(kept) < len(study.read_bytes())
    texts = [(tmp_path / f"{name}.toml").read_text() for name in ("found", "whole")]
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--trials", "0"], "needs 1 trial or more, not 0"),
        (["--minutes", "0"], "minutes above 0"),
        (["--minutes", "nan"], "minutes above 0"),
        (["--outer", "1"], "--outer must be test or a number of folds from 2, not '1'"),
        (["--outer", "vali"], "--outer must be test or a number of folds"),
        (["--inner", "test"], "--inner must be vali or a number of folds"),
        (["--inner", "²"], "--inner must be vali or a number of folds"),
        (["--outer", "5", "--inner", "vali"], "not vali"),
        (["--inner", "13"], "needs 2 to 12 folds, not 13"),
        (["--outer", "16"], "15 queries cannot be nested in 16 outer folds"),
        (["--space", "none"], "there is no search space 'none'"),
        (["--out", "found.json"], "found.json: recipes are .toml files"),
        (["--seed", "-1"], "the seed must be from 0"),
        (["--data", "nowhere"], "nowhere"),
        (["--exclude", "nowhere"], "nowhere: cannot be read"),
    ],
)
def test_bad_usage(words: list[str], more: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, *more]) in (2, 3)
    told = capsys.readouterr()
    assert message in told.err
    assert told.out == ""


def test_studies_of_others(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = tmp_path / "study.log"
    study.write_text("my notes\n")
    assert main(words) == 2
    assert "study.log is no study file" in capsys.readouterr().err
    assert study.read_text() == "my notes\n"
    study.unlink()
    assert main([*words, "--trials", "1"]) == 0
    assert main([*words, "--trials", "1", "--seed", "5"]) == 2
    assert "the study file is of another search, with other seed: give another --study" in capsys.readouterr().err
    assert main([*words[:6], str(tmp_path), *words[7:]]) == 3


def test_a_recipe_that_people_wrote_is_not_overwritten(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "found.toml"
    mine.write_text("[parameters]\neta = 0.1\n")
    assert main([*words, "--data", "not read"]) == 2
    assert "was not written by a search" in capsys.readouterr().err
    assert mine.read_text() == "[parameters]\neta = 0.1\n"


def test_a_recipe_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    recipe = Recipe(
        "mine",
        {"learning_rate": 1e-05, "max_leaves": 7, "lambdarank_normalization": False, "grow_policy": "lossguide"},
        description='with "quotes" and \\',
        tried=7,
        chosen_on="some",
        provenance={"inner_ndcg@10": 0.5, "inner_interval": [0.25, 1.0], "trials": 7},
    )
    write_recipe(recipe, tmp_path / "new" / "mine.toml")
    assert load_recipe(tmp_path / "new" / "mine.toml") == recipe
    check_target(tmp_path / "new" / "mine.toml")
    with pytest.raises(RecipeError, match=r"recipes are \.toml files"):
        write_recipe(recipe, tmp_path / "mine")


def test_more_than_one_look_at_the_holdout_is_said(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--trials", "1"]) == 0
    assert "no holdout any more" not in " ".join(capsys.readouterr().out.split())
    assert main([*words, "--trials", "12"]) == 0
    assert "2 recipes of this study were scored" in " ".join(capsys.readouterr().out.split())


def test_other_verbs_do_not_wait_for_optuna_to_load() -> None:
    code = "import sys, training.cli; sys.exit('optuna' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
