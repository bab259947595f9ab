"""Start to first ranked answer, as a process: `python -m tests.bench.coldstart BUNDLE [--python PATH]`."""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import orjson

from tests.bench.served import free_port
from tests.conftest import ROOT

ROUNDS = 9


def start(model: Path, python: str, core: int) -> dict[str, float]:
    """Seconds from the start of the process to the open port and to the first 200 of `/v1/rank`, and its phases."""
    port = free_port()
    manifest = json.loads((model / "manifest.json").read_text())
    rows = [{"id": str(number), "features": [number] * len(manifest["schema"]["features"])} for number in range(10)]
    body = orjson.dumps({"items": rows})
    head = f"POST /v1/rank HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    request = head.encode() + b"connection: close\r\n\r\n" + body
    command = ["taskset", "-c", str(core), python, "-m", "service", "serve", "--model", str(model)]
    began = time.perf_counter()
    with subprocess.Popen(
        [*command, "--port", str(port)], cwd=ROOT, stdout=subprocess.PIPE, env={**os.environ, "PODIUM_COMMIT": "bench"}
    ) as popen:
        try:
            opened = 0.0
            while not _ranked(port, request):
                opened = opened or _open(port, began)
                if time.perf_counter() - began > 30 or popen.poll() is not None:
                    raise RuntimeError("no ranked answer within 30 s")
                time.sleep(0.005)
            ranked = time.perf_counter() - began
        finally:
            popen.terminate()
        output = popen.communicate()[0]
    events = [json.loads(line) for line in output.splitlines()]
    phases = {event["phase"]: event["seconds"] for event in events if event["event"] == "phase-done"}
    return {"port": opened, "ranked": ranked, **phases}


def _open(port: int, began: float) -> float:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
        return time.perf_counter() - began
    return 0.0


def _ranked(port: int, request: bytes) -> bool:
    received = b""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(request)
        while part := connection.recv(65536):
            received += part
    return received.startswith(b"HTTP/1.1 200 ") and b'"rank":10' in received


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.coldstart", description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--python", default=sys.executable, help="of the environment that serves")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    args = parser.parse_args(arguments)
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    rounds = [start(args.bundle.absolute(), args.python, cores[0]) for _ in range(args.rounds)]
    for name in rounds[0]:
        values = [each[name] for each in rounds]
        sys.stdout.write(f"{name:12} median {statistics.median(values):.3f} s, best {min(values):.3f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
