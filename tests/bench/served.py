"""Processes on a core of their own, for measuring; above all the service."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from tests.bench.peer import Server
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
def running(command: Sequence[str], port: int, path: str, core: int | None, **environ: str) -> Generator[Server]:
    """A process that is pinned to `core` from its first instruction, until the block ends; enters once it answers a
    GET of `path` with 200."""
    pinned = command if core is None else ["taskset", "-c", str(core), *command]
    with subprocess.Popen(pinned, cwd=ROOT, env={**os.environ, **environ}, stdout=subprocess.DEVNULL) as popen:
        try:
            _ready(f"http://127.0.0.1:{port}{path}", popen)
            yield Server(port, popen.pid)
        finally:
            popen.terminate()
            popen.wait(30)


def service(
    model: Path, core: int | None = 0, *, python: str = sys.executable, arguments: Sequence[str] = (), **environ: str
) -> AbstractContextManager[Server]:
    """The service with a bundle, ready."""
    port = free_port()
    command = [python, "-m", "service", "serve", "--model", str(model), "--port", str(port), *arguments]
    return running(command, port, "/readyz", core, PODIUM_COMMIT="bench", **environ)


@contextmanager
def served(
    model: Path, *, core: int | None = 0, python: str = sys.executable, arguments: Sequence[str] = (), **environ: str
) -> Generator[int]:
    """Yields the port of a ready service, pinned to `core`."""
    with service(model, core, python=python, arguments=arguments, **environ) as server:
        yield server.port


def _ready(address: str, popen: subprocess.Popen[bytes], seconds: float = 30.0) -> None:
    ends = time.monotonic() + seconds
    while popen.poll() is None and time.monotonic() < ends:
        with suppress(OSError), urllib.request.urlopen(address, timeout=5):  # noqa: S310
            return
        time.sleep(0.01)
    raise RuntimeError(f"no 200 from {address} in {seconds:.0f} s (exit code {popen.returncode})")
