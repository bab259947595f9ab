"""Fitting on several hosts: each takes whole queries, and XGBoost's own collective grows the same trees on all.

Every host has all the data and takes its part of it. The model depends on the number of hosts, because quantiles merged
from parts are not quite those of the whole, but on nothing else about them: which host is called what, who came first.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import os
import re
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from io import StringIO
from typing import Any, NoReturn, cast, overload

import numpy as np
from xgboost import collective
from xgboost.core import XGBoostError
from xgboost.tracker import RabitTracker

from training import console
from training.hosts import WORKERS_PORT, Hosts, worker_hosts
from training.peers import address
from training.queries import Queries
from training.runs import RunError
from training.supervisor import BROKEN

# Reading takes one host longer than another. Whether it still lives its supervisor knows better than a clock.
JOIN_WITHIN = 24 * 3600
# Of a worker that hangs, though its process and its host are alive, nobody else can tell.
HANGS_AFTER = 1800
# That the tracker may take, of which a used one is free again after a minute.
PORTS = 16
# In the name of the source file that an error of it comes from.
XGBOOST_COLLECTIVE = "/collective/"


class Disagreement(RunError):
    """The hosts are not about to train the same, or did not: which, and in what."""


class CollectiveBroken(BaseException):
    """XGBoost's collective failed under this worker, most likely because another ended.

    No Exception, because no handler of this host's own errors should take it for one of them.
    """


def shard(queries: Queries, rank: int, world: int) -> Queries:
    """The part of `queries` that host number `rank` of `world` takes: whole queries, about as many documents each.

    The longest query goes to whoever has the fewest documents, then the next: parts differ by less than the longest
    query. Equal queries give equal parts.

    Raises:
        ValueError: there are fewer queries than hosts.
    """
    if queries.count < world:
        raise ValueError(f"{queries.count} queries cannot be spread over {world} hosts; use fewer hosts")
    if world == 1:
        return queries
    sizes = queries.group_sizes
    taken = [(0, host) for host in range(world)]
    mine = np.zeros(queries.count, np.bool_)
    for query in np.argsort(-sizes, kind="stable").tolist():
        documents, host = taken[0]
        heapq.heapreplace(taken, (documents + int(sizes[query]), host))
        mine[query] = host == rank
    return queries.select(mine)


class Group:
    """The hosts while they train together; with one host every method has nothing to do."""

    def __init__(self, hosts: Hosts | None) -> None:
        self._hosts = hosts
        self.rank = hosts.rank if hosts else 0
        self.world = hosts.world if hosts else 1

    @overload
    def shard(self, queries: Queries) -> Queries: ...
    @overload
    def shard(self, queries: None) -> None: ...
    def shard(self, queries: Queries | None) -> Queries | None:
        """This host's part. Raises ValueError as `shard` does."""
        return None if queries is None else shard(queries, self.rank, self.world)

    def describe(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """`about` with the number of hosts, which the model depends on as well."""
        return {**about, "hosts": self.world} if self.world > 1 else dict(about)

    def agree(self, about: Mapping[str, Any]) -> None:
        """Raises Disagreement, on every host, unless `about` (JSON) is equal on all of them."""
        told = [json.loads(text) for text in self._gather(json.dumps(about, sort_keys=True).encode())]
        found = [f"{name}: {self._who_says(values)}" for name, values in _differences(told)]
        if found:
            more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
            raise Disagreement(f"the hosts do not agree on {'; '.join(found[:3])}{more}")

    def first_host_says(self, content: bytes) -> bytes:
        """The first host's `content`, on all of them."""
        if self.world == 1:
            return content
        length = collective.allreduce(np.array([len(content) if self.rank == 0 else 0]), collective.Op.MAX)
        if self.rank:
            content = bytes(int(length[0]))
        # Not by XGBoost's broadcast, which unpickles what it is sent. A byte for nothing, as there must be one.
        return collective.allreduce(np.frombuffer(content + b"\0", np.uint8), collective.Op.MAX).tobytes()[:-1]

    def same(self, model: bytes) -> bytes:
        """`model`, which all hosts have grown alike. Raises Disagreement if one has not."""
        digests = [digest.hex() for digest in self._gather(hashlib.sha256(model).digest())]
        if len(set(digests)) > 1:
            raise Disagreement(f"the hosts grew different models, sha256 {self._who_says(digests)}")
        return model

    def leave_to_first(self) -> None:
        """Ends the worker here, with success, unless it is the first host's, which alone keeps the model."""
        if self.rank:
            sys.exit(0)

    def _gather(self, content: bytes) -> list[bytes]:
        """Every host's content, on each."""
        if self.world == 1:
            return [content]
        lengths = np.zeros(self.world, np.int64)
        lengths[self.rank] = len(content)
        lengths = collective.allreduce(lengths, collective.Op.MAX)
        table = np.zeros((self.world, max(1, int(lengths.max()))), np.uint8)
        table[self.rank, : len(content)] = np.frombuffer(content, np.uint8)
        table = collective.allreduce(table.ravel(), collective.Op.MAX).reshape(table.shape)
        return [row[:length].tobytes() for row, length in zip(table, lengths.tolist(), strict=True)]

    def _who_says(self, values: list[Any]) -> str:
        said: dict[str, list[str]] = {}
        for host, value in zip(self._hosts.names if self._hosts else ["this host"], values, strict=True):
            said.setdefault(_short(value), []).append(host)
        return ", ".join(f"{value} on {' and '.join(hosts)}" for value, hosts in said.items())


@contextmanager
def session() -> Generator[Group]:
    """The hosts that this worker's supervisor named, connected; outside of one, a group of this host alone.

    Every host must do the same inside: XGBoost's matrices and trees are made together.

    Raises:
        CollectiveBroken: XGBoost failed. What it says is seldom the cause; the supervisors know who ended.
    """
    hosts = worker_hosts()
    if hosts is None or hosts.world == 1:
        yield Group(None)
        return
    try:
        _connect(hosts)
        console.messages().print(f"{hosts.world} hosts are connected; this is {hosts.current}, number {hosts.rank + 1}")
        yield Group(hosts)
        collective.finalize()
    except (XGBoostError, ValueError) as error:
        # fit takes every error of XGBoost for one about recipe and data, and makes its own of it.
        cause = error if isinstance(error, XGBoostError) else error.__cause__
        if not isinstance(cause, XGBoostError) or XGBOOST_COLLECTIVE not in str(cause):
            raise
        raise CollectiveBroken(f"XGBoost's collective broke off: {_reason(cause)}") from error


def _connect(hosts: Hosts) -> None:
    ip = address(hosts.first)
    port = _tracker_port(ip)
    # XGBoost tells its ranks to standard output, which is for results.
    with redirect_stdout(StringIO()):
        collective.init(
            dmlc_communicator="rabit",
            dmlc_tracker_uri=ip,
            dmlc_tracker_port=port,
            dmlc_task_id=f"{hosts.rank:04}",  # ranks follow the ids in the order of text
            dmlc_timeout=HANGS_AFTER,
        )
    if collective.get_rank() != hosts.rank:
        raise RuntimeError(f"XGBoost numbered {hosts.current} {collective.get_rank()}, not {hosts.rank}")


def _tracker_port(ip: str) -> int:
    """Where the tracker listens, as soon as it does."""
    while True:
        try:
            with socket.create_connection((ip, _port()), timeout=5) as asking, asking.makefile("rb") as answer:
                told = answer.readline(8)
        except OSError:
            told = b""
        if re.fullmatch(rb"[0-9]{1,5}\n", told):
            return int(told)
        time.sleep(0.05)


class _Tracker:
    """XGBoost's, and beside it a port that says where it listens.

    Workers that come too early would lose 6 seconds, and the tracker complains of who only knocks. Nor can it take a
    port again soon after it was used: a job that is started again takes the next.
    """

    def __init__(self, hosts: Hosts) -> None:
        ip = address(hosts.first)
        first, refused = _port() + 1, XGBoostError()
        for port in range(first, first + PORTS):
            about: dict[str, Any] = {"n_workers": hosts.world, "host_ip": ip, "port": port, "timeout": JOIN_WITHIN}
            try:
                self._tracker = RabitTracker(sortby="task", **about)
                self._tracker.start()
            except XGBoostError as error:
                refused = error
            else:
                break
        else:
            raise OSError(f"none of the ports {first} to {first + PORTS - 1}: {_reason(refused)}")
        sign = socket.create_server((ip, _port()), backlog=hosts.world)
        threading.Thread(target=self._tell, args=(sign, port), daemon=True).start()

    def _tell(self, sign: socket.socket, port: int) -> None:
        while True:
            with suppress(OSError), sign.accept()[0] as asking:
                asking.sendall(f"{port}\n".encode())

    def let_go(self) -> None:
        """Waits until it has told all workers that they may go."""
        self._tracker.wait_for(60)


def _port() -> int:
    return int(os.environ[WORKERS_PORT])


def _reason(error: Exception) -> str:
    """The innermost of XGBoost's reasons, which it puts last, before the C++ stack; without its source line."""
    text = re.sub(r"^[- ]*\[\S+\]:? *", "", str(error).partition("Stack trace:")[0], flags=re.MULTILINE)
    lines = [line.strip() for line in text.splitlines()]
    return next((line for line in reversed(lines) if line), "it gave no reason")


def _differences(told: list[Any], name: str = "") -> Generator[tuple[str, list[Any]]]:
    if all(value == told[0] for value in told):
        return
    if not all(isinstance(value, dict) for value in told):
        yield name, told
        return
    for key in sorted({key for value in told for key in value}):
        yield from _differences([value.get(key) for value in told], f"{name}.{key}" if name else key)


def _short(value: Any) -> str:
    if isinstance(value, list) and len(cast(list[Any], value)) > 6:
        return f"{len(cast(list[Any], value))} of them"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 40 else f"{text[:16]}..."


def worker(run: Callable[[list[str]], int] | None = None) -> NoReturn:
    """The process that a supervisor runs: `python -m training`, or `run`, with the arguments of this process."""
    threading.Thread(target=_end_with_supervisor, daemon=True).start()
    trackers: list[_Tracker] = []  # kept to the end: one that is thrown away waits for its workers
    try:
        code = _worked(run, worker_hosts(), trackers)
    except CollectiveBroken as error:
        sys.stderr.write(f"podium: {error}\n")
        code = BROKEN
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    # A collective that broke is not left: closing it would wait for hosts that are gone.
    os._exit(code)


def _worked(run: Callable[[list[str]], int] | None, hosts: Hosts | None, trackers: list[_Tracker]) -> int:
    if hosts and hosts.world > 1 and hosts.rank == 0:
        try:
            trackers.append(_Tracker(hosts))
        except OSError as error:
            sys.stderr.write(f"podium: cannot listen for the other hosts' workers, port {_port()}: {error}\n")
            return 3
    if run is None:
        from training.cli import main as run  # noqa: PLC0415

    code = run(sys.argv[1:])
    if code == 0:
        for tracker in trackers:
            tracker.let_go()
    return code


def _end_with_supervisor() -> None:
    sys.stdin.buffer.read()
    os._exit(1)
