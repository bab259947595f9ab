"""Which hosts one training job has, and which of them this is."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

MAX_HOSTS = 256
LOST_EXIT = 5
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}")

# What a supervisor tells its worker.
HOSTS, HOST, WORKERS_PORT = "PODIUM_HOSTS", "PODIUM_HOST", "PODIUM_WORKERS_PORT"


class HostsError(ValueError):
    """The hosts are named wrongly, or do not accept one another; the message says what to change."""


class HostLost(Exception):
    """A host did not come, or ended before its time, which ends the job on all of them, with `exit_code`."""

    def __init__(self, host: str, why: str, exit_code: int = LOST_EXIT) -> None:
        super().__init__(f"host {host}: {why}")
        self.host = host
        self.why = why
        self.exit_code = exit_code


@dataclass(frozen=True)
class Hosts:
    """All hosts of a job and which one this is. Made by `of`, so that every host numbers them alike."""

    names: tuple[str, ...]
    current: str

    @classmethod
    def of(cls, names: Sequence[str], current: str) -> Hosts:
        """
        Raises:
            HostsError: no hosts, one twice, a name that cannot be one, or this host is not among them.
        """
        for name in (*names, current):
            if not NAME.fullmatch(name):
                raise HostsError(f"{name!r} cannot name a host")
        if len(set(names)) < len(names):
            raise HostsError(f"a host is named twice: {', '.join(sorted(names))}")
        if current not in names:
            raise HostsError(f"this host, {current}, is not one of {', '.join(sorted(names)) or 'no hosts at all'}")
        if len(names) > MAX_HOSTS:
            raise HostsError(f"{len(names)} hosts are more than {MAX_HOSTS}")
        return cls(tuple(sorted(names)), current)

    @property
    def first(self) -> str:
        """Where the supervisors meet, where the collective's tracker runs, and who saves the model."""
        return self.names[0]

    @property
    def rank(self) -> int:
        return self.names.index(self.current)

    @property
    def world(self) -> int:
        return len(self.names)


def resource_hosts(config: Mapping[str, object]) -> Hosts:
    """The hosts of SageMaker's `resourceconfig.json`. Raises HostsError."""
    names, current = config.get("hosts"), config.get("current_host")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in cast(list[object], names)):
        raise HostsError(f"resourceconfig.json: hosts must be a list of names, not {names!r}")
    if not isinstance(current, str):
        raise HostsError(f"resourceconfig.json: current_host must be a name, not {current!r}")
    return Hosts.of(cast(list[str], names), current)


def worker_hosts(environ: Mapping[str, str] = os.environ) -> Hosts | None:
    """The hosts of the job that this process is a worker of; None where it has no supervisor."""
    names = environ.get(HOSTS)
    return None if names is None else Hosts.of(names.split(","), environ.get(HOST, ""))
