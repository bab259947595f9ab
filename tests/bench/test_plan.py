"""How much is measured, of whom, and how long it takes."""

from __future__ import annotations

import pytest

from tests.bench.own import HELLO, OURS
from tests.bench.peers import PEERS, chosen
from tests.bench.plan import ALIKE, BRIEF, CLOSED, FULL, OPEN, QUICK, Plan


@pytest.mark.parametrize(
    ("plan", "only", "minutes"), [(FULL, None, 25), (QUICK, "ours,mlserver,naive", 6), (BRIEF, "ours,hello", 1)]
)
def test_a_plan_keeps_to_its_time(plan: Plan, only: str | None, minutes: float):
    # Queues that empty after a load, and a machine that is slow to start things.
    spare = 1.25
    assert plan.seconds(chosen(only, PEERS).values()) * spare < minutes * 60


def test_everything_that_is_promised_is_in_the_full_plan():
    points = FULL.points
    assert {p.load for p in points if p.loop == CLOSED and p.documents == 100} == {1, 16, 64, 512}
    assert {p.load for p in points if p.loop == OPEN} == {0.5, 0.7, 0.9, 1.5}
    assert [p.load for p in points if p.loop == ALIKE] == [0.7]
    assert {p.documents for p in points} == {10, 100, 1000}
    assert set(FULL.formats) >= set(OURS.wires)


def test_shares_come_after_the_capacity_that_they_are_of():
    for plan in (FULL, QUICK, BRIEF):
        loops = [point.loop for point in plan.points]
        assert loops == sorted(loops, key=[CLOSED, OPEN, ALIKE].index)


def test_what_does_nothing_gets_no_arrivals():
    assert {point.loop for point in FULL.points_of(HELLO)} == {CLOSED}
    assert FULL.points_of(OURS) == FULL.points


def test_some_can_be_chosen():
    assert list(chosen("hello, ours,", PEERS)) == [name for name in PEERS if name in {"ours", "hello"}]
    assert chosen(None, PEERS) == PEERS


@pytest.mark.parametrize(("only", "named"), [("", "nothing"), (" ,", "nothing"), ("ours,mine,yours", "mine, yours")])
def test_others_cannot_be_chosen(only: str, named: str):
    with pytest.raises(ValueError, match=f"called {named}; there are ours, hello"):
        chosen(only, PEERS)


def test_a_point_says_what_it_is():
    assert [str(point) for point in BRIEF.points[1:]] == [
        "100 documents, 4 connections",
        "10 documents, 4 connections",
        "100 documents, 70% of its capacity",
        "100 documents, 70% of mlserver's capacity",
    ]
