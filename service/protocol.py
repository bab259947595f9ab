"""HTTP on the event loop, for a server that is meant to be full: bounded turns, and refusals without a task."""

from __future__ import annotations

import asyncio
import select
import selectors
import sys
import threading
from collections.abc import Coroutine, Sized
from time import perf_counter
from typing import Any, cast

from starlette.types import Scope
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from service.gate import ARRIVED, WHOLE, Door

# Where uvicorn finds the loop: this module's `new_loop`.
LOOP = "service.protocol:new_loop"

# Sockets that one turn of the loop reads or writes. All that are ready at once would be some tens of milliseconds of
# reading when hundreds of clients send large bodies, and neither probes nor refusals go out meanwhile.
EVENTS = 16

# Connections that one turn accepts.
ACCEPTS = 64

# What one read takes at most, and how much of a body may lie here unread: usual bodies are read whole at once.
BUFFER = 256 << 10

_local = threading.local()


class _Epoll:
    """`select.epoll`, which cannot be subclassed, telling of `EVENTS` at a time. The kernel goes round: those left
    out come first the next time."""

    def __init__(self) -> None:
        epoll = select.epoll()
        self.register, self.modify, self.unregister = epoll.register, epoll.modify, epoll.unregister
        self.fileno, self.close = epoll.fileno, epoll.close
        self._poll = epoll.poll

    def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
        return self._poll(timeout, min(most, EVENTS))


def new_loop() -> asyncio.AbstractEventLoop:
    """asyncio's own loop with bounded turns where the system has epoll. uvloop accepts one connection a turn, so that
    new clients starve while it is busy."""
    if sys.platform != "linux":
        return asyncio.new_event_loop()

    class Bounded(selectors.EpollSelector):
        _selector_cls = _Epoll

    return asyncio.SelectorEventLoop(Bounded())


class _Flow(FlowControl):
    """uvicorn's reads on with each answer, so that a pipeline longer than what the client reads of it has no end."""

    def __init__(self, transport: asyncio.Transport, pipeline: Sized) -> None:
        super().__init__(transport)
        self._pipeline = pipeline

    def resume_reading(self) -> None:
        if not self._pipeline:
            super().resume_reading()


class Protocol(HttpToolsProtocol, asyncio.BufferedProtocol):
    """uvicorn's, which reads into one buffer instead of a new one each time, notes when a request came, and answers
    those who may not enter at the end of their head: no task is made, and no body kept."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._door: Door = cast(Any, config.app).state.service.door
        self._buffer = _buffer()
        self._at_head = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self.flow = _Flow(self.transport, self.pipeline)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        # The parser copies what it gives away.
        self.data_received(cast(bytes, self._buffer[:nbytes]))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        # Before its turn to be looked at: deadlines count from then.
        self.scope[ARRIVED] = perf_counter()  # type: ignore[typeddict-unknown-key]

    def on_body(self, body: bytes) -> None:
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > BUFFER:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        cast(Scope, self.cycle.scope)[WHOLE] = True

    def on_headers_complete(self) -> None:
        self._at_head = True
        super().on_headers_complete()
        self._at_head = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        # The next of a pipeline is started while the one before it has not left. And an answer may have to wait for
        # room to write, though not where nothing lies unwritten. Those go the long way.
        if self._at_head and not self.transport.get_write_buffer_size():
            refused = self._door.judge(cast(Scope, cycle.scope))
            if refused is not None:
                _run(cycle.run_asgi(cast(Any, refused)))
                return
        super()._start_asgi_task(cycle, app)


def _run(answer: Coroutine[Any, Any, None]) -> None:
    try:
        answer.send(None)
    except StopIteration:
        return
    answer.close()
    raise RuntimeError("an answer that may not wait did wait")


def _buffer() -> memoryview:
    # Read and parsed in one go, so that all connections of a loop can share it; another thread has another loop.
    buffer = getattr(_local, "buffer", None)
    if buffer is None:
        buffer = _local.buffer = memoryview(bytearray(BUFFER))
    return buffer
