from __future__ import annotations

import numpy as np
import pytest

from tests.training.tiny import tiny_queries
from training.plan import VALI, Plan, seen_and_hidden, study_key
from training.queries import Fold
from training.space import Space, Span

SPACE = Space("tiny", "", {"max_depth": 3}, {}, {"max_depth": Span(1, 5, False, "r")})
FOLD = Fold(tiny_queries(12), tiny_queries(6, first=101, seed=1), tiny_queries(9, first=201, seed=2))


def ids(*spans: tuple[int, int]) -> list[int]:
    return [qid for first, end in spans for qid in range(first, end)]


def test_with_a_holdout_the_search_sees_the_rest() -> None:
    seen, hidden = seen_and_hidden(FOLD, Plan())
    assert (seen.train.qids.tolist(), seen.vali) == (ids((1, 13), (101, 107)), None)
    assert hidden is FOLD.test


def test_trials_on_the_validation_queries_learn_from_the_training_queries() -> None:
    seen, hidden = seen_and_hidden(FOLD, Plan(inner=VALI))
    assert (seen.train, seen.vali, hidden) == (FOLD.train, FOLD.vali, FOLD.test)
    assert (seen.count, Plan(inner=VALI).how) == (18, "the validation queries")


def test_nested_everything_is_pooled() -> None:
    seen, hidden = seen_and_hidden(FOLD, Plan(outer=5))
    assert seen.train.qids.tolist() == ids((1, 13), (101, 107), (201, 210))
    assert hidden is None
    assert Plan(outer=5).searches == 6


def test_excluded_queries_are_nowhere() -> None:
    for plan in (Plan(), Plan(outer=5), Plan(inner=VALI)):
        seen, hidden = seen_and_hidden(FOLD, plan, [2, 101, 205, 999])
        parts = [part.qids for part in (seen.train, seen.vali, hidden) if part is not None]
        assert np.isin(np.concatenate(parts), [2, 101, 205, 999]).sum() == 0
        assert sum(len(part) for part in parts) == 27 - 3


def test_study_keys_tell_searches_apart_but_not_budgets() -> None:
    def key(plan: Plan, fold: Fold = FOLD) -> str:
        return study_key(*seen_and_hidden(fold, plan), SPACE, plan)

    same = {key(Plan()), key(Plan(trials=3)), key(Plan(minutes=2))}
    other = Fold(FOLD.train, FOLD.vali, tiny_queries(7, first=301))
    differ = {key(Plan(seed=1)), key(Plan(inner=4)), key(Plan(inner=VALI)), key(Plan(outer=5)), key(Plan(), other)}
    assert len(same) == 1
    assert len(differ | same) == 6


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"trials": 0}, "needs 1 trial or more, not 0"),
        ({"trials": -3}, "needs 1 trial or more, not -3"),
        ({"minutes": 0.0}, "minutes above 0, not 0"),
        ({"minutes": -1.0}, "minutes above 0, not -1"),
        ({"minutes": float("nan")}, "minutes above 0, not nan"),
        ({"minutes": float("inf")}, "minutes above 0, not inf"),
        ({"outer": 5, "inner": VALI}, "give a number of inner folds, not vali"),
        ({"seed": -1}, "the seed must be from 0 to 2147483647, not -1"),
        ({"seed": 2**31}, "the seed must be from 0 to 2147483647"),
        ({"outer": 1}, "needs 2 folds or more"),
        ({"inner": 1}, "needs 2 folds or more"),
        ({"inner": -2}, "needs 2 folds or more"),
    ],
)
def test_bad_plans(given: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Plan(**given)


@pytest.mark.parametrize(
    ("fold", "plan", "exclude", "message"),
    [
        (FOLD, Plan(), range(201, 210), "no test queries to hold out"),
        (FOLD, Plan(), [*range(1, 13), *range(101, 107)], "no queries to search on"),
        (FOLD, Plan(inner=VALI), range(101, 107), "no validation queries to score trials on"),
        (Fold(FOLD.train, None, FOLD.test), Plan(inner=VALI), (), "no validation queries to score trials on"),
        (FOLD, Plan(inner=19), (), "needs 2 to 18 folds, not 19"),
    ],
)
def test_nothing_left(fold: Fold, plan: Plan, exclude: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        seen_and_hidden(fold, plan, exclude)
