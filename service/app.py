"""The HTTP application: routes, probes, and the start of the model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from math import ceil
from time import perf_counter
from typing import Any, TypeVar

import orjson
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from service import api, inference, openapi
from service.admission import Admission, Expired, Refusal, Ticket
from service.bodies import read_body
from service.gate import TICKET, WHOLE, Door, Gate, expired_problem, overloaded_problem
from service.loading import Loader, Model
from service.middleware import Exchange, Identified, is_inference, problem_response
from service.mistakes import Limits
from service.problems import Problem
from service.revision import current_revision
from service.schema import FeatureSchema
from service.settings import Settings
from service.telemetry import Telemetry
from service.turns import Steps, Turns, has_left

Answered = TypeVar("Answered", bound=api.Answer)

JSON = "application/json"
QUIET = frozenset({"/livez", "/startupz", "/readyz", "/metrics"}) | inference.PROBES


def create_app(
    settings: Settings, telemetry: Telemetry | None = None, *, settle: Callable[[], object] | None = None
) -> Starlette:
    """An application whose lifespan starts loading the model of `settings`.

    Args:
        telemetry: its metrics and identity; made from the settings if None.
        settle: as of `Loader`.
    """
    service = Service(settings, telemetry or Telemetry(commit_of(settings)), settle)
    inferences = inference.Inference(service).endpoints
    endpoints: dict[str, Callable[[Request], Any]] = {
        # Routes are tried in this order.
        "/v1/rank": service.rank,
        inference.INFER: inferences[inference.INFER],
        "/": service.index,
        "/livez": service.livez,
        "/startupz": service.readyz,
        "/readyz": service.readyz,
        "/metrics": service.metrics,
        "/version": service.version,
        "/openapi.json": service.openapi,
        **inferences,
    }
    app = Starlette(
        routes=[Route(path, endpoint, methods=[openapi.ROUTES[path].method]) for path, endpoint in endpoints.items()],
        middleware=[
            Middleware(Gate, service.door),
            Middleware(Identified, service.telemetry, frozenset(endpoints), QUIET),
        ],
        exception_handlers={Problem: _answer_problem, HTTPException: _answer_http_exception},
        lifespan=service.lifespan,
    )
    # "/livez/" is another path, and a redirect of a POST loses its body in many clients.
    app.router.redirect_slashes = False
    app.state.service = service
    return app


class Service:
    """The endpoints and what they share."""

    def __init__(self, settings: Settings, telemetry: Telemetry, settle: Callable[[], object] | None = None) -> None:
        self.settings = settings
        self.telemetry = telemetry
        self.loader = Loader(settings, telemetry, settle)
        self.limits = Limits(settings.max_items, settings.explain, settings.explain_max_items)
        self.admission = Admission(settings.max_in_flight, settings.max_queue_ms / 1000)
        self.door = Door(self.admission, telemetry, settings, kind_of_work)
        self._turns = Turns(self.admission, telemetry.metrics.queue_seconds.observe, telemetry.metrics.busy.inc)
        telemetry.metrics.backlog.set_function(lambda: self.admission.backlog)
        self._documents: dict[FeatureSchema | None, bytes] = {}

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncGenerator[None]:
        """Starts the load and lets the port open; uvicorn listens once this has yielded."""
        self.loader.start()
        yield
        self.loader.stop()

    async def rank(self, request: Request) -> Response:
        exchange: Exchange = request.scope["exchange"]
        model = self.model()
        _check_media_type(request)
        body = await self.read(request)
        steps = api.answering(
            body, model.ranker, self.limits, model=model.about, query=exchange.request_id, started=perf_counter()
        )
        answer = await self.in_turn(request, len(body), steps)
        return Response(answer.body, media_type=JSON)

    async def read(self, request: Request, *, unpack: bool = False) -> bytes:
        """The body, as `bodies.read_body`.

        Raises:
            Problem: it is too large, or has not come by the request's deadline.
            ClientDisconnect: the client left while sending.
        """
        if WHOLE in request.scope:
            # Nothing to wait for, so no time-out to set up.
            return await read_body(request, self.settings.max_body_bytes, unpack=unpack)
        ticket: Ticket = request.scope[TICKET]
        try:
            async with asyncio.timeout(ticket.deadline - perf_counter()):
                return await read_body(request, self.settings.max_body_bytes, unpack=unpack)
        except TimeoutError:
            problem = expired_problem()
            # What is left of the body may never come.
            problem.headers["connection"] = "close"
            raise problem from None

    async def in_turn(self, request: Request, size: int, steps: Steps[Answered]) -> Answered:
        """What `steps` returns, worked on when it is the request's turn, its numbers kept. For every route that scores.

        Raises:
            Problem: too much is waiting, or the deadline has passed.
            ClientDisconnect: the client left while it waited.
        """
        read = perf_counter()
        try:
            answer = await self._turns.run(request.scope[TICKET], size, steps, lambda: has_left(request.receive))
        except Refusal as refusal:
            self.door.count_refused(refusal.reason, read)
            raise overloaded_problem(refusal) from None
        except Expired:
            raise expired_problem() from None
        exchange: Exchange = request.scope["exchange"]
        exchange.about["items"] = answer.items
        self.telemetry.metrics.items.observe(answer.items)
        self.telemetry.metrics.score_seconds.observe(answer.seconds)
        return answer

    async def livez(self, _: Request) -> Response:
        return _json({"status": "alive"})

    async def readyz(self, _: Request) -> Response:
        model = self.model()
        about = {**model.about, "digest": model.manifest.digest}
        return _json({"status": "ready", "model": about, "phases": self.loader.state.phases})

    async def metrics(self, _: Request) -> Response:
        return Response(self.telemetry.metrics.render(), headers={"content-type": CONTENT_TYPE_LATEST})

    async def version(self, _: Request) -> Response:
        model = self.loader.state.model
        about = None
        if model is not None:
            manifest = model.manifest
            about = {
                **model.about,
                "digest": manifest.digest,
                "created": manifest.created,
                "commit": manifest.commit,
                "features": manifest.schema.width,
                "schema_sha256": manifest.schema.sha256,
            }
        return _json({"service": "podium", "commit": self.telemetry.identity.commit, "model": about})

    async def openapi(self, _: Request) -> Response:
        model = self.loader.state.model
        schema = None if model is None else model.manifest.schema
        if schema not in self._documents:
            document = openapi.document(self.limits, self.settings.max_body_bytes, schema)
            self._documents[schema] = orjson.dumps(document)
        return Response(self._documents[schema], media_type=JSON)

    async def index(self, _: Request) -> Response:
        routes = {path: f"{route.method}: {route.summary}" for path, route in openapi.ROUTES.items()}
        return _json({"service": "podium", "routes": routes})

    def model(self) -> Model:
        """
        Raises:
            Problem: 503 while there is none.
        """
        state = self.loader.state
        if state.model is not None:
            return state.model
        members: dict[str, Any] = {"phase": state.phase, "phases": state.phases}
        detail, wait = f"the model is not ready: {state.phase}", self.settings.retry_after_seconds
        if state.failure is not None:
            members["reason"] = state.failure.reason
            if (retry_in := state.retry_in) is None:
                members["failed_phase"] = state.failure.phase
                detail = f"the model failed while {state.failure.phase}: {state.failure.detail}"
            else:
                members["retry_in"] = retry_in
                detail = f"{detail} is tried again in {retry_in} s: {state.failure.detail}"
                wait = max(wait, ceil(retry_in))
        headers = {"retry-after": str(wait)}
        raise Problem("not-ready", detail, headers=headers, members=members)


def kind_of_work(scope: Scope) -> str | None:
    """The route of what must be admitted; None for probes, metrics and all that costs nothing."""
    path: str = scope["path"]
    if scope["method"] != "POST":
        return None
    if path == "/v1/rank":
        return path
    return inference.INFER if is_inference(path) and path.endswith("/infer") else None


def commit_of(settings: Settings) -> str:
    """The commit that answers carry: 40 hex digits with -dirty after them if the tree was changed, or "unknown"."""
    if settings.commit is not None:
        return settings.commit
    revision = current_revision()
    return f"{revision.commit}-dirty" if revision.dirty and revision.commit != "unknown" else revision.commit


def _check_media_type(request: Request) -> None:
    given = request.headers.get("content-type", "")
    if given.partition(";")[0].strip().lower() != JSON:
        found = f"the body is {given[:100]!r}" if given else "there is no Content-Type"
        raise Problem("unsupported-media-type", f"{found}: send Content-Type: application/json")
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.strip().lower() != "identity":
        raise Problem("unsupported-media-type", f"the body is encoded as {encoding[:100]!r}: send it as it is")


def _json(document: Any) -> Response:
    return Response(orjson.dumps(document), media_type=JSON)


async def _answer_problem(request: Request, error: Exception) -> Response:
    if not isinstance(error, Problem):
        raise error
    telemetry: Telemetry = request.app.state.service.telemetry
    telemetry.metrics.rejected(error.slug)
    return problem_response(error, request.scope)


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    # The router raises two: no such path, and no such method on it.
    if not isinstance(error, HTTPException) or error.status_code not in (404, 405):
        raise error
    path = request.scope["path"][:200]
    if error.status_code == 404:
        return await _answer_problem(request, Problem("not-found", f"there is no {path}; / lists the routes"))
    allowed = (error.headers or {}).get("Allow", "")
    detail = f"{path} takes {allowed}, not {request.method[:40]}"
    return await _answer_problem(request, Problem("method-not-allowed", detail, headers={"allow": allowed}))
