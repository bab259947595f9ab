"""Start to first ranked answer, as a process: `python -m tests.bench.coldstart BUNDLE [--python PATH]`.

With `--slow SECONDS` the same is started from S3 too, in turns, where each megabyte of a range takes so long. What is
imported meanwhile is not waited for: beside the time of such a start is the sum of its parts, a start from the folder
and a download by a process that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import orjson

from tests.bench.fileserver import serving
from tests.bench.served import free_port
from tests.conftest import ROOT

ROUNDS = 9

FETCH = """
import sys, time
from pathlib import Path
from service.registry import fetch_model
began = time.perf_counter()
fetch_model(sys.argv[1], Path(sys.argv[2]))
print(time.perf_counter() - began)
"""


def start(model: Path, python: str, core: int, uri: str | None = None) -> dict[str, float]:
    """Seconds from the start of the process to the open port and to the first 200 of `/v1/rank`, and its phases.

    Args:
        uri: where the bundle is taken from, if not from the folder `model`.
    """
    port = free_port()
    manifest = json.loads((model / "manifest.json").read_text())
    rows = [{"id": str(number), "features": [number] * len(manifest["schema"]["features"])} for number in range(10)]
    body = orjson.dumps({"items": rows})
    head = f"POST /v1/rank HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    request = head.encode() + b"connection: close\r\n\r\n" + body
    command = ["taskset", "-c", str(core), python, "-m", "service", "serve", "--model", uri or str(model)]
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


@contextmanager
def slow(model: Path, seconds: float) -> Generator[str]:
    """Serves the bundle from S3, at `seconds` for a megabyte, and yields its address."""
    manifest = json.loads((model / "manifest.json").read_text())
    place = f"bucket/models/{manifest['name']}/{manifest['version']}"
    os.environ |= {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_EC2_METADATA_DISABLED": "true"}
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(model, Path(folder, place))
        with serving(Path(folder), seconds) as endpoint:
            os.environ["PODIUM_S3_ENDPOINT"] = endpoint
            yield f"s3://{place}"


def measure(args: argparse.Namespace, core: int) -> dict[str, list[float]]:
    model = args.bundle.absolute()
    if args.slow is None:
        return _columns([start(model, args.python, core) for _ in range(args.rounds)])
    rows: list[dict[str, float]] = []
    with slow(model, args.slow) as uri:
        for _ in range(args.rounds):
            near, far = start(model, args.python, core), start(model, args.python, core, uri)
            rows.append(near | {f"s3 {name}": value for name, value in far.items()})
            rows[-1]["s3 fetch alone"] = _fetched(uri, args.python, core)
            rows[-1]["s3 sum"] = near["ranked"] + rows[-1]["s3 fetch alone"]
    return _columns(rows)


def _fetched(uri: str, python: str, core: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        command = ["taskset", "-c", str(core), python, "-c", FETCH, uri, folder]
        return float(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)


def _columns(rows: list[dict[str, float]]) -> dict[str, list[float]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.coldstart",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--python", default=sys.executable, help="of the environment that serves")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--slow", type=float, metavar="SECONDS", help="start from S3 too, at so long a megabyte")
    args = parser.parse_args(arguments)
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    for name, values in measure(args, cores[0]).items():
        sys.stdout.write(f"{name:16} median {statistics.median(values):.3f} s, best {min(values):.3f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
