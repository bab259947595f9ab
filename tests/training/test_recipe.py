from __future__ import annotations

import inspect
import tomllib
from pathlib import Path

import pytest
import xgboost as xgb

from training.recipe import ALIASES, KINDS, REASONS, RECIPES, Recipe, RecipeError, load_recipe, recipe_names

FULL = ["mslr-web10k", "mslr-web30k"]


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_that_come_with_the_project(name: str) -> None:
    recipe = load_recipe(name)
    recipe.check()
    assert recipe.name == name
    assert recipe.description
    assert recipe.chosen_on
    assert recipe.tried >= 1
    assert recipe.arguments()["objective"] == "rank:ndcg"
    assert recipe.arguments()["tree_method"] == "hist"
    # Only where thousands of validation queries are: with the few at hand here it stops at random.
    assert bool(recipe.early_stopping_rounds) == (name in FULL)


@pytest.mark.parametrize("name", FULL)
def test_recipes_for_the_full_sets_say_that_they_were_not_trained(name: str) -> None:
    recipe = load_recipe(name)
    assert "NOT TRAINED AT FULL SIZE" in recipe.description
    assert recipe.tried == 1
    assert recipe.chosen_on.startswith("not chosen by comparing")
    assert recipe.parameters["grow_policy"] == "lossguide"
    assert (recipe.parameters["max_depth"], recipe.parameters["lambdarank_pair_method"]) == (0, "topk")


def test_recipe_names() -> None:
    assert recipe_names() == ["mslr-small", *FULL, "xgboost-defaults"]
    assert len(tomllib.loads((RECIPES / "xgboost-defaults.toml").read_text())["parameters"]) == 3


def test_known_parameters_are_xgboosts() -> None:
    own = set(inspect.signature(xgb.XGBModel.__init__).parameters) | set(inspect.signature(xgb.XGBRanker).parameters)
    native = {name for name in KINDS if name.startswith("lambdarank_")} | {"ndcg_exp_gain", "segment_trees"}
    assert set(KINDS) - own == native
    assert set(REASONS) < own
    assert set(ALIASES.values()) <= set(KINDS) | set(REASONS)


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    text = '[recipe]\ndescription = "d"\ntried = 3\nchosen_on = "c"\n[parameters]\neta = 1\nndcg_exp_gain = false\n'
    recipe = load_recipe(written(tmp_path, text))
    assert recipe == Recipe("mine", {"learning_rate": 1.0, "ndcg_exp_gain": False}, "d", 3, "c")
    assert recipe.trees == 100


def test_empty_file_is_xgboosts_defaults(tmp_path: Path) -> None:
    recipe = load_recipe(str(written(tmp_path, "")))
    assert recipe.arguments() == {"objective": "rank:ndcg", "tree_method": "hist", "n_estimators": 100}


def test_what_a_search_wrote_stays_with_the_recipe(tmp_path: Path) -> None:
    recipe = load_recipe(written(tmp_path, '[provenance]\nseed = 3\nspans = [0.1, 0.2]\nspace = "small"\n'))
    assert recipe.provenance == {"seed": 3, "spans": [0.1, 0.2], "space": "small"}
    assert recipe.to_json()["provenance"] == recipe.provenance
    assert "provenance" not in load_recipe().to_json()


BAD_FILES = [
    pytest.param("provenance = 3", r"provenance must be a table, \[provenance\]", id="no provenance table"),
    pytest.param("[provenance]\nday = 2026-01-01", r"\[provenance\] day must be text", id="date"),
    pytest.param("[provenance]\nscore = nan", r"\[provenance\] score must be text", id="NaN"),
    pytest.param("[provenance]\nspans = [1.0, inf]", r"\[provenance\] spans must be text", id="infinity in a list"),
    pytest.param("[provenance]\nof = {a = 1}", r"\[provenance\] of must be text", id="table in a table"),
    pytest.param("[parameters]\neta = x", "is not TOML: .*line 2", id="not TOML"),
    pytest.param("[parameter]\neta = 1", r"\[parameter\] is none of the tables", id="unknown table"),
    pytest.param("parameters = 3", r"parameters must be a table, \[parameters\]", id="no table"),
    pytest.param('[recipe]\nauthor = "me"', r"\[recipe\] has no 'author'", id="unknown note"),
    pytest.param('[recipe]\ntryed = "me"', r"has no 'tryed' \(did you mean tried\?\)", id="misspelt note"),
    pytest.param('[recipe]\ntried = "many"', "tried must be 1 or more", id="tried not a number"),
    pytest.param("[recipe]\ntried = 0", "tried must be 1 or more", id="tried none"),
    pytest.param("[recipe]\ntried = true", "tried must be 1 or more", id="tried true"),
    pytest.param("[recipe]\ndescription = 1", "description must be a string", id="description not text"),
    pytest.param("[parameters]\nmax_dept = 3", r"no parameter 'max_dept' \(did you mean max_depth\?\)", id="misspelt"),
    pytest.param("[parameters]\nbanana = 3", "no parameter 'banana'$", id="unknown"),
    pytest.param("[parameters]\neta = 1\nlearning_rate = 1", "learning_rate is given twice", id="two spellings"),
    pytest.param("[parameters]\nseed = 1", "seed cannot be set in a recipe: the seed is an argument", id="seed"),
    pytest.param("[parameters]\nnthread = 1", "does not change the model", id="threads"),
    pytest.param('[parameters]\neval_metric = "map"', "eval_metric cannot be set", id="metric"),
    pytest.param("[parameters]\ncallbacks = []", "callbacks cannot be set in a recipe: recipes hold", id="callbacks"),
    pytest.param("[parameters]\neta = [1]", r"learning_rate must be a number, not \[1\]", id="list"),
]


@pytest.mark.parametrize(("text", "message"), BAD_FILES)
def test_bad_files(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        load_recipe(written(tmp_path, text))
    assert "mine.toml" in str(caught.value)


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"cannot read the recipe .*none\.toml: No such file"):
        load_recipe(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"# \xe9\n")
    with pytest.raises(RecipeError, match="is not TOML"):
        load_recipe(tmp_path / "latin.toml")


@pytest.mark.parametrize("name", ["mslr-smal", "../recipes/mslr-small", ""])
def test_a_name_that_is_not_there(name: str) -> None:
    with pytest.raises(RecipeError, match=r"there is no recipe .*: there are mslr-small, mslr-web10k, "):
        load_recipe(name)


def test_override() -> None:
    base = load_recipe("xgboost-defaults")
    recipe = base.override("eta=0.1", "grow_policy=lossguide", " max_leaves = 31 ", 'lambdarank_pair_method = "mean"')
    recipe.check()
    changed = {
        "learning_rate": 0.1,
        "grow_policy": "lossguide",
        "max_leaves": 31,
        "lambdarank_pair_method": "mean",
    }
    assert recipe.parameters == {**base.parameters, **changed}
    assert recipe.override("max_leaves=8").overrides == tuple(changed)
    assert base.override().to_json() == base.to_json()
    assert "overrides" not in base.to_json()
    assert recipe.to_json()["overrides"] == list(changed)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("eta", "is no name=value"),
        ("=0.1", "is no name=value"),
        ("eta=", "is no name=value"),
        ("eta=0,1", "is no TOML value"),
        ("eta=0.1\nmax_depth=3", "holds more than one value"),
        ("eta=fast", "learning_rate must be a number, not 'fast'"),
        ("eta=true", "learning_rate must be a number, not True"),
        ("eta=nan", "learning_rate must be a finite number, not nan"),
        ("eta=-inf", "learning_rate must be a finite number, not -inf"),
        ("max_depth=2.5", "max_depth must be a whole number, not 2.5"),
        ("max_depth=true", "max_depth must be a whole number, not True"),
        ("ndcg_exp_gain=1", "ndcg_exp_gain must be true or false, not 1"),
        ("objective=3", "objective must be a string, not 3"),
        ("objective=reg:squarederror", "must be one of XGBoost's rank: objectives, not 'reg:squarederror'"),
        ("trees=3", "XGBRanker has no parameter 'trees'"),
        ("lambdarank_num_pairs_per_sample=3", "did you mean lambdarank_num_pair_per_sample?"),
        ("n_estimators=0", "n_estimators must be at least 1, not 0"),
        ("early_stopping_rounds=0", "early_stopping_rounds must be at least 1, not 0"),
        ("subsample=0", "subsample must be above 0 and at most 1, not 0.0"),
        ("colsample_bytree=1.5", "colsample_bytree must be above 0 and at most 1, not 1.5"),
    ],
)
def test_bad_overrides(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe().override(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("eta=-1", "recipe mslr-small: value -1 for Parameter learning_rate should be greater equal to 0"),
        ("max_depth=-1", "recipe mslr-small: value -1 for Parameter max_depth should be greater equal to 0"),
        ("max_depth=99999999999", "Invalid Parameter format for max_depth expect int but value='99999999999'"),
        ("grow_policy=deep", "grow_policy cannot be 'deep': valid values are: {'depthwise', 'lossguide'}"),
        ("lambdarank_pair_method=x", "lambdarank_pair_method cannot be 'x': valid values are: {'mean', 'topk'}"),
        ("lambdarank_num_pair_per_sample=0", "lambdarank_num_pair_per_sample should be greater equal to 1"),
        ("objective=rank:best", "rank:best"),
        ("max_bin=1", "recipe mslr-small: max_bin >= 2 (1 vs. 2) : `max_bin` must be equal to or greater than 2."),
    ],
)
def test_what_xgboost_refuses_reads_well(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe().override(text).check()
    assert message in str(caught.value)
    assert "Stack trace" not in str(caught.value)
    assert ".cc" not in str(caught.value)


def test_what_xgboost_would_only_warn_of() -> None:
    with pytest.raises(RecipeError, match="recipe odd: rate_drop has no effect with the other parameters"):
        Recipe("odd", {"rate_drop": 0.5}).check()


def test_to_json_is_complete_and_sorted() -> None:
    recipe = load_recipe("xgboost-defaults").override("early_stopping_rounds=5")
    assert recipe.to_json()["parameters"] == {
        "early_stopping_rounds": 5,
        "n_estimators": 100,
        "objective": "rank:ndcg",
        "tree_method": "hist",
    }
    assert list(recipe.to_json()["parameters"]) == sorted(recipe.to_json()["parameters"])
