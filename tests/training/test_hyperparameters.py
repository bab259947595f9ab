from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service.revision import UNKNOWN, Revision
from tests.training.opt_ml import make_tree, write_config
from training.container import ConfigError, Tree
from training.hyperparameters import Hyperparameters, check_commit, read_hyperparameters
from training.recipe import load_recipe

CHANNELS = ["train", "test"]


def read(tmp_path: Path, document: Any, channels: list[str] = CHANNELS) -> Hyperparameters:
    write_config(tmp_path, "hyperparameters", document)
    return read_hyperparameters(Tree(tmp_path), channels)


def test_none_is_the_default_recipe(tmp_path: Path) -> None:
    assert read(tmp_path, {}) == Hyperparameters(load_recipe())


def test_all_of_them(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {
            "recipe": "xgboost-defaults",
            "eta": "0.1",
            "n_estimators": "500",
            "segment_trees": "50",
            "lambdarank_pair_method": "mean",
            "lambdarank_unbiased": "true",
            "seed": "2147483647",
            "name": "my-model",
            "width": "136",
            "max_relevance": "4",
            "allow_missing": "true",
            "data_sha256": "sha256:" + "ab" * 32,
            "commit": "0" * 40 + "-dirty",
            "_tuning_objective_metric": "validation:ndcg@10",
        },
    )
    # As the same words after --set give it on a laptop.
    recipe = load_recipe("xgboost-defaults").override(
        "eta=0.1", "n_estimators=500", "segment_trees=50", "lambdarank_pair_method=mean", "lambdarank_unbiased=true"
    )
    assert found == Hyperparameters(recipe, 2147483647, "my-model", 136, 4, True, "ab" * 32, "0" * 40)


def test_a_recipe_in_a_channel(tmp_path: Path) -> None:
    folder = tmp_path / "input" / "data" / "recipe"
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text("[parameters]\neta = 0.5\n")
    found = read(tmp_path, {"recipe": "mine.toml", "max_depth": "2"}, [*CHANNELS, "recipe"])
    assert (found.recipe.name, found.recipe.parameters) == ("mine", {"learning_rate": 0.5, "max_depth": 2})


BAD: list[tuple[Any, str]] = [
    ({"learning_rat": "1"}, r"no hyperparameter 'learning_rat' \(did you mean learning_rate\?\)"),
    ({"sed": "1"}, r"did you mean seed\?"),
    ({"checkpoint_trees": "1"}, r"did you mean segment_trees\?"),
    ({"": "1"}, "no hyperparameter ''"),
    ({"x" * 257: "1"}, r"hyperparameter x{40}\.\.\.: a name of 257 characters; 256 are allowed"),
    ({"recipe": "x" * 2501}, "hyperparameter recipe: a value of 2501 characters; 2500 are allowed"),
    ({f"h{number}": "1" for number in range(101)}, "101 hyperparameters, but SageMaker takes at most 100"),
    ({"max_depth": 4}, "hyperparameter max_depth must be a string, not 4"),
    ({"max_depth": None}, "must be a string, not None"),
    ({"max_depth": "deep"}, "max_depth must be a whole number, not 'deep'"),
    ({"max_depth": ""}, "is no name=value"),
    ({"max_depth": "4\nmax_leaves=3"}, "max_depth"),
    ({"subsample": "1.5"}, "subsample must be above 0 and at most 1"),
    ({"segment_trees": "0"}, "segment_trees must be at least 1"),
    ({"learning_rate": "-1"}, "learning_rate"),
    ({"eta": "0.1", "learning_rate": "0.2"}, "learning_rate is given twice"),
    ({"n_jobs": "4"}, "n_jobs cannot be set in a recipe: the number of threads"),
    ({"nthread": "4"}, "nthread cannot be set in a recipe: the number of threads"),
    ({"recipe": "mslr-smal"}, r"there is no recipe 'mslr-smal' \(did you mean mslr-small\?\)"),
    ({"recipe": "mine.toml"}, "there is no channel `recipe`"),
    ({"seed": "-1"}, "seed must be a whole number from 0 to 2147483647, not '-1'"),
    ({"seed": "2147483648"}, "seed must be a whole number"),
    ({"seed": "1e3"}, "seed must be a whole number"),
    ({"seed": "\N{ARABIC-INDIC DIGIT ONE}"}, "seed must be a whole number"),
    ({"name": "My Model"}, "name: 'My Model' cannot name a model"),
    ({"name": ".."}, "cannot name a model"),
    ({"width": "0"}, "width must be a whole number from 1"),
    ({"max_relevance": "32"}, "max_relevance must be a whole number from 1 to 31"),
    ({"allow_missing": "yes"}, "allow_missing must be true or false, not 'yes'"),
    ({"data_sha256": "ab"}, "data_sha256 must be 64 hex digits"),
    ({"commit": "main"}, "commit must be 40 hex digits, not 'main'"),
    ("[]", "must hold an object"),
    ("", "is not JSON"),
]


@pytest.mark.parametrize(("document", "message"), BAD, ids=[message[:40] for _, message in BAD])
def test_bad_ones_are_named(tmp_path: Path, document: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, document)


@pytest.mark.parametrize("named", ["../train/train.toml", "/etc/x.toml"])
def test_a_recipe_lies_in_its_channel(tmp_path: Path, data: Path, named: str) -> None:
    tree = make_tree(tmp_path / "ml", data, {"recipe": named})
    with pytest.raises(ConfigError, match="must be the name of a file in the channel `recipe`"):
        read_hyperparameters(Tree(tree), [*CHANNELS, "recipe"])


def test_a_recipe_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the recipe .*mine\.toml"):
        read(tmp_path, {"recipe": "mine.toml"}, [*CHANNELS, "recipe"])


def test_the_commit_must_be_the_codes() -> None:
    here = Revision("a" * 40, False, datetime(2026, 1, 1, tzinfo=UTC))
    check_commit(None, here)
    check_commit("a" * 40, here)
    check_commit("b" * 40, Revision(UNKNOWN, True, here.time))
    with pytest.raises(ConfigError, match=r"the job is for b{40}, but this image holds a{40}"):
        check_commit("b" * 40, here)
