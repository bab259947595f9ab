from __future__ import annotations

import itertools
import math
from typing import Any, cast

import numpy as np
import pytest
import xgboost as xgb
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import ndcg_score  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from training.ndcg import CUTOFFS, Convention, PerQuery, interval, ndcg, random_order

Query = list[tuple[float, int]]


def floats(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def ints(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def flat(queries: list[Query]) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    rows = [row for query in queries for row in query]
    offsets = np.cumsum([0, *(len(query) for query in queries)])
    return floats(*(score for score, _ in rows)), ints(*(label for _, label in rows)), offsets.astype(np.int64)


def drawn(seed: int = 0, queries: int = 40, ties: bool = False) -> tuple[Any, Any, Any]:
    random = np.random.default_rng(seed)
    sizes = random.integers(1, 60, queries)
    rows = int(sizes.sum())
    scores = random.integers(-3, 4, rows) if ties else random.permutation(rows) - rows / 2
    labels = random.choice(5, rows, p=[0.6, 0.25, 0.1, 0.03, 0.02])
    labels[: sizes[0]] = 0
    return scores.astype(np.float32), labels, np.append(0, sizes.cumsum())


def one_by_one(scores: NDArray[Any], labels: NDArray[Any], offsets: NDArray[Any], cutoff: int) -> list[float]:
    """The definition, spelled out for one query after another; NaN for blank ones."""

    def dcg(order: list[int]) -> float:
        return sum((2**label - 1) / math.log2(rank + 1) for rank, label in enumerate(order[:cutoff], 1))

    found: list[float] = []
    for start, stop in itertools.pairwise(offsets):
        rows = sorted(range(start, stop), key=lambda row: -float(scores[row]))
        best = dcg(sorted((int(label) for label in labels[start:stop]), reverse=True))
        found.append(dcg([int(labels[row]) for row in rows]) / best if best else math.nan)
    return found


query = st.lists(st.tuples(st.floats(-1e6, 1e6, width=32), st.integers(0, 4)), min_size=1, max_size=15)
data_sets = st.lists(query, min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("scores", "labels", "cutoff", "expected"),
    [
        pytest.param([3, 2, 1], [0, 2, 1], 1, 0.0, id="best is second"),
        pytest.param(
            [3, 2, 1], [0, 2, 1], 3, (3 / math.log2(3) + 1 / 2) / (3 + 1 / math.log2(3)), id="three documents"
        ),
        pytest.param([3, 2, 1], [0, 2, 1], 10, (3 / math.log2(3) + 1 / 2) / (3 + 1 / math.log2(3)), id="k beyond n"),
        pytest.param([1, 2, 3], [0, 1, 4], 10, 1.0, id="ideal"),
        pytest.param([7], [3], 5, 1.0, id="one document"),
        pytest.param([0, 0], [0, 1], 1, 0.0, id="a tie keeps the input order"),
        pytest.param([0.0, -0.0], [0, 1], 1, 0.0, id="minus zero ties with zero"),
        pytest.param([-0.0, 0.0], [0, 1], 1, 0.0, id="zero ties with minus zero"),
        pytest.param([-1, -2], [0, 1], 1, 0.0, id="negative scores"),
        pytest.param([-2, -1], [0, 1], 1, 1.0, id="negative scores, ideal"),
        pytest.param([-1, 1], [0, 1], 1, 1.0, id="sign decides"),
        pytest.param([math.inf, -math.inf], [0, 1], 10, 1 / math.log2(3), id="infinities have an order"),
        pytest.param([1, 2], [0, 31], 1, 1.0, id="largest label"),
    ],
)
def test_hand_computed(scores: list[float], labels: list[int], cutoff: int, expected: float) -> None:
    result = ndcg(floats(*scores), ints(*labels), ints(0, len(labels)), [cutoff])
    assert result.values.tolist() == [[pytest.approx(expected, abs=1e-15)]]
    assert not result.blank[0]


@pytest.mark.parametrize("ties", [False, True])
def test_equals_the_definition_query_by_query(ties: bool) -> None:
    scores, labels, offsets = drawn(ties=ties)
    result = ndcg(scores, labels, offsets)
    for column, cutoff in enumerate(CUTOFFS):
        np.testing.assert_allclose(result.values[:, column], one_by_one(scores, labels, offsets, cutoff), atol=1e-14)


def test_equals_scikit_learn() -> None:
    scores, labels, offsets = drawn(seed=1)
    result = ndcg(scores, labels, offsets)
    score = cast(Any, ndcg_score)
    for query, (start, stop) in enumerate(itertools.pairwise(offsets)):
        if stop - start == 1:
            continue  # scikit-learn refuses these
        truth, guess = 2.0 ** labels[None, start:stop] - 1, scores[None, start:stop]
        theirs = [score(truth, guess, k=cutoff, ignore_ties=True) for cutoff in CUTOFFS]
        ours = np.nan_to_num(result.values[query])
        np.testing.assert_allclose(ours, theirs, atol=1e-14)


@pytest.mark.parametrize(("metric", "convention"), [("ndcg@10", Convention.ONE), ("ndcg@10-", Convention.ZERO)])
def test_equals_xgboost(metric: str, convention: Convention) -> None:
    scores, labels, offsets = drawn(seed=2)
    data = xgb.DMatrix(np.zeros((len(labels), 1)), label=labels, base_margin=scores, group=np.diff(offsets))
    params = {"objective": "rank:ndcg", "eval_metric": metric, "nthread": 1, "base_score": 0.0}
    booster = xgb.train(params, data, num_boost_round=0)
    theirs = float(booster.eval(data).partition(f"{metric}:")[2])
    ours = ndcg(scores, labels, offsets)
    assert ours.blank.any()
    assert ours.mean(10, convention) == pytest.approx(theirs, abs=1e-6)
    assert ours.mean(10, Convention.SKIP) != pytest.approx(theirs, abs=1e-3)


def test_conventions() -> None:
    scores, labels, offsets = flat([[(2, 0), (1, 1)], [(1, 0), (2, 0)], [(1, 1)], [(5, 0)]])
    result = ndcg(scores, labels, offsets)
    assert result.blank.tolist() == [False, True, False, True]
    first = 1 / math.log2(3)
    assert result.column(3).tolist() == pytest.approx([first, 1])
    assert result.mean(3) == pytest.approx((first + 1) / 2)
    assert result.mean(3, Convention.ZERO) == pytest.approx((first + 1) / 4)
    assert result.mean(3, Convention.ONE) == pytest.approx((first + 3) / 4)


def test_all_blank() -> None:
    scores, labels, offsets = flat([[(2, 0), (1, 0)], [(1, 0)]])
    result = ndcg(scores, labels, offsets)
    assert result.blank.all()
    assert math.isnan(result.mean(10))
    assert (result.mean(10, Convention.ZERO), result.mean(10, Convention.ONE)) == (0.0, 1.0)
    assert random_order(labels, offsets).blank.all()


def test_no_queries_and_empty_queries() -> None:
    assert math.isnan(ndcg(floats(), ints(), ints(0)).mean(1))
    result = ndcg(floats(1), ints(1), ints(0, 0, 1, 1))
    assert result.blank.tolist() == [True, False, True]
    assert random_order(ints(1), ints(0, 0, 1, 1)).values[1].tolist() == [1.0] * 4


@given(data_sets)
def test_only_the_order_of_scores_counts(queries: list[Query]) -> None:
    scores, labels, offsets = flat(queries)
    # Ranks among the distinct scores: monotone and exact in float32, so ties stay ties and no new ones arise.
    moved = (np.unique(scores, return_inverse=True)[1] * 3.0 - 7.0).astype(np.float32)
    np.testing.assert_array_equal(ndcg(scores, labels, offsets).values, ndcg(moved, labels, offsets).values)


@given(data_sets)
def test_the_ideal_order_gives_one_and_none_gives_more(queries: list[Query]) -> None:
    scores, labels, offsets = flat(queries)
    ideal = ndcg(labels.astype(np.float32), labels, offsets)
    assert (ideal.values[~ideal.blank] == 1.0).all()
    values = ndcg(scores, labels, offsets).values
    assert (np.nan_to_num(values) >= 0).all()
    assert (np.nan_to_num(values) <= 1 + 1e-12).all()


@given(data_sets)
def test_conventions_convert_into_each_other(queries: list[Query]) -> None:
    result = ndcg(*flat(queries))
    blank = float(result.blank.mean())
    one, zero, skip = (result.mean(5, convention) for convention in (Convention.ONE, Convention.ZERO, Convention.SKIP))
    assert zero == pytest.approx(one - blank)
    if blank < 1:
        assert skip == pytest.approx((one - blank) / (1 - blank))


@given(data_sets)
def test_queries_do_not_touch_each_other(queries: list[Query]) -> None:
    together = ndcg(*flat(queries)).values
    alone = [ndcg(*flat([query])).values[0] for query in queries]
    np.testing.assert_allclose(together, alone, rtol=1e-14)


def test_random_order_is_the_mean_over_shuffles() -> None:
    labels, offsets = ints(0, 2, 1, 0, 3, 0, 0, 1), ints(0, 5, 6, 8)
    exact = random_order(labels, offsets)
    random = np.random.default_rng(0)
    shuffles = [ndcg(random.permutation(8).astype(np.float32), labels, offsets).values for _ in range(4000)]
    assert exact.blank.tolist() == [False, True, False]
    np.testing.assert_allclose(exact.values[[0, 2]], np.mean(shuffles, axis=0)[[0, 2]], atol=0.02)
    # By hand: the mean gain of query 0 is 11 / 5, and at rank 1 the best gain is 7.
    assert exact.values[0, 0] == pytest.approx(11 / 5 / 7)


BAD_INPUTS = [
    pytest.param(floats(1, math.nan), ints(0, 1), ints(0, 2), [1], "row 1 has a NaN score", id="NaN score"),
    pytest.param(np.array([1.0, 2.0]), ints(0, 1), ints(0, 2), [1], "must be float32", id="float64 scores"),
    pytest.param(floats(1), ints(0, 1), ints(0, 2), [1], "2 rows need as many scores", id="a score short"),
    pytest.param(floats(1, 2), ints(0, -1), ints(0, 2), [1], "not -1 to 0", id="negative label"),
    pytest.param(floats(1, 2), ints(0, 32), ints(0, 2), [1], "not 0 to 32", id="label too large"),
    pytest.param(floats(1, 2), floats(0, 1), ints(0, 2), [1], "must be integers", id="fractional labels"),
    pytest.param(floats(1, 2), ints(0, 1), ints(0, 1), [1], "offsets must rise", id="rows left over"),
    pytest.param(floats(1, 2), ints(0, 1), ints(1, 2), [1], "offsets must rise", id="offsets start late"),
    pytest.param(floats(1, 2), ints(0, 1), ints(0, 2, 1, 2), [1], "offsets must rise", id="offsets fall"),
    pytest.param(floats(1, 2), ints(0, 1), ints(), [1], "offsets \\[queries \\+ 1\\]", id="no offsets"),
    pytest.param(floats(1, 2), ints(0, 1), ints(0, 2), [0], "cut-offs must be", id="cut-off 0"),
    pytest.param(floats(1, 2), ints(0, 1), ints(0, 2), [], "cut-offs must be", id="no cut-off"),
]


@pytest.mark.parametrize(("scores", "labels", "offsets", "cutoffs", "message"), BAD_INPUTS)
def test_bad_input(scores: Any, labels: Any, offsets: Any, cutoffs: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ndcg(scores, labels, offsets, cutoffs)


def test_a_cutoff_that_was_not_computed() -> None:
    with pytest.raises(ValueError, match="NDCG@4 was not computed, only the cut-offs 1, 3, 5, 10"):
        PerQuery(np.zeros((1, 4)), np.zeros(1, np.bool_)).mean(4)


def test_interval_covers_the_mean_and_repeats_itself() -> None:
    values = np.random.default_rng(3).beta(2, 3, 200)
    low, high = interval(values)
    assert (low, high) == interval(values)
    assert (low, high) != interval(values, seed=1)
    # Close to the normal approximation at this size.
    spread = 1.96 * values.std() / math.sqrt(len(values))
    assert low == pytest.approx(values.mean() - spread, abs=0.004)
    assert high == pytest.approx(values.mean() + spread, abs=0.004)


def test_interval_in_pieces_of_many_queries() -> None:
    values = np.random.default_rng(4).random(30_000)
    low, high = interval(values, samples=70)
    assert low < values.mean() < high


def test_interval_of_nothing_and_of_one_value() -> None:
    assert all(math.isnan(edge) for edge in interval(np.empty(0)))
    assert interval(np.array([0.25])) == (0.25, 0.25)


@pytest.mark.parametrize(
    ("values", "level", "samples"), [([0.5, math.nan], 0.95, 10), ([0.5], 1.0, 10), ([0.5], 0.95, 0)]
)
def test_interval_refuses(values: list[float], level: float, samples: int) -> None:
    with pytest.raises(ValueError, match=r"finite|level"):
        interval(np.array(values), level=level, samples=samples)
