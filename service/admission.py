"""Who may wait, who is scored next, and who is told to come back: decisions alone, without event loop or HTTP."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from math import ceil
from typing import Any

# A request may be overtaken by one that comes later, but only within this many times its own cost: a short query
# need not wait for a long one, and the long one does not wait for late comers without end.
PATIENCE = 10.0

# A request that was let in keeps its place while its body comes, but no longer than this: who sends slowly is judged
# once more when the body is there, and keeps nobody out meanwhile.
PROMISE_SECONDS = 0.05

# What a request costs beside its size, told as bytes of body: a small one is mostly this.
FIXED_BYTES = 16_000

# Until something is measured; and how much a measured request weighs against those before it.
FIRST_SECONDS_PER_BYTE = 20e-9
MEMORY = 0.98

# Refused work is forgotten by half in a second: what was refused a while ago has come back or gone elsewhere.
HALF_LIFE = 2.0

# An autoscaler has added capacity by then.
MAX_RETRY_AFTER = 60

# A day; a caller that has longer to wait wants no answer now.
MAX_DEADLINE_MS = 86_400_000

REASONS = ("in-flight", "queue", "deadline")


class Refusal(Exception):
    """No room. `reason` is one of `REASONS`; `retry_after` is in whole seconds, at least 1."""

    def __init__(self, reason: str, retry_after: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class Expired(Exception):
    """The caller no longer waits."""


class Cost:
    """Busy seconds that a request takes by the bytes of its body, as measured lately."""

    def __init__(self) -> None:
        self._bytes = float(FIXED_BYTES)
        self._seconds = FIRST_SECONDS_PER_BYTE * FIXED_BYTES

    def expected(self, size: int) -> float:
        return (size + FIXED_BYTES) * self._seconds / self._bytes

    def measured(self, size: int, seconds: float) -> None:
        # Sums instead of a mean of quotients: a large request tells more about the work that waits.
        self._bytes = MEMORY * self._bytes + size + FIXED_BYTES
        self._seconds = MEMORY * self._seconds + seconds


@dataclass(eq=False, slots=True)
class Ticket:
    """A request that was let in. `work` is the caller's."""

    kind: str
    deadline: float
    size: int = 0
    cost: float = 0.0
    spent: float = 0.0
    turn: float = 0.0
    queued: float | None = None
    left: bool = False
    promised: float = 0.0
    until: float = 0.0
    work: Any = None

    @property
    def remaining(self) -> float:
        return max(self.cost - self.spent, 0.0)


class Admission:
    """A bounded number of requests in flight, and a bounded wait for those whose body has come.

    A request enters, is queued once its body is there, is worked on in slices, and leaves, however that
    ends. What waits is measured in busy seconds, told from bytes by what the last requests took. Times are
    the caller's, in seconds of one clock.

    Args:
        max_queue: the most seconds of work that a request may find before it.
    """

    def __init__(self, max_in_flight: int, max_queue: float) -> None:
        self.in_flight = 0
        # Busy seconds of all that is queued. Kept and not summed up: it is asked twice for each request.
        self.backlog = 0.0
        self._max_in_flight = max_in_flight
        self._max_queue = max_queue
        self._costs: dict[str, Cost] = {}
        self._heap: list[tuple[float, int, Ticket]] = []
        # Let in, and not queued yet. Without them all that come at once would be let in, and then refused.
        self._promises: deque[Ticket] = deque()
        self._promised = 0.0
        self._numbers = count()
        self._refused = 0.0
        self._refused_at = 0.0

    def enter(self, kind: str, size: int, now: float, deadline: float) -> Ticket:
        """Lets a request in; each ticket must `leave`.

        Args:
            kind: requests of one kind cost alike by size.
            size: bytes of the body, 0 if not known yet.

        Raises:
            Expired: its deadline has passed.
            Refusal: too many are in flight, or it would wait too long.
        """
        if deadline <= now:
            raise Expired
        cost = self._cost(kind).expected(size)
        if self.in_flight >= self._max_in_flight:
            raise self._refusal("in-flight", cost, now)
        self._judge(cost, now, deadline)
        self.in_flight += 1
        ticket = Ticket(kind, deadline, size, turn=now + PATIENCE * cost, promised=cost, until=now + PROMISE_SECONDS)
        self._promises.append(ticket)
        self._promised += cost
        return ticket

    def queue(self, ticket: Ticket, size: int, now: float) -> None:
        """The body is there: the request waits for its turn.

        Raises:
            Expired: as `enter`.
            Refusal: its body was slow or is larger than was said, and there is no longer room.
        """
        if ticket.deadline <= now:
            raise Expired
        kept = ticket.promised and ticket.until > now and size <= ticket.size
        self._take_back(ticket)
        cost = self._cost(ticket.kind).expected(size)
        if not kept:
            self._judge(cost, now, ticket.deadline)
        ticket.size, ticket.cost, ticket.queued = size, cost, now
        ticket.turn = now + PATIENCE * cost
        self.backlog += cost
        heappush(self._heap, (ticket.turn, next(self._numbers), ticket))

    def spend(self, ticket: Ticket, seconds: float) -> None:
        """A slice of the work of a ticket took so long."""
        before = ticket.remaining
        ticket.spent += seconds
        self.backlog -= before - ticket.remaining

    def next(self) -> Ticket | None:
        """Whose turn it is. It stays the first until it is `done`, has left, or a shorter one is queued."""
        while self._heap and self._heap[0][2].left:
            heappop(self._heap)
        return self._heap[0][2] if self._heap else None

    def done(self, ticket: Ticket) -> None:
        """The work of a ticket is finished, and what it took is what the next of its size will take."""
        self._cost(ticket.kind).measured(ticket.size, ticket.spent)
        self.drop(ticket)

    def drop(self, ticket: Ticket) -> None:
        """The work of a ticket, if there is any, is no longer wanted."""
        if ticket.queued is None or ticket.left:
            return
        ticket.left = True
        self.backlog -= ticket.remaining
        if self.next() is None:
            # What rounding left over.
            self.backlog = 0.0

    def leave(self, ticket: Ticket) -> None:
        """Once for each ticket that `enter` gave."""
        self._take_back(ticket)
        self.drop(ticket)
        self.in_flight -= 1

    def _judge(self, cost: float, now: float, deadline: float) -> None:
        while self._promises and (self._promises[0].until <= now or not self._promises[0].promised):
            self._take_back(self._promises.popleft())
        if not self._promises:
            # What rounding left over.
            self._promised = 0.0
        limit = min(self._max_queue, deadline - now)
        if not (self._heap or self._promises) or self.backlog + self._promised <= limit:
            return
        # A short request passes the long ones, so it may be let in where they are not.
        turn = now + PATIENCE * cost
        ahead = sum(ticket.cost - ticket.spent for at, _, ticket in self._heap if at <= turn and not ticket.left)
        ahead += sum(ticket.promised for ticket in self._promises if ticket.turn <= turn)
        if ahead > limit:
            raise self._refusal("queue" if ahead > self._max_queue else "deadline", cost, now)

    def _take_back(self, ticket: Ticket) -> None:
        self._promised -= ticket.promised
        ticket.promised = 0.0

    def _refusal(self, reason: str, cost: float, now: float) -> Refusal:
        # Those sent away come back: there is room when the queue and they are through.
        self._refused = self._refused * 0.5 ** ((now - self._refused_at) / HALF_LIFE) + cost
        self._refused_at = now
        return Refusal(reason, min(max(ceil(self.backlog + self._refused), 1), MAX_RETRY_AFTER))

    def _cost(self, kind: str) -> Cost:
        cost = self._costs.get(kind)
        if cost is None:
            cost = self._costs[kind] = Cost()
        return cost
