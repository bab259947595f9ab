"""`python -m tests.bench.hop`: what the gateway adds to a request, in pairs of one direct and one through it."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

from tests.bench.http import Connection, connect, get, queries
from tests.platform.rig import Rig, models, rig

PAIRS = 2000
REQUESTS = {"GET /version": [get("/version")], "3 documents": queries(3), "80 documents, 79 kB": queries(80)}


async def paired(direct: Connection, through: Connection, requests: Sequence[bytes], pairs: int) -> tuple[float, float]:
    """Median microseconds of both ways, asked in turns."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(pairs):
        for place, connection in enumerate((direct, through)):
            began = perf_counter()
            answer = await connection.ask(requests[number % len(requests)])
            times[place].append((perf_counter() - began) * 1e6)
            if answer.status != 200:
                raise RuntimeError(f"an answer {answer.status}")
    return median(times[0]), median(times[1])


async def measure(rig: Rig, model: str, pairs: int) -> list[str]:
    (pod,) = await rig.fleet.launch(model)
    await asyncio.sleep(2)
    direct, through = await connect(pod.port, pod.address), await connect(rig.gateway.port)
    lines = [f"one connection, {pairs} pairs, medians in microseconds"]
    for name, requests in REQUESTS.items():
        alone, with_hop = await paired(direct, through, requests, pairs)
        lines.append(f"{name:20} direct {alone:6.0f}  by the gateway {with_hop:6.0f}  more {with_hop - alone:+.0f}")
    direct.close()
    through.close()
    return lines


def main(pairs: int = PAIRS) -> None:
    with tempfile.TemporaryDirectory(prefix="podium-hop-") as name, rig(Path(name)) as made:
        (model,) = models(Path(name), 1)
        sys.stdout.write("\n".join([*asyncio.run(measure(made, model.uri, pairs)), ""]))


if __name__ == "__main__":
    main()
