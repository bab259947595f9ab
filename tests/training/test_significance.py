from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.training.tiny import tiny_queries
from training.ndcg import PerQuery, interval, ndcg
from training.significance import (
    MIN_QUERIES,
    Comparison,
    Difference,
    Verdict,
    compare,
    difference,
    holm,
    randomisation_p,
    slice_queries,
)

UNIT = st.floats(0, 1, allow_subnormal=False)
OPPOSITE = {Verdict.BETTER: Verdict.WORSE, Verdict.WORSE: Verdict.BETTER, Verdict.NONE: Verdict.NONE}


def per_query(values: np.ndarray, blank: int = 0) -> PerQuery:
    column = np.concatenate([np.full(blank, np.nan), np.asarray(values, np.float64)])
    return PerQuery(column[:, None], np.isnan(column), (10,))


def pairs(low: int = 0, high: int = 40) -> st.SearchStrategy[np.ndarray]:
    return st.integers(low, high).flatmap(lambda count: arrays(np.float64, (2, count), elements=UNIT))


def summary(found: Comparison) -> tuple[Verdict, float, float]:
    return found.verdict, found.difference.mean, found.difference.p


@given(arrays(np.float64, st.integers(0, 60), elements=UNIT), st.integers(0, 3))
@settings(max_examples=40)
def test_identical_models_never_differ(values: np.ndarray, seed: int) -> None:
    masks = {"all": np.ones(len(values), bool)}
    found = compare(per_query(values), per_query(values), masks, seed=seed)
    assert found.verdict is Verdict.NONE
    assert found.difference.p == 1
    assert not found.regressions
    assert {each.verdict for each in found.slices} == {Verdict.NONE}


@given(pairs())
@settings(max_examples=60)
def test_antisymmetry(values: np.ndarray) -> None:
    one, other = per_query(values[0], blank=2), per_query(values[1], blank=2)
    there, back = compare(one, other), compare(other, one)
    assert back.verdict is OPPOSITE[there.verdict]
    assert back.difference.p == there.difference.p
    np.testing.assert_allclose(back.difference.mean, -there.difference.mean)
    np.testing.assert_allclose(back.difference.interval, np.negative(there.difference.interval)[::-1], atol=1e-12)


@given(pairs(1, 30))
@settings(max_examples=20)
def test_the_same_seed_gives_the_same_result(values: np.ndarray) -> None:
    one, other = per_query(values[0]), per_query(values[1])
    assert compare(one, other, seed=3) == compare(one, other, seed=3)


@pytest.mark.parametrize("seed", range(3))
def test_a_shuffled_model_loses(seed: int) -> None:
    queries = tiny_queries(40, seed=seed)
    good = queries.features[:, 0].copy()
    shuffled = np.random.default_rng(seed).permutation(good)
    champion, challenger = (ndcg(scores, queries.relevance, queries.offsets) for scores in (good, shuffled))
    masks = slice_queries(queries.relevance, queries.offsets)
    found = compare(champion, challenger, masks)
    assert found.verdict is Verdict.WORSE
    assert found.difference.mean < -0.1
    assert found.regressions
    assert not found.not_worse_than(0.1)
    assert compare(challenger, champion, masks).not_worse_than(0)


@given(st.lists(UNIT, max_size=12))
def test_holm_is_monotone_and_never_smaller(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(p <= a <= 1 for p, a in zip(p_values, adjusted, strict=True))
    in_order = [a for _, a in sorted(zip(p_values, adjusted, strict=True))]
    assert in_order == sorted(in_order)


@given(st.lists(UNIT, min_size=1, max_size=8), st.floats(0.001, 0.5))
def test_holm_rejects_what_the_step_down_procedure_rejects(p_values: list[float], alpha: float) -> None:
    ordered = sorted(p_values)
    # As Holm wrote it: go on while p_(i) <= alpha / (m - i + 1).
    rejected = 0
    while rejected < len(ordered) and ordered[rejected] * (len(ordered) - rejected) <= alpha:
        rejected += 1
    assert sum(a <= alpha for a in holm(p_values)) == rejected


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_exact_randomisation_by_hand() -> None:
    assert randomisation_p(np.array([0.1, 0.2, 0.3])) == 2 / 8
    assert randomisation_p(np.array([0.1, 0.2, -0.3, 0.0])) == 1
    # Sums 6, 4, 2, 0 and their negatives, one each but two of 0: 4 or further in four of eight.
    assert randomisation_p(np.array([-1.0, 2.0, 3.0])) == 4 / 8


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=10))
@example([-1, -1, -3, 3, 2])
def test_sums_that_tie_but_for_rounding_count_as_ties(whole: list[int]) -> None:
    deltas = np.array(whole, np.float64)
    assert randomisation_p(deltas * 0.1) == randomisation_p(deltas)


@pytest.mark.parametrize(("p", "low"), [(0.01, -0.001), (0.2, 0.001)])
def test_one_of_the_two_methods_alone_shows_nothing(p: float, low: float) -> None:
    assert Difference(50, 0.1, (low, 0.2), p, 0.1).verdict() is Verdict.NONE
    assert Difference(50, 0.1, (0.001, 0.2), 0.01, 0.1).verdict() is Verdict.BETTER


def test_drawn_signs_agree_with_all_signs() -> None:
    deltas = np.random.default_rng(5).normal(0.3, 1, 12)
    exact = randomisation_p(deltas)
    drawn = randomisation_p(deltas, flips=4000)
    assert 2**12 > 4000
    assert drawn == pytest.approx(exact, abs=0.03)
    assert randomisation_p(np.full(200, 0.1), flips=999) == 1 / 1000


@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_errors_come_at_the_stated_rate(alpha: float) -> None:
    """Two rankers that differ by skewed noise alone: the test errs in alpha of all cases, the verdict in no more."""
    random = np.random.default_rng(1)
    rounds, queries = 800, 30
    noise = random.exponential(0.1, (rounds, queries)) * random.choice([-1, 1], (rounds, queries))
    rejected = np.mean([randomisation_p(deltas, seed=n, flips=499) <= alpha for n, deltas in enumerate(noise)])
    error = np.sqrt(alpha * (1 - alpha) / rounds)
    assert abs(rejected - alpha) < 4 * error
    called = [difference(deltas, alpha=alpha).verdict(alpha) for deltas in noise[:150]]
    assert np.mean([verdict is not Verdict.NONE for verdict in called]) < alpha + 4 * np.sqrt(alpha / 150)


def test_the_interval_covers_the_truth() -> None:
    random = np.random.default_rng(2)
    truth = 0.02
    drawn = random.normal(truth, 0.1, (400, 60))
    intervals = [interval(deltas, seed=n) for n, deltas in enumerate(drawn)]
    covered = np.mean([low <= truth <= high for low, high in intervals])
    # Percentile intervals of 60 values are known to be a little short of 95 %.
    assert 0.91 < covered < 0.98


def test_one_true_slice_effect_is_found_and_the_family_errs_at_its_rate() -> None:
    random = np.random.default_rng(3)
    masks = {f"part {part}": np.arange(200) % 5 == part for part in range(5)}
    flat = per_query(np.full(200, 0.5))
    wrong = 0
    for number in range(60):
        values = 0.5 + random.normal(0, 0.05, 200)
        wrong += any(s.verdict is not Verdict.NONE for s in compare(flat, per_query(values), masks, seed=number).slices)
    assert wrong <= 8
    values = 0.5 + random.normal(0, 0.05, 200) - 0.05 * masks["part 3"]
    assert [each.name for each in compare(flat, per_query(values), masks).regressions] == ["part 3"]


def test_the_detectable_difference_is_shown_in_four_of_five_cases() -> None:
    random = np.random.default_rng(4)
    detectable = difference(random.normal(0, 0.1, 400)).detectable * np.sqrt(400 / 50)
    shown = [randomisation_p(random.normal(detectable, 0.1, 50), flips=499) <= 0.05 for _ in range(400)]
    assert np.mean(shown) == pytest.approx(0.8, abs=0.1)


def test_a_sure_difference_below_the_minimum_is_none() -> None:
    values = np.linspace(0.2, 0.8, 50)
    found = compare(per_query(values), per_query(values + 0.004), minimum=0.01)
    assert (found.verdict, found.difference.p) == (Verdict.NONE, 1e-4)
    assert any("less than 0.01 is called none" in reason for reason in found.reasons)
    assert compare(per_query(values), per_query(values + 0.004), minimum=0.003).verdict is Verdict.BETTER


def test_reasons_say_what_was_measured() -> None:
    values = np.random.default_rng(6).random((2, 40))
    found = compare(per_query(values[0], blank=3), per_query(values[1], blank=3))
    assert found.verdict is Verdict.NONE
    first, second = found.reasons
    assert f"differs by {found.difference.mean:+.4f}, 95% interval" in first
    assert "over 40 queries" in first
    assert "no proof of equality" in second


@pytest.mark.parametrize("count", [0, 1, MIN_QUERIES - 1])
def test_few_queries_show_nothing(count: int) -> None:
    found = compare(per_query(np.zeros(count), 1), per_query(np.ones(count), 1), {"all": np.ones(count + 1, bool)})
    assert found.verdict is Verdict.NONE
    assert not found.not_worse_than(0.5)
    assert found.slices[0].adjusted is None
    assert any("too few" in reason or "nothing to compare" in reason for reason in found.reasons)


def test_an_opposite_slice_is_told() -> None:
    champion = np.full(120, 0.5)
    noise = np.random.default_rng(7).normal(0, 0.01, 120)
    masks = {"long ones": np.arange(120) < 20}
    found = compare(per_query(champion), per_query(champion + noise + np.where(masks["long ones"], -0.1, 0.2)), masks)
    assert found.verdict is Verdict.BETTER
    assert any(reason.startswith("worse on 20 queries with long ones") for reason in found.reasons)


def test_slices_by_hand() -> None:
    sizes = [2, 4, 30, 6, 8, 40]
    relevant = [1, 4, 15, 0, 2, 11]
    relevance = np.concatenate([np.repeat([1, 0], [r, n - r]) for n, r in zip(sizes, relevant, strict=True)])
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    found = {name: np.flatnonzero(mask).tolist() for name, mask in slice_queries(relevance, offsets).items()}
    assert found == {
        "up to 4 documents": [0, 1],
        "5 to 30 documents": [2, 4],
        "more than 30 documents": [5],
        "up to 50% irrelevant documents": [0, 1, 2],
        "more than 50% irrelevant documents": [4, 5],
        "10 or fewer relevant documents": [0, 1, 4],
        "more than 10 relevant documents": [2, 5],
    }


def test_slices_of_nothing_and_of_equals() -> None:
    assert slice_queries(np.zeros(4, np.int32), np.array([0, 2, 4])) == {}
    assert slice_queries(np.ones(4, np.int32), np.array([0, 2, 4])) == {}
    assert slice_queries(np.zeros(0, np.int32), np.array([0])) == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": 0.0}, "alpha must be between"),
        ({"alpha": 1.0}, "alpha must be between"),
        ({"minimum": -0.1}, "minimum at least 0"),
        ({"minimum": float("nan")}, "minimum at least 0"),
        ({"cutoff": 7}, "was not computed"),
        ({"slices": {"some": np.ones(3, bool)}}, "'some' is over 3 queries, the rankers over 4"),
    ],
)
def test_refusals(arguments: dict[str, Any], message: str) -> None:
    one = per_query(np.ones(4))
    with pytest.raises(ValueError, match=message):
        compare(one, one, **arguments)


def test_other_queries_are_refused() -> None:
    with pytest.raises(ValueError, match="not measured on the same queries"):
        compare(per_query(np.ones(4)), per_query(np.ones(5)))
    with pytest.raises(ValueError, match="not measured on the same queries"):
        compare(per_query(np.ones(4), blank=1), per_query(np.ones(5)))
    with pytest.raises(ValueError, match="must be finite"):
        randomisation_p(np.array([0.1, np.nan]))
