"""Scoring on the event loop, in slices: between two of them the loop accepts, reads, and answers probes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from dataclasses import dataclass
from time import perf_counter
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from service.admission import Admission, Expired, Ticket

T = TypeVar("T")

# A turn of the loop scores until this is over: short queries share one turn, a long one is spread over many.
TURN_SECONDS = 0.002

# Turns without scoring after one that used its time. A new connection needs five until it is answered (accepted, made,
# registered, read, answered), a request on an old one two: so a probe waits for two slices and not for five. There are
# no more, because a turn costs some tens of microseconds.
BREATHS = 2

Steps = Generator[None, None, T]


@dataclass(eq=False, slots=True)
class _Work:
    steps: Generator[None, None, Any]
    answer: asyncio.Future[Any]
    has_left: Callable[[], bool]


class Turns:
    """Runs the work of tickets, the one whose turn it is first.

    Args:
        waited: is told the seconds that each request waited for its first slice.
        worked: is told the seconds of each slice.
    """

    def __init__(
        self, admission: Admission, waited: Callable[[float], object], worked: Callable[[float], object]
    ) -> None:
        self._admission = admission
        self._waited = waited
        self._worked = worked
        self._scheduled = False
        self._breaths = 0

    async def run(self, ticket: Ticket, size: int, steps: Steps[T], has_left: Callable[[], bool]) -> T:
        """What `steps` returns, once it was run to its end.

        Args:
            size: bytes of the body.
            steps: yields wherever others may go first.
            has_left: whether the client is gone, asked before the first step.

        Raises:
            Refusal, Expired: without having run.
            ClientDisconnect: the client has left.
        """
        loop = asyncio.get_running_loop()
        self._admission.queue(ticket, size, perf_counter())
        answer: asyncio.Future[T] = loop.create_future()
        ticket.work = _Work(steps, answer, has_left)
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._turn, loop)
        try:
            return await answer
        finally:
            # Also when this very task is cancelled; after an answer it changes nothing.
            self._admission.drop(ticket)
            steps.close()

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._breaths:
            self._breaths -= 1
        else:
            began = now = perf_counter()
            while not self._breaths and (ticket := self._admission.next()) is not None:
                now = self._slice(ticket, now)
                if now - began >= TURN_SECONDS:
                    self._breaths = BREATHS
        self._scheduled = bool(self._breaths) or self._admission.next() is not None
        if self._scheduled:
            loop.call_soon(self._turn, loop)

    def _slice(self, ticket: Ticket, now: float) -> float:
        work: _Work = ticket.work
        try:
            if ticket.deadline <= now:
                raise Expired  # noqa: TRY301 - it goes the way of every other error
            if not ticket.spent and ticket.queued is not None:
                self._waited(now - ticket.queued)
                if work.has_left():
                    raise ClientDisconnect  # noqa: TRY301
            next(work.steps)
        except StopIteration as stop:
            ended = self._spend(ticket, now)
            self._admission.done(ticket)
            if not work.answer.done():
                work.answer.set_result(stop.value)
            return ended
        except Exception as error:  # noqa: BLE001 - raised where the request is answered
            ended = self._spend(ticket, now)
            self._admission.drop(ticket)
            if not work.answer.done():
                work.answer.set_exception(error)
            return ended
        return self._spend(ticket, now)

    def _spend(self, ticket: Ticket, began: float) -> float:
        ended = perf_counter()
        self._admission.spend(ticket, ended - began)
        self._worked(ended - began)
        return ended


def has_left(receive: Receive) -> bool:
    """Whether a client whose body was read whole is gone.

    Asks `receive` and does not wait: `Request.is_disconnected` does the same with ten times the work, and a
    task that waits for the end of each client costs more still.
    """
    asked = receive().__await__()
    try:
        next(asked)
    except StopIteration as stop:
        return stop.value["type"] == "http.disconnect"
    asked.close()
    return False
