from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.platform.scaler import DEFAULT_BUSY_SECONDS, Counters, Demand, Rule, Scaler, wish

RULE = Rule()
numbers = st.floats(0, 5000)
anything = st.floats(allow_nan=True, allow_infinity=True)
demands = st.builds(
    Demand, numbers, numbers, st.floats(0, 40), st.floats(100, 5000), st.one_of(st.just(math.nan), st.floats(0, 1))
)


def of(arrivals: float, waiting: float = 0, each: float = 0.0032, cpu: float = math.nan) -> Demand:
    return Demand(arrivals, waiting, each * 100, 100, cpu)


@pytest.mark.parametrize(
    ("demand", "pods", "wanted"),
    [
        (of(120), 1, 1),
        (of(900), 1, 5),
        (of(900), 5, 5),
        # A backlog of 1800 asks for 180 a second more.
        (of(900, 1800), 5, 6),
        # Within a tenth of the target nothing changes: 0.64 and 0.56 busy workers a pod.
        (of(200, each=0.0032), 1, 1),
        (of(175, each=0.0032), 1, 1),
        (of(210, each=0.0032), 1, 2),
        # CPU asks for more, or for less than demand does.
        (of(120, cpu=0.9), 4, 6),
        (of(900, cpu=0.1), 2, 5),
        (of(0), 3, 0),
    ],
)
def test_the_formula(demand: Demand, pods: int, wanted: int) -> None:
    assert wish(RULE, demand, pods) == wanted


# Busy with what fails or is not answered yet as well.
@pytest.mark.parametrize("busy", [0.0, math.nan, -1.0, 0.8, math.inf])
@pytest.mark.parametrize("scored", [0.0, math.nan])
def test_an_idle_service_divides_by_nothing(busy: float, scored: float) -> None:
    assert Demand(100, 0, busy, scored).workers == pytest.approx(100 * DEFAULT_BUSY_SECONDS)
    assert Demand(math.nan, math.nan, busy, scored).workers == 0


pods = st.integers(1, RULE.most)


@given(st.lists(st.tuples(st.builds(Demand, anything, anything, anything, anything), pods), max_size=40))
def test_the_number_stays_within_its_bounds_whatever_is_measured(steps: list[tuple[Demand, int]]) -> None:
    scaler = Scaler(Rule(least=2, most=12))
    for number, (demand, pods) in enumerate(steps):
        assert min(pods, 2) <= scaler.decide(number * 15.0, demand, pods) <= max(pods, 12)


def run(demands: list[Demand], rule: Rule = RULE, pods: int = 1) -> list[int]:
    scaler, counts = Scaler(rule), [pods]
    for number, demand in enumerate(demands):
        counts.append(scaler.decide(number * rule.interval, demand, counts[-1]))
    return counts


@given(st.lists(demands, min_size=1, max_size=80))
def test_no_period_adds_or_takes_more_than_its_policy(steps: list[Demand]) -> None:
    counts = run(steps, pods=3)
    for before, after in itertools.pairwise(counts):
        assert after <= max(before + 4, before * 3)
    for start in range(len(counts) - 4):
        part = counts[start : start + 5]
        if all(after <= before for before, after in itertools.pairwise(part)):
            assert part[0] - part[-1] <= 2


@given(st.lists(demands, min_size=25, max_size=60))
def test_nothing_is_taken_away_that_was_wished_within_the_window(steps: list[Demand]) -> None:
    counts = run(steps, pods=1)
    wishes = [min(max(wish(RULE, demand, count), 1), RULE.most) for demand, count in zip(steps, counts, strict=False)]
    for number, (before, after) in enumerate(itertools.pairwise(counts)):
        if after < before:
            assert after >= max(wishes[max(0, number - 19) : number + 1])


@given(demands, st.integers(1, RULE.most))
def test_a_steady_demand_comes_to_rest_and_does_not_flap(demand: Demand, pods: int) -> None:
    steady = Demand(demand.arrivals, demand.waiting, demand.busy_seconds, demand.scored)
    counts = run([steady] * 200, pods=pods)
    assert len(set(counts[-20:])) == 1
    turns = [after - before for before, after in itertools.pairwise(counts) if after != before]
    assert all(turn > 0 for turn in turns) or all(turn < 0 for turn in turns)
    wanted = steady.workers / RULE.target
    # Tolerance lets it rest a tenth beside what is wanted, and one pod is the least change.
    assert counts[-1] >= min(wanted / 1.11 - 1e-6, RULE.most)
    assert counts[-1] <= max(1, wanted * 1.12 + 1)


@given(numbers, numbers, st.floats(0.0001, 0.1), st.integers(1, RULE.most))
def test_more_demand_never_wishes_for_fewer_where_no_tolerance_hides_it(
    arrivals: float, waiting: float, each: float, pods: int
) -> None:
    less, more = (wish(RULE, of(arrivals * by, waiting * by, each), pods) for by in (1, 1.5))
    assert less <= more or less == pods


def test_a_rate_is_of_each_series_and_survives_new_starts() -> None:
    counters = Counters(keep=100)
    counters.add(0, [("a{x=1}", 10), ("a{x=2}", 5), ("b", 1)])
    counters.add(10, [("a{x=1}", 30), ("a{x=2}", 0), ("b", 1)])
    counters.add(20, [("a{x=1}", 50), ("a{x=3}", 7)])
    # 40 in 20 s; a new start at 0; and one sample alone says nothing.
    assert counters.rate("a", 20, 30) == pytest.approx(2.0)
    assert counters.rate("a", 20, 12) == pytest.approx(2.0)
    assert counters.rate("a", 20, 5) == 0
    assert counters.rate("none", 20, 30) == 0
    counters.add(500, [("b", 3)])
    assert counters.rate("a", 500, 600) == 0


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=20))
def test_a_rate_is_never_negative(values: list[float]) -> None:
    counters = Counters()
    for number, value in enumerate(values):
        counters.add(float(number), [("a", value)])
    assert counters.rate("a", len(values), 100) >= 0


def test_idle_pods_go_as_slowly_as_the_policy_says() -> None:
    # 300 s in which the last wish is remembered, then the less of a fifth and of two pods a minute.
    busy, idle = of(0.6 * 20 / 0.0032), of(0)
    counts = run([busy] + [idle] * 80, pods=20)
    assert counts[:21] == [20] * 21
    assert counts[21:54:4] == [18, 16, 14, 12, 10, 8, 6, 4, 3]
    assert counts[-1] == 1


def test_pods_come_as_fast_as_the_policy_says() -> None:
    # The more of four pods and of twice as many again, every 15 s.
    assert run([of(20_000)] * 4, Rule(most=40)) == [1, 5, 15, 40, 40]
