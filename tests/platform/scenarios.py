"""What `make platform` can show and tests hold to: a burst that the scaler follows, a roll to another model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.platform.controller import Controller, Moment
from tests.platform.load import Load, drive
from tests.platform.pods import PAUSE
from tests.platform.rig import Rig
from tests.platform.scaler import Rule


@dataclass(frozen=True)
class Step:
    """A load that is low, high for a while, and low again until the pods are as few as before.

    Attributes:
        before, during, after: seconds; the last is the most that it waits.
        speed: of the scaler's clock, and in `after`, when nothing waits any more.
        start: seconds that a pod needs, of the scaler's time; 0 for what it takes here.
        prepared: pods that wait to be started, so that the load does not compete with their imports for two cores.
        even: as of `drive`.
    """

    low: float
    high: float
    before: float
    during: float
    after: float
    speed: float = 10.0
    speed_after: float = 40.0
    start: float = 0.0
    prepared: int = 0
    even: bool = False


@dataclass
class Seen:
    load: Load
    history: list[Moment]
    began: float
    ended: float = 0.0
    marks: dict[str, float] = field(default_factory=dict[str, float])


async def step(rig: Rig, model: str, requests: Sequence[bytes], plan: Step, rule: Rule) -> Seen:
    """Runs a plan with a scaler that begins with the least number of pods."""
    controller = Controller(rig.gateway, rig.fleet, model, rule)
    await rig.fleet.prepare(model, plan.prepared)
    rig.fleet.delay = plan.start / plan.speed
    controller.clock.set(plan.speed)
    controlling = asyncio.create_task(controller.run())
    try:
        while len(rig.fleet.ready) < rule.least:
            await asyncio.sleep(0.05)
        # The gateway asks its name server once a second.
        await asyncio.sleep(1.5)
        began = time.monotonic()
        seen = Seen(Load(), controller.history, began)

        def rate(at: float) -> float:
            return plan.high if plan.before <= at < plan.before + plan.during else plan.low

        def back() -> bool:
            at = time.monotonic() - began
            return at > plan.before + plan.during + 1 and controller.wanted == rule.least

        async def hurry() -> None:
            await asyncio.sleep(plan.before + plan.during)
            controller.clock.set(plan.speed_after)

        hurrying = asyncio.create_task(hurry())
        whole = plan.before + plan.during + plan.after
        await drive(rig.gateway.port, requests, rate, whole, load=seen.load, even=plan.even, until=back)
        await hurrying
        # A moment tells what was wanted before it, and the last decision came after the last one.
        await controller.scrape()
        seen.marks = {"step": began + plan.before, "back": began + plan.before + plan.during}
        seen.ended = time.monotonic()
        return seen
    finally:
        controlling.cancel()
        await asyncio.gather(controlling, return_exceptions=True)


async def roll(rig: Rig, to: str, requests: Sequence[bytes], rate: float, *, pause: float = PAUSE) -> Load:
    """Replaces every pod by one of another model, one more than there were at a time, under load."""
    ended = asyncio.Event()
    load = asyncio.create_task(drive(rig.gateway.port, requests, rate, 120, pieces=0.001, until=ended.is_set))
    retiring: list[asyncio.Task[int | None]] = []
    await asyncio.sleep(1)
    for pod in list(rig.fleet.pods):
        await rig.fleet.launch(to)
        retiring.append(asyncio.create_task(rig.fleet.retire(pod, pause)))
    await asyncio.gather(*retiring)
    await asyncio.sleep(0.5)
    ended.set()
    return await load
