"""What admission promises, measured: `python -m tests.bench.admission BUNDLE [SCENARIO...]`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from tests.bench.http import connect, get, queries
from tests.bench.load import Result, closed_loop, open_loop, probes
from tests.bench.served import served

SECONDS = 4.0

Scenario = Callable[[int], Awaitable[dict[str, Any]]]


async def cpu_seconds(port: int) -> float:
    """What the server has used of its processor."""
    connection = await connect(port)
    answer = await connection.ask(get("/metrics"))
    connection.close()
    found = re.search(rb"^process_cpu_seconds_total (.*)$", answer.body, re.MULTILINE)
    assert found
    return float(found[1])


async def capacity(port: int, requests: Sequence[bytes], seconds: float = 3.0) -> tuple[float, float]:
    """Answers a second, and answers a second of the server's processor, that as many connections get as keep it
    busy and have none refused."""
    before = await cpu_seconds(port)
    result = await closed_loop(port, requests, 4, seconds)
    return result.goodput, len(result.latencies[200]) / (await cpu_seconds(port) - before)


async def overload(port: int, documents: int = 100) -> dict[str, Any]:
    """150 % of capacity by Poisson arrivals, and 512 connections that honour Retry-After; probes beside both.

    `share` is goodput by capacity; `cpu share` the same by the second of the server's processor, which a busy
    machine disturbs less. Capacity is measured before, between and after.
    """
    requests = queries(documents)
    shown: dict[str, Any] = {"documents": documents}
    most = [await capacity(port, requests)]
    loads = {
        "open 150 %": lambda: open_loop(port, requests, 1.5 * most[0][0], SECONDS),
        "closed 512": lambda: closed_loop(port, requests, 512, 2 * SECONDS, honour=True),
    }
    for name, load in loads.items():
        before = await cpu_seconds(port)
        result, *watched = await asyncio.gather(
            load(), probes(port, 1), _later(probes(port, SECONDS - 1)), _later(probes(port, SECONDS - 1, "/metrics"))
        )
        by_cpu = len(result.latencies[200]) / (await cpu_seconds(port) - before)
        await asyncio.sleep(1)
        most.append(await capacity(port, requests))
        rates = [sum(values) / 2 for values in zip(*most[-2:], strict=True)]
        shown[name] = result.summary() | {
            "share": round(result.goodput / rates[0], 3),
            "cpu share": round(by_cpu / rates[1], 3),
            "probes of the first second, /livez, /metrics": [each.quantiles() for each in watched],
        }
    return {**shown, "capacity": [[round(value) for value in pair] for pair in most]}


async def _later(work: Awaitable[Result]) -> Result:
    # In the first second all clients connect and send at once, which is another matter than being saturated.
    await asyncio.sleep(1)
    return await work


async def small(port: int) -> dict[str, Any]:
    return await overload(port, 10)


async def large(port: int) -> dict[str, Any]:
    return await overload(port, 1000)


async def mixed(port: int) -> dict[str, Any]:
    """10 documents alone, then beside 1000 documents at half the capacity."""
    short, long = queries(10), queries(1000, count=16)
    most, _ = await capacity(port, long)
    alone = await open_loop(port, short, 50, SECONDS)
    beside, heavy = await asyncio.gather(
        open_loop(port, short, 50, 2 * SECONDS), open_loop(port, long, most / 2, 2 * SECONDS, seed=1)
    )
    return {
        "capacity of 1000": round(most, 1),
        "10 alone": alone.summary(),
        "10 beside": beside.summary(),
        "1000": heavy.summary(),
    }


async def fairness(port: int) -> dict[str, Any]:
    """New connections while 64 others keep the service saturated, by queries of 100 documents."""
    requests = queries(100)
    busy = asyncio.create_task(closed_loop(port, requests, 64, SECONDS))
    await asyncio.sleep(1)
    fresh = await open_loop(port, requests, 20, SECONDS - 2, fresh=True)
    return {"64 connections": (await busy).summary(), "new connections": fresh.summary()}


async def saturated_probes(port: int) -> dict[str, Any]:
    """Probes while 8 connections send 1000 documents each without a pause."""
    busy = closed_loop(port, queries(1000, count=16), 8, SECONDS)
    load, *watched = await asyncio.gather(busy, *(probes(port, SECONDS, path) for path in ("/livez", "/readyz")))
    metrics = await probes(port, 1, "/metrics")
    return {"load": load.summary(), "probes": [result.summary() for result in (*watched, metrics)]}


SCENARIOS: dict[str, Scenario] = {
    each.__name__: each for each in (overload, small, large, mixed, fairness, saturated_probes)
}


def refusals(port: int) -> list[str]:
    """The server's own histogram of how long refusals took."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return [line for line in lines if line.startswith(("podium_refusal_seconds", "podium_refused_total"))]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.admission", description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("scenarios", nargs="*", choices=[*SCENARIOS, []], default=list(SCENARIOS))
    args = parser.parse_args(arguments)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    for name in args.scenarios or SCENARIOS:
        with served(args.bundle, core=0, PODIUM_LOG_LEVEL="info") as port:
            time.sleep(0.5)
            measured = asyncio.run(_run(SCENARIOS[name], port))
            sys.stdout.write(f"{name}: {json.dumps(measured, indent=1)}\n")
            sys.stdout.write("\n".join(refusals(port)) + "\n")
            sys.stdout.flush()
    return 0


async def _run(scenario: Scenario, port: int) -> dict[str, Any]:
    return await scenario(port)


if __name__ == "__main__":
    sys.exit(main())
