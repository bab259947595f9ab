from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from training.toml import dumps, load, names

TEXT = some.text(some.characters(exclude_categories=["Cs"]), max_size=20)
PLAIN = some.booleans() | some.integers(-(2**63), 2**63 - 1) | some.floats(allow_nan=False) | TEXT
TABLES = some.dictionaries(TEXT, some.dictionaries(TEXT, PLAIN | some.lists(PLAIN, max_size=3), max_size=4), max_size=3)


@given(TABLES)
def test_what_is_written_is_read_back(tables: dict[str, dict[str, object]]) -> None:
    read = tomllib.loads(dumps(tables))
    assert read == tables
    # 1, 1.0 and True are equal in Python, but not in a recipe.
    assert repr(read) == repr(tables)


def test_as_people_would_write_it() -> None:
    tables = {
        "recipe": {"tried": 3, "for": 'so-called "small" data'},
        "parameters": {"eta": 0.1, "inner@10": [1.0, 2.0]},
    }
    assert dumps(tables) == (
        '[recipe]\ntried = 3\nfor = "so-called \\"small\\" data"\n\n[parameters]\neta = 0.1\n"inner@10" = [1.0, 2.0]\n'
    )


@pytest.mark.parametrize("value", [None, {"a": 1}, b"x", [None]])
def test_values_of_other_types(value: object) -> None:
    with pytest.raises(TypeError, match="TOML tables hold text"):
        dumps({"table": {"name": value}})


def test_by_name_or_by_path(tmp_path: Path) -> None:
    for name in ("small", "full"):
        (tmp_path / f"{name}.toml").write_text(f'[space]\ndescription = "{name}"\n')
    assert names(tmp_path) == ["full", "small"]
    by_name = load("small", tmp_path, "space", ValueError)
    assert by_name == load(tmp_path / "small.toml", tmp_path / "elsewhere", "space", ValueError)
    assert by_name == (tmp_path / "small.toml", {"space": {"description": "small"}})


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("smal", "there is no space 'smal' (did you mean small?): there are broken, small, or give a .toml"),
        ("../small", "there is no space '../small'"),
        ("none.toml", "cannot read the space none.toml: No such file"),
        ("broken", "broken.toml is not TOML: "),
    ],
)
def test_files_that_cannot_be_had(tmp_path: Path, word: str, message: str) -> None:
    (tmp_path / "small.toml").write_text("")
    (tmp_path / "broken.toml").write_text("[space")
    with pytest.raises(ValueError, match=re.escape(message)):
        load(word, tmp_path, "space", ValueError)
