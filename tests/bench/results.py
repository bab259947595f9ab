"""What was measured, as it is kept."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.plan import CLOSED

REFERENCE_DOCUMENTS = 100


Who = tuple[str, str]
"""A server and a format."""


@dataclass(frozen=True)
class Measured:
    """One point of one round.

    Attributes:
        rate: requests a second that were sent in an open loop.
        goodput: answers of status 200 a second.
        shares: of all answers, by status; "lost" where the connection ended, or no answer came.
        p50, p99, most: milliseconds of those of status 200; None if there were none.
        per_cpu: answers of status 200 by the second of the server's processor; None if it used too little to tell.
        server: how much of its core the server used; far below 1 under full load, others used it.
        generator: the same of the load generator and its core; near 1 it is what was measured.
        late: requests that the generator sent more than 5 ms late.
        sent_bytes: of one request.
    """

    peer: str
    format: str
    round: int
    loop: str
    documents: int
    load: float
    rate: float | None
    goodput: float
    shares: dict[str, float]
    p50: float | None
    p99: float | None
    most: float | None
    per_cpu: float | None
    server: float
    generator: float
    late: int
    sent_bytes: int

    @property
    def who(self) -> Who:
        return self.peer, self.format


@dataclass(frozen=True)
class Spread:
    """The median over rounds, and the least and the most."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        found = sorted(values)
        return cls(median(found), found[0], found[-1]) if found else None


@dataclass
class Results:
    """
    Attributes:
        about: machine, model, command, date, plan.
        peers: by server: versions, and by format how its scores compare with ours.
        left_out: servers that could not be measured (to the end), and why.
        starts: by server, seconds from its process's start to the first right answer.
        memory: by server, "pss" and "rss" after the load, in MiB.
        alone: by what was done and documents, microseconds.
    """

    about: dict[str, Any]
    complete: bool = False
    peers: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    left_out: dict[str, str] = field(default_factory=dict[str, str])
    starts: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    memory: dict[str, dict[str, list[float]]] = field(default_factory=dict[str, dict[str, list[float]]])
    alone: dict[str, dict[str, list[float]]] = field(default_factory=dict[str, dict[str, list[float]]])
    points: list[Measured] = field(default_factory=list[Measured])

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Results:
        document = json.loads(path.read_text())
        document["points"] = [Measured(**point) for point in document["points"]]
        return cls(**document)

    def asked(self) -> list[Who]:
        """In the order of measuring."""
        return list(dict.fromkeys(point.who for point in self.points))

    def at(self, who: Who, loop: str, load: float, documents: int = REFERENCE_DOCUMENTS) -> list[Measured]:
        """One a round."""
        wanted = (who, loop, load, documents)
        return [point for point in self.points if (point.who, point.loop, point.load, point.documents) == wanted]

    def loads(self, loop: str) -> list[float]:
        return sorted({point.load for point in self.points if point.loop == loop})

    def capacities(self, who: Who, documents: int = REFERENCE_DOCUMENTS, *, per_cpu: bool = False) -> dict[int, float]:
        """By round, the most answers of status 200 that any number of connections got.

        Args:
            per_cpu: by the second of the server's processor, which a busy machine disturbs less.
        """
        found: dict[int, float] = {}
        for point in self.points:
            if (point.who, point.loop, point.documents) == (who, CLOSED, documents):
                value = point.per_cpu if per_cpu else point.goodput
                found[point.round] = max(found.get(point.round, 0.0), value or 0.0)
        return found

    def capacity_ratio(self, one: Who, other: Who, *, per_cpu: bool = False) -> Spread | None:
        return ratio(self.capacities(one, per_cpu=per_cpu), self.capacities(other, per_cpu=per_cpu))


def ratio(ones: dict[int, float], others: dict[int, float]) -> Spread | None:
    """Of what was measured in the same round: what else the machine did then disturbed both."""
    return Spread.of(ones[each] / others[each] for each in ones.keys() & others.keys() if others[each])
