"""The routes of the Open Inference Protocol, on the model and the turns of the service that they belong to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import Response

from service import oip
from service.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request

    from service.app import Service
    from service.loading import Model

JSON = "application/json"
BYTES = "application/octet-stream"

MODEL = "/v2/models/{name}"
VERSION = f"{MODEL}/versions/{{version}}"
INFER = f"{MODEL}/infer"

# Asked every few seconds, like /readyz.
PROBES = frozenset({"/v2/health/live", "/v2/health/ready", f"{MODEL}/ready", f"{VERSION}/ready"})

# Triton's client sends none, KServe's sends one of these; a form is what curl says unasked.
_TAKEN = frozenset({"", JSON, BYTES})


class Inference:
    """Endpoints beside those of `service`."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.endpoints: Mapping[str, Callable[[Request], Any]] = {
            "/v2": self.server,
            "/v2/health/live": self.live,
            "/v2/health/ready": self.ready,
            MODEL: self.model,
            f"{MODEL}/ready": self.model_ready,
            INFER: self.infer,
            VERSION: self.model,
            f"{VERSION}/ready": self.model_ready,
            f"{VERSION}/infer": self.infer,
        }

    async def server(self, _: Request) -> Response:
        return _json(oip.server_metadata(self._service.telemetry.identity.commit))

    async def live(self, _: Request) -> Response:
        return _json({"live": True})

    async def ready(self, _: Request) -> Response:
        self._service.model()
        return _json({"ready": True})

    async def model(self, request: Request) -> Response:
        model = self._named(request)
        return _json(oip.model_metadata(model.about, model.ranker.schema))

    async def model_ready(self, request: Request) -> Response:
        return _json({"name": self._named(request).about["name"], "ready": True})

    async def infer(self, request: Request) -> Response:
        model = self._named(request)
        _check_media_type(request)
        body = await self._service.read(request, unpack=True)
        header_length = request.headers.get(oip.HEADER_LENGTH)
        steps = oip.answering(body, header_length, model.ranker, self._service.limits, model=model.about)
        answer = await self._service.in_turn(request, len(body), steps)
        if answer.header_length is None:
            return Response(answer.body, media_type=JSON)
        return Response(answer.body, headers={oip.HEADER_LENGTH: str(answer.header_length)}, media_type=BYTES)

    def _named(self, request: Request) -> Model:
        model = self._service.model()
        served = model.about
        name, version = request.path_params["name"], request.path_params.get("version", served["version"])
        if (name, version) == (served["name"], served["version"]):
            return model
        asked = f"model {name[:128]!r}" + (f", version {version[:128]!r}" if "version" in request.path_params else "")
        detail = f"there is no {asked}; this service has {served['name']}, version {served['version']}"
        raise Problem("model-not-found", detail)


def _check_media_type(request: Request) -> None:
    given = request.headers.get("content-type", "")
    if given.partition(";")[0].strip().lower() not in _TAKEN:
        found = f"the body is {given[:100]!r}"
        raise Problem("unsupported-media-type", f"{found}: send Content-Type: {JSON}, or {BYTES} with binary tensors")


def _json(document: Any) -> Response:
    return Response(orjson.dumps(document), media_type=JSON)
