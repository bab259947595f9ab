"""How many pods there should be: the demand formula, and what a HorizontalPodAutoscaler makes of it. No clock, no I/O.

The formula is in busy workers, arrivals and backlog times what a ranking takes:

    (rankings a second + rankings waiting / DRAIN_SECONDS) x mean busy seconds of a ranking

Requests in flight would not do: they grow with the wait, and so far above what is needed.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

# What waits should be gone by then.
DRAIN_SECONDS = 10.0
# Busy seconds of a ranking while none was measured: an idle service must not divide by nothing.
DEFAULT_BUSY_SECONDS = 0.002
# More busy workers than anybody has: where something near zero was divided by.
ENDLESS = 1e6
# A change this small is none, as a HorizontalPodAutoscaler has it by default.
TOLERANCE = 0.1


@dataclass(frozen=True)
class Rule:
    """The scaler's numbers, in seconds of its own clock.

    Attributes:
        target: busy workers a pod should have; a pod has one worker.
        cpu: share of its CPU request that a pod should use.
        up_percent, up_pods: the more of both may be added in `up_period`.
        down_percent, down_pods: the less of both may be taken away in `down_period`.
        window: as long as this a higher wish is remembered, and nothing is taken away below it.
    """

    least: int = 1
    most: int = 20
    target: float = 0.6
    cpu: float = 0.6
    up_percent: float = 200
    up_pods: int = 4
    up_period: float = 15
    down_percent: float = 20
    down_pods: int = 2
    down_period: float = 60
    window: float = 300
    interval: float = 15


@dataclass(frozen=True)
class Demand:
    """What was measured. `busy_seconds` and `scored` are of the same time; NaN is nothing."""

    arrivals: float
    waiting: float
    busy_seconds: float
    scored: float
    cpu: float = math.nan

    @property
    def seconds_each(self) -> float:
        scored, busy = _number(self.scored), _number(self.busy_seconds)
        return min(busy / scored, ENDLESS) if busy and scored else DEFAULT_BUSY_SECONDS

    @property
    def workers(self) -> float:
        """Busy workers; never NaN."""
        return min((_number(self.arrivals) + _number(self.waiting) / DRAIN_SECONDS) * self.seconds_each, ENDLESS)


def wish(rule: Rule, demand: Demand, pods: int) -> int:
    """The pods that the larger of both metrics asks for, policies and windows aside. `pods` are those that count."""
    by_demand = _kept(demand.workers / (rule.target * pods), pods, math.ceil(demand.workers / rule.target - 1e-9))
    if math.isnan(demand.cpu):
        return by_demand
    ratio = demand.cpu / rule.cpu
    return max(by_demand, _kept(ratio, pods, math.ceil(pods * ratio - 1e-9)))


@dataclass
class Scaler:
    """Keeps what a HorizontalPodAutoscaler keeps: its wishes of the last window, and what it has done."""

    rule: Rule
    _wishes: deque[tuple[float, int]] = field(default_factory=deque[tuple[float, int]])
    _changes: deque[tuple[float, int]] = field(default_factory=deque[tuple[float, int]])

    def decide(self, now: float, demand: Demand, pods: int) -> int:
        """The number of pods from now on, if there are `pods`."""
        rule = self.rule
        wanted = min(max(wish(rule, demand, max(pods, 1)), rule.least), rule.most)
        self._wishes.append((now, wanted))
        _forget(self._wishes, now - rule.window)
        _forget(self._changes, now - max(rule.up_period, rule.down_period))
        # Upwards at once; downwards only as far as every wish of the window goes.
        settled = wanted if wanted > pods else min(pods, max(each for _, each in self._wishes))
        decided = self._limited(now, settled, pods)
        if decided != pods:
            self._changes.append((now, decided - pods))
        return decided

    def _limited(self, now: float, wanted: int, pods: int) -> int:
        rule = self.rule
        if wanted > pods:
            before = pods - self._sum(now - rule.up_period, up=True)
            limit = max(before + rule.up_pods, math.ceil(before * (1 + rule.up_percent / 100)))
            return max(min(wanted, limit), pods)
        before = pods - self._sum(now - rule.down_period, up=False)
        limit = max(before - rule.down_pods, int(before * (1 - rule.down_percent / 100)))
        return min(max(wanted, limit, rule.least), pods)

    def _sum(self, since: float, *, up: bool) -> int:
        return sum(change for at, change in self._changes if at > since and (change > 0) == up)


@dataclass
class Counters:
    """Counters as scraped, and their rates; of every series on its own, so that pods may come, go and start anew."""

    keep: float = 300
    _seen: dict[str, deque[tuple[float, float]]] = field(default_factory=dict[str, deque[tuple[float, float]]])

    def add(self, now: float, values: Iterable[tuple[str, float]]) -> None:
        for name, value in values:
            self._seen.setdefault(name, deque()).append((now, value))
        for name, samples in list(self._seen.items()):
            _forget(samples, now - self.keep)
            if not samples:
                del self._seen[name]

    def rate(self, prefix: str, now: float, window: float) -> float:
        """Of all series that begin so, what they grew by a second; a lower value is a new start from 0."""
        return sum(_rate([each for each in samples if each[0] >= now - window])
                   for name, samples in self._seen.items() if name.startswith(prefix))  # fmt: skip


def _rate(samples: list[tuple[float, float]]) -> float:
    if len(samples) < 2:
        return 0.0
    growth = sum(new if new < old else new - old
                 for (_, old), (_, new) in itertools.pairwise(samples))  # fmt: skip
    return growth / (samples[-1][0] - samples[0][0])


def _kept(ratio: float, pods: int, wanted: int) -> int:
    return pods if abs(ratio - 1) <= TOLERANCE else wanted


def _number(value: float) -> float:
    return value if math.isfinite(value) and value > 0 else 0.0


def _forget(samples: deque[tuple[float, float]] | deque[tuple[float, int]], before: float) -> None:
    while samples and samples[0][0] <= before:
        samples.popleft()
