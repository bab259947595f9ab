from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service import api
from service.app import create_app
from service.settings import Settings
from tests.service.asgi import Client, chunks, running
from tests.service.bundles import make_bundle
from tests.service.test_app import GOOD, JSON, assert_identified, assert_problem, raw_request, records

EXEMPT = ("/livez", "/readyz", "/startupz", "/metrics", "/version", "/openapi.json", "/")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gate") / "bundle"
    make_bundle(folder)
    return folder


@pytest.fixture
def client(bundle: Path) -> Generator[Client]:
    """A ready service that has room for one request."""
    with running(create_app(Settings(model=str(bundle), max_in_flight=1, commit="c0ffee"))) as client:
        assert client.settled().status_code == 200
        yield client


def admission(client: Client) -> Any:
    return client.app.state.service.admission


@pytest.fixture
def full(client: Client) -> Generator[Client]:
    """The same with its room taken."""
    ticket = admission(client).enter("rank", 0, 0.0, 1e12)
    yield client
    admission(client).leave(ticket)


def test_without_room_a_request_is_refused_and_told_when_to_come_back(full: Client):
    answer = full.post("/v1/rank", json=GOOD, headers={"x-request-id": "mine"})
    document = assert_problem(answer, "overloaded")
    assert_identified(answer)
    assert document["request_id"] == "mine"
    assert document["reason"] == "in-flight"
    assert int(answer.headers["retry-after"]) >= 1
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert "connection" not in answer.headers
    other = full.post("/v1/rank", json=GOOD, headers={"x-request-id": "not fit\t"})
    assert len(other.json()["request_id"]) == 32


def test_a_refusal_does_not_look_at_the_body(full: Client):
    assert_problem(full.post("/v1/rank", content=b"{", headers=JSON), "overloaded")

    async def never() -> Any:
        raise AssertionError("the body was read")
        yield b""

    assert_problem(full.post("/v1/rank", content=never(), headers=JSON), "overloaded")


def test_a_client_that_waits_with_its_body_is_told_that_the_connection_ends(full: Client):
    answer = full.post("/v1/rank", json=GOOD, headers={"expect": "100-continue"})
    assert_problem(answer, "overloaded")
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("path", EXEMPT)
def test_probes_and_metrics_need_no_room(full: Client, path: str):
    assert full.get(path).status_code == 200


def test_other_methods_and_paths_need_no_room(full: Client):
    assert_problem(full.get("/v1/rank"), "method-not-allowed")
    assert_problem(full.post("/nope"), "not-found")


def test_room_is_given_back_however_a_request_ends(client: Client):
    for body in (b"{", json.dumps(GOOD).encode(), b"[]", b" " * 10_000_000):
        for _ in range(3):
            assert client.post("/v1/rank", content=body, headers=JSON).status_code != 503
    assert client.post("/v1/rank", content=b"{}").status_code == 415
    assert admission(client).in_flight == 0
    assert admission(client).backlog == 0


def test_room_is_given_back_by_faults_of_ours(client: Client, monkeypatch: pytest.MonkeyPatch):
    def broken(*_: object, **__: object) -> Generator[None, None, None]:
        raise ZeroDivisionError
        yield

    with monkeypatch.context() as patched:
        patched.setattr(api, "answering", broken)
        for _ in range(3):
            assert_problem(client.post("/v1/rank", json=GOOD), "internal-error")
    assert client.post("/v1/rank", json=GOOD).status_code == 200
    assert admission(client).in_flight == 0


BAD_DEADLINES = [b"", b"x", b"-1", b"1.5", b"1e3", b" 8", b"1_000", b"86400001", b"9" * 400, "٣".encode(), b"\xff"]


@pytest.mark.parametrize("value", BAD_DEADLINES)
def test_a_bad_deadline_is_named(client: Client, value: bytes):
    answer = client.post("/v1/rank", json=GOOD, headers=[(b"x-request-deadline-ms", value)])
    document = assert_problem(answer, "invalid-header")
    assert_identified(answer)
    assert document["detail"].startswith("x-request-deadline-ms is ")
    assert "whole milliseconds from 0 to 86400000" in document["detail"]


@pytest.mark.parametrize("value", ["1000", "86400000", "0001000"])
def test_a_deadline_that_is_far_enough_changes_nothing(client: Client, value: str):
    assert client.post("/v1/rank", json=GOOD, headers={"x-request-deadline-ms": value}).status_code == 200


def test_a_deadline_of_nothing_has_passed(client: Client):
    answer = client.post("/v1/rank", json=GOOD, headers={"x-request-deadline-ms": "0"})
    assert_problem(answer, "deadline-exceeded")
    assert_identified(answer)
    assert 'podium_rejected_total{reason="deadline-exceeded"} 1.0' in client.get("/metrics").text


async def slow_body() -> Any:
    yield b"{"
    await asyncio.sleep(20)


def test_a_body_that_does_not_come_in_time_is_given_up(client: Client):
    answer = client.post("/v1/rank", content=slow_body(), headers={**JSON, "x-request-deadline-ms": "50"})
    assert_problem(answer, "deadline-exceeded")
    assert answer.headers["connection"] == "close"
    assert admission(client).in_flight == 0


@pytest.mark.parametrize(
    ("seconds_ago", "status"),
    [(0.0, 200), (2.0, 504), (-2.0, 200), (3600.0, 200)],
    ids=["just now", "longer ago than is allowed", "a clock that is ahead", "a clock that is far behind"],
)
def test_what_was_waited_at_the_gateway_counts(client: Client, seconds_ago: float, status: int):
    start = {"x-request-start": f"t={int((time.time() - seconds_ago) * 1e6)}"}
    answer = client.post("/v1/rank", json=GOOD, headers={**start, "x-request-deadline-ms": "1500"})
    assert answer.status_code == status
    assert client.post("/v1/rank", json=GOOD, headers=start).status_code == 200, "our own default counts from here"


@pytest.mark.parametrize("start", ["", "t=", "t=x", "1e9", "t=-5", "t=" + "9" * 40, "t=١٢"])
def test_a_start_that_is_no_time_changes_nothing(client: Client, start: str):
    headers = {b"x-request-start": start.encode(), b"x-request-deadline-ms": b"60000"}
    assert client.post("/v1/rank", json=GOOD, headers=list(headers.items())).status_code == 200


def test_the_default_deadline_is_a_setting(bundle: Path):
    with running(create_app(Settings(model=str(bundle), default_deadline_ms=50))) as client:
        client.settled()
        assert_problem(client.post("/v1/rank", content=slow_body(), headers=JSON), "deadline-exceeded")


def test_a_queue_that_is_too_long_refuses_at_the_door_and_after_the_body(bundle: Path):
    with running(create_app(Settings(model=str(bundle), max_queue_ms=1, commit="c0ffee"))) as client:
        client.settled()
        room = admission(client)
        waiting = [room.enter("rank", 0, 0.0, 1e12) for _ in range(2)]

        async def last_moment() -> Any:
            yield json.dumps(GOOD).encode()
            # Both queue up while this request's body comes.
            room.queue(waiting[0], 2_000_000, 0.0)
            waiting[0].turn = 0.0

        body = last_moment()
        late = client.post("/v1/rank", content=body, headers=JSON)
        assert assert_problem(late, "overloaded")["reason"] == "queue"
        early = client.post("/v1/rank", json=GOOD)
        assert assert_problem(early, "overloaded")["reason"] == "queue"
        assert {**late.json(), "request_id": ""} == {**early.json(), "request_id": ""}
        for ticket in waiting:
            room.leave(ticket)
        assert client.post("/v1/rank", json=GOOD).status_code == 200


def test_refusals_are_counted_and_logged_once_a_second(full: Client, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "podium")
    for _ in range(20):
        full.post("/v1/rank", json=GOOD)
    lines = full.get("/metrics").text.splitlines()
    for sample in (
        'podium_refused_total{reason="in-flight"} 20.0',
        'podium_rejected_total{reason="overloaded"} 20.0',
        'podium_requests_total{method="POST",route="/v1/rank",status="503"} 20.0',
        "podium_refusal_seconds_count 20.0",
    ):
        assert sample in lines
    assert records(caplog, "request") == []
    first, *more = records(caplog, "overloaded")
    assert (first["refused"], first["in_flight"]) == (1, 1)
    assert len(more) < 5


def test_a_client_that_leaves_while_it_waits_is_not_scored(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, "podium")
    scored = threading.Event()
    monkeypatch.setattr(client.app.state.service._turns, "_breaths", 3)

    def noted(*_: object, **__: object) -> Generator[None, None, None]:
        scored.set()
        yield

    monkeypatch.setattr(api, "answering", noted)
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": json.dumps(GOOD).encode(), "more_body": False},
        {"type": "http.disconnect"},
    ]
    assert raw_request(client, messages) == []
    assert not scored.is_set()
    (line,) = records(caplog, "request")
    assert line["status"] == 499
    assert admission(client).in_flight == 0


def test_an_answer_in_chunks_of_unknown_length_is_admitted_too(client: Client):
    body = json.dumps(GOOD).encode()
    assert client.post("/v1/rank", content=chunks(body[:10], body[10:]), headers=JSON).status_code == 200


def test_more_than_there_is_room_for_are_answered_or_refused(client: Client):
    async def scenario() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(client.app), base_url="http://podium") as other:
            return await asyncio.gather(*(other.post("/v1/rank", json=GOOD) for _ in range(20)))

    statuses = [answer.status_code for answer in client.run(scenario())]
    assert set(statuses) == {200, 503}
    assert admission(client).in_flight == 0
