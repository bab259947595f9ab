"""Measuring real servers, for moments: that it counts right, and goes on when one of them fails."""

from __future__ import annotations

import io
import signal
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.bench.http import LOST
from tests.bench.load import Result
from tests.bench.measure import Bench, shares
from tests.bench.own import HELLO, OURS
from tests.bench.peer import Peer, Server, Wire
from tests.bench.plan import ALIKE, CLOSED, OPEN, Plan, Point
from tests.bench.prepared import NAME, documents
from tests.bench.progress import Progress, interruptible, left
from tests.bench.results import Results
from tests.service.bundles import make_bundle

PLAN = Plan(
    "momentary",
    rounds=1,
    points=(
        Point(CLOSED, 10, 2, 0.1),
        Point(CLOSED, 100, 2, 0.1),
        Point(OPEN, 100, 0.5, 0.1),
        Point(ALIKE, 100, 0.7, 0.1),
    ),
    formats=("json", "columns", "oip", "binary"),
    alone=0.001,
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench") / "bundle"
    make_bundle(folder, NAME)
    return folder


def measured(bundle: Path, *peers: Peer, plan: Plan = PLAN) -> tuple[Results, str]:
    results, told = Results({}), io.StringIO()
    by_name = {peer.name: peer for peer in peers}
    Bench(bundle, by_name, plan, cores=(0, 0), results=results, progress=Progress(told, 10)).run()
    return results, told.getvalue()


def json_only(name: str, **changes: Any) -> Peer:
    return replace(OURS, **{"name": name, "wires": {"json": OURS.wires["json"]}, **changes})


@contextmanager
def failing(_bundle: Path, _core: int) -> Generator[Server]:
    raise RuntimeError("there is no such program")
    yield Server(0, 0)


def test_ours_is_measured_in_all_formats_beside_the_limit(bundle: Path):
    results, told = measured(bundle, OURS, HELLO, json_only("mlserver"))
    assert results.complete
    assert results.left_out == {}
    assert results.peers["ours"]["scores"] == dict.fromkeys(PLAN.formats, "the same bits")
    assert results.asked() == [("ours", form) for form in PLAN.formats] + [
        ("hello", "json"),
        ("hello", "binary"),
        ("mlserver", "json"),
    ]
    assert {p.loop for p in results.points if p.peer == "ours"} == {CLOSED, OPEN, ALIKE}
    assert {p.loop for p in results.points if p.peer == "hello"} == {CLOSED}
    alike = {point.rate for point in results.points if point.loop == ALIKE}
    assert alike == {round(0.7 * results.capacities(("mlserver", "json"))[1], 1)}
    for point in results.points:
        assert point.shares == {"200": 1.0}
        assert point.goodput > 0
        assert point.p50 and point.p99 and 0 < point.p50 <= point.p99
    assert {name: len(found) for name, found in results.starts.items()} == {"ours": 1, "hello": 1, "mlserver": 1}
    assert results.memory["ours"]["pss"][0] > results.memory["hello"]["pss"][0] > 5
    assert set(results.alone) == {"decode json", "decode columns", "decode binary", "score"}
    assert "round 1, 100 documents, 2 connections: ours json" in told


def test_one_that_fails_is_left_out_and_the_others_are_measured(bundle: Path):
    def negated(body: bytes, headers: Any) -> list[float]:
        return [-score for score in OURS.wires["json"].scores(body, headers)]

    liar = json_only("liar", wires={"json": Wire(OURS.wires["json"].request, negated)})
    lost = json_only("lost", wires={"json": Wire(lambda _: b"GET /nowhere HTTP/1.1\r\nhost: a\r\n\r\n", negated)})
    plan = replace(PLAN, points=PLAN.points[:1])
    results, told = measured(bundle, json_only("absent", started=failing), liar, lost, json_only("ours"), plan=plan)
    assert results.asked() == [("ours", "json")]
    assert results.left_out["absent"] == "checking: there is no such program"
    assert results.left_out["liar"].startswith("checking: the scores of 1 documents are")
    assert results.left_out["lost"].startswith("checking: 1 documents are answered 404")
    assert "absent is left out. checking: there is no such program" in told
    assert results.complete


def test_one_that_ends_under_load_is_left_out_from_there(bundle: Path):
    @contextmanager
    def dying(folder: Path, core: int) -> Generator[Server]:
        with OURS.started(folder, core) as server:
            yield replace(server, port=server.port if len(starts) == 0 else 1)
            starts.append(server.pid)

    starts: list[int] = []
    results, _ = measured(bundle, json_only("dying", started=dying), json_only("ours"))
    assert results.asked() == [("ours", "json")]
    assert results.left_out["dying"].startswith("round 1: ")


def test_a_lost_interrupt_ends_the_run_at_the_next_step(bundle: Path):
    with interruptible() as interrupted:
        assert not interrupted()
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        results = Results({})
        bench = Bench(
            bundle, {"ours": OURS}, PLAN, cores=(0, 0), results=results, progress=Progress(io.StringIO(), 1),
            interrupted=interrupted,
        )  # fmt: skip
        with pytest.raises(KeyboardInterrupt):
            bench.run()
    assert not results.peers
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


def test_all_that_was_asked_is_counted():
    result = Result(latencies={200: [0.1] * 6, 503: [0.1] * 2, LOST: [0.1]}, unanswered=1)
    assert shares(result) == {"200": 0.6, "503": 0.2, "lost": 0.2}
    assert shares(Result()) == {}


def test_queries_differ_and_are_the_same_each_time():
    first, again = documents(10, 4, 3), documents(10, 4, 3)
    assert [rows.shape for rows in first] == [(10, 4)] * 3
    assert all((one == other).all() for one, other in zip(first, again, strict=True))
    assert not (first[0] == first[1]).all()


@pytest.mark.parametrize(
    ("done", "elapsed", "expected"), [(0.0, 1, "2 min"), (0.5, 60, "60 s"), (0.25, 100, "5 min"), (1.0, 100, "0 s")]
)
def test_the_pace_tells_what_is_left(done: float, elapsed: float, expected: str):
    assert left(done, elapsed, 120) == expected
