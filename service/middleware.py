"""Around every request: its id, its headers, its log line, its metrics, and an answer when all else failed."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any
from uuid import uuid4

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import MEDIA_TYPE, Problem
from service.telemetry import Telemetry

# What nginx calls a client that left before its answer; never sent.
CLIENT_LEFT = 499

UNMATCHED = "unmatched"

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass
class Exchange:
    """What is known of the request being answered; handlers add to it through `scope["exchange"]`."""

    request_id: str
    started: float = field(default_factory=perf_counter)
    status: int = CLIENT_LEFT
    about: dict[str, Any] = field(default_factory=dict[str, Any])


class Identified:
    """ASGI middleware.

    Args:
        routes: the paths that metrics may name, as the router writes them; any other path is counted as one.
        quiet: those of them that are asked every few seconds: they log at debug and are not in flight.
    """

    def __init__(self, app: ASGIApp, telemetry: Telemetry, routes: Collection[str], quiet: Collection[str]) -> None:
        self.app = app
        self._telemetry = telemetry
        self._routes = frozenset(path for path in routes if "{" not in path)
        self._patterns = [(compile_path(path)[0], path) for path in routes if "{" in path]
        self._quiet = quiet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        exchange = scope["exchange"] = Exchange(request_id(headers.get("x-request-id", "")))
        route = self._route(scope["path"])
        in_flight = self._telemetry.metrics.in_flight
        counted = route not in self._quiet
        if counted:
            in_flight.inc()
        try:
            await self._answer(scope, receive, send, exchange)
        finally:
            if counted:
                in_flight.dec()
            self._record(scope, headers, route, exchange)

    def _route(self, path: str) -> str:
        if path in self._routes:
            return path
        return next((route for pattern, route in self._patterns if pattern.match(path)), UNMATCHED)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, exchange: Exchange) -> None:
        started = False

        async def identified(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                exchange.status = message["status"]
                ours = [(b"x-request-id", exchange.request_id.encode()), *self._telemetry.identity.headers]
                message["headers"] = [*message.get("headers", []), *ours]
            await send(message)

        try:
            await self.app(scope, receive, identified)
        except ClientDisconnect:
            exchange.status = CLIENT_LEFT
        except Exception as error:
            event = {"request_id": exchange.request_id, "path": scope["path"][:200]}
            self._telemetry.event("internal-error", logging.ERROR, error=error, **event)
            if started:
                # Half an answer is out: only closing the connection tells the client so.
                raise
            problem = Problem("internal-error", "the service failed on this request; its log has the request id")
            await problem_response(problem, scope)(scope, receive, identified)

    def _record(self, scope: Scope, headers: Headers, route: str, exchange: Exchange) -> None:
        seconds = perf_counter() - exchange.started
        self._telemetry.metrics.answered(route, scope["method"], exchange.status, seconds)
        level = logging.DEBUG if route in self._quiet else logging.INFO
        about: dict[str, Any] = {
            "request_id": exchange.request_id,
            "method": scope["method"],
            "route": route,
            "status": exchange.status,
            "duration_ms": round(seconds * 1000, 3),
        }
        if route is UNMATCHED:
            about["path"] = scope["path"][:200]
        traceparent = headers.get("traceparent", "")
        if _TRACEPARENT.fullmatch(traceparent):
            about["traceparent"] = traceparent
        self._telemetry.event("request", level, **about, **exchange.about)


def problem_response(problem: Problem, scope: Scope) -> Response:
    """The answer to a problem, whose slug is left for the log line."""
    exchange: Exchange = scope["exchange"]
    exchange.about["problem"] = problem.slug
    if is_inference(scope["path"]):
        problem.members["error"] = problem.detail
    return Response(problem.body(exchange.request_id), problem.status, problem.headers, MEDIA_TYPE)


def is_inference(path: str) -> bool:
    """Whether a path is of the Open Inference Protocol, whose clients look for the reason in `error`."""
    return path == "/v2" or path.startswith("/v2/")


def request_id(given: str) -> str:
    """The id that a client sent if it is fit for logs and headers, or a new one."""
    return given if _REQUEST_ID.fullmatch(given) else uuid4().hex
