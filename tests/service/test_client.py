from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.bundle import read_manifest
from service.client import (
    AsyncClient,
    BadAnswer,
    Budget,
    Client,
    ClientError,
    Ranked,
    ServiceError,
    TimedOut,
    Unreachable,
)
from service.ranker import Ranker
from tests.conftest import ROOT
from tests.service.bundles import NAMES, make_bundle
from tests.service.test_serve import Process, serving

ITEMS: dict[str, Any] = {"a": [1, 2, 3, 4], "b": {"age": 1.5, "bm25": None}, "c": np.array([0.1, np.nan, 3, 4], "f4")}
Call = Callable[..., Any]


def call_async(address: str, verb: str, *arguments: Any, call: dict[str, Any] | None = None, **options: Any) -> Any:
    async def ask() -> Any:
        async with AsyncClient(address, **options) as client:
            return await getattr(client, verb)(*arguments, **(call or {}))

    return asyncio.run(ask())


def call_sync(address: str, verb: str, *arguments: Any, call: dict[str, Any] | None = None, **options: Any) -> Any:
    with Client(address, **options) as client:
        return getattr(client, verb)(*arguments, **(call or {}))


@pytest.fixture(params=[call_sync, call_async], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Call:
    return request.param


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("client") / "bundle"
    make_bundle(folder)
    return folder


@pytest.fixture(scope="module")
def process(bundle: Path) -> Generator[Process]:
    with serving(bundle, PODIUM_EXPLAIN="on") as process:
        assert process.settled().status_code == 200
        yield process


def test_items_are_ranked(process: Process, bundle: Path, ask: Call):
    ranked: Ranked = ask(process.base, "rank", ITEMS, call={"query": "q"})
    manifest = read_manifest(bundle)
    assert (ranked.id, ranked.model, ranked.version) == ("q", "tiny", manifest.version)
    assert [item.rank for item in ranked.items] == [1, 2, 3]
    assert ranked.took_ms > 0
    assert ranked.request_id
    nan = np.nan
    matrix = np.array([[1, 2, 3, 4], [nan, nan, nan, 1.5], [0.1, nan, 3, 4]], np.float32)
    ranking = Ranker.load(bundle / "model.ubj", manifest.schema).rank(matrix)
    assert [item.id for item in ranked.items] == ["abc"[place] for place in ranking.order]
    assert [np.float32(item.score) for item in ranked.items] == ranking.scores[ranking.order].tolist()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_are_ranked_by_their_places(process: Process, bundle: Path, ask: Call, dtype: Any):
    matrix = np.random.default_rng(0).normal(size=(20, 8)).astype(dtype)[:, ::2]
    matrix[3, 1] = np.nan
    ranked: Ranked = ask(process.base, "rank", call={"features": matrix, "top_k": 5})
    ranking = Ranker.load(bundle / "model.ubj", read_manifest(bundle).schema).rank(matrix.astype(np.float32))
    assert [int(item.id) for item in ranked.items] == ranking.order[:5].tolist()
    whole: Ranked = ask(process.base, "rank", call={"features": matrix.tolist()})
    assert [int(item.id) for item in whole.items] == ranking.order.tolist()


def test_contributions_come_with_the_items(process: Process, ask: Call):
    ranked: Ranked = ask(process.base, "rank", ITEMS, call={"explain": True})
    for item in ranked.items:
        assert item.contributions is not None
        assert item.bias is not None
        assert set(item.contributions) == set(NAMES)
        assert sum(item.contributions.values()) + item.bias == pytest.approx(item.score, abs=1e-5)


def test_a_refusal_carries_the_problem(process: Process, ask: Call):
    with pytest.raises(ServiceError, match=r'422 invalid-request: .*did you mean "bm25"') as caught:
        ask(process.base, "rank", {"a": {"bm26": 1}})
    error = caught.value
    assert (error.status, error.slug) == (422, "invalid-request")
    assert error.errors[0]["feature"] == "bm26"
    assert error.request_id == error.document["request_id"]


def test_readiness_and_version(process: Process, bundle: Path, ask: Call):
    assert ask(process.base, "ready")
    manifest = read_manifest(bundle)
    version = ask(process.base, "version")
    assert (version.commit, version.model, version.version) == ("c0ffee", "tiny", manifest.version)
    assert version.digest == manifest.digest


def test_a_service_that_failed_says_why(tmp_path: Path, ask: Call):
    with serving(tmp_path / "nothing") as process:
        process.settled()
        found = ask(process.base, "ready")
        assert not found
        assert found.phase == "failed"
        assert "nothing" in found.detail
        assert ask(process.base, "version").model is None
        with pytest.raises(ServiceError) as caught:
            ask(process.base, "rank", ITEMS, retries=0)
        assert (caught.value.status, caught.value.slug) == (503, "not-ready")


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        ((), {}),
        ((ITEMS,), {"features": [[1, 2, 3, 4]]}),
        (({"a": [1, float("inf"), 3, 4]},), {}),
        (({"a": {"bm25": float("-inf")}},), {}),
        (({"a": np.array([np.inf])},), {}),
        ((), {"features": np.array([[np.float32(-np.inf)]])}),
    ],
)
def test_what_cannot_be_asked(ask: Call, arguments: Any, call: dict[str, Any]):
    with pytest.raises(ValueError, match=r"infinite|give items"):
        ask("http://127.0.0.1:9", "rank", *arguments, call=call)


Reply = Callable[[socket.socket], object]
GOOD: dict[str, Any] = {
    "id": "q",
    "model": {"name": "m", "version": "v"},
    "took_ms": 1.0,
    "items": [{"id": "a", "score": 0.5, "rank": 1}],
}


class Misbehaving:
    """A real server that answers the connections that come with one reply after the other, then with the last."""

    def __init__(self, listener: socket.socket, replies: list[Reply]) -> None:
        self.base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.heads: list[str] = []
        self.times: list[float] = []
        self._listener = listener
        self._replies = replies

    def run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                received = b""
                while b"\r\n\r\n" not in received:
                    received += connection.recv(65536)
                head, _, body = received.partition(b"\r\n\r\n")
                lines = head.decode().lower()
                length = int(lines.partition("content-length: ")[2].partition("\r")[0] or 0)
                while len(body) < length:
                    body += connection.recv(65536)
                self.times.append(time.monotonic())
                self.heads.append(lines)
                reply = self._replies[min(len(self.heads), len(self._replies)) - 1]
                # Its client may be gone by then.
                with suppress(OSError):
                    reply(connection)

    def deadlines(self) -> list[int]:
        return [int(head.partition("x-request-deadline-ms: ")[2].partition("\r")[0]) for head in self.heads]


@contextmanager
def misbehaving(*replies: Reply) -> Generator[Misbehaving]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Misbehaving(listener, list(replies))
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def reply(status: int, document: Any, **headers: str) -> Reply:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\nconnection: close\r\n{lines}\r\n".encode()
    return lambda connection: connection.sendall(head + body)


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def nothing(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def half(connection: socket.socket) -> None:
    connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{"id":')


def half_and_reset(connection: socket.socket) -> None:
    half(connection)
    time.sleep(0.2)
    reset(connection)


def garbage(connection: socket.socket) -> None:
    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


def silent(connection: socket.socket) -> None:
    connection.settimeout(5)
    connection.recv(1)


def dripping(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n")
    for _ in range(500):
        connection.sendall(b" ")
        time.sleep(0.02)


BUSY = {"type": "urn:podium:problem:not-ready", "detail": "later", "request_id": "r"}
GIVEN = reply(200, GOOD)


@pytest.mark.parametrize("first", [reply(503, BUSY, retry_after="0"), reply(503, b"<html>"), reset, nothing])
def test_what_may_be_asked_again_is(ask: Call, first: Reply):
    with misbehaving(first, GIVEN) as server:
        assert ask(server.base, "rank", ITEMS, timeout=5).items[0].score == 0.5
        assert len(server.heads) == 2


def test_retry_after_is_kept_to_and_the_service_is_told_what_is_left(ask: Call):
    with misbehaving(reply(503, BUSY, retry_after="1"), GIVEN) as server:
        ask(server.base, "rank", ITEMS, timeout=5)
        assert 1 <= server.times[1] - server.times[0] < 3
        first, second = server.deadlines()
        assert 4000 < first <= 5000
        assert 1000 < second <= first - 1000


@pytest.mark.parametrize(
    "first", [reply(code, {"detail": "no"}, retry_after="0") for code in (400, 404, 422, 429, 500, 502, 504)]
)
def test_what_is_not_503_is_never_asked_again(ask: Call, first: Reply):
    with misbehaving(first, GIVEN) as server:
        with pytest.raises(ServiceError) as caught:
            ask(server.base, "rank", ITEMS, timeout=5)
        assert caught.value.slug == ""
        assert len(server.heads) == 1


@pytest.mark.parametrize(
    "first", [half, half_and_reset, garbage, reply(200, b"garbage"), reply(200, []), reply(200, {"items": 1})]
)
def test_what_began_as_an_answer_is_never_asked_again(ask: Call, first: Reply):
    with misbehaving(first, GIVEN) as server:
        with pytest.raises(BadAnswer):
            ask(server.base, "rank", ITEMS, timeout=5)
        assert len(server.heads) == 1


@pytest.mark.parametrize("first", [silent, dripping])
def test_the_time_is_for_the_whole_call(ask: Call, first: Reply):
    with misbehaving(first) as server:
        began = time.monotonic()
        with pytest.raises(TimedOut):
            ask(server.base, "rank", ITEMS, timeout=0.4)
        assert 0.3 < time.monotonic() - began < 2
        assert len(server.heads) == 1


def test_a_wait_that_would_be_too_long_is_not_begun(ask: Call):
    with misbehaving(reply(503, BUSY, retry_after="60", x_request_id="r")) as server:
        began = time.monotonic()
        with pytest.raises(ServiceError) as caught:
            ask(server.base, "rank", ITEMS, timeout=5)
        assert time.monotonic() - began < 2
        assert (caught.value.status, caught.value.slug, caught.value.request_id) == (503, "not-ready", "r")


def test_retries_end_and_so_does_the_budget(ask: Call):
    with misbehaving(reply(503, BUSY, retry_after="0")) as server:
        with pytest.raises(ServiceError):
            ask(server.base, "rank", ITEMS, retries=2)
        assert len(server.heads) == 3
        budget = Budget(reserve=1, ratio=0)
        for _ in range(2):
            with pytest.raises(ServiceError):
                ask(server.base, "rank", ITEMS, retries=2, budget=budget)
        assert len(server.heads) == 3 + 2 + 1


def test_ready_is_asked_once(ask: Call):
    with misbehaving(reply(503, {**BUSY, "phase": "warming"}, retry_after="0")) as server:
        found = ask(server.base, "ready")
        assert (bool(found), found.phase, found.detail) == (False, "warming", "later")
        assert len(server.heads) == 1


def test_nobody_there(ask: Call):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unreachable):
        ask(f"http://127.0.0.1:{port}", "rank", ITEMS, retries=1)
    with pytest.raises(ClientError):
        ask("ftp://127.0.0.1", "rank", ITEMS)


def test_the_key_goes_with_every_request(ask: Call):
    with misbehaving(GIVEN) as server:
        ask(server.base, "rank", ITEMS, key="secret")
        ask(server.base, "rank", ITEMS)
        assert ["authorization: bearer secret" in head for head in server.heads] == [True, False]


def test_the_serving_process_does_without_the_client():
    code = "import sys, service.serve; print(sorted({'httpx', 'service.client', 'service.calls'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
