from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.orders import likeness, rank_biased_overlap, ranks

ORDERS = st.integers(1, 30).flatmap(lambda n: st.tuples(*[st.permutations(range(1, n + 1))] * 2))


def by_definition(one: list[int], other: list[int], persistence: float) -> float:
    """The sum over prefixes as the paper writes it, prefix by prefix, to a depth where the rest weighs nothing."""
    total = 0.0
    for depth in range(1, 600):
        prefixes = [{document for document, rank in enumerate(each) if rank <= depth} for each in (one, other)]
        # Beyond the end, the extrapolation takes the last agreement to go on.
        agreement = len(prefixes[0] & prefixes[1]) / min(depth, len(one))
        total += (1 - persistence) * persistence ** (depth - 1) * agreement
    return total


@given(ORDERS)
def test_overlap_is_the_papers(orders: tuple[list[int], list[int]]) -> None:
    one, other = orders
    found = rank_biased_overlap(np.array(one), np.array(other))
    assert found == pytest.approx(by_definition(one, other, 0.9), abs=1e-9)
    assert found == rank_biased_overlap(np.array(other), np.array(one))
    assert 0 <= found <= 1 + 1e-12


def test_the_top_weighs_more_than_the_end() -> None:
    base = np.arange(1, 21)
    top, end = base.copy(), base.copy()
    top[[0, 1]] = top[[1, 0]]
    end[[18, 19]] = end[[19, 18]]
    assert rank_biased_overlap(base, base) == pytest.approx(1)
    assert rank_biased_overlap(base, top) == pytest.approx(0.9)
    assert rank_biased_overlap(base, end) > 0.99


def test_queries_by_hand() -> None:
    one = np.array([3, 2, 1, 5, 5, 1], np.float32)
    other = np.array([1, 2, 3, 1, 0, 7], np.float32)
    found = likeness(one, other, np.array([0, 3, 5, 6, 6]))
    np.testing.assert_array_equal(found.tau, [-1, 1, np.nan, np.nan])
    np.testing.assert_allclose(found.overlap[1:], [1, 1, np.nan])
    np.testing.assert_array_equal(found.shared, [1, 1, 1, np.nan])
    assert found.overlap[0] < 1


def test_equal_scores_rank_as_served() -> None:
    assert ranks(np.array([1, 2, 2, 0], np.float32)).tolist() == [3, 1, 2, 4]


def test_shared_documents_of_the_first_ten() -> None:
    scores = np.arange(20, 0, -1).astype(np.float32)
    other = scores.copy()
    other[[9, 10]] = other[[10, 9]]
    found = likeness(scores, other, np.array([0, 20]))
    assert found.shared.tolist() == [0.9]
    assert found.tau[0] == pytest.approx(1 - 2 / 190)


def test_refusals() -> None:
    three = np.zeros(3, np.float32)
    with pytest.raises(ValueError, match="3 rows need as many scores"):
        likeness(three, np.zeros(2, np.float32), np.array([0, 3]))
    for persistence in (0.0, 1.0):
        with pytest.raises(ValueError, match="persistence must be between"):
            rank_biased_overlap(np.array([1]), np.array([1]), persistence)
