"""Open and closed loops of load, bounded in time and in connections, and what came of them."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from time import perf_counter
from typing import Any

import numpy as np

from tests.bench.http import LOST, Answer, Connection, connect, get

# No scenario needs more, and no mistake in one may take more.
MAX_SECONDS = 120.0
MAX_CONNECTIONS = 1024
DRAIN_SECONDS = 20.0


@dataclass
class Result:
    """`latencies` by status, in seconds; an open loop counts from the planned arrival.

    Attributes:
        after: how many of them came after an open loop had ended: they waited, and so belong to the latencies, but
            they are no throughput.
        unanswered: asked, and without an answer long after the end.
    """

    seconds: float = 0.0
    latencies: dict[int, list[float]] = field(default_factory=dict[int, list[float]])
    after: Counter[int] = field(default_factory=Counter[int])
    unanswered: int = 0
    retry_after: Counter[int] = field(default_factory=Counter[int])
    late: int = 0

    def add(self, answer: Answer, latency: float, *, after: bool = False) -> None:
        self.latencies.setdefault(answer.status, []).append(latency)
        self.after[answer.status] += after
        if answer.retry_after is not None:
            self.retry_after[answer.retry_after] += 1

    @property
    def goodput(self) -> float:
        """Answers of status 200 a second, while the load lasted."""
        return (len(self.latencies.get(200, ())) - self.after[200]) / self.seconds if self.seconds else 0.0

    def quantiles(self, status: int = 200) -> dict[str, float]:
        """Milliseconds."""
        values = self.latencies.get(status)
        if not values:
            return {}
        p50, p99, most = np.quantile(values, [0.5, 0.99, 1.0]) * 1000
        return {"p50": round(float(p50), 2), "p99": round(float(p99), 2), "max": round(float(most), 2)}

    def summary(self) -> dict[str, Any]:
        answers = {status: {"count": len(v), **self.quantiles(status)} for status, v in sorted(self.latencies.items())}
        return {
            "goodput": round(self.goodput, 1),
            "answers": answers,
            "retry_after": dict(self.retry_after),
            "late": self.late,
        }


async def closed_loop(
    port: int, requests: Sequence[bytes], connections: int, seconds: float, *, honour: bool = False, seed: int = 0
) -> Result:
    """Each connection asks again as soon as it has its answer.

    What is under way at the end is waited for, and counts with the time that it takes: the server is as busy then, and
    without it a slow server with many connections would seem to have answered nothing.

    Args:
        honour: wait after a 503 as its Retry-After says, and up to half as long again.
    """
    result, jitter = Result(), random.Random(seed)
    began = perf_counter()
    ends = began + min(seconds, MAX_SECONDS)

    async def client(number: int) -> None:
        connection = await connect(port)
        for request in cycle([*requests[number % len(requests) :], *requests[: number % len(requests)]]):
            asked = perf_counter()
            if asked >= ends:
                break
            if connection.closed:
                connection = await connect(port)
            answer = await connection.ask(request)
            now = perf_counter()
            result.add(answer, now - asked)
            result.seconds = max(result.seconds, now - began)
            if honour and answer.status == 503:
                pause = (answer.retry_after or 1) * jitter.uniform(1.0, 1.5)
                await asyncio.sleep(min(pause, max(ends - perf_counter(), 0)))
        connection.close()

    clients = [asyncio.create_task(client(number)) for number in range(min(connections, MAX_CONNECTIONS))]
    done, left = await asyncio.wait(clients, timeout=ends - began + DRAIN_SECONDS)
    for task in left:
        task.cancel()
    for task in done:
        task.result()
    result.unanswered = len(left)
    result.seconds = max(result.seconds, ends - began)
    return result


async def open_loop(
    port: int, requests: Sequence[bytes], rate: float, seconds: float, *, fresh: bool = False, seed: int = 0
) -> Result:
    """Poisson arrivals at `rate` a second, whatever the server does. A connection is opened where none is idle.

    Args:
        fresh: each request on a connection of its own.
    """
    result, chance = Result(), random.Random(seed)
    idle: list[Connection] = []
    running: set[asyncio.Task[None]] = set()
    source = cycle(requests)

    async def one(planned: float, request: bytes) -> None:
        connection = None
        while idle and connection is None:
            connection = idle.pop()
            connection = None if connection.closed else connection
        try:
            connection = connection or await connect(port)
            answer = await connection.ask(request)
        except OSError:
            result.add(Answer(LOST), perf_counter() - planned)
            return
        now = perf_counter()
        result.add(answer, now - planned, after=now >= ends)
        if fresh:
            connection.close()
        elif not connection.closed:
            idle.append(connection)

    began = planned = perf_counter()
    ends = began + min(seconds, MAX_SECONDS)
    while (planned := planned + chance.expovariate(rate)) < ends:
        wait = planned - perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        elif wait < -0.005:
            result.late += 1
        if len(running) >= MAX_CONNECTIONS:
            result.add(Answer(LOST), 0.0)
            continue
        task = asyncio.create_task(one(planned, next(source)))
        running.add(task)
        task.add_done_callback(running.discard)
    if running:
        _, left = await asyncio.wait(running, timeout=DRAIN_SECONDS)
        result.unanswered = len(left)
    for connection in idle:
        connection.close()
    result.seconds = ends - began
    return result


async def probes(
    port: int, seconds: float, path: str = "/livez", *, fresh: bool = True, interval: float = 0.05
) -> Result:
    """A probe every so often, as a kubelet sends them: on a new connection each (`fresh`), connecting included."""
    result = Result()
    began = perf_counter()
    ends = began + min(seconds, MAX_SECONDS)
    connection = None
    while (asked := perf_counter()) < ends:
        if connection is None or connection.closed:
            connection = await connect(port)
        result.add(await connection.ask(get(path)), perf_counter() - asked)
        if fresh:
            connection.close()
        await asyncio.sleep(interval)
    if connection is not None:
        connection.close()
    result.seconds = ends - began
    return result
