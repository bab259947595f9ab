from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.engines.environments import python_for, requirement
from tests.training.tiny import tiny_queries
from training.lambdarank import INSTALL, NotMeasured, lambdarank_scores
from training.ndcg import ndcg, random_order


@pytest.fixture(scope="module")
def environment() -> Path:
    return python_for(requirement("lightgbm")).parent.parent


def test_it_learns_and_is_deterministic(environment: Path) -> None:
    train, test = tiny_queries(40), tiny_queries(20, seed=5)
    scores = lambdarank_scores(train, test, seed=1, environment=environment)
    again = lambdarank_scores(train, test, seed=1, threads=2, environment=environment)
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores, again)
    found = ndcg(scores, test.relevance, test.offsets).mean(10)
    assert found > random_order(test.relevance, test.offsets).mean(10) + 0.1


def test_what_lightgbm_refuses_is_not_made_up(environment: Path) -> None:
    with pytest.raises(NotMeasured, match="LightGBM failed: "):
        lambdarank_scores(tiny_queries(10), tiny_queries(3, width=2), environment=environment)


def test_without_its_environment_it_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(NotMeasured, match="install it with") as caught:
        lambdarank_scores(tiny_queries(3), tiny_queries(3), environment=tmp_path / "none")
    assert INSTALL in str(caught.value)
