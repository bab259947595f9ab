"""The promise to whoever asks: real HAProxy, real service processes, loads that come whether anybody is ready or not.

Rates are this machine's: `slow` gives a pod a known capacity, so that two cores hold several of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import time
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest

from tests.bench.http import queries
from tests.deploy.test_gateway import logged, metric, until_up
from tests.platform.load import Load, drive
from tests.platform.pods import Fleet, Pod
from tests.platform.rig import Model, Rig, models, rig
from tests.platform.scenarios import roll

# A query of MSLR's size has 100 documents, and is 79 kB; a small one saves the machine's time where size is no matter.
DOCUMENTS, FEW = 80, 3


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> list[Model]:
    return models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def bodies() -> list[bytes]:
    found = list(queries(DOCUMENTS, count=8))
    assert all(76_000 < len(body) < 82_000 for body in found)
    return found


@pytest.fixture(scope="module")
def small() -> list[bytes]:
    return list(queries(FEW, count=8))


def answered(pod: Pod) -> float:
    """Rankings that a pod says it has given."""
    lines = httpx.get(f"{pod.url}/metrics").text.splitlines()
    values = [line.rpartition(" ")[2] for line in lines if line.startswith('podium_requests_total{method="POST"')]
    return sum(float(value) for value in values)


async def known(rig: Rig, count: int) -> None:
    await asyncio.to_thread(until_up, rig.gateway, "rank", count)


def test_a_burst_drains_into_pods_that_start_late(tmp_path: Path, published: list[Model], small: list[bytes]) -> None:
    used: dict[Pod, float] = {}

    async def watch(fleet: Fleet) -> None:
        while len(used) < len(fleet.pods):
            for pod in fleet.ready:
                if pod not in used and await asyncio.to_thread(answered, pod):
                    used[pod] = time.monotonic()
            await asyncio.sleep(0.05)

    async def go(rig: Rig) -> Load:
        (first,) = await rig.fleet.launch(published[0].uri)
        await known(rig, 1)
        # 20 ms a query are 50 a second; 1.6 pods' worth come.
        load = asyncio.create_task(drive(rig.gateway.port, small, 80, 6))
        await asyncio.sleep(1.5)
        late = [rig.fleet.start(published[0].uri) for _ in range(2)]
        watching = asyncio.create_task(watch(rig.fleet))
        await asyncio.gather(*[rig.fleet.published(pod) for pod in late])
        await asyncio.wait_for(watching, 20)
        assert metric(rig.gateway, 'haproxy_backend_max_queue{proxy="rank"}') > 20
        assert first.ready is not None
        return await load

    with rig(tmp_path, slow=0.02, queue_timeout="8s") as made:
        load = asyncio.run(go(made))
        waits = [used[pod] - pod.ready for pod in made.fleet.pods if pod.ready is not None]
    assert load.statuses == {200: load.sent}
    assert load.sent > 400
    assert len(waits) == 3
    assert max(waits[1:]) < 2
    # Without a queue for all, those who came first would have waited for the first pod to the end.
    ended = max(outcome.ended for outcome in load.outcomes) - 1
    assert max(outcome.seconds for outcome in load.outcomes if outcome.planned > ended) < 0.5


def test_the_wait_for_a_pod_is_bounded(tmp_path: Path, published: list[Model], small: list[bytes]) -> None:
    async def go(rig: Rig) -> Load:
        await rig.fleet.launch(published[0].uri)
        await known(rig, 1)
        return await drive(rig.gateway.port, small, 100, 4)

    with rig(tmp_path, slow=0.02, queue_timeout="500ms") as made:
        load = asyncio.run(go(made))
        waited = [line["queue_ms"] for line in made.gateway.lines() if line["status"] == 200]
    assert set(load.statuses) == {200, 503}
    assert load.statuses[503] > 100
    assert load.statuses[200] > 120
    # Who is refused is refused then, and not later; what is more is this machine's delay.
    assert max(waited) <= 510
    assert 0.45 < load.seconds(503)[len(load.seconds(503)) // 2] < 0.6
    assert load.seconds(503)[-1] < 1.0
    (problem,) = {bytes(body[:80]) for body in load.problems}
    assert problem.startswith(b'{"type":"urn:podium:problem:overloaded"')


def test_replacing_ten_pods_loses_nothing(tmp_path: Path, published: list[Model], small: list[bytes]) -> None:
    codes: list[int | None] = []

    async def go(rig: Rig) -> Load:
        fleet = rig.fleet
        await fleet.launch(published[0].uri, 2)
        await known(rig, 2)
        ended = asyncio.Event()
        load = asyncio.create_task(drive(rig.gateway.port, small, 300, 60, until=ended.is_set))
        retiring: list[asyncio.Task[int | None]] = []
        for _ in range(5):
            old = list(fleet.pods)
            await fleet.launch(published[0].uri, 2)
            retiring += [asyncio.create_task(fleet.retire(pod)) for pod in old]
            await asyncio.sleep(0.5)
        codes.extend(await asyncio.gather(*retiring))
        while load_so_far(rig) < 5000:
            await asyncio.sleep(0.1)
        ended.set()
        return await load

    with rig(tmp_path) as made:
        load = asyncio.run(go(made))
    assert load.sent >= 5000
    assert load.statuses == {200: load.sent}
    assert codes == [0] * 10


def load_so_far(rig: Rig) -> float:
    return metric(rig.gateway, 'haproxy_backend_http_responses_total{proxy="rank",code="2xx"}')


def test_rolling_to_another_model_loses_nothing(tmp_path: Path, published: list[Model], bodies: list[bytes]) -> None:
    first, second = published

    async def go(rig: Rig) -> Load:
        await rig.fleet.launch(first.uri, 2)
        await known(rig, 2)
        return await roll(rig, second.uri, bodies, 60)

    with rig(tmp_path) as made:
        load = asyncio.run(go(made))
    assert load.sent > 300
    assert load.statuses == {200: load.sent}
    assert set(load.versions) == {first.version, second.version}
    assert sum(load.versions.values()) == load.sent
    # It ends with the new model alone.
    last = sorted(load.outcomes, key=lambda outcome: outcome.planned)[-20:]
    assert {outcome.version for outcome in last} == {second.version}


def test_a_pod_with_a_damaged_model_gets_no_request(tmp_path: Path, published: list[Model], small: list[bytes]) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(Path(httpx.URL(published[1].uri).path), damaged)
    model = damaged / "model.ubj"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.chmod(0o600)
    model.write_bytes(content)

    async def go(rig: Rig) -> Load:
        await rig.fleet.launch(published[0].uri)
        await known(rig, 1)
        bad = rig.fleet.start(str(damaged))
        publishing = asyncio.create_task(rig.fleet.published(bad, 4))
        load = await drive(rig.gateway.port, small, 50, 4)
        with pytest.raises(RuntimeError, match="not ready"):
            await publishing
        answer = httpx.get(f"{bad.url}/readyz")
        assert (answer.status_code, answer.json()["phase"]) == (503, "failed")
        assert answered(bad) == 0
        return load

    with rig(tmp_path) as made:
        load = asyncio.run(go(made))
    assert load.statuses == {200: load.sent}
    assert set(load.versions) == {published[0].version}


def test_killing_a_pod_loses_nothing_that_can_be_sent_again(
    tmp_path: Path, published: list[Model], bodies: list[bytes]
) -> None:
    async def go(rig: Rig) -> Load:
        await rig.fleet.launch(published[0].uri, 3)
        await known(rig, 3)
        load = asyncio.create_task(drive(rig.gateway.port, bodies, 60, 4, pieces=0.001))
        await asyncio.sleep(1)
        # In the middle of what it works on, with requests sent to it until the gateway has noticed.
        rig.fleet.kill(rig.fleet.pods[0])
        await asyncio.sleep(1)
        rig.fleet.kill(rig.fleet.pods[1])
        return await load

    with rig(tmp_path, slow=0.01) as made:
        load = asyncio.run(go(made))
        again = metric(made.gateway, 'haproxy_backend_retry_warnings_total{proxy="rank"}')
        again += metric(made.gateway, 'haproxy_backend_redispatch_warnings_total{proxy="rank"}')
    assert load.statuses == {200: load.sent}
    assert again > 0, "nothing was under way, so nothing was shown"


def test_slow_and_half_open_clients_starve_nobody(
    tmp_path: Path, published: list[Model], small: list[bytes], bodies: list[bytes]
) -> None:
    async def go(rig: Rig) -> tuple[Load, Load]:
        await rig.fleet.launch(published[0].uri)
        await known(rig, 1)
        quiet = await drive(rig.gateway.port, small, 50, 2)
        with half_requests(rig.gateway.port, [small[0][:40], bodies[0][:60_000], b"", small[0][:-1]], 100) as slow:
            disturbed = await drive(rig.gateway.port, small, 50, 3)
            statuses = await asyncio.to_thread(answers, slow)
        # Each is told that it was too slow, and no pod saw any of them.
        assert statuses == {408: 400}
        assert answered(rig.fleet.pods[0]) == quiet.sent + disturbed.sent
        return quiet, disturbed

    with rig(tmp_path, pod_share="1") as made:
        quiet, disturbed = asyncio.run(go(made))
    assert quiet.statuses == {200: quiet.sent}
    assert disturbed.statuses == {200: disturbed.sent}
    assert disturbed.seconds()[len(disturbed.seconds()) // 2] < 0.1


@contextlib.contextmanager
def half_requests(port: int, beginnings: list[bytes], count: int) -> Generator[list[socket.socket]]:
    """Connections that say the beginning of something, `count` of each, and then nothing."""
    with contextlib.ExitStack() as stack:
        found: list[socket.socket] = []
        for beginning in beginnings * count:
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.sendall(beginning)
            found.append(connection)
        yield found


def answers(connections: list[socket.socket]) -> Counter[int]:
    """The statuses within 8 s; 0 for a connection that was closed without one."""
    statuses: Counter[int] = Counter()
    ends = time.monotonic() + 8
    for connection in connections:
        connection.settimeout(max(ends - time.monotonic(), 0.01))
        with contextlib.suppress(TimeoutError):
            said = connection.recv(4096)
            statuses[int(said.split()[1]) if said else 0] += 1
    return statuses


def test_who_leaves_the_queue_is_not_worked_for(tmp_path: Path, published: list[Model], small: list[bytes]) -> None:
    async def go(rig: Rig) -> None:
        (pod,) = await rig.fleet.launch(published[0].uri)
        await known(rig, 1)
        with contextlib.ExitStack() as stack:
            for number in range(12):
                connection = stack.enter_context(socket.create_connection(("127.0.0.1", rig.gateway.port)))
                connection.sendall(small[0].replace(b"host: bench", b"host: x\r\nx-request-id: left-%d" % number))
            await asyncio.sleep(0.15)
        await asyncio.sleep(1)
        # Those that were at the pod when their clients left are the only ones that it saw.
        assert answered(pod) <= 4
        assert (await drive(rig.gateway.port, small, 5, 1)).failed == 0
        left = await asyncio.to_thread(logged, rig.gateway, "left-11")
        assert left["termination"].startswith("C")

    with rig(tmp_path, slow=0.2) as made:
        asyncio.run(go(made))
