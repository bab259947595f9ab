from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as some

from training.toml import dumps

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
