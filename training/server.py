"""The service as a child process, for as long as a block needs it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from service.client import Client, Unreachable

ROOT = Path(__file__).resolve().parent.parent
READY_WITHIN = 60.0
FIRST_PORT, LAST_PORT = 8100, 8999


class ServerError(Exception):
    """The service did not become ready; the message says why and where its log is."""


@contextmanager
def serving(model: str, log: Path, tell: Callable[[str], object] = lambda phase: None) -> Generator[str]:
    """Starts `python -m service serve` on a free loopback port and yields its address once it is ready.

    Args:
        model: URI of the model.
        log: file that gets the service's log.
        tell: called with every phase that the service says it is in.

    Raises:
        ServerError: it ended, failed, or was not ready in time.
    """
    port = free_port()
    command = [sys.executable, "-m", "service", "serve", "--model", model, "--port", str(port)]
    environ = {**os.environ, "PODIUM_HOST": "127.0.0.1"}
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        # A session of its own, so that Ctrl-C reaches this process alone and the order of the end is ours.
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
            env=environ,
            start_new_session=True,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(process, address, log, tell)
            yield address
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port() -> int:
    """
    Raises:
        ServerError: all of them are taken.
    """
    count = LAST_PORT - FIRST_PORT + 1
    # Processes that look at the same moment must not find the same port, so each begins elsewhere.
    for step in range(count):
        port = FIRST_PORT + (os.getpid() + step) % count
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServerError(f"ports {FIRST_PORT} to {LAST_PORT} of this machine are all in use: free one and try again")


def _wait(process: subprocess.Popen[bytes], address: str, log: Path, tell: Callable[[str], object]) -> None:
    deadline = time.monotonic() + READY_WITHIN
    with Client(address, timeout=5) as client:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise ServerError(f"the service ended with exit code {process.returncode}; its log: {log}")
            try:
                found = client.ready()
            except Unreachable:
                time.sleep(0.05)
                continue
            if found:
                return
            tell(found.phase)
            if found.phase == "failed":
                raise ServerError(f"the service refused the model: {found.detail} (log: {log})")
            time.sleep(0.05)
    raise ServerError(f"the service was not ready within {READY_WITHIN:.0f} s; its log: {log}")
