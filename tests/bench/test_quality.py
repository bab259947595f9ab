from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.bench.quality import LIGHTGBM, OURS, Contestant, contest, lightgbm, table
from tests.engines.environments import python_for, requirement
from tests.training.tiny import tiny_queries
from training.ndcg import ndcg, random_order
from training.plan import Plan
from training.space import Space, load_space

QUERIES = tiny_queries(16)
PLAN = Plan(outer=2, inner=2, trials=2)


def quick(space: Space) -> Space:
    """With few trees and leaves of few documents, since there are few."""
    fixed = {"n_estimators": 4, **({"min_data_in_leaf": 2} if "min_data_in_leaf" in space.search else {})}
    search = {name: each for name, each in space.search.items() if name not in fixed}
    start = {name: value for name, value in space.start.items() if name not in fixed}
    return replace(space, start=start, fixed={**space.fixed, **fixed}, search=search)


def test_both_spaces_are_as_wide() -> None:
    ours, theirs = load_space(), load_space(LIGHTGBM)
    assert len(ours.search) == len(theirs.search)
    for name in ("learning_rate", "n_estimators"):
        assert replace(ours.search[name], reason="") == replace(theirs.search[name], reason="")


def test_lightgbm_learns_and_repeats_itself() -> None:
    python_for(requirement("lightgbm"))
    space = quick(load_space(LIGHTGBM))
    train, scored = QUERIES.select(np.arange(16) < 10), QUERIES.select(np.arange(16) >= 10)
    with lightgbm(0, 1) as fitter:
        first, again = (fitter(space.parameters(space.start), train, None, scored, None) for _ in range(2))
        np.testing.assert_array_equal(first, again)
        other = fitter(space.parameters({**space.start, "learning_rate": 0.2}), train, None, scored, None)
        assert not np.array_equal(first, other)
        with pytest.raises(ValueError, match=r"LightGBM: .*num_leaves"):
            fitter(space.parameters({**space.start, "num_leaves": 0}), train, None, scored, None)
    random = random_order(scored.relevance, scored.offsets).mean(10)
    assert ndcg(first, scored.relevance, scored.offsets).mean(10) > random + 0.2


def test_a_contest(tmp_path: Path) -> None:
    python_for(requirement("lightgbm"))
    spaces = {"ours": quick(load_space()), "theirs": quick(load_space(LIGHTGBM))}
    found = contest(QUERIES, PLAN, tmp_path / "quality", 1, **spaces)
    assert [each.name for each in found][:2] == [OURS, "LightGBM, searched"]
    assert len({each.name for each in found}) == 5
    assert [len(each.searches) for each in found] == [2, 2, 0, 0, 0]
    assert all(each.found.blank.shape == (16,) and each.found.mean(10) > 0.8 for each in found)
    # Both went through the very same folds, and one that is done is not done again.
    again = contest(QUERIES, PLAN, tmp_path / "quality", 1, **spaces)
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one.found.values, other.found.values)
    text = "\n".join(str(cell) for column in table(found, PLAN).columns for cell in column.cells)
    assert "4 (0)" in text


def test_the_table_counts_the_first_minus_the_others() -> None:
    truth = QUERIES.relevance.astype(np.float32)
    best, worst = (
        Contestant(name, ndcg(s, QUERIES.relevance, QUERIES.offsets)) for name, s in (("a", truth), ("b", -truth))
    )
    shown = table([best, worst], PLAN)
    differences = list(shown.columns[4].cells)
    assert differences[0] == ""
    assert float(str(differences[1])) > 0.3
