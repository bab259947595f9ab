from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from service.retries import FIRST_WAIT, SPREAD, Attempts, Budget, retry_after


def test_a_wait_is_never_shorter_than_was_asked_for_and_differs():
    waits = [Attempts(100, 1, Budget()).wait_before_next(2.0) for _ in range(50)]
    seconds = [wait for wait in waits if wait is not None]
    assert len(seconds) == 50
    assert all(2 <= wait <= 2 * (1 + SPREAD) for wait in seconds)
    assert max(seconds) - min(seconds) > 0.2


def test_without_a_word_waits_grow():
    attempts = Attempts(100, 6, Budget())
    for number in range(6):
        wait = attempts.wait_before_next()
        assert wait is not None
        assert 0 <= wait <= FIRST_WAIT * 2**number


def test_retries_end():
    attempts = Attempts(100, 2, Budget())
    assert [attempts.wait_before_next(0.0) for _ in range(3)] == [0.0, 0.0, None]
    assert Attempts(100, 0, Budget()).wait_before_next(0.0) is None


def test_no_wait_goes_beyond_the_time_that_is_left():
    budget = Budget()
    assert Attempts(1, 3, budget).wait_before_next(2.0) is None
    assert Attempts(0, 3, budget).wait_before_next(0.0) is None
    assert Attempts(-1, 3, budget).left == 0
    # Neither cost a retry.
    assert sum(budget.take() for _ in range(20)) == 10


def test_a_budget_bounds_the_retries_of_all_requests():
    budget = Budget(ratio=0.1, reserve=2)
    given = 0
    for _ in range(100):
        attempts = Attempts(100, 5, budget)
        while attempts.wait_before_next(0.0) is not None:
            given += 1
    assert 10 <= given <= 12
    assert not Budget(reserve=0.5).take()


@pytest.mark.parametrize(
    ("text", "seconds"), [(None, None), ("2", 2), (" 0 ", 0), ("", None), ("soon", None), ("-1", None), ("1e3", None)]
)
def test_retry_after_as_seconds(text: str | None, seconds: float | None):
    assert retry_after(text) == seconds


def test_retry_after_as_a_date():
    later = retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True))
    assert later is not None
    assert 55 < later <= 60
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert retry_after("Wed, 21 Oct 2015 07:28:00 -0000") == 0
    assert retry_after("Wed, 99 Oct 2015 07:28:00 GMT") is None
