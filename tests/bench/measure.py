"""Rounds over servers: all are started, take turns at every load, are weighed, and are stopped.

They take turns load by load, because what else a machine does changes within minutes: ratios are of what was measured
within seconds of each other.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

from tests.bench import alone, machine
from tests.bench.foreign import ask
from tests.bench.http import LOST
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
        interrupted: Callable[[], bool] = lambda: False,
    ) -> None:
        self._interrupted = interrupted
        self.bundle, self.plan, self.results, self.say = bundle, plan, results, progress
        self.peers = dict(peers)
        self.core, own_core = cores
        self.own = {own_core}
        self.ranker = loaded_ranker(bundle)
        self._queries: dict[int, list[Floats]] = {}
        self._requests: dict[tuple[str, str, int], list[bytes]] = {}

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
            self._round(number)
        self.results.complete = True

    def _round(self, number: int) -> None:
        servers: dict[str, Server] = {}
        stacks: list[tuple[Peer, ExitStack]] = []

        def start(peer: Peer) -> None:
            stacks.append((peer, ExitStack()))
            servers[peer.name] = self._started(peer, stacks[-1][1], number)

        try:
            self._each(number, start)
            for point in self.plan.points:
                self._each(number, lambda peer, point=point: self._point(peer, servers[peer.name], point, number))
            self._each(number, lambda peer: self._weigh(peer, servers[peer.name]))
        finally:
            for peer, stack in reversed(stacks):
                self._guarded(peer, f"round {number}, stopping", lambda _, stack=stack: stack.close(), stopping=True)

    def _each(self, number: int, work: Callable[[Peer], None]) -> None:
        for peer in list(self.peers.values()):
            self._guarded(peer, f"round {number}", work)

    def _guarded(self, peer: Peer, what: str, work: Callable[[Peer], None], *, stopping: bool = False) -> None:
        """One server that fails is left out from there on; the others are none the worse for it."""
        if self._interrupted() and not stopping:
            raise KeyboardInterrupt
        try:
            work(peer)
        except Exception as error:  # noqa: BLE001
            self.results.left_out.setdefault(peer.name, f"{what}: {_reason(error)}")
            self.peers.pop(peer.name, None)
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
            answer = ask(server.port, wire.request(rows))
            if answer.status != 200:
                raise WrongScores(f"{count} documents are answered {answer.status}: {answer.body[:200]!r}")
            if peer.limit:
                continue
            ours, theirs = self.ranker.score(rows), np.array(wire.scores(answer.body, answer.headers), np.float32)
            if ours.shape != theirs.shape or not np.allclose(ours, theirs, rtol=CLOSE, atol=CLOSE):
                raise WrongScores(f"the scores of {count} documents are {theirs[:3]}..., ours {ours[:3]}...")
            worst = max(worst, float(np.abs(ours - theirs).max()))
        return "none" if peer.limit else "the same bits" if worst == 0 else f"within {worst:.1e}"

    def _started(self, peer: Peer, stack: ExitStack, number: int) -> Server:
        self.say.step(f"round {number}, starting: {peer.name}", LIKELY_START_SECONDS)
        forms = self.plan.formats_of(peer)
        server = stack.enter_context(peer.started(self.bundle, self.core))
        self._compared(peer, server, peer.wires[forms[0]], (10,))
        self.results.starts.setdefault(peer.name, []).append(round(machine.age(server.pid), 3))
        for form in forms:
            asyncio.run(closed_loop(server.port, self.requests(peer, form, 100), 4, WARM_SECONDS))
        return server

    def _weigh(self, peer: Peer, server: Server) -> None:
        for kind, mib in machine.memory_mib(server.pid).items():
            self.results.memory.setdefault(peer.name, {}).setdefault(kind, []).append(round(mib, 1))

    def _point(self, peer: Peer, server: Server, point: Point, number: int) -> None:
        if point not in self.plan.points_of(peer):
            return
        for form in self.plan.formats_of(peer):
            self.say.step(f"round {number}, {point}: {peer.name} {form}", point.seconds)
            rate = self._rate(peer, form, point, number)
            if rate == 0:
                continue
            requests = self.requests(peer, form, point.documents)
            seen = under_load(server, requests, point, rate, seed=number)
            self.results.points.append(
                Measured(peer.name, form, number, point.loop, point.documents, point.load, rate, **seen)
            )

    def _rate(self, peer: Peer, form: str, point: Point, number: int) -> float | None:
        """Requests a second; None for a closed loop, 0 where nobody's capacity tells it."""
        if point.loop == CLOSED:
            return None
        who = (YARDSTICK, "json") if point.loop == ALIKE else (peer.name, form)
        return round(point.load * self.results.capacities(who, point.documents).get(number, 0.0), 1)

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

    def requests(self, peer: Peer, form: str, count: int) -> Sequence[bytes]:
        key = peer.name, form, count
        if key not in self._requests:
            self._requests[key] = [peer.wires[form].request(rows) for rows in self.queries(count)]
        return self._requests[key]


def under_load(
    server: Server, requests: Sequence[bytes], point: Point, rate: float | None, *, seed: int
) -> dict[str, Any]:
    """The fields of `Measured` that a load gives: a closed loop, or an open one of so many requests a second."""
    gc.collect()
    # A pause of the load generator would be the server's latency.
    gc.disable()
    began, worked, server_worked = perf_counter(), process_time(), machine.cpu_seconds(server.pid)
    try:
        if rate is None:
            # A client waits as Retry-After says; servers that refuse nothing do not feel the difference.
            load = closed_loop(server.port, requests, int(point.load), point.seconds, honour=True, seed=seed)
        else:
            load = open_loop(server.port, requests, rate, point.seconds, seed=seed)
        result = asyncio.run(load)
    finally:
        gc.enable()
    seconds, busy = perf_counter() - began, process_time() - worked
    server_busy = machine.cpu_seconds(server.pid) - server_worked
    quantiles = result.quantiles()
    return {
        "goodput": round(result.goodput, 1),
        "shares": shares(result),
        "p50": quantiles.get("p50"),
        "p99": quantiles.get("p99"),
        "most": quantiles.get("max"),
        "per_cpu": round(len(result.latencies.get(200, ())) / server_busy, 1) if server_busy else None,
        "server": round(server_busy / seconds, 2),
        "generator": round(busy / seconds, 2),
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
