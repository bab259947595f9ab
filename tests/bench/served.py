"""The service as a process on a core of its own, for measuring."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.conftest import ROOT

# Below the range from which the kernel gives ports to clients, so that no client can be in the way.
PORTS = range(20_000, 32_000)


def free_port(above: int = 0) -> int:
    for port in range(max(PORTS.start + os.getpid() % 5000, above + 1), PORTS.stop):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port")


@contextmanager
def served(
    model: Path, *, core: int | None = 0, python: str = sys.executable, arguments: Sequence[str] = (), **environ: str
) -> Generator[int]:
    """Yields the port of a ready service, pinned to `core`."""
    port = free_port()
    command = [python, "-m", "service", "serve", "--model", str(model), "--port", str(port), *arguments]
    env = {**os.environ, "PODIUM_COMMIT": "bench", **environ}
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL) as popen:
        try:
            if core is not None:
                os.sched_setaffinity(popen.pid, {core})
            _ready(port, popen)
            yield port
        finally:
            popen.terminate()
            popen.wait(30)


def _ready(port: int, popen: subprocess.Popen[bytes], seconds: float = 30.0) -> None:
    ends = time.monotonic() + seconds
    while popen.poll() is None and time.monotonic() < ends:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            if json.load(answer)["status"] == "ready":
                return
        time.sleep(0.02)
    raise RuntimeError("the service did not become ready")
