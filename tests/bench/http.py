"""HTTP over asyncio for load: one request a connection at a time, and as little work as a client can do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import httptools
import numpy as np
import orjson

HOST = "127.0.0.1"
LOST = 0


@dataclass(frozen=True)
class Answer:
    """`status` is 0 where the connection ended instead."""

    status: int
    retry_after: int | None = None
    body: bytes = b""


class Connection(asyncio.Protocol):
    """Opened with `connect`; a lost connection answers `LOST` and must be replaced."""

    def __init__(self) -> None:
        self.closed = False
        self._parser = httptools.HttpResponseParser(self)
        self._waiting: asyncio.Future[Answer] | None = None
        self._transport: asyncio.Transport | None = None
        self._retry_after: int | None = None
        self._body: list[bytes] = []

    async def ask(self, request: bytes) -> Answer:
        if self.closed or self._transport is None:
            return Answer(LOST)
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

    def send(self, part: bytes) -> None:
        """The beginning of a request, which `ask` sends the end of."""
        if self._transport is not None:
            self._transport.write(part)

    def close(self) -> None:
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._give(Answer(LOST))

    def on_message_begin(self) -> None:
        self._retry_after = None
        self._body = []

    def on_header(self, name: bytes, value: bytes) -> None:
        if name == b"retry-after":
            self._retry_after = int(value)

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if not self._parser.should_keep_alive():
            self.closed = True
        self._give(Answer(self._parser.get_status_code(), self._retry_after, b"".join(self._body)))

    def _give(self, answer: Answer) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(answer)


async def connect(port: int, host: str = HOST) -> Connection:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, host, port)
    return connection


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n".encode()


def post(path: str, body: bytes, *headers: str) -> bytes:
    lines = ["content-type: application/json", f"content-length: {len(body)}", *headers]
    head = "".join(f"{line}\r\n" for line in lines)
    return f"POST {path} HTTP/1.1\r\nhost: bench\r\n{head}\r\n".encode() + body


def queries(documents: int, *, width: int = 136, count: int = 64, seed: int = 0) -> Sequence[bytes]:
    """Whole requests to `/v1/rank`. There are several, because one repeated trains the branch predictor."""
    random = np.random.default_rng(seed)
    requests: list[bytes] = []
    for number in range(count):
        values = np.exp(random.normal(size=(documents, width)) * 2).round(4).tolist()
        items = [{"id": f"doc-{index}", "features": row} for index, row in enumerate(values)]
        requests.append(post("/v1/rank", orjson.dumps({"id": f"query-{number}", "items": items})))
    return requests
