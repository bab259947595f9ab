"""An open loop of load on the gateway: requests arrive when they arrive, and each keeps what became of it."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle

from tests.bench.http import LOST, Answer, Connection, connect

# A body comes in pieces of this size, as from a network; on loopback it would be there in one.
PIECE = 16_384
DRAIN_SECONDS = 20.0
MAX_SECONDS = 180.0
MAX_UNDER_WAY = 3000

_VERSION = re.compile(rb'"version":"([^"]+)"')


@dataclass(frozen=True)
class Outcome:
    """`planned` and `ended` by time.monotonic; `status` 0 where the connection was lost. `version` is the model's that
    answered."""

    planned: float
    ended: float
    status: int
    version: str = ""

    @property
    def seconds(self) -> float:
        return self.ended - self.planned


@dataclass
class Load:
    """What came of it, as long as it goes on and afterwards."""

    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    problems: Counter[bytes] = field(default_factory=Counter[bytes])
    sent: int = 0

    @property
    def statuses(self) -> Counter[int]:
        return Counter(outcome.status for outcome in self.outcomes)

    @property
    def versions(self) -> Counter[str]:
        return Counter(outcome.version for outcome in self.outcomes if outcome.status == 200)

    @property
    def failed(self) -> int:
        return self.sent - self.statuses[200]

    def seconds(self, status: int = 200) -> list[float]:
        return sorted(outcome.seconds for outcome in self.outcomes if outcome.status == status)


Rate = Callable[[float], float]


async def drive(
    port: int,
    requests: Sequence[bytes],
    rate: float | Rate,
    seconds: float,
    *,
    load: Load | None = None,
    pieces: float = 0.0,
    even: bool = False,
    until: Callable[[], bool] = lambda: False,
    seed: int = 0,
) -> Load:
    """Arrivals that wait for no answer, as a Poisson process.

    Args:
        rate: a second, or what it is so many seconds after the start.
        pieces: seconds between the packets of a body; 0 sends a request in one.
        even: all as far apart, as the arrivals of many more would seem.
        until: ends the load early.
    """
    load = Load() if load is None else load
    chance, idle, running = random.Random(seed), list[Connection](), set[asyncio.Task[None]]()
    source = cycle(requests)

    async def one(planned: float, request: bytes) -> None:
        answer = await _ask(idle, port, request, pieces)
        found = _VERSION.search(answer.body) if answer.status == 200 else None
        version = found[1].decode() if found else ""
        load.outcomes.append(Outcome(planned, time.monotonic(), answer.status, version))
        if answer.status != 200:
            load.problems[answer.body[:300]] += 1

    began = planned = time.monotonic()
    ends = began + min(seconds, MAX_SECONDS)
    while not until():
        a_second = rate(planned - began) if callable(rate) else rate
        planned += 1 / a_second if even else chance.expovariate(a_second)
        if planned >= ends:
            break
        await asyncio.sleep(max(planned - time.monotonic(), 0))
        if len(running) >= MAX_UNDER_WAY:
            raise RuntimeError("the load outgrows this machine")
        load.sent += 1
        task = asyncio.create_task(one(planned, next(source)))
        running.add(task)
        task.add_done_callback(running.discard)
    if running:
        await asyncio.wait(running, timeout=DRAIN_SECONDS)
    for connection in idle:
        connection.close()
    return load


async def _ask(idle: list[Connection], port: int, request: bytes, pieces: float) -> Answer:
    connection = None
    while idle and connection is None:
        connection = idle.pop()
        connection = None if connection.closed else connection
    try:
        connection = connection or await connect(port)
        if pieces:
            for start in range(0, len(request) - PIECE, PIECE):
                connection.send(request[start : start + PIECE])
                await asyncio.sleep(pieces)
            request = request[(len(request) - 1) // PIECE * PIECE :]
        answer = await connection.ask(request)
    except OSError:
        return Answer(LOST)
    if not connection.closed:
        idle.append(connection)
    return answer
