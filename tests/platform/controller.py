"""The autoscaler of `make platform`: scrapes the real exporters, decides as documented, starts and stops real pods."""

from __future__ import annotations

import asyncio
import math
import re
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from tests.engines.haproxy import Gateway
from tests.platform.pods import Fleet, Pod
from tests.platform.scaler import Counters, Demand, Rule, Scaler

# In seconds of the scaler's clock, as Prometheus and the query of the ScaledObject have them.
SCRAPE, SHORT, LONG = 5.0, 30.0, 300.0

ARRIVED = tuple(f'haproxy_backend_sessions_total{{proxy="{name}"}}' for name in ("rank", "large"))
WAITING = tuple(f'haproxy_backend_current_queue{{proxy="{name}"}}' for name in ("rank", "large"))
BUSY, CPU = "podium_busy_seconds_total", "process_cpu_seconds_total"
_RANKED = re.compile(r'podium_requests_total\{.*route="(/v1/rank|/v2/models/.+/infer)",status="200"\}')
RANKED = "ranked"


@dataclass
class Clock:
    """The scaler's time, which may go faster than the machine's."""

    speed: float = 1.0
    _real: float = field(default_factory=time.monotonic)
    _scaled: float = 0.0

    def now(self) -> float:
        return self._scaled + (time.monotonic() - self._real) * self.speed

    def set(self, speed: float) -> None:
        self._scaled, self._real, self.speed = self.now(), time.monotonic(), speed


@dataclass(frozen=True)
class Moment:
    """What a scrape found. `at` by time.monotonic, `scaled` by the scaler's clock."""

    at: float
    scaled: float
    arrivals: float
    waiting: float
    ready: int
    wanted: int
    demand: Demand


@dataclass
class Controller:
    """Keeps as many pods of `model` as its scaler says, from the first on."""

    gateway: Gateway
    fleet: Fleet
    model: str
    rule: Rule = field(default_factory=Rule)
    clock: Clock = field(default_factory=Clock)
    history: list[Moment] = field(default_factory=list[Moment])
    wanted: int = 0
    _counters: Counters = field(default_factory=Counters)
    _tasks: set[asyncio.Task[object]] = field(default_factory=set[asyncio.Task[object]])

    async def run(self) -> None:
        """Until it is cancelled; pods that are being stopped are waited for then."""
        scaler, decided = Scaler(self.rule), self.clock.now()
        self.wanted = max(self.wanted, self.rule.least)
        try:
            while True:
                demand = await self.scrape()
                if self.clock.now() - decided >= self.rule.interval:
                    decided = self.clock.now()
                    self.wanted = scaler.decide(decided, demand, self.wanted)
                self.reconcile()
                await asyncio.sleep(SCRAPE / self.clock.speed)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def scrape(self) -> Demand:
        pods = list(self.fleet.ready)
        texts = await asyncio.gather(
            asyncio.to_thread(_text, self.gateway.metrics_url),
            *[asyncio.to_thread(_text, f"{pod.url}/metrics") for pod in pods],
        )
        # Rates are a second of the machine's, over windows that are shorter by the clock's speed.
        now, speed = time.monotonic(), self.clock.speed
        from_gateway = dict(series(texts[0]))
        self._counters.add(now, [(name, from_gateway.get(name, 0.0)) for name in ARRIVED])
        for pod, text in zip(pods, texts[1:], strict=True):
            self._counters.add(now, [(f"{name} {pod.address}", value) for name, value in counted(text)])
        arrivals = sum(self._counters.rate(name, now, SHORT / speed) for name in ARRIVED)
        waiting = sum(from_gateway.get(name, 0.0) for name in WAITING)
        busy, ranked = (self._counters.rate(f"{name} ", now, LONG / speed) for name in (BUSY, RANKED))
        cpu = self._counters.rate(f"{CPU} ", now, SHORT / speed) / len(pods) if pods else math.nan
        # What waits is to be gone in seconds of the clock, so it is worth more a second of the machine's.
        demand = Demand(arrivals, waiting * speed, busy, ranked, cpu)
        self.history.append(Moment(now, self.clock.now(), arrivals, waiting, len(pods), self.wanted, demand))
        return demand

    def reconcile(self) -> None:
        """Starts what is missing, also for what died, and stops the youngest of what is too many."""
        for pod in [pod for pod in self.fleet.pods if pod.process.poll() is not None]:
            self.fleet.lost(pod)
        for _ in range(self.wanted - len(self.fleet.pods)):
            self._do(self._started(self.fleet.start(self.model)))
        for pod in self.fleet.pods[self.wanted :]:
            self._do(self.fleet.retire(pod))

    async def _started(self, pod: Pod) -> None:
        with suppress(RuntimeError):
            await self.fleet.published(pod)

    def _do(self, what: object) -> None:
        task: asyncio.Task[object] = asyncio.ensure_future(what)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def series(text: str) -> Iterator[tuple[str, float]]:
    """The lines of an exposition."""
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            yield name, float(value)


def counted(text: str) -> Iterator[tuple[str, float]]:
    """What the scaler needs of a pod; rankings of all routes together."""
    ranked = 0.0
    for name, value in series(text):
        if name in (BUSY, CPU):
            yield name, value
        elif _RANKED.fullmatch(name):
            ranked += value
    yield RANKED, ranked


def _text(url: str) -> str:
    # What does not answer is no sample, as for Prometheus.
    with suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310
        return answer.read().decode()
    return ""
