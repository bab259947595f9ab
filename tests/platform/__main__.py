"""`make platform`: registry, waiting room, pods and autoscaler on this machine, with no Docker and no cluster."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from service.commands import default_registry
from service.location import RegistryError
from service.registry import Entry, open_registry
from tests.bench.http import queries
from tests.conftest import ROOT
from tests.engines.environments import NoEnvironment, made_for, requirement
from tests.platform.controller import Controller
from tests.platform.load import Load
from tests.platform.pods import Fleet
from tests.platform.rig import Rig, models, rig
from tests.platform.scaler import Rule
from tests.platform.scenarios import Seen, Step, roll, step

OUT = ROOT / ".podium" / "platform"
# One query takes a pod 40 ms, so that two cores hold what a step needs; the rates are those of reference divided.
SLOW = 0.04
BURST = Step(low=9, high=68, before=5, during=15, after=60, start=10, prepared=8)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 1 requests failed, 2 wrong arguments or no HAProxy, 130 interrupted, 143 terminated."""
    args = _arguments(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="podium-platform-") as scratch:
            return asyncio.run(_until_ended(args, Path(scratch)))
    except (NoEnvironment, RegistryError, RuntimeError) as error:
        sys.stderr.write(f"podium: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    except asyncio.CancelledError:
        return 143


async def _until_ended(args: argparse.Namespace, scratch: Path) -> int:
    """Ends by SIGTERM as it does by Ctrl-C: with all that it has started."""
    task = asyncio.create_task(_run(args, scratch))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.platform", description=__doc__)
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--load", choices=["burst"], help="drive it with a step of load, and draw what happened")
    either.add_argument(
        "--roll", metavar="VERSION", help="roll to this version under load; `other` takes any other one"
    )
    parser.add_argument("--registry", metavar="URI", help="whose newest model is served (default: .podium/registry)")
    parser.add_argument("--pods", type=int, default=2, help="the least number of pods (%(default)s)")
    parser.add_argument("--rate", type=float, default=60, help="requests/s of a roll (%(default)s)")
    parser.add_argument("--seconds", type=float, help="end after so long, instead of by Ctrl-C")
    parser.add_argument("--out", type=Path, default=OUT, metavar="FOLDER", help="where numbers and plot of a burst go")
    return parser.parse_args(arguments)


async def _run(args: argparse.Namespace, scratch: Path) -> int:
    found = _registry(args.registry, scratch)
    served, target = _chosen(found, args.roll)
    assert served.manifest is not None
    width = served.manifest.schema.width
    with rig(
        scratch,
        slow=SLOW if args.load else 0.0,
        # The longest wait is of the scaler's time, as all else.
        **({"queue_timeout": f"{2000 / BURST.speed:.0f}ms"} if args.load else {}),
    ) as made:
        if args.load:
            return await _burst(args, made, served, list(queries(3, width=width, count=8)))
        if target is not None:
            return await _roll(args, made, served, target, list(queries(80, width=width, count=8)))
        return await _stay(args, made, served)


def _registry(uri: str | None, scratch: Path) -> list[Entry]:
    """The sound versions of a registry's newest model, newest first; synthetic ones where there is none."""
    registry = open_registry(uri or default_registry())
    try:
        newest = registry.newest()
    except RegistryError:
        if uri is not None:
            raise
        models(scratch)
        _say("no model in .podium/registry (make demo makes one): two synthetic ones instead")
        registry = open_registry((scratch / "registry").as_uri())
        newest = registry.newest()
    return [entry for entry in registry.list(newest.name) if entry.manifest is not None]


def _chosen(found: list[Entry], roll_to: str | None) -> tuple[Entry, Entry | None]:
    """The version that is served first, and the one to roll to: newer than the first, if it is not said."""
    if roll_to is None:
        return found[0], None
    wanted = [entry for entry in found if roll_to in (entry.version, "other")]
    others = [entry for entry in found if wanted and entry.version != wanted[0].version]
    if not others:
        known = ", ".join(entry.version for entry in found)
        raise RuntimeError(f"a roll to {roll_to} needs it and another version of {found[0].name}; there are {known}")
    return others[0], wanted[0]


async def _burst(args: argparse.Namespace, rig: Rig, served: Entry, requests: Sequence[bytes]) -> int:
    _say(f"a step from {BURST.low:g} to {BURST.high:g} requests/s, {SLOW * 1000:g} ms each; about a minute")
    seen = await step(rig, served.uri, requests, BURST, Rule())
    risen = seen.marks["step"] - seen.began
    most = max(moment.wanted for moment in seen.history)
    statuses = ", ".join(f"{count} x {status}" for status, count in sorted(seen.load.statuses.items()))
    _say(f"requests sent {seen.load.sent}: {statuses}; pods at most {most}, at the end {seen.history[-1].wanted}")
    waiting = [moment.at - seen.began - risen for moment in seen.history if moment.waiting > 2]
    gone = max([at for at in waiting if at < BURST.during], default=0.0)
    _say(f"nothing waited for long from {gone * BURST.speed:.0f} s of the scaler's time after the step on")
    _draw(args.out, seen)
    return 0


async def _roll(args: argparse.Namespace, rig: Rig, first: Entry, to: Entry, requests: Sequence[bytes]) -> int:
    await rig.fleet.launch(first.uri, args.pods)
    await asyncio.sleep(2)
    _say(f"rolling {args.pods} pods from {first.version} to {to.version} at {args.rate:g} requests/s")
    load = await roll(rig, to.uri, requests, args.rate)
    _report(load)
    return 1 if load.failed else 0


async def _stay(args: argparse.Namespace, rig: Rig, served: Entry) -> int:
    controller = Controller(rig.gateway, rig.fleet, served.uri, Rule(least=args.pods))
    controlling = asyncio.create_task(controller.run())
    try:
        while len(rig.fleet.ready) < args.pods:
            await asyncio.sleep(0.1)
        _about(rig.gateway.url, rig.gateway.metrics_url, rig.fleet, served)
        ends = None if args.seconds is None else asyncio.get_running_loop().time() + args.seconds
        while not controlling.done() and (ends is None or asyncio.get_running_loop().time() < ends):
            await asyncio.sleep(0.2)
    finally:
        controlling.cancel()
        await asyncio.gather(controlling, return_exceptions=True)
    return 0


def _about(url: str, metrics: str, fleet: Fleet, served: Entry) -> None:
    _say(f"the waiting room is at {url} (metrics: {metrics}), with {served.name} {served.version}")
    for pod in fleet.ready:
        _say(f"  a pod: {pod.url}")
    _say(f"try: curl -s {url}/version   (Ctrl-C ends all of it)")


def _report(load: Load) -> None:
    seen = ", ".join(f"{version} ({count} answers)" for version, count in sorted(load.versions.items()))
    _say(f"requests sent {load.sent}, failed {load.failed}")
    _say(f"versions seen: {seen}")


def _draw(out: Path, seen: Seen) -> None:
    out.mkdir(parents=True, exist_ok=True)
    raw, plot = out / "burst.json", out / "burst.svg"
    moments = [
        {"at": each.at - seen.began, "waiting": each.waiting, "ready": each.ready, "wanted": each.wanted}
        for each in seen.history
        if each.at >= seen.began
    ]
    outcomes = [
        {"planned": each.planned - seen.began, "seconds": each.seconds, "status": each.status}
        for each in seen.load.outcomes
    ]
    title = (
        f"make platform LOAD=burst: {BURST.low:g} to {BURST.high:g} requests/s of {SLOW * 1000:g} ms, "
        f"queue time-out {2000 / BURST.speed:g} ms; from {BURST.before + BURST.during:g} s on the clock goes "
        f"{BURST.speed_after:g} times as fast"
    )
    run = {"title": title, "speed": BURST.speed, "moments": moments, "outcomes": outcomes}
    raw.write_text(json.dumps(run))
    try:
        python = made_for(requirement("bench-plots"))
    except NoEnvironment as error:
        sys.stderr.write(f"podium: no plot: {error}\n")
        return
    subprocess.run([python, ROOT / "tests/platform/plot.py", raw, plot], check=True)
    _say(f"written: {plot} and {raw}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
