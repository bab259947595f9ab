"""What is measured of each server, and for how long."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tests.bench.peer import Peer

# How each server's size of load is told: connections of a closed loop, shares of its own capacity, or the share of
# another server's capacity that all are given alike.
CLOSED, OPEN, ALIKE = "closed", "open", "alike"

YARDSTICK = "mlserver"
"""Whose capacity tells the load that all are given alike."""
LIKELY_START_SECONDS = 5.0
ALONE_WORKS = 12


@dataclass(frozen=True)
class Point:
    """`load`: connections, or a share of a capacity."""

    loop: str
    documents: int
    load: float
    seconds: float

    def __str__(self) -> str:
        if self.loop == CLOSED:
            return f"{self.documents} documents, {self.load:.0f} connections"
        whose = "its capacity" if self.loop == OPEN else f"{YARDSTICK}'s capacity"
        return f"{self.documents} documents, {self.load:.0%} of {whose}"


@dataclass(frozen=True)
class Plan:
    """The closed loops at 100 documents come first: they tell the capacity that the others are shares of.

    Attributes:
        formats: those that are measured, where a server has them.
        alone: seconds for each measurement without a server.
    """

    name: str
    rounds: int
    points: tuple[Point, ...]
    formats: tuple[str, ...]
    alone: float

    def points_of(self, peer: Peer) -> tuple[Point, ...]:
        # A server that does nothing is bound by the load generator, which has no arrivals to spare.
        return tuple(point for point in self.points if point.loop == CLOSED or not peer.limit)

    def formats_of(self, peer: Peer) -> tuple[str, ...]:
        return tuple(name for name in self.formats if name in peer.wires)

    def seconds(self, peers: Iterable[Peer]) -> float:
        """How long all of it takes, about."""
        starts = LIKELY_START_SECONDS * (self.rounds + 1)
        alone = ALONE_WORKS * self.alone * self.rounds
        return alone + sum(starts + self.rounds * self._seconds_of(peer) for peer in peers)

    def _seconds_of(self, peer: Peer) -> float:
        return len(self.formats_of(peer)) * sum(point.seconds for point in self.points_of(peer))


def _closed(documents: int, *connections: int, seconds: float) -> tuple[Point, ...]:
    return tuple(Point(CLOSED, documents, each, seconds) for each in connections)


def _shares(*shares: float, seconds: float) -> tuple[Point, ...]:
    own = tuple(Point(OPEN, 100, share, seconds) for share in shares)
    return (*own, Point(ALIKE, 100, 0.7, seconds))


FULL = Plan(
    "full",
    rounds=3,
    points=(
        *_closed(100, 1, 16, 64, seconds=1.5),
        *_closed(100, 512, seconds=3.0),
        *_closed(10, 1, 16, seconds=1.0),
        *_closed(1000, 1, 16, seconds=1.5),
        *_shares(0.5, 0.7, 0.9, 1.5, seconds=2.5),
    ),
    formats=("json", "columns", "oip", "binary"),
    alone=0.3,
)
QUICK = Plan(
    "quick",
    rounds=2,
    points=(
        *_closed(100, 1, 16, 64, seconds=1.5),
        *_closed(100, 512, seconds=3.0),
        *_closed(10, 16, seconds=1.0),
        *_closed(1000, 16, seconds=1.0),
        *_shares(0.7, 1.5, seconds=2.0),
    ),
    formats=("json", "columns", "binary"),
    alone=0.2,
)
BRIEF = Plan(
    "brief",
    rounds=1,
    points=(*_closed(100, 1, 4, seconds=0.2), *_closed(10, 4, seconds=0.1), *_shares(0.7, seconds=0.2)),
    formats=("json", "binary"),
    alone=0.02,
)
"""Says whether everything works, and nothing about speed."""
PLANS = {plan.name: plan for plan in (FULL, QUICK, BRIEF)}
