"""Pods without Kubernetes: service processes on addresses of their own, started and stopped as a kubelet would."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError

from tests.conftest import ROOT
from tests.engines.dns import Zone
from tests.engines.haproxy import PODS

# Seconds between asking a pod that starts whether it is ready. A kubelet asks every second or two.
PROBE = 0.1
# What a terminating pod still serves: HAProxy keeps an address for 6 s after its last answer.
PAUSE = 7.0
GRACE = 30.0


@dataclass(eq=False)
class Pod:
    """Attributes:
    ready: when it was in the name server, by time.monotonic; None before.
    """

    address: str
    port: int
    model: str
    process: subprocess.Popen[bytes]
    log: Path
    started: float = field(default_factory=time.monotonic)
    ready: float | None = None

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}"


@dataclass
class Fleet:
    """
    Args:
        folder: takes the pods' logs.
        port: of every pod, as in a cluster.
        slow: seconds that scoring takes longer, as of `tests.platform.slow`.
        delay: seconds that a start takes at least. With `prepare` it takes no longer, however busy this machine is.
    """

    zone: Zone
    folder: Path
    port: int
    slow: float = 0.0
    delay: float = 0.0
    environ: dict[str, str] = field(default_factory=dict[str, str])
    name: str = PODS
    pods: list[Pod] = field(default_factory=list[Pod])
    prepared: list[Pod] = field(default_factory=list[Pod])
    leaving: list[Pod] = field(default_factory=list[Pod])
    # Addresses that nobody else has who runs the same at the same time.
    network: str = field(default_factory=lambda: f"127.{random.randint(64, 254)}.{random.randint(0, 254)}")
    number: int = 0

    @property
    def ready(self) -> list[Pod]:
        return [pod for pod in self.pods if pod.ready is not None]

    def start(self, model: str) -> Pod:
        """A process that will be ready once `published` says so."""
        prepared = next((pod for pod in self.prepared if pod.model == model), None)
        if prepared is None:
            pod = self._process(model)
        else:
            self.prepared.remove(prepared)
            pod = prepared
            pod.started = time.monotonic()
        self.pods.append(pod)
        return pod

    async def prepare(self, model: str, count: int) -> None:
        """Processes for the next starts, which are ready and which nobody knows."""
        self.prepared += [self._process(model) for _ in range(count)]
        await asyncio.gather(*[_ready(pod, 60) for pod in self.prepared])

    def _process(self, model: str) -> Pod:
        self.number += 1
        address = f"{self.network}.{self.number}"
        serve = ["serve", "--model", model, "--host", address, "--port", str(self.port)]
        slow = ["tests.platform.slow", str(self.slow)] if self.slow else ["service"]
        environ = {**os.environ, "PODIUM_COMMIT": "platform", **self.environ}
        log = self.folder / f"pod-{self.number}.log"
        with log.open("wb") as output:
            command = [sys.executable, "-m", *slow, *serve]
            process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=output, stderr=subprocess.STDOUT)
        return Pod(address, self.port, model, process, log)

    async def published(self, pod: Pod, within: float = 60.0) -> Pod:
        """Waits until a pod is Ready, which is when its Service lists it.

        Raises:
            RuntimeError: it ended, or was not ready in time.
        """
        await _ready(pod, within)
        await asyncio.sleep(pod.started + self.delay - time.monotonic())
        self.zone.add(self.name, pod.address)
        pod.ready = time.monotonic()
        return pod

    async def launch(self, model: str, count: int = 1) -> list[Pod]:
        return list(await asyncio.gather(*[self.published(self.start(model)) for _ in range(count)]))

    async def retire(self, pod: Pod, pause: float = PAUSE) -> int | None:
        """As Kubernetes ends a pod: out of the Service's addresses, preStop, SIGTERM, and SIGKILL if need be."""
        self.zone.remove(self.name, pod.address)
        self.pods.remove(pod)
        self.leaving.append(pod)
        try:
            await asyncio.sleep(pause)
        finally:
            pod.process.terminate()
        return await asyncio.to_thread(_ended, pod.process)

    def kill(self, pod: Pod) -> None:
        """As a node that is lost: the name server does not know yet."""
        pod.process.send_signal(signal.SIGKILL)
        pod.process.wait(GRACE)

    def lost(self, pod: Pod) -> None:
        """A pod whose process has ended by itself."""
        self.zone.remove(self.name, pod.address)
        self.pods.remove(pod)

    def close(self) -> None:
        everything = [*self.pods, *self.prepared, *self.leaving]
        for pod in everything:
            pod.process.terminate()
        for pod in everything:
            _ended(pod.process)
        self.zone.set(self.name, ())
        self.pods.clear()


async def _ready(pod: Pod, within: float) -> None:
    ends = time.monotonic() + within
    while pod.process.poll() is None and time.monotonic() < ends:
        if await asyncio.to_thread(status, f"{pod.url}/readyz") == 200:
            return
        await asyncio.sleep(PROBE)
    raise RuntimeError(f"not ready: {pod.log.read_text()[-2000:]}")


def status(url: str, seconds: float = 5.0) -> int:
    """Of a GET; 0 where there is no answer."""
    with suppress(OSError):
        try:
            with urllib.request.urlopen(url, timeout=seconds) as answer:  # noqa: S310
                return answer.status
        except HTTPError as error:
            error.close()
            return error.code
    return 0


def _ended(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
