"""The scaler and the waiting room together: real exporters, real processes, a clock ten times as fast."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import httpx

from tests.bench.http import queries
from tests.deploy.test_gateway import until_up
from tests.platform.controller import ARRIVED, BUSY, CPU, WAITING, Clock, counted, series
from tests.platform.load import drive
from tests.platform.rig import Rig, models, rig
from tests.platform.scaler import Rule
from tests.platform.scenarios import Step, step

# 120 and 900 requests/s at 3.2 ms each are 0.38 and 2.9 busy workers. Two cores do not hold five pods that compute, so
# each query takes 40 ms here, nearly all of them waiting, and the rates are a thirteenth: as many workers are as busy.
SLOW, LOW, HIGH = 0.04, 9.1, 68.0
SPEED = 10.0


def test_a_step_is_followed_without_overshoot_and_undone(tmp_path: Path) -> None:
    rule = Rule()
    # In a cluster a window of 30 s has thousands of arrivals and hardly any noise, here it has a dozen.
    plan = Step(LOW, HIGH, before=4, during=12, after=70, speed=SPEED, start=10, prepared=8, even=True)
    (model,) = models(tmp_path, 1)
    # The longest wait is 2 s, in the time of the scaler.
    with rig(tmp_path, slow=SLOW, queue_timeout="200ms") as made:
        seen = asyncio.run(step(made, model.uri, list(queries(3, count=8)), plan, rule))
    risen, fallen = seen.marks["step"], seen.marks["back"]
    high = [moment for moment in seen.history if risen <= moment.at < fallen]
    settled = [moment for moment in high if moment.at >= risen + 60 / SPEED]
    assert set(seen.load.statuses) <= {200, 503}

    # Within 60 s of the scaler's time nothing waits for long, and nobody is refused any more.
    late = [outcome for outcome in seen.load.outcomes if risen + 60 / SPEED <= outcome.planned < fallen]
    assert len(late) > 250
    assert sum(moment.waiting for moment in settled) / len(settled) < 2
    assert [outcome for outcome in late if outcome.status != 200] == []

    # As many pods as the measured busy seconds ask for, and not many more.
    each = sorted(moment.demand.seconds_each for moment in settled)
    needed = math.ceil(HIGH * each[len(each) // 2] / rule.target)
    assert needed >= 5, "the load was too small to show anything"
    wanted = [moment.wanted for moment in seen.history]
    # Where other tests take the cores for a while, a query takes longer for as long, and more pods are right.
    slowest = math.ceil(HIGH * max(moment.demand.seconds_each for moment in high) / rule.target)
    assert needed - 1 <= max(wanted) <= 1.3 * slowest

    # One way up and one way down.
    assert wanted[-1] == rule.least
    top = wanted.index(max(wanted))
    assert wanted[:top] == sorted(wanted[:top])
    assert wanted[top:] == sorted(wanted[top:], reverse=True)


def test_all_that_the_scaler_asks_for_is_exported_and_what_waits_has_arrived(tmp_path: Path) -> None:
    small = list(queries(3, count=2))

    async def go(rig: Rig, model: str) -> None:
        (pod,) = await rig.fleet.launch(model)
        await asyncio.to_thread(until_up, rig.gateway, "rank", 1)
        load = asyncio.create_task(drive(rig.gateway.port, small, 100, 1))
        await asyncio.sleep(0.9)
        text = (await asyncio.to_thread(httpx.get, rig.gateway.metrics_url)).text
        found = dict(series(text))
        assert {*ARRIVED, *WAITING} <= found.keys()
        # A tenth of them is answered by now: an arrival counts when it comes, or the formula would see no rise.
        assert found[WAITING[0]] > 20
        assert found[ARRIVED[0]] > 50
        assert (await load).sent > 60
        exported = dict(counted((await asyncio.to_thread(httpx.get, f"{pod.url}/metrics")).text))
        assert exported.keys() == {BUSY, CPU, "ranked"}
        assert exported["ranked"] == (await load).statuses[200]
        assert exported[BUSY] >= 0.1 * exported["ranked"]

    (model,) = models(tmp_path, 1)
    with rig(tmp_path, slow=0.1, queue_timeout="2s") as made:
        asyncio.run(go(made, model.uri))


def test_the_clock_keeps_its_place_when_its_speed_changes() -> None:
    clock = Clock(100.0)
    before = clock.now()
    clock.set(0.0)
    stopped = clock.now()
    assert stopped >= before
    assert clock.now() == stopped
