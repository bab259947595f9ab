from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service import protocol
from service.app import create_app
from service.protocol import BUFFER, EVENTS, LOOP, Protocol, new_loop
from service.settings import Settings
from tests.service.bundles import make_bundle
from tests.service.test_contract import BODY, RANK, answers, settles
from training.server import free_port

HEAD = RANK + b"Content-Length: %d\r\n\r\n"
WHOLE = HEAD % len(BODY) + BODY


class Served:
    """A service with room for one request, on a loop in a thread, and what it has made tasks for."""

    def __init__(self, model: Path) -> None:
        self.app = create_app(Settings(model=str(model), max_in_flight=1, commit="c0ffee"))
        self.port = free_port()
        config = uvicorn.Config(self.app, "127.0.0.1", self.port, loop=LOOP, http=Protocol, log_config=None)
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run)

    @property
    def admission(self) -> Any:
        return self.app.state.service.admission

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 20)

    def ask(self, request: bytes, count: int = 1) -> list[tuple[int, bytes]]:
        with self.connect() as connection:
            connection.sendall(request)
            return answers(connection, count)

    @contextmanager
    def full(self) -> Generator[None]:
        ticket = self.admission.enter("rank", 0, 0.0, 1e12)
        try:
            yield
        finally:
            self.admission.leave(ticket)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    folder = tmp_path_factory.mktemp("protocol") / "bundle"
    make_bundle(folder)
    served = Served(folder)
    served.thread.start()
    try:
        while not served.server.started:
            assert served.thread.is_alive()
        while served.ask(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n")[0][0] != 200:
            assert served.thread.is_alive()
        yield served
    finally:
        served.server.should_exit = True
        served.thread.join(30)


@pytest.fixture
def tasks(served: Served, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the requests that a task was made for."""
    made: list[str] = []
    start = HttpToolsProtocol._start_asgi_task

    def counted(self: Any, cycle: Any, app: Any) -> None:
        made.append(cycle.scope["path"])
        start(self, cycle, app)

    monkeypatch.setattr(HttpToolsProtocol, "_start_asgi_task", counted)
    return made


@pytest.mark.skipif(sys.platform != "linux", reason="NO EPOLL on this system, so turns are not bounded")
def test_a_turn_is_bounded_and_all_have_their_turn():
    pairs = [socket.socketpair() for _ in range(5 * EVENTS)]
    seen = Counter[int]()
    turns: list[int] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        for number, (near, far) in enumerate(pairs):
            far.send(b"x")
            # Nobody reads it, so all stay ready.
            loop.add_reader(near, lambda number=number: seen.update([number]))
        for _ in range(25):
            before = seen.total()
            await asyncio.sleep(0)
            turns.append(seen.total() - before)
        for near, _ in pairs:
            loop.remove_reader(near)

    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(scenario())
    finally:
        for near, far in pairs:
            near.close()
            far.close()
    assert max(turns) == EVENTS
    assert len(seen) == len(pairs)
    assert max(seen.values()) - min(seen.values()) <= 1


def test_a_refusal_needs_neither_task_nor_body(served: Served, tasks: list[str]):
    with served.full(), served.connect() as connection:
        connection.sendall(HEAD % 3_000_000)
        ((status, body),) = answers(connection)
        assert (status, json.loads(body)["reason"]) == (503, "in-flight")
        # The connection goes on once the body is through.
        connection.sendall(b"x" * 3_000_000 + WHOLE)
        assert answers(connection)[0][0] == 503
    assert tasks == []
    assert served.ask(WHOLE)[0][0] == 200
    assert tasks == ["/v1/rank"]
    assert settles(lambda: served.admission.in_flight == 0)


def test_a_bad_deadline_is_answered_as_early(served: Served, tasks: list[str]):
    ((status, body),) = served.ask(RANK + b"X-Request-Deadline-Ms: soon\r\nContent-Length: 9\r\n\r\n")
    assert (status, json.loads(body)["type"].rpartition("/")[2].rpartition(":")[2]) == (400, "invalid-header")
    assert tasks == []


def test_refusals_of_a_long_pipeline_come_in_order_and_not_in_each_other(served: Served):
    with served.full():
        found = served.ask(b"".join(with_id(number) for number in range(3000)), 3000)
    assert {status for status, _ in found} == {503}
    assert [json.loads(body)["request_id"] for _, body in found] == [str(number) for number in range(3000)]


def test_a_pipeline_behind_a_request_that_is_let_in(served: Served):
    found = served.ask(b"".join(with_id(number) for number in range(2000)), 2000)
    assert [json.loads(body)["id"] for _, body in found] == [str(number) for number in range(2000)]
    assert {status for status, _ in found} == {200}


def test_who_does_not_read_refusals_is_no_harm(served: Served, tasks: list[str]):
    with served.full(), served.connect() as connection:
        connection.settimeout(0.5)
        with pytest.raises(TimeoutError):
            for _ in range(100):
                connection.sendall(b"".join(with_id(number) for number in range(1000)))
        # What could not be written at once waits in a task, and holds the reading up.
        assert tasks
        assert served.ask(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")[0][0] == 200
    assert served.ask(WHOLE)[0][0] == 200


def test_connections_share_a_buffer_and_no_bytes(served: Served):
    texts = [json.dumps({"id": f"query-{number}" * 20, **json.loads(BODY)}).encode() for number in range(8)]
    with_bodies = [(served.connect(), body) for body in texts]
    for cut in range(0, 300, 50):
        for connection, body in with_bodies:
            connection.sendall((HEAD % len(body) + body)[cut : cut + 50] if cut < 250 else b"")
    for connection, body in with_bodies:
        connection.sendall((HEAD % len(body) + body)[250:])
        ((status, answer),) = answers(connection)
        connection.close()
        # There is room for one at a time, and who is let in is answered with what it sent.
        assert status == 503 or json.loads(answer)["id"] == json.loads(body)["id"]


@pytest.mark.parametrize("size", [BUFFER - 1, BUFFER, BUFFER + 1, 2 * BUFFER + 7, 3_000_000])
def test_bodies_around_the_size_of_the_buffer_come_whole(served: Served, size: int):
    body = BODY + b" " * (size - len(BODY))
    ((status, answer),) = served.ask(HEAD % size + body)
    assert (status, len(json.loads(answer)["items"])) == (200, 2)
    body = body[:-1] + b"x"
    assert served.ask(HEAD % size + body)[0][0] == 400


def test_an_answer_that_waits_is_a_mistake_of_ours():
    async def waits() -> None:
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="did wait"):
        protocol._run(waits())


def with_id(number: int) -> bytes:
    body = json.dumps({**json.loads(BODY), "id": str(number)}).encode()
    return RANK + b"X-Request-Id: %d\r\nContent-Length: %d\r\n\r\n" % (number, len(body)) + body
