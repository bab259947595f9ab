"""Several hosts on one machine: as many loopback addresses, and a supervisor's process for each."""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from training.supervisor import TOKEN

ROOT = Path(__file__).resolve().parents[2]
HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
FIRST, SECOND, THIRD = HOSTS
# Nobody waits for so long unless something is wrong.
PATIENCE = 60
WORD = "secret"

TOGETHER = """
import json, sys
from training.hosts import Hosts
from training.cluster import together
from training.peers import Terms
names, current, port, join_within, silent_for, command = json.loads(sys.argv[1])
sys.exit(together(Hosts.of(names, current), Terms("secret", port, join_within, silent_for), command))
"""

_jobs = itertools.count()


def free_ports() -> int:
    """The first of the ports in a row that a job takes, of which nobody uses one."""
    for _ in range(500):
        port = 21_000 + (os.getpid() % 150) * 70 + (next(_jobs) % 20) * 3
        with ExitStack() as stack:
            try:
                for each in range(port, port + 3):
                    stack.enter_context(socket.socket()).bind((FIRST, each))
            except OSError:
                continue
            return port
    raise AssertionError("no free ports in a row")


@dataclass
class Job:
    """The processes of one job; all of them are ended with it."""

    hosts: Sequence[str]
    folder: Path
    port: int = field(default_factory=free_ports)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict[str, "subprocess.Popen[bytes]"])

    def __enter__(self) -> Job:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()

    def start(
        self, host: str, command: Sequence[str], *, hosts: Sequence[str] = (), join: float = 30, silent: float = 10
    ) -> subprocess.Popen[bytes]:
        """A supervisor with a worker of any kind."""
        told = [list(hosts or self.hosts), host, self.port, join, silent, list(command)]
        return self._run(host, [sys.executable, "-c", TOGETHER, json.dumps(told)])

    def launch(self, host: str, *arguments: str, hosts: Sequence[str] = (), word: str = WORD) -> None:
        """`python -m training.cluster`."""
        named = ["--hosts", ",".join(hosts or self.hosts), "--host", host, "--port", str(self.port)]
        self._run(host, [sys.executable, "-m", "training.cluster", *named, *arguments], word)

    def _run(self, host: str, command: list[str], word: str = WORD) -> subprocess.Popen[bytes]:
        environ = {**os.environ, TOKEN: word}
        with (self.folder / f"{host}.out").open("wb") as out, (self.folder / f"{host}.err").open("wb") as err:
            process = subprocess.Popen(command, stdout=out, stderr=err, env=environ, cwd=ROOT)
        self.processes[host] = process
        return process

    def out(self, host: str) -> str:
        return (self.folder / f"{host}.out").read_text()

    def err(self, host: str) -> str:
        return (self.folder / f"{host}.err").read_text()

    def everywhere(self, text: str) -> None:
        """Waits until the logs of all hosts have `text`."""
        until(lambda: all(text in self.err(host) for host in self.hosts), self)

    def worker(self, host: str) -> int:
        """The process id of a host's worker."""
        found: list[int] = []
        children = Path(f"/proc/{self.processes[host].pid}/task/{self.processes[host].pid}/children")

        def there() -> bool:
            found[:] = [int(pid) for pid in children.read_text().split()]
            return bool(found)

        until(there, self)
        return found[0]

    def ended(self, *hosts: str, within: float = PATIENCE) -> dict[str, int]:
        """The exit codes of `hosts` (all of them), which have to end in time."""
        deadline = time.monotonic() + within
        for host in hosts or self.hosts:
            try:
                self.processes[host].wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                raise AssertionError(f"{host} still runs after {within:g} s\n{self.logs()}") from None
        return {host: self.processes[host].returncode for host in hosts or self.hosts}

    def logs(self) -> str:
        return "\n".join(f"== {host}\n{self.out(host)}{self.err(host)}" for host in self.processes)


def until(true: Callable[[], bool], job: Job) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, job.logs()
        time.sleep(0.02)
