"""What the gateway lets in, says, and sends twice: the production file in a real HAProxy, before pods that obey."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.app import kind_of_work
from tests.deploy.peer import Answer, Peer, peer
from tests.engines.haproxy import (
    CONFIGURATION,
    JOBS,
    NUMBERS,
    PLACES,
    PODS,
    PREFIX,
    Gateway,
    checked,
    environment,
    key_line,
)
from tests.platform.load import PIECE
from tests.platform.rig import Rig, rig

LARGEST = 120_000
OLD, NEW = "old-key-0123456789abcdef", "new-key-fedcba9876543210"


def well(_path: str, _body: bytes) -> Answer | None:
    return 200, {}, b"{}"


@contextmanager
def peers(rig: Rig, count: int = 2, name: str = PODS) -> Generator[list[Peer]]:
    """Pods that answer as their `behave` says, known to the gateway."""
    with ExitStack() as stack:
        addresses = [f"{rig.fleet.network}.{100 + number + 10 * (name == JOBS)}" for number in range(count)]
        found = [stack.enter_context(peer(address, rig.fleet.port, well)) for address in addresses]
        rig.zone.set(name, addresses)
        until_up(rig.gateway, "jobs" if name == JOBS else "rank", count)
        yield found
        rig.zone.set(name, ())


def until_up(gateway: Gateway, backend: str, count: int) -> None:
    ends = time.monotonic() + 20
    while metric(gateway, f'haproxy_backend_active_servers{{proxy="{backend}"}}') != count:
        assert time.monotonic() < ends, gateway.log.read_text()[-2000:]
        time.sleep(0.05)


def metric(gateway: Gateway, series: str) -> float:
    line = next(line for line in httpx.get(gateway.metrics_url).text.splitlines() if line.startswith(series))
    return float(line.rpartition(" ")[2])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "keys").write_text(
        "# two, while one replaces the other\n" + key_line(OLD, "search-1") + key_line(NEW, "search-2")
    )
    return folder


@pytest.fixture(scope="module")
def guarded(folder: Path) -> Generator[tuple[Rig, list[Peer]]]:
    with rig(folder, keys=str(folder / "keys")) as made, peers(made) as found:
        yield made, found


@pytest.fixture(scope="module")
def open_one(folder: Path) -> Generator[tuple[Rig, list[Peer]]]:
    with rig(folder) as made, peers(made) as found:
        yield made, found


def send(port: int, body: bytes, request_id: str, path: str = "/v1/rank", head: str = "") -> int:
    """The status that a body gets which comes in packets of its own."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lines = [f"POST {path} HTTP/1.1", "host: x", f"x-request-id: {request_id}", f"content-length: {len(body)}"]
        connection.sendall(("\r\n".join(lines) + f"\r\n{head}\r\n").encode())
        for start in range(0, len(body), PIECE):
            time.sleep(0.001)
            connection.sendall(body[start : start + PIECE])
        return int(connection.recv(65_536).split()[1])


def is_problem(answer: httpx.Response, slug: str) -> bool:
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert (document["status"], document["error"]) == (answer.status_code, document["detail"])
    assert document["request_id"] == answer.headers["x-request-id"]
    return document["type"] == f"urn:podium:problem:{slug}"


# The file.


def test_the_engine_accepts_the_file() -> None:
    assert checked(environment("127.0.0.1:53", 8000)).stderr == ""


def test_what_a_laptop_runs_is_the_file_of_production_and_only_places_differ(guarded: tuple[Rig, Any]) -> None:
    process = guarded[0].gateway.process
    assert isinstance(process.args, list)
    assert process.args[-2:] == ["-f", str(CONFIGURATION)]
    environ = Path(f"/proc/{process.pid}/environ").read_bytes().decode().split("\0")
    given = dict(each.removeprefix(PREFIX).split("=", 1) for each in environ if each.startswith(PREFIX))
    assert {name: value for name, value in given.items() if name not in PLACES} == NUMBERS
    # And no place can change what the file does.
    asked = set(re.findall(PREFIX + r"([A-Z_]+)", CONFIGURATION.read_text()))
    assert asked == PLACES | NUMBERS.keys()


@pytest.mark.parametrize("name", sorted((PLACES | NUMBERS.keys()) - {"NAMESERVER", "ADDRESS", "NAMESPACE"}))
def test_a_missing_number_is_no_start(name: str) -> None:
    environ = environment("127.0.0.1:53", 8000)
    del environ[PREFIX + name]
    assert checked(environ).returncode != 0


@pytest.mark.parametrize(
    ("name", "value"),
    [("QUEUE_TIMEOUT", "soon"), ("POD_SHARE", "-1"), ("POD_SHARE", "two"), ("SLOTS", "0"), ("SLOTS", "many"),
     ("MAXCONN", "x"), ("MAXCONN", "0"), ("MAXCONN_ALL", "x"), ("MAXCONN_ALL", "0"),
     ("THREADS", "0"), ("PORT", "http"), ("KEYS", "/no/such/file"), ("KEYS", "Off")],
)  # fmt: skip
def test_nonsense_is_no_start(name: str, value: str) -> None:
    assert checked({**environment("127.0.0.1:53", 8000), PREFIX + name: value}).returncode != 0


# The door.


@pytest.mark.parametrize(
    ("path", "status"),
    [("/v1/rank", 200), ("/v2", 200), ("/v2/models/m/infer", 200), ("/v2/health/ready", 200), ("/version", 200),
     ("/readyz", 200), ("/metrics", 404), ("/", 404), ("/livez", 404), ("/startupz", 404), ("/openapi.json", 404),
     ("/v1", 200), ("/v10/rank", 404), ("//v1/rank", 404), ("/V1/rank", 404), ("/versions", 404), ("/readyz/", 404),
     ("/%761/rank", 404), ("http://x/metrics", 404), ("/v1rank", 404)],
)  # fmt: skip
def test_what_is_not_named_is_not_public(open_one: tuple[Rig, list[Peer]], path: str, status: int) -> None:
    gateway = open_one[0].gateway
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        assert int(connection.recv(65_536).split()[1]) == status


@pytest.mark.parametrize("path", ["/v1/../metrics", "/v1/%2e%2e/metrics", "/v1/rank/../../metrics", "/v1//metrics"])
def test_what_begins_like_a_public_route_is_none_of_the_service(path: str) -> None:
    # The gateway lets it by; the service has no such route, because it does not resolve dots.
    assert kind_of_work({"method": "POST", "path": path}) is None


@pytest.mark.parametrize(("key", "caller"), [(OLD, "search-1"), (NEW, "search-2")])
def test_old_and_new_key_open_and_the_log_names_whose_it_was(
    guarded: tuple[Rig, list[Peer]], key: str, caller: str
) -> None:
    rig, pods = guarded
    answer = httpx.get(f"{rig.gateway.url}/version", headers={"authorization": f"Bearer {key}"})
    assert answer.status_code == 200
    line = logged(rig.gateway, answer.headers["x-request-id"])
    assert (line["caller"], line["status"], line["path"]) == (caller, 200, "/version")
    # The pod has no use for it, and what it does not have it cannot tell.
    assert all("authorization" not in pod.headers for pod in pods)
    assert key not in rig.gateway.log.read_text()


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer wrong", f"Basic {OLD}", f"Bearer {OLD}x", f"Bearer {OLD[:-1]}",
     f"bearer{OLD}", key_line(OLD, "x").split()[0], f"Bearer {key_line(OLD, 'x').split()[0]}", "Bearer search-1",
     "Bearer #", "Bearer " + "x" * 4000],
)  # fmt: skip
def test_no_key_and_a_wrong_one_are_refused(guarded: tuple[Rig, list[Peer]], authorization: str | None) -> None:
    rig, pods = guarded
    headers = {} if authorization is None else {"authorization": authorization}
    answer = httpx.post(f"{rig.gateway.url}/v1/rank", content=b"{}", headers=headers)
    assert answer.status_code == 401
    assert is_problem(answer, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert all(pod.seen[answer.headers["x-request-id"]] == 0 for pod in pods)


def test_who_has_no_key_is_told_so_before_his_body_is_read(guarded: tuple[Rig, Any]) -> None:
    with socket.create_connection(("127.0.0.1", guarded[0].gateway.port), timeout=3) as connection:
        connection.sendall(b"POST /v1/rank HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 401 ")


def test_two_authorization_headers_open_nothing_that_one_would_not(guarded: tuple[Rig, Any]) -> None:
    headers = [("authorization", "Bearer wrong"), ("authorization", "Bearer wrong-too")]
    assert httpx.get(f"{guarded[0].gateway.url}/version", headers=headers).status_code == 401


def test_the_monitor_and_the_exporter_need_no_key_and_are_elsewhere(guarded: tuple[Rig, Any]) -> None:
    gateway = guarded[0].gateway
    assert httpx.get(f"{gateway.url}/gateway/livez").status_code == 200
    assert httpx.get(gateway.metrics_url).status_code == 200
    assert httpx.get(gateway.metrics_url.replace("/metrics", "/v1/rank")).status_code != 200


def test_a_full_gateway_answers_probes_and_prometheus(tmp_path: Path) -> None:
    with rig(tmp_path, maxconn="20", maxconn_all="276") as made, ExitStack() as stack:
        for _ in range(70):
            connection = stack.enter_context(socket.socket())
            # Those that the kernel's backlog does not take either wait to be let in.
            connection.setblocking(False)
            connection.connect_ex(("127.0.0.1", made.gateway.port))
        began = time.monotonic()
        metrics = httpx.get(made.gateway.metrics_url, timeout=2)
        livez = httpx.get(made.gateway.metrics_url.replace("/metrics", "/gateway/livez"), timeout=2)
        assert (metrics.status_code, livez.status_code) == (200, 200)
        assert time.monotonic() - began < 2
        assert metric(made.gateway, 'haproxy_frontend_current_sessions{proxy="rank"}') == 20
        # Full it is: the load balancer's probe waits.
        with pytest.raises(httpx.TimeoutException):
            httpx.get(f"{made.gateway.url}/gateway/livez", timeout=0.3)


def test_large_headers_are_refused(open_one: tuple[Rig, Any]) -> None:
    answer = httpx.get(f"{open_one[0].gateway.url}/version", headers={"x-large": "x" * 9000})
    assert answer.status_code == 431
    assert is_problem(answer, "headers-too-large")


# What the pods are told, and what the log says.


def test_a_pod_learns_when_a_request_came_and_its_id(open_one: tuple[Rig, list[Peer]]) -> None:
    rig, pods = open_one
    before = time.time()
    sent = {"x-request-id": "mine-1", "x-request-start": "t=1"}
    answer = httpx.post(f"{rig.gateway.url}/v1/rank", content=b"{}", headers=sent)
    (pod,) = [pod for pod in pods if pod.seen["mine-1"]]
    found = re.fullmatch(r"t=(\d{16})", pod.headers["x-request-start"])
    assert found
    assert before - 0.01 <= int(found[1]) / 1e6 <= time.time() + 0.01
    assert answer.headers["x-request-id"] == "mine-1"


@pytest.mark.parametrize("given", ["", "a b", '"', "x" * 129, "a\\b"])
def test_an_id_that_is_none_is_replaced(open_one: tuple[Rig, list[Peer]], given: str) -> None:
    answer = httpx.get(f"{open_one[0].gateway.url}/version", headers={"x-request-id": given})
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["x-request-id"])


def logged(gateway: Gateway, request_id: str) -> dict[str, Any]:
    for _ in range(100):
        found = [line for line in gateway.lines() if line["request_id"] == request_id]
        if found:
            return found[-1]
        time.sleep(0.02)
    raise AssertionError(f"no line for {request_id}")


def test_the_log_is_json_whatever_is_asked_for(open_one: tuple[Rig, Any]) -> None:
    gateway = open_one[0].gateway
    for number, path in enumerate(['/v1/"quoted"\\', "/v1/%00\t", "/v1/\xe4"]):
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
            head = f"GET {path} HTTP/1.1\r\nhost: x\r\nx-request-id: odd-{number}\r\nconnection: close\r\n\r\n"
            connection.sendall(head.encode("latin-1"))
            connection.recv(65_536)
    answer = httpx.post(f"{gateway.url}/v1/rank", content=b"{}", headers={"x-request-id": "even"})
    assert answer.status_code == 200
    line = logged(gateway, "even")
    assert {"queue_ms", "receive_ms", "connect_ms", "response_ms", "total_ms", "before_in_queue"} <= line.keys()
    assert (line["backend"], line["method"], line["retries"]) == ("rank", "POST", "0")
    assert 0 <= line["queue_ms"] <= line["total_ms"] < 5000
    assert logged(gateway, "odd-0")["path"] == '/v1/"quoted"\\'


# What is sent twice.


def losing(pods: list[Peer]) -> list[str]:
    """Lets the pods lose each request the first time that any of them sees it."""
    lost: list[str] = []

    def of(pod: Peer) -> Any:
        def once(_path: str, _body: bytes) -> Answer | None:
            request_id = pod.headers["x-request-id"]
            if request_id in lost:
                return 200, {}, b"{}"
            lost.append(request_id)
            return None

        return once

    for pod in pods:
        pod.behave = of(pod)
    return lost


@pytest.fixture
def losers(open_one: tuple[Rig, list[Peer]]) -> Generator[tuple[Rig, list[Peer]]]:
    rig, pods = open_one
    losing(pods)
    yield rig, pods
    for pod in pods:
        pod.behave = well


@pytest.mark.parametrize("size", [0, 2_000, 12_000, 79_000, LARGEST])
def test_a_lost_request_is_sent_to_another_pod(losers: tuple[Rig, list[Peer]], size: int) -> None:
    rig, pods = losers
    ids = [f"lost-{size}-{number}" for number in range(20)]
    assert [send(rig.gateway.port, b"x" * size, request_id) for request_id in ids] == [200] * 20
    assert [sum(pod.seen[request_id] for pod in pods) for request_id in ids] == [2] * 20


def test_the_largest_body_is_sent_twice_beside_the_largest_headers(losers: tuple[Rig, list[Peer]]) -> None:
    head = f"x-large: {'x' * 8000}\r\n"
    assert send(losers[0].gateway.port, b"x" * LARGEST, "lost-both", head=head) == 200


def test_a_larger_body_is_sent_once_and_has_a_lane_of_its_own(losers: tuple[Rig, list[Peer]]) -> None:
    rig, pods = losers
    assert send(rig.gateway.port, b"x" * (LARGEST + 1), "large-1") == 502
    assert sum(pod.seen["large-1"] for pod in pods) == 1
    for pod in pods:
        pod.behave = well
    assert send(rig.gateway.port, b"x" * 1_000_000, "large-2") == 200
    assert [logged(rig.gateway, f"large-{number}")["backend"] for number in (1, 2)] == ["large", "large"]


def test_a_pods_own_refusal_is_not_sent_on(open_one: tuple[Rig, list[Peer]]) -> None:
    rig, pods = open_one
    try:
        for pod in pods:
            pod.behave = lambda _path, _body: (503, {"retry-after": "7"}, b"busy")
        answer = httpx.post(f"{rig.gateway.url}/v1/rank", content=b"{}", headers={"x-request-id": "refused"})
    finally:
        for pod in pods:
            pod.behave = well
    assert (answer.status_code, answer.headers["retry-after"], answer.content) == (503, "7", b"busy")
    assert sum(pod.seen["refused"] for pod in pods) == 1


def test_delayed_work_without_pods_is_refused_at_once_and_ranking_is_not(open_one: tuple[Rig, Any]) -> None:
    gateway = open_one[0].gateway
    assert is_problem(httpx.post(f"{gateway.url}/v1/rankings", content=b"{}"), "not-ready")
    assert httpx.post(f"{gateway.url}/v1/rank", content=b"{}").status_code == 200


def test_delayed_work_has_pods_of_its_own_and_is_sent_once(losers: tuple[Rig, list[Peer]]) -> None:
    rig, pods = losers
    with peers(rig, name=JOBS) as jobs:
        losing(jobs)
        answer = httpx.post(f"{rig.gateway.url}/v1/rankings", content=b"{}", headers={"x-request-id": "job"})
        assert answer.status_code == 502
        assert is_problem(answer, "bad-gateway")
        assert sum(pod.seen["job"] for pod in jobs) == 1
        assert httpx.get(f"{rig.gateway.url}/v1/rankings/job", headers={"x-request-id": "job"}).status_code == 200
    assert sum(pod.seen["job"] for pod in pods) == 0


# Nobody there.


def test_without_a_pod_the_answer_is_immediate_json(tmp_path: Path) -> None:
    with rig(tmp_path) as made, httpx.Client(base_url=made.gateway.url) as client:
        client.get("/gateway/livez")
        for method, path in [("POST", "/v1/rank"), ("POST", "/v2/models/m/infer"), ("GET", "/readyz")]:
            began = time.monotonic()
            answer = client.request(method, path, content=b"{}" if method == "POST" else None)
            assert time.monotonic() - began < 0.5
            assert answer.status_code == 503
            assert is_problem(answer, "not-ready")
            assert answer.headers["retry-after"] == "2"


def test_forty_pods_fit_in_an_answer_and_all_are_found(tmp_path: Path) -> None:
    with rig(tmp_path, slots="40") as made:
        addresses = [f"{made.fleet.network}.{number}" for number in range(1, 41)]
        with ExitStack() as stack:
            for address in addresses:
                stack.enter_context(peer(address, made.fleet.port, well))
            made.zone.set(PODS, addresses)
            until_up(made.gateway, "rank", 40)


def test_a_soft_stop_finishes_what_is_under_way(tmp_path: Path) -> None:
    with rig(tmp_path) as made, peers(made, 1) as (pod,):

        def slowly(_path: str, _body: bytes) -> Answer | None:
            time.sleep(1)
            return 200, {}, b"{}"

        pod.behave = slowly
        address = f"{made.gateway.url}/v1/rank"
        command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-d", "{}", address]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as asking:
            time.sleep(0.4)
            made.gateway.process.send_signal(10)
            assert asking.communicate()[0] == "200"
        assert made.gateway.process.wait(10) == 0
