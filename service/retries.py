"""When a client asks again: as the service says, not all at once, and never so often that it adds to an overload."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import monotonic

# Seconds. Without a word from the service the wait grows from the first to the last of these.
FIRST_WAIT, LAST_WAIT = 0.1, 5.0

# What a retry waits beyond Retry-After, as a share of it: clients that were refused together come back apart.
SPREAD = 0.5


@dataclass
class Budget:
    """Retries that all requests of a client share. Safe to use from several threads.

    Each request adds `ratio` of a retry, up to `reserve`; each retry takes a whole one. However long a service refuses,
    it gets no more than `ratio` beyond the requests themselves.
    """

    ratio: float = 0.1
    reserve: float = 10.0
    _left: float = field(init=False)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._left = self.reserve

    def asked(self) -> None:
        with self._lock:
            self._left = min(self.reserve, self._left + self.ratio)

    def take(self) -> bool:
        """Whether there is a retry left, which is gone then."""
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True


class Attempts:
    """The attempts of one request, all of them within `seconds`.

    Args:
        retries: how many times it may be repeated.
    """

    def __init__(self, seconds: float, retries: int, budget: Budget) -> None:
        self._ends = monotonic() + seconds
        self._retries = retries
        self._budget = budget
        self._done = 0
        budget.asked()

    @property
    def left(self) -> float:
        """Seconds, at least 0."""
        return max(0.0, self._ends - monotonic())

    def wait_before_next(self, retry_after: float | None = None) -> float | None:
        """Seconds to wait before asking again, or None if this attempt was the last.

        Args:
            retry_after: what the service asked for.
        """
        if retry_after is None:
            wait = random.uniform(0, min(LAST_WAIT, FIRST_WAIT * 2**self._done))  # noqa: S311 - no secret
        else:
            wait = retry_after * (1 + random.uniform(0, SPREAD))  # noqa: S311 - no secret
        # Waiting for longer than there is time would only make the same answer later.
        if self._done >= self._retries or wait >= self.left or not self._budget.take():
            return None
        self._done += 1
        return wait


def retry_after(text: str | None) -> float | None:
    """The seconds that a Retry-After header stands for, or None if it says nothing of use."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    # "-0000" says that the zone is not known; HTTP's dates are in UTC.
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
