"""An application in this thread, spoken to over ASGI: no port, and the real lifespan."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Coroutine, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
from starlette.applications import Starlette

T = TypeVar("T")


class Client:
    """Synchronous, so that a test reads from top to bottom."""

    def __init__(self, app: Starlette, runner: asyncio.Runner) -> None:
        self.app = app
        self._runner = runner
        transport = httpx.ASGITransport(app, raise_app_exceptions=True)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://podium")

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.run(self._client.request(method, path, **options))

    def send(self, request: httpx.Request) -> httpx.Response:
        return self.run(self._client.send(request))

    def settled(self, seconds: float = 20.0) -> httpx.Response:
        """The answer of /readyz once the start has ended, one way or the other."""
        ends = time.monotonic() + seconds
        while True:
            answer = self.get("/readyz")
            if answer.status_code == 200 or answer.json().get("phase") == "failed":
                return answer
            assert time.monotonic() < ends, answer.text
            time.sleep(0.01)


@contextmanager
def running(app: Starlette) -> Generator[Client]:
    """The application between its lifespan's start and end."""
    with asyncio.Runner() as runner:
        lifespan = app.router.lifespan_context(app)
        runner.run(lifespan.__aenter__())
        try:
            yield Client(app, runner)
        finally:
            runner.run(lifespan.__aexit__(None, None, None))


async def chunks(*parts: bytes) -> AsyncGenerator[bytes]:
    """A body of unknown length."""
    for part in parts:
        yield part
