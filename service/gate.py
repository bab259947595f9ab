"""The door for requests that cost work: who may enter, until when, and the answer to those who may not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import perf_counter, time
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from service.admission import MAX_DEADLINE_MS, MAX_RETRY_AFTER, REASONS, Admission, Expired, Refusal
from service.middleware import is_inference, request_id
from service.problems import MEDIA_TYPE, Problem
from service.settings import Settings
from service.telemetry import Telemetry

# Where the server leaves the time at which it read the first byte of a request.
ARRIVED = "podium.arrived"
TICKET = "podium.ticket"
# Set where the body of a request was there, all of it, before the request was looked at.
WHOLE = "podium.whole"

DEADLINE = "x-request-deadline-ms"
# When the gateway had the request, as t=<microseconds since 1970>.
START = b"x-request-start"
# Nothing waits that long before it comes here: what says so is another clock.
MOST_WAITED = 60.0

# A line for each refusal would cost as much as the refusal, just when there is no time.
LOG_SECONDS = 1.0

Header = tuple[bytes, bytes]
KindOf = Callable[[Scope], str | None]


class Door:
    """Decides who may enter, at the head of a request and at once.

    What it refuses costs no routing, no log line, and no reading of the body: the server reads and discards what is
    left of a refused body, so that its connection can be used again.

    Args:
        kind_of: the route of a request, which is the kind of its work; None lets it pass, as probes and metrics must.
    """

    def __init__(self, admission: Admission, telemetry: Telemetry, settings: Settings, kind_of: KindOf) -> None:
        self._admission = admission
        self._telemetry = telemetry
        self._default = settings.default_deadline_ms / 1000
        self._kind_of = kind_of
        self._refused = 0
        self._logged = 0.0

    def judge(self, scope: Scope) -> ASGIApp | None:
        """The answer to who may not enter, which never waits unless `send` does; None for who may.

        Who entered to cost work has a ticket in the scope, and must `leave`.
        """
        kind = self._kind_of(scope) if scope["type"] == "http" else None
        if kind is None:
            return None
        now = perf_counter()
        arrived: float = scope.setdefault(ARRIVED, now)
        headers: dict[bytes, bytes] = dict(scope["headers"])
        try:
            deadline = arrived + self._allowed(headers)
            scope[TICKET] = self._admission.enter(kind, _size(headers), now, deadline)
        except Refusal as refusal:
            return _Refused(self, refusal, kind, headers)
        except Expired:
            return _Answered(self, expired_problem(), kind, headers)
        except Problem as problem:
            return _Answered(self, problem, kind, headers)
        return None

    def _allowed(self, headers: dict[bytes, bytes]) -> float:
        """Seconds. What a caller allows counts from when the gateway had the request, our default from here."""
        said = headers.get(DEADLINE.encode())
        return self._default if said is None else _seconds(said) - _waited(headers.get(START))

    def leave(self, scope: Scope) -> None:
        """Once for each request with a ticket."""
        self._admission.leave(scope[TICKET])

    async def send(  # noqa: PLR0917
        self, status: int, head: Iterable[Header], body: bytes, own_id: bytes, close: bool, send: Send
    ) -> None:
        sent = [*head, (b"content-length", b"%d" % len(body)), (b"x-request-id", own_id)]
        sent += self._telemetry.identity.headers
        if close:
            # Whether the body still comes is then the client's choice, so nothing after it could be told apart.
            sent.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": sent})
        await send({"type": "http.response.body", "body": body})

    def count(self, route: str, scope: Scope, status: int, slug: str, own_id: bytes) -> None:
        self._telemetry.metrics.rejected(slug)
        self._telemetry.metrics.answered(route, scope["method"], status, perf_counter() - scope[ARRIVED])
        level = logging.DEBUG if status == 503 else logging.INFO
        about: dict[str, Any] = {"method": scope["method"], "route": route, "status": status, "problem": slug}
        self._telemetry.event("request", level, request_id=own_id.decode(), **about)

    def count_refused(self, reason: str, since: float) -> None:
        """Args:
        since: when all was there that the refusal was decided by.
        """
        self._telemetry.metrics.refused(reason, perf_counter() - since)
        self._refused += 1
        now = perf_counter()
        if now - self._logged >= LOG_SECONDS:
            in_flight, backlog = self._admission.in_flight, round(self._admission.backlog, 4)
            about: dict[str, Any] = {"refused": self._refused, "in_flight": in_flight, "backlog_seconds": backlog}
            self._telemetry.event("overloaded", logging.WARNING, **about)
            self._refused, self._logged = 0, now


@dataclass(eq=False, slots=True)
class _Refused:
    door: Door
    refusal: Refusal
    route: str
    headers: dict[bytes, bytes]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        own_id = request_id(self.headers.get(b"x-request-id", b"").decode("latin-1")).encode()
        before, after = _REFUSALS[is_inference(self.route), self.refusal.reason]
        head = [*_REFUSAL_HEADERS, _RETRY_AFTER[self.refusal.retry_after]]
        await self.door.send(503, head, before + own_id + after, own_id, b"expect" in self.headers, send)
        self.door.count_refused(self.refusal.reason, scope[ARRIVED])
        self.door.count(self.route, scope, 503, "overloaded", own_id)


@dataclass(eq=False, slots=True)
class _Answered:
    door: Door
    problem: Problem
    route: str
    headers: dict[bytes, bytes]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = self.problem
        own_id = request_id(self.headers.get(b"x-request-id", b"").decode("latin-1"))
        head = [(b"content-type", MEDIA_TYPE.encode())]
        if is_inference(self.route):
            problem.members["error"] = problem.detail
        body = problem.body(own_id)
        await self.door.send(problem.status, head, body, own_id.encode(), b"expect" in self.headers, send)
        self.door.count(self.route, scope, problem.status, problem.slug, own_id.encode())


class Gate:
    """ASGI middleware, the outermost: asks the door, unless the server's protocol has asked it already."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self.app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = self._door.judge(scope) if TICKET not in scope else None
        if refused is not None:
            await refused(scope, receive, send)
            return
        if TICKET not in scope:
            await self.app(scope, receive, send)
            return
        try:
            await self.app(scope, receive, send)
        finally:
            self._door.leave(scope)


def overloaded_problem(refusal: Refusal) -> Problem:
    """What a refusal says when it comes later than at the door."""
    headers = {"retry-after": str(refusal.retry_after)}
    return Problem("overloaded", _DETAILS[refusal.reason], headers=headers, members={"reason": refusal.reason})


def expired_problem() -> Problem:
    return Problem("deadline-exceeded", f"the time that {DEADLINE} or the service's default gave was over")


def _seconds(text: bytes) -> float:
    # int() alone would take "1_000", " 8" and "+8".
    if not text.isdigit() or len(text) > 9 or int(text) > MAX_DEADLINE_MS:
        shown = text[:40].decode("latin-1")
        detail = f"{DEADLINE} is {shown!r}: give whole milliseconds from 0 to {MAX_DEADLINE_MS}"
        raise Problem("invalid-header", detail)
    return int(text) / 1000


def _waited(start: bytes | None) -> float:
    """Seconds. A header that is no such time is not the caller's mistake, and the clocks of two machines may differ."""
    digits = (start or b"").removeprefix(b"t=")
    if not digits.isdigit() or len(digits) > 17:
        return 0.0
    waited = time() - int(digits) / 1e6
    return waited if 0 < waited < MOST_WAITED else 0.0


def _size(headers: dict[bytes, bytes]) -> int:
    declared = headers.get(b"content-length", b"")
    # A body that says too much of itself is refused where bodies are read.
    return int(declared) if declared.isdigit() and len(declared) < 10 else 0


_DETAILS = {
    "in-flight": "as many requests are being answered as this service keeps: wait the seconds of Retry-After",
    "queue": "the wait would be longer than this service allows: wait the seconds of Retry-After",
    "deadline": "the wait would be longer than the request's deadline: wait the seconds of Retry-After",
}


def _encoded(inference: bool, reason: str) -> tuple[bytes, bytes]:
    problem = overloaded_problem(Refusal(reason, 1))
    if inference:
        problem.members["error"] = problem.detail
    before, after = problem.body("\x00").split(b"\\u0000")
    return before, after


_REFUSALS = {(inference, reason): _encoded(inference, reason) for inference in (False, True) for reason in REASONS}
_REFUSAL_HEADERS = ((b"content-type", MEDIA_TYPE.encode()),)
_RETRY_AFTER = {seconds: (b"retry-after", b"%d" % seconds) for seconds in range(1, MAX_RETRY_AFTER + 1)}
