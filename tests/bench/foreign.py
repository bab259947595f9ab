"""Servers of other people, each made from a lock of its own, that score by the same model on one core."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tests.bench import wires
from tests.bench.machine import tree
from tests.bench.peer import Peer, Server, Wire
from tests.bench.served import free_port
from tests.engines.environments import made_for, requirement

SERVERS = Path(__file__).resolve().parent / "servers"
READY_SECONDS = 90.0
STOP_SECONDS = 10.0
TAIL = 2000

_VERSIONS = """
import json, platform, sys
from importlib.metadata import version
print(json.dumps({"python": platform.python_version()} | {name: version(name) for name in sys.argv[1:]}))
"""


class PeerFailed(Exception):
    """The server ended, or did not answer in time; the message names it and holds the end of what it printed."""


@dataclass(frozen=True)
class Answer:
    """`headers` by names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def ask(port: int, request: bytes, seconds: float = 30.0) -> Answer:
    """The answer to one request, on a connection of its own.

    Raises:
        OSError: there was no connection, or it was lost.
        HTTPException: that is no answer.
    """
    with socket.create_connection(("127.0.0.1", port), seconds) as connection:
        connection.sendall(request)
        response = HTTPResponse(connection)
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, response.read())


@contextmanager
def started(name: str, wire: Wire, bundle: Path, core: int, *, more_ports: int = 0) -> Generator[Server]:
    """Runs `servers/NAME_server.py` until the block ends; enters once it has scored a query.

    Raises:
        NoEnvironment: what it is made of could not be had.
        PeerFailed: it does not answer.
    """
    python = made_for(requirement(f"bench-{name}"))
    width = len(json.loads((bundle / "manifest.json").read_text())["schema"]["features"])
    ports = [free_port()]
    for _ in range(more_ports):
        ports.append(free_port(above=ports[-1]))
    script, model = SERVERS / f"{name}_server.py", (bundle / "model.ubj").absolute()
    # -P: what lies beside the script is not for import by the libraries that it uses.
    command = ["taskset", "--cpu-list", str(core), str(python), "-P", str(script), str(model), *map(str, ports)]
    with TemporaryDirectory(prefix=f"bench-{name}-") as scratch:
        log = Path(scratch) / "output"
        with log.open("wb") as output:
            popen = subprocess.Popen(
                command, cwd=scratch, env=_environ(python, scratch),
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        children: list[int] = []
        try:
            if why := _unready(popen, ports[0], wire.request(np.zeros((1, width), np.float32))):
                end = log.read_bytes()[-TAIL:].decode(errors="replace").strip()
                raise PeerFailed(f"{name}: {why}; the end of its output:\n{end}")
            children += _children(popen.pid)
            yield Server(ports[0], popen.pid)
        finally:
            _stop(popen, children + _children(popen.pid))


def _environ(python: Path, scratch: str) -> dict[str, str]:
    # What is set for this process's own tools is none of theirs.
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        # One thread scores a query, whatever the number of cores: on its one core, more would only take turns.
        "OMP_NUM_THREADS": "1",
        "BENTOML_HOME": str(Path(scratch) / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "true",
    }


def _unready(popen: subprocess.Popen[bytes], port: int, request: bytes) -> str | None:
    """None once a query was scored, or why none is."""
    ends, last = time.monotonic() + READY_SECONDS, "no connection"
    while time.monotonic() < ends:
        if (code := popen.poll()) is not None:
            return f"it ended with {code}"
        with suppress(OSError, HTTPException):
            answer = ask(port, request)
            if answer.status == 200:
                return None
            last = f"{answer.status} {answer.body[:200]!r}"
        time.sleep(0.05)
    return f"it did not score a query within {READY_SECONDS:.0f} s: {last}"


def _stop(popen: subprocess.Popen[bytes], children: Sequence[int]) -> None:
    popen.terminate()
    try:
        popen.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        popen.kill()
        popen.wait(STOP_SECONDS)
    for descriptor in children:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        select.select([descriptor], [], [], STOP_SECONDS)
        os.close(descriptor)


def _children(pid: int) -> list[int]:
    """Descriptors, for they stay those processes', while a number may be another's once its process has ended. They
    are taken early: of a process with a session of its own, nobody knows whose it was when the first has ended."""
    descriptors: list[int] = []
    for child in tree(pid)[1:]:
        with suppress(ProcessLookupError):
            descriptors.append(os.pidfd_open(child))
    return descriptors


def versions(name: str, *distributions: str) -> Mapping[str, str]:
    """As they are installed, and Python's.

    Raises:
        NoEnvironment: what it is made of could not be had.
    """
    command = [made_for(requirement(f"bench-{name}")), "-c", _VERSIONS, *distributions, "xgboost-cpu", "numpy"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _peer(name: str, by_format: Mapping[str, Wire], *distributions: str, more_ports: int = 0) -> Peer:
    start: Callable[[Path, int], AbstractContextManager[Server]] = partial(
        started, name, by_format["json"], more_ports=more_ports
    )
    return Peer(name, start, by_format, partial(versions, name, *distributions))


FOREIGN: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        _peer("naive", wires.NAIVE, "fastapi", "uvicorn"),
        _peer("mlserver", wires.MLSERVER, "mlserver", "mlserver-xgboost", "fastapi", "uvicorn", more_ports=1),
        _peer("kserve", wires.KSERVE, "kserve", "fastapi", "uvicorn"),
        _peer("bentoml", wires.BENTOML, "bentoml", "uvicorn"),
    )
}
