"""That the load tools count what happened; what they measure on a given day is no test."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.bench import coldstart
from tests.bench.http import LOST, Answer, connect, get, queries
from tests.bench.load import Result, closed_loop, open_loop, probes
from tests.bench.served import PORTS, free_port, served
from tests.service.bundles import make_bundle

WIDTH = 4


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench") / "bundle"
    make_bundle(folder)
    return folder


@pytest.fixture(scope="module")
def port(bundle: Path) -> Generator[int]:
    with served(bundle, core=None, PODIUM_MAX_IN_FLIGHT="2") as port:
        assert port in PORTS
        yield port


def test_a_closed_loop_counts_answers_and_refusals(port: int):
    result = asyncio.run(closed_loop(port, queries(50, width=WIDTH, count=3), 16, 0.5))
    assert set(result.latencies) == {200, 503}
    assert result.retry_after.total() == len(result.latencies[503])
    assert result.goodput == len(result.latencies[200]) / result.seconds
    assert 0.5 <= result.seconds < 3
    assert set(result.summary()["answers"][200]) == {"count", "p50", "p99", "max"}


def test_clients_that_honour_retry_after_ask_less(port: int):
    requests = queries(50, width=WIDTH, count=3)
    eager = asyncio.run(closed_loop(port, requests, 16, 0.5))
    polite = asyncio.run(closed_loop(port, requests, 16, 0.5, honour=True))
    assert len(polite.latencies[503]) <= 16 < len(eager.latencies[503])


@pytest.mark.parametrize("fresh", [False, True])
def test_an_open_loop_asks_at_its_rate(port: int, fresh: bool):
    result = asyncio.run(open_loop(port, queries(2, width=WIDTH), 100, 1.0, fresh=fresh))
    assert 60 < sum(map(len, result.latencies.values())) < 140
    assert LOST not in result.latencies


def test_what_comes_after_an_open_loop_is_no_throughput():
    result = Result(seconds=2.0)
    for after in (False, False, True):
        result.add(Answer(200), 0.1, after=after)
    assert result.goodput == 1
    assert len(result.latencies[200]) == 3


def test_a_slow_server_is_waited_for():
    """Four connections, one answer every 0.2 s: nothing of the last three comes within the 0.3 s of asking."""

    async def scenario() -> Result:
        turn = asyncio.Lock()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(asyncio.IncompleteReadError):
                while await reader.readuntil(b"\r\n\r\n"):
                    async with turn:
                        await asyncio.sleep(0.2)
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            writer.close()

        port = free_port()
        async with await asyncio.start_server(answer, "127.0.0.1", port):
            return await closed_loop(port, [get("/")], 4, 0.3)

    result = asyncio.run(scenario())
    assert result.goodput == pytest.approx(5, rel=0.25)
    assert result.unanswered == 0


def test_probes_are_answered(port: int):
    for fresh in (True, False):
        result = asyncio.run(probes(port, 0.3, fresh=fresh))
        assert set(result.latencies) == {200}
        assert len(result.latencies[200]) >= 2


def test_a_connection_that_ends_is_an_answer_of_its_own(port: int):
    async def scenario() -> list[int]:
        connection = await connect(port)
        statuses = [(await connection.ask(get("/livez"))).status]
        statuses.append((await connection.ask(b"nonsense\r\n\r\n")).status)
        connection.close()
        statuses.append((await connection.ask(get("/livez"))).status)
        return statuses

    assert asyncio.run(scenario()) == [200, 400, LOST]


def test_quantiles_are_in_milliseconds():
    result = Result(seconds=2.0, latencies={200: [0.001] * 99 + [0.1]})
    assert result.quantiles()["p50"] == 1.0
    assert result.quantiles()["max"] == 100.0
    assert result.quantiles(503) == {}
    assert result.goodput == 50


def test_a_start_is_measured_by_phase(bundle: Path):
    import sys

    seen = coldstart.start(bundle, sys.executable, 0)
    assert {"port", "ranked", "verifying", "loading", "warming"} <= seen.keys()
    assert 0 < seen["port"] < seen["ranked"]
