"""A client of the service: `Client` for threads, `AsyncClient` for asyncio, alike in all but `await`.

No part of the serving process; it needs httpx besides what that needs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import aclosing, closing
from typing import Generic, Self, TypeVar

import httpx

from service import calls
from service.calls import (
    Answer,
    BadAnswer,
    ClientError,
    Features,
    Matrix,
    Ranked,
    RankedItem,
    Readiness,
    ServiceError,
    TimedOut,
    Unreachable,
    Version,
)
from service.retries import Attempts, Budget

__all__ = [
    "AsyncClient",
    "BadAnswer",
    "Budget",
    "Client",
    "ClientError",
    "Ranked",
    "RankedItem",
    "Readiness",
    "ServiceError",
    "TimedOut",
    "Unreachable",
    "Version",
]

TIMEOUT = 10.0
RETRIES = 3


Http = TypeVar("Http", httpx.Client, httpx.AsyncClient)


class _Base(Generic[Http]):
    """
    Args:
        base_url: where the service is, as http://localhost:8000.
        timeout: seconds that a call may take, its retries included. The service is told, so that it drops late work.
        key: the bearer key that a gateway asks for.
        retries: how many times a call is repeated at most, after a 503 or a connection that gave no answer.
        budget: retries that all calls share; one of its own if None.
    """

    _http_class: type[Http]

    def __init__(
        self,
        base_url: str,
        *,
        timeout: float = TIMEOUT,
        key: str | None = None,
        retries: int = RETRIES,
        budget: Budget | None = None,
    ) -> None:
        self._timeout = timeout
        self._retries = retries
        self._budget = budget or Budget()
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        self._http = self._http_class(base_url=base_url, headers=headers)

    def _attempts(self, timeout: float | None, retries: int | None = None) -> Attempts:
        seconds = self._timeout if timeout is None else timeout
        return Attempts(seconds, self._retries if retries is None else retries, self._budget)


class Client(_Base[httpx.Client]):
    """Safe to use from several threads."""

    _http_class = httpx.Client

    def rank(
        self,
        items: Mapping[str, Features] | None = None,
        *,
        features: Matrix | None = None,
        query: str | None = None,
        top_k: int | None = None,
        explain: bool = False,
        timeout: float | None = None,
    ) -> Ranked:
        """Ranks items by their ids, or rows of `features`, whose ids are then their places: "0", "1", ...

        Raises:
            ServiceError: the service refused, and there was no use in asking again, or no time.
            Unreachable, TimedOut, BadAnswer: it gave no answer.
            ValueError: an infinite feature, or not one of `items` and `features`.
        """
        body = calls.body_of(items, features, query, top_k, explain=explain)
        return calls.ranked(self._ask("POST", "/v1/rank", self._attempts(timeout), body))

    def ready(self, *, timeout: float | None = None) -> Readiness:
        """Asks once. Raises as `rank` does, but not because the model is not ready."""
        return calls.readiness(self._ask("GET", "/readyz", self._attempts(timeout, retries=0)))

    def version(self, *, timeout: float | None = None) -> Version:
        """What the service is. Raises as `rank` does."""
        return calls.version_of(self._ask("GET", "/version", self._attempts(timeout)))

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, method: str, path: str, attempts: Attempts, body: bytes | None = None) -> Answer:
        while True:
            begun = False
            try:
                request = self._http.build_request(method, path, **calls.options(attempts, body))
                with closing(self._http.send(request, stream=True)) as response:
                    begun = True
                    chunks: list[bytes] = []
                    for chunk in response.iter_bytes():
                        # httpx's clock starts anew with every byte, so a slow answer could take for ever.
                        if not attempts.left:
                            raise httpx.ReadTimeout("the answer was not complete in time")
                        chunks.append(chunk)
            except httpx.HTTPError as error:
                wait = calls.wait_after(error, attempts, begun=begun)
            else:
                answer = Answer(response.status_code, response.headers, b"".join(chunks))
                wait = answer.wait(attempts)
                if wait is None:
                    return answer
            time.sleep(wait)


class AsyncClient(_Base[httpx.AsyncClient]):
    """`Client` with `await`; for one event loop."""

    _http_class = httpx.AsyncClient

    async def rank(
        self,
        items: Mapping[str, Features] | None = None,
        *,
        features: Matrix | None = None,
        query: str | None = None,
        top_k: int | None = None,
        explain: bool = False,
        timeout: float | None = None,
    ) -> Ranked:
        """As `Client.rank`."""
        body = calls.body_of(items, features, query, top_k, explain=explain)
        return calls.ranked(await self._ask("POST", "/v1/rank", self._attempts(timeout), body))

    async def ready(self, *, timeout: float | None = None) -> Readiness:
        """As `Client.ready`."""
        return calls.readiness(await self._ask("GET", "/readyz", self._attempts(timeout, retries=0)))

    async def version(self, *, timeout: float | None = None) -> Version:
        """As `Client.version`."""
        return calls.version_of(await self._ask("GET", "/version", self._attempts(timeout)))

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _ask(self, method: str, path: str, attempts: Attempts, body: bytes | None = None) -> Answer:
        while True:
            begun = False
            try:
                request = self._http.build_request(method, path, **calls.options(attempts, body))
                async with (
                    asyncio.timeout(attempts.left),
                    aclosing(await self._http.send(request, stream=True)) as response,
                ):
                    begun = True
                    content = await response.aread()
            except TimeoutError:
                raise TimedOut("the answer was not complete in time") from None
            except httpx.HTTPError as error:
                wait = calls.wait_after(error, attempts, begun=begun)
            else:
                answer = Answer(response.status_code, response.headers, content)
                wait = answer.wait(attempts)
                if wait is None:
                    return answer
            await asyncio.sleep(wait)
