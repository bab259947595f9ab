"""Memory of a process that serves: `python -m tests.bench.memory BUNDLE`: ready, and with the most work at once.

What the pods' memory request in infra/deploy/base/deployment.yaml is from.
"""

from __future__ import annotations

import http.client
import random
import re
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import orjson

from service.bundle import read_manifest
from tests.bench.served import service

DOCUMENTS = 2000
# As many as a pod of infra/deploy/base/deployment.yaml lets in.
AT_ONCE = 16
ROUNDS = 5


def main(argv: Sequence[str]) -> None:
    model = Path(argv[0])
    width = len(read_manifest(model).schema.names)
    with service(model, core=None, PODIUM_MAX_IN_FLIGHT=str(AT_ONCE)) as server:
        ready = mebibytes(server.pid, "VmRSS")
        answers = [code for _ in range(ROUNDS) for code in burst(server.port, query(width), AT_ONCE)]
        most = mebibytes(server.pid, "VmHWM")
    sys.stdout.write(
        f"ready {ready:.0f} MiB; at the most {most:.0f} MiB, after {ROUNDS} times {AT_ONCE} queries of {DOCUMENTS} "
        f"documents with {width} features at once, of which {answers.count(200)} were ranked and "
        f"{answers.count(503)} refused\n"
    )


def query(width: int) -> bytes:
    draw = random.Random(1)
    items = [
        {"id": f"document-{number}", "features": [draw.uniform(-1e6, 1e6) for _ in range(width)]}
        for number in range(DOCUMENTS)
    ]
    return orjson.dumps({"items": items})


def burst(port: int, body: bytes, at_once: int) -> list[int]:
    """Statuses of as many requests at once."""
    answers: list[int] = []

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        connection.request("POST", "/v1/rank", body, {"content-type": "application/json"})
        answers.append(connection.getresponse().status)
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def mebibytes(pid: int, what: str) -> float:
    (kib,) = re.findall(rf"{what}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(kib) / 1024


if __name__ == "__main__":
    main(sys.argv[1:])
