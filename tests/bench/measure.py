"""Rounds over servers: each is started, asked, weighed and stopped, and then comes the next one."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import pytest

from tests.bench import alone, machine
from tests.bench.http import HOST, LOST
from tests.bench.load import Result, closed_loop, open_loop
from tests.bench.peer import Floats, Peer, Server, Wire
from tests.bench.plan import ALIKE, CLOSED, LIKELY_START_SECONDS, YARDSTICK, Plan, Point
from tests.bench.prepared import documents, loaded_ranker
from tests.bench.progress import Progress
from tests.bench.results import Measured, Results

QUERIES = 64
LONG_QUERIES = 16
"""Of 1000 documents; they are as many different ones as 64 of 250."""
CLOSE = 1e-5
WARM_SECONDS = 0.3


class WrongScores(Exception):
    """A server answers something else than ours."""


class Bench:
    """Fills `results`, which hold what was measured so far however it ends.

    Args:
        cores: of the servers, and of the load generator.
    """

    def __init__(
        self,
        bundle: Path,
        peers: Mapping[str, Peer],
        plan: Plan,
        *,
        cores: tuple[int, int],
        results: Results,
        progress: Progress,
    ) -> None:
        self.bundle, self.plan, self.results, self.say = bundle, plan, results, progress
        # The load that all are given alike must be known first.
        self.peers = dict(sorted(peers.items(), key=lambda item: item[0] != YARDSTICK))
        self.core, own_core = cores
        self.own = {own_core}
        self.ranker = loaded_ranker(bundle)
        self._queries: dict[int, list[Floats]] = {}

    def run(self) -> None:
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self.own)
        try:
            self._rounds()
        finally:
            os.sched_setaffinity(0, before)

    def _rounds(self) -> None:
        for peer in list(self.peers.values()):
            self._guarded(peer, "checking", self._check)
        for number in range(1, self.plan.rounds + 1):
            self._alone(number)
            for peer in list(self.peers.values()):
                self._guarded(peer, f"round {number}", lambda peer, number=number: self._measure(peer, number))
        self.results.complete = True

    def _guarded(self, peer: Peer, what: str, work: Callable[[Peer], None]) -> None:
        """One server that fails is left out from there on; the others are none the worse for it."""
        try:
            work(peer)
        except (Exception, pytest.skip.Exception, pytest.fail.Exception) as error:  # noqa: BLE001
            self.results.left_out[peer.name] = f"{what}: {_reason(error)}"
            del self.peers[peer.name]
            self.say.note(f"{peer.name} is left out. {self.results.left_out[peer.name]}")

    def _check(self, peer: Peer) -> None:
        """Its environment is made here, and files are read from the disk once: later starts are alike."""
        self.say.step(f"{peer.name}: checking its scores", LIKELY_START_SECONDS)
        with peer.started(self.bundle, self.core) as server:
            scores = {form: self._compared(peer, server, peer.wires[form]) for form in self.plan.formats_of(peer)}
        self.results.peers[peer.name] = {"versions": dict(peer.versions()), "limit": peer.limit, "scores": scores}

    def _compared(self, peer: Peer, server: Server, wire: Wire, counts: Sequence[int] = (1, 10, 100)) -> str:
        worst = 0.0
        for count in counts:
            rows = self.queries(count)[0]
            status, headers, body = ask(server.port, wire.request(rows))
            if status != 200:
                raise WrongScores(f"{count} documents are answered {status}: {body[:200]!r}")
            if peer.limit:
                continue
            ours, theirs = self.ranker.score(rows), np.array(wire.scores(body, headers), np.float32)
            if ours.shape != theirs.shape or not np.allclose(ours, theirs, rtol=CLOSE, atol=CLOSE):
                raise WrongScores(f"the scores of {count} documents are {theirs[:3]}..., ours {ours[:3]}...")
            worst = max(worst, float(np.abs(ours - theirs).max()))
        return "none" if peer.limit else "the same bits" if worst == 0 else f"within {worst:.1e}"

    def _measure(self, peer: Peer, number: int) -> None:
        self.say.step(f"round {number}, {peer.name}: starting", LIKELY_START_SECONDS)
        forms = self.plan.formats_of(peer)
        with peer.started(self.bundle, self.core) as server:
            self._compared(peer, server, peer.wires[forms[0]], (10,))
            self.results.starts.setdefault(peer.name, []).append(round(machine.age(server.pid), 3))
            for form in forms:
                self._format(peer, form, server, number)
            memory = machine.proportional_mib(server.pid)
            self.results.memory.setdefault(peer.name, []).append(round(memory, 1))

    def _format(self, peer: Peer, form: str, server: Server, number: int) -> None:
        requests: dict[int, list[bytes]] = {}
        for point in self.plan.points_of(peer, yardstick=YARDSTICK in self.peers):
            if point.loop == ALIKE and not self.results.capacities((YARDSTICK, "json")).get(number):
                continue
            if point.documents not in requests:
                requests[point.documents] = [peer.wires[form].request(rows) for rows in self.queries(point.documents)]
                asyncio.run(closed_loop(server.port, requests[point.documents], 4, min(WARM_SECONDS, point.seconds)))
            self.say.step(f"round {number}, {peer.name} {form}: {point}", point.seconds)
            rate = self._rate(peer, form, point, number)
            seen = under_load(server.port, requests[point.documents], point, rate, seed=number)
            self.results.points.append(
                Measured(peer.name, form, number, point.loop, point.documents, point.load, rate, **seen)
            )

    def _rate(self, peer: Peer, form: str, point: Point, number: int) -> float | None:
        if point.loop == CLOSED:
            return None
        who = (YARDSTICK, "json") if point.loop == ALIKE else (peer.name, form)
        return round(point.load * self.results.capacities(who, point.documents)[number], 1)

    def _alone(self, number: int) -> None:
        """On the core that the servers get afterwards."""
        with _on_core(self.core, self.own):
            for count in alone.DOCUMENTS:
                for name, calls in alone.works(self.ranker, self.queries(count)).items():
                    self.say.step(f"round {number}, without a server: {name}, {count} documents", self.plan.alone)
                    taken = alone.microseconds(calls, self.plan.alone)
                    kept = self.results.alone.setdefault(name, {}).setdefault(str(count), [])
                    kept.append(round(taken, 2))

    def queries(self, count: int) -> Sequence[Floats]:
        if count not in self._queries:
            different = LONG_QUERIES if count >= 1000 else QUERIES
            self._queries[count] = documents(count, self.ranker.schema.width, different)
        return self._queries[count]


def ask(port: int, request: bytes) -> tuple[int, dict[str, str], bytes]:
    with socket.create_connection((HOST, port), 30) as connection:
        connection.sendall(request)
        with HTTPResponse(connection, method="POST") as answer:
            answer.begin()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, headers, answer.read()


def under_load(port: int, requests: Sequence[bytes], point: Point, rate: float | None, *, seed: int) -> dict[str, Any]:
    """The fields of `Measured` that a load gives: a closed loop, or an open one of so many requests a second."""
    gc.collect()
    # A pause of the load generator would be the server's latency.
    gc.disable()
    before, worked = perf_counter(), process_time()
    try:
        if rate is None:
            # A client waits as Retry-After says; servers that refuse nothing do not feel the difference.
            load = closed_loop(port, requests, int(point.load), point.seconds, honour=True, seed=seed)
        else:
            load = open_loop(port, requests, rate, point.seconds, seed=seed)
        result = asyncio.run(load)
    finally:
        gc.enable()
    busy = (process_time() - worked) / (perf_counter() - before)
    quantiles = result.quantiles()
    return {
        "goodput": round(result.goodput, 1),
        "shares": shares(result),
        "p50": quantiles.get("p50"),
        "p99": quantiles.get("p99"),
        "most": quantiles.get("max"),
        "generator": round(busy, 2),
        "late": result.late,
        "sent_bytes": len(requests[0]),
    }


def shares(result: Result) -> dict[str, float]:
    """Of all that was asked, by status."""
    counts = {str(status): len(values) for status, values in sorted(result.latencies.items()) if status != LOST}
    lost = len(result.latencies.get(LOST, ())) + result.unanswered
    if lost:
        counts["lost"] = lost
    total = sum(counts.values())
    return {status: round(count / total, 4) for status, count in counts.items()}


@contextmanager
def _on_core(core: int, afterwards: set[int]) -> Generator[None]:
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, afterwards)


def _reason(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text if len(text) <= 500 else f"{text[:250]} ... {text[-250:]}"
