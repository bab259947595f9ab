"""How the SageMaker fake runs a container's program: as a process on a folder that stands for /opt/ml, or in the
built image, where /opt/ml is the folder and there is no network."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.engines.containers import Container, container
from tests.engines.images import Images

ROOT = Path(__file__).resolve().parent.parent.parent
OPT_ML = "/opt/ml"
# What a process needs of this machine. All else, credentials and settings first, stays out as it would on SageMaker.
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH", "SYSTEMROOT")


class Program(Protocol):
    """A container's first process."""

    log: Path
    """Where its output goes, of both kinds."""

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        ...

    def signal(self, name: str) -> None:
        """Sends TERM or KILL. A program that has ended meanwhile is no error."""
        ...


class Runner(Protocol):
    def run(self, tree: Path, scratch: Path, env: Mapping[str, str]) -> AbstractContextManager[Program]:
        """Starts the program on the `tree` of /opt/ml; at the context's end nothing of it is left."""
        ...


def train_command(tree: Path) -> list[str]:
    """What the image runs, told where its /opt/ml is."""
    return [sys.executable, "-m", "training", "train", "--root", str(tree)]


def contract_command(tree: Path) -> list[str]:
    """A small program that obeys the same contract, whose steps a test can time."""
    return [sys.executable, str(ROOT / "tests" / "engines" / "contract_job.py"), "--root", str(tree)]


@dataclass
class _Process:
    process: subprocess.Popen[bytes]
    log: Path

    def poll(self) -> int | None:
        return self.process.poll()

    def signal(self, name: str) -> None:
        with suppress(ProcessLookupError):
            if name == "TERM":
                self.process.terminate()
            else:
                self.process.kill()


@dataclass(frozen=True)
class ProcessRunner:
    """Runs a command on this machine.

    Args:
        command: makes the command from the folder that stands for /opt/ml.
        env: further variables of the program.
    """

    command: Callable[[Path], Sequence[str]] = train_command
    cwd: Path = ROOT
    env: Mapping[str, str] = field(default_factory=dict[str, str])

    @contextmanager
    def run(self, tree: Path, scratch: Path, env: Mapping[str, str]) -> Generator[Program]:
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        log = scratch / "program.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self.command(tree),
                cwd=self.cwd,
                env={**inherited, **env, **self.env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            yield _Process(process, log)
        finally:
            process.kill()
            process.wait()


@dataclass(frozen=True)
class ContainerRunner:
    """Runs the built image, as root, as SageMaker does; the folder is its /opt/ml.

    Args:
        arguments: replace the image's command, not its entry point. SageMaker gives the one word `train`.
    """

    images: Images
    image: str
    arguments: Sequence[str] = ("train",)

    @contextmanager
    def run(self, tree: Path, scratch: Path, env: Mapping[str, str]) -> Generator[Program]:
        (work := scratch / "tmp").mkdir(mode=0o777)
        with container(
            self.images,
            self.image,
            scratch,
            self.arguments,
            env=env,
            writable={OPT_ML: tree, "/tmp": work},  # noqa: S108 - the container's own
            isolated=True,
        ) as running:
            yield _Contained(running)


class _Contained:
    def __init__(self, running: Container) -> None:
        self._running = running
        self.log = running.log

    def poll(self) -> int | None:
        return self._running.process.poll()

    def signal(self, name: str) -> None:
        # runc refuses where the container has ended, and for the moment in which it is still being made.
        until = time.monotonic() + 10
        while self.poll() is None and time.monotonic() < until:
            with suppress(RuntimeError):
                self._running.signal(name)
                return
            time.sleep(0.05)
