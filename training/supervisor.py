"""Keeps the hosts of one training job together: waits for all, runs this host's worker, ends with whichever ends.

The workers' collective cannot say whose end broke it: XGBoost's error names no host, and ends other workers by `exit`.
So the supervisor of each host keeps a connection to that of the first, which tells all of them when one ends. The
kernel closes the connection of a process that is killed; silence gives away a host that vanished.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, NoReturn, TypeVar, cast

from training.hosts import HOST, HOSTS, LOST_EXIT, MAX_HOSTS, WORKERS_PORT, HostLost, Hosts, HostsError
from training.peers import LINE_LIMIT, REASON_LIMIT, Peer, Refused, Terms, address, connect, introduced

T = TypeVar("T")

TOKEN = "PODIUM_HOSTS_TOKEN"  # noqa: S105
BEAT = 0.5
# For the word of whom a broken collective is due to; it comes as fast as the break itself.
GRACE = 1.0
# For a worker that is told to end.
ENDS_WITHIN = 0.3
# A worker's exit codes that blame others: ours, and that of XGBoost's own `exit(-1)`.
BROKEN = 75
XGBOOST_EXIT = 255


def supervise(hosts: Hosts, terms: Terms, command: Sequence[str]) -> None:
    """Runs `command`, this host's worker, while all hosts live; returns when it is done.

    Raises:
        HostLost: a host did not come, or ended before it was done. The worker is ended within a second.
        HostsError: the hosts were told differently of one another, or there is no listening on the port.
    """
    asyncio.run(_Supervisor(hosts, terms, command).run())


def worker_command(arguments: Sequence[str]) -> list[str]:
    """What a supervisor runs for `python -m training ARGUMENTS`."""
    return [sys.executable, "-c", "from training.distributed import worker; worker()", *arguments]


class _Supervisor:
    def __init__(self, hosts: Hosts, terms: Terms, command: Sequence[str]) -> None:
        self._hosts = hosts
        self._terms = terms
        self._command = command
        self._peers: dict[str, Peer] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._hearing: list[asyncio.Task[None]] = []
        self._refused = ""
        self._worker: asyncio.subprocess.Process | None = None

    async def run(self) -> None:
        self._all_here = asyncio.Event()
        # Never gets a result, only the first error of whatever runs beside the main line.
        self._lost: asyncio.Future[NoReturn] = asyncio.get_running_loop().create_future()
        self._beside(self._beat())
        try:
            await (self._join() if self._hosts.rank else self._gather())
            await self._unless_lost(self._work())
            if self._hosts.rank:
                self._tell(kind="done")
            else:
                await self._unless_lost(_ended(self._hearing))
        except HostLost as lost:
            self._tell(kind="lost", host=lost.host, why=lost.why, code=str(lost.exit_code))
            raise
        except HostsError as error:
            self._tell(kind="refused", why=str(error))
            raise
        finally:
            await self._end_worker()
            beside = list(self._tasks)
            for task in beside:
                task.cancel()
            closing = (peer.close() for peer in self._peers.values())
            await asyncio.gather(*beside, *closing, return_exceptions=True)
            if not self._lost.cancel():
                self._lost.exception()

    def _tell(self, kind: str, why: str = "", **more: str) -> None:
        for peer in self._peers.values():
            peer.say_why(kind, why, **more)

    def _beside(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        task.add_done_callback(self._heed)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _heed(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._lost.done():
            self._lost.set_exception(error)

    async def _unless_lost(self, work: Coroutine[Any, Any, T], within: float | None = None) -> T:
        task = asyncio.create_task(work)
        try:
            await asyncio.wait({task, self._lost}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
            if self._lost.done():
                self._lost.result()
            if not task.done():
                raise TimeoutError
            return task.result()
        finally:
            task.cancel()

    async def _beat(self) -> None:
        while True:
            self._tell(kind="alive")
            await asyncio.sleep(BEAT)

    async def _gather(self) -> None:
        """The first host's: waits for the others."""
        if self._hosts.world == 1:
            return
        here = address(self._hosts.first)
        try:
            server = await asyncio.start_server(self._arrived, here, self._terms.port, limit=LINE_LIMIT)
        except OSError as error:
            raise HostsError(f"cannot listen on {here}:{self._terms.port}: {error.strerror}") from None
        try:
            await self._unless_lost(self._all_here.wait(), self._terms.join_within)
        except TimeoutError:
            why = f"did not come within {self._terms.join_within:g} s{self._refused}"
            raise HostLost(" and ".join(self._missing()), why) from None
        finally:
            server.close()
        self._tell(kind="start")

    def _arrived(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of our own, since before Python 3.12 asyncio's complains when it is cancelled.
        if len(self._tasks) > 4 * MAX_HOSTS:
            writer.transport.abort()
        else:
            self._beside(self._admit(Peer(reader, writer)))

    async def _admit(self, peer: Peer) -> None:
        name = ""
        try:
            name = await introduced(peer, self._hosts, self._terms, known=self._peers)
        except (Refused, HostsError) as error:
            self._refused = f" ({peer.address} was refused: {error})"
            peer.say_why("refused", str(error))
            if isinstance(error, HostsError):
                raise
        except (OSError, ValueError):
            return
        finally:
            if not name:
                await peer.close()
        if not name:
            return
        self._peers[name] = peer
        self._hearing.append(self._beside(self._hear(name, peer)))
        missing = self._missing()
        if missing:
            sys.stderr.write(f"{name} has come; waiting for {', '.join(missing)}\n")
        else:
            self._all_here.set()

    def _missing(self) -> list[str]:
        return [name for name in self._hosts.names[1:] if name not in self._peers]

    async def _join(self) -> None:
        """The other hosts': meets the first, and waits until it has met all."""
        first, within = self._hosts.first, self._terms.join_within
        try:
            async with asyncio.timeout(within):
                self._peers[first] = await connect(self._hosts, self._terms)
        except TimeoutError:
            raise HostLost(first, f"could not be reached within {within:g} s") from None
        self._beside(self._hear(first, self._peers[first]))
        # How long to wait for whom, the first host knows; that it still does, its beat says.
        await self._unless_lost(self._all_here.wait())

    async def _hear(self, name: str, peer: Peer) -> None:
        """Hears a peer out until it has done its part."""
        while True:
            try:
                message = await peer.receive(self._terms.silent_for)
            except TimeoutError:
                raise HostLost(name, f"silent for {self._terms.silent_for:g} s: it hangs or is cut off") from None
            except OSError:
                raise HostLost(name, "its connection closed: it was killed, or its machine went down") from None
            except ValueError as error:
                raise HostLost(name, f"it sent what is no message: {error}") from None
            match message:
                case {"kind": "alive"}:
                    continue
                case {"kind": "start"}:
                    self._all_here.set()
                case {"kind": "done"}:
                    return
                case {"kind": "lost", "host": host, "why": why, "code": code}:
                    raise HostLost(host if self._hosts.rank else name, why, _for_all(code))
                case {"kind": "broken", "why": why}:
                    await asyncio.sleep(GRACE)
                    raise HostLost(name, why)
                case {"kind": "refused", "why": why}:
                    raise HostsError(f"{name} refuses {self._hosts.current}: {why}")
                case _:
                    raise HostLost(name, f"it sent an unknown message, {message.get('kind')!r}")

    async def _work(self) -> None:
        here = {HOSTS: ",".join(self._hosts.names), HOST: self._hosts.current}
        environ = {**os.environ, **here, WORKERS_PORT: str(self._terms.port + 1)}
        environ.pop(TOKEN, None)
        pipe = asyncio.subprocess.PIPE
        # Its standard input ends with us, and so does it. A session of its own, so that Ctrl-C comes here alone.
        worker = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stderr=pipe, env=environ, start_new_session=True
        )
        self._worker = worker
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, _terminate, worker)
        said = await _relay(cast(asyncio.StreamReader, worker.stderr))
        code = await worker.wait()
        if code == 0:
            return
        why = f"its worker ended with exit code {code}: {said}" if code > 0 else _signalled(-code)
        if code in (BROKEN, XGBOOST_EXIT):
            if self._hosts.rank:
                self._tell(kind="broken", why=why)
            await asyncio.sleep(GRACE * 1.2)
        raise HostLost(self._hosts.current, why, code if code > 0 else 128 - code)

    async def _end_worker(self) -> None:
        worker = self._worker
        if worker is None or worker.returncode is not None:
            return
        _terminate(worker)
        try:
            async with asyncio.timeout(ENDS_WITHIN):
                await worker.wait()
        except TimeoutError:
            worker.kill()
            await worker.wait()


async def _ended(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        await asyncio.wait({task})


def _for_all(code: str) -> int:
    """What this host exits with when another did with `code`: a reason holds for all, a signal for one."""
    return int(code) if code in map(str, range(1, 128)) and code != str(BROKEN) else LOST_EXIT


def _terminate(worker: asyncio.subprocess.Process) -> None:
    if worker.returncode is None:
        worker.terminate()


def _signalled(number: int) -> str:
    name = signal.Signals(number).name
    return f"its worker was ended by {name}{', as by a kernel out of memory' if name == 'SIGKILL' else ''}"


async def _relay(stream: asyncio.StreamReader) -> str:
    """Passes a worker's standard error on. Returns its last line, which says why it ended."""
    tail = ""
    while chunk := await stream.read(4096):
        text = chunk.decode(errors="replace")
        sys.stderr.write(text)
        sys.stderr.flush()
        tail = (tail + text)[-4 * REASON_LIMIT :]
    lines = tail.strip().splitlines()
    return lines[-1].removeprefix("podium: ") if lines else "it gave no reason"
