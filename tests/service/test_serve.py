from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx
import pytest

from service import serve
from service.bundle import MANIFEST
from service.location import BadUri, RegistryError
from service.registry import open_registry
from service.serve import add_arguments, settings_from
from service.settings import Settings, SettingsError, table
from tests.conftest import ROOT
from tests.service.bundles import make_bundle
from training.server import free_port

GOOD = {"items": [{"id": "a", "features": [1, 2, 3, 4]}, {"id": "b", "features": {"age": 1}}]}
SECONDS = 30.0


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serve") / "bundle"
    make_bundle(folder)
    return folder


class Process:
    """`python -m service serve` on a free port; `base` is its address."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self.popen = popen
        self.lines: list[dict[str, Any]] = []
        while self.line()["event"] != "listening":
            pass
        self.port: int = self.lines[-1]["port"]
        self.base = f"http://127.0.0.1:{self.port}"

    def line(self) -> dict[str, Any]:
        raw = stream(self.popen).readline()
        assert raw, "the process ended"
        self.lines.append(json.loads(raw))
        return self.lines[-1]

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.base + path, timeout=SECONDS)

    def settled(self) -> httpx.Response:
        ends = time.monotonic() + SECONDS
        while True:
            answer = self.get("/readyz")
            if answer.status_code == 200 or answer.json()["phase"] == "failed" or time.monotonic() > ends:
                return answer
            time.sleep(0.02)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.popen.send_signal(number)
        code = self.popen.wait(SECONDS)
        self.lines += [json.loads(raw) for raw in stream(self.popen)]
        return code


def stream(popen: subprocess.Popen[bytes]) -> IO[bytes]:
    assert popen.stdout is not None
    return popen.stdout


@contextmanager
def serving(model: Path | str, **environ: str) -> Generator[Process]:
    command = [sys.executable, "-m", "service", "serve", "--model", str(model), "--port", str(free_port())]
    env = {**os.environ, "PODIUM_COMMIT": "c0ffee", **environ}
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE) as popen:
        try:
            yield Process(popen)
        finally:
            if popen.poll() is None:
                popen.kill()


@pytest.fixture(scope="module")
def process(bundle: Path) -> Generator[Process]:
    with serving(bundle, PODIUM_MAX_BODY_BYTES="100000") as process:
        assert process.settled().status_code == 200
        yield process


@contextmanager
def held(bundle: Path) -> Generator[Callable[[], None]]:
    """Makes the start wait in the middle: its manifest is a pipe until the function that this yields is called."""
    manifest, aside = bundle / MANIFEST, bundle / "manifest.aside"
    manifest.rename(aside)
    os.mkfifo(manifest)

    def go_on() -> None:
        with manifest.open("wb") as pipe:
            # Whoever opens it from now on finds the file, and who waits gets its content.
            content = aside.read_bytes()
            aside.replace(manifest)
            pipe.write(content)

    yield go_on


def test_the_port_opens_before_the_model_is_ready_and_sigterm_ends_it_well(tmp_path: Path):
    make_bundle(tmp_path / "bundle")
    with held(tmp_path / "bundle") as go_on, serving(tmp_path / "bundle", PODIUM_MAX_ITEM="5") as process:
        assert process.get("/livez").status_code == 200
        early = process.get("/readyz")
        assert early.status_code == 503
        assert int(early.headers["retry-after"]) >= 1
        assert early.json()["phase"] in ("pending", "downloading", "verifying")
        assert httpx.post(f"{process.base}/v1/rank", json=GOOD).status_code == 503
        go_on()
        assert process.settled().status_code == 200
        answer = httpx.post(f"{process.base}/v1/rank", json=GOOD)
        assert answer.status_code == 200
        assert process.stop() == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", process.port))
    events = [line["event"] for line in process.lines]
    assert events[:3] == ["starting", "unknown-variable", "listening"]
    assert process.lines[1]["closest"] == "PODIUM_MAX_ITEMS"
    assert events[-1] == "stopped"
    assert {line["commit"] for line in process.lines} == {"c0ffee"}
    (ready,) = [line for line in process.lines if line["event"] == "model-ready"]
    assert ready["version"] == answer.headers["x-podium-version"]
    requests = [line for line in process.lines if line["event"] == "request"]
    assert [(line["route"], line["status"]) for line in requests] == [("/v1/rank", 503), ("/v1/rank", 200)]
    assert requests[-1]["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("phase", [None, "verifying"])
def test_a_stop_during_the_start_ends_well_too(bundle: Path, phase: str | None):
    with serving(bundle) as process:
        while process.lines[-1].get("phase") != phase:
            process.line()
        assert process.stop() == 0
        assert process.lines[-1]["event"] == "stopped"


def test_ctrl_c_says_so(bundle: Path):
    with serving(bundle) as process:
        assert process.stop(signal.SIGINT) == 130


def test_a_model_that_fails_leaves_the_process_alive(bundle: Path):
    with serving(bundle, PODIUM_MODEL_SHA256="0" * 64) as process:
        answer = process.settled()
        assert answer.status_code == 503
        assert answer.json()["reason"] == "digest-mismatch"
        assert process.get("/livez").status_code == 200
        assert process.stop() == 0


def test_a_request_under_way_is_answered_before_the_process_ends(bundle: Path):
    body = json.dumps(GOOD).encode()
    head = b"POST /v1/rank HTTP/1.1\r\nhost: podium\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    with serving(bundle) as process:
        assert process.settled().status_code == 200
        with socket.create_connection(("127.0.0.1", process.port), timeout=SECONDS) as connection:
            connection.sendall(head % len(body) + body[:10])
            time.sleep(0.1)
            process.popen.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            connection.sendall(body[10:])
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
        assert process.popen.wait(SECONDS) == 0


def test_answers_over_a_socket_have_the_headers_once(process: Process):
    answer = process.get("/livez")
    names = [name for name, _ in answer.headers.multi_items()]
    assert sorted(names) == sorted(set(names))
    assert {"x-request-id", "x-podium-model", "x-podium-version", "x-podium-commit", "date"} <= set(names)
    assert "server" not in names


def test_an_answer_does_not_wait_for_an_acknowledgement(process: Process):
    body = json.dumps(GOOD).encode()
    head = b"POST /v1/rank HTTP/1.1\r\nhost: podium\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    times: list[float] = []
    with socket.create_connection(("127.0.0.1", process.port), timeout=SECONDS) as connection:
        for _ in range(30):
            began = time.perf_counter()
            connection.sendall(head % len(body) + body)
            received = b""
            while b'"took_ms"' not in received:
                received += connection.recv(65536)
            times.append(time.perf_counter() - began)
    # Without TCP_NODELAY the kernel holds the body back until the client acknowledges the head: 40 ms.
    assert sorted(times)[15] < 0.025


def test_a_body_that_is_too_large_is_refused_over_a_socket(process: Process):
    def chunked() -> Generator[bytes]:
        for _ in range(100):
            yield b" " * 10_000

    with httpx.Client(base_url=process.base, timeout=SECONDS, headers={"content-type": "application/json"}) as client:
        assert client.post("/v1/rank", content=b" " * 3_000_000).status_code == 413
        assert client.post("/v1/rank", content=chunked()).status_code == 413
        assert client.post("/v1/rank", json=GOOD).status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/rank HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 5000 + b"\r\n",
    ],
)
def test_bytes_that_are_no_http_do_not_hurt(process: Process, sent: bytes):
    with socket.create_connection(("127.0.0.1", process.port), timeout=SECONDS) as connection:
        connection.sendall(sent)
        connection.settimeout(1)
        try:
            head = connection.recv(65536)
        except (TimeoutError, ConnectionResetError):
            head = b""
    assert not head.startswith(b"HTTP/1.1 5")
    assert process.get("/livez").status_code == 200


def test_a_client_that_leaves_half_way_is_logged_as_such(process: Process):
    with socket.create_connection(("127.0.0.1", process.port)) as connection:
        connection.sendall(
            b"POST /v1/rank HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{"
        )
        time.sleep(0.1)
    ends = time.monotonic() + SECONDS
    while 'status="499"' not in process.get("/metrics").text:
        assert time.monotonic() < ends
        time.sleep(0.02)


REFUSED: list[tuple[list[str], dict[str, str], int, str]] = [
    ([], {}, 2, "no model to serve: give --model URI, or --newest, or set PODIUM_MODEL"),
    (["--model", "m", "--port", "eighty"], {}, 2, "PODIUM_PORT='eighty': give a whole number from 0 to 65535"),
    (["--model", "m"], {"PODIUM_MAX_ITEMS": "0"}, 2, "PODIUM_MAX_ITEMS='0'"),
    (["--model", "m", "--newest"], {}, 2, "give --model or --newest, not both"),
    (["--model", "ftp://host/model"], {}, 2, "ftp: is not supported"),
    (["--newest", "--registry", "/nowhere"], {}, 5, "registry file:///nowhere does not exist"),
    (["--model", "m", "--host", "203.0.113.1"], {}, 3, "cannot listen on 203.0.113.1:8000"),
]


@pytest.mark.parametrize(("arguments", "environ", "code", "text"), REFUSED)
def test_what_cannot_start_says_why(arguments: list[str], environ: dict[str, str], code: int, text: str):
    command = [sys.executable, "-m", "service", "serve", *arguments]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PODIUM_")} | environ
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == code, done.stderr
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_named(bundle: Path, process: Process):
    command = [sys.executable, "-m", "service", "serve", "--model", str(bundle), "--port", str(process.port)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 3
    assert f"cannot listen on 127.0.0.1:{process.port}: Address already in use" in done.stderr


@pytest.fixture
def parse() -> Callable[..., argparse.Namespace]:
    def parse(*arguments: str, verb: str = "serve") -> argparse.Namespace:
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        return argparse.Namespace(**vars(parser.parse_args(arguments)), verb=verb)

    return parse


Parse = Callable[..., argparse.Namespace]


def test_an_option_wins_over_its_variable(parse: Parse):
    settings = settings_from(
        parse("--model", "/a", "--port", "1", "--model-sha256", "ab" * 32),
        {"PODIUM_MODEL": "/b", "PODIUM_PORT": "2", "PODIUM_HOST": "::1"},
    )
    assert settings == Settings(model="/a", port=1, host="::1", model_sha256="sha256:" + "ab" * 32)


def test_the_newest_model_of_the_registry(parse: Parse, tmp_path: Path, bundle: Path):
    registry = open_registry(str(tmp_path / "registry"))
    published = registry.publish(bundle)
    for environ in ({}, {"PODIUM_MODEL": "/elsewhere"}):
        settings = settings_from(parse("--newest", "--registry", str(tmp_path / "registry")), environ)
        assert settings.model == published.uri
    with pytest.raises(RegistryError):
        settings_from(parse("--newest"), {"PODIUM_REGISTRY": str(tmp_path / "nowhere")})


def test_a_model_must_be_given_and_be_an_address(parse: Parse):
    with pytest.raises(SettingsError, match="no model to serve"):
        settings_from(parse(), {})
    with pytest.raises(BadUri):
        settings_from(parse("--model", "s3:///x"), {})
    assert settings_from(parse(verb="settings"), {}) == Settings()


def test_settings_are_printed(parse: Parse, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PODIUM_PORT", "9000")
    assert serve.run(parse(verb="settings")) == 0
    text = capsys.readouterr().out
    assert "PODIUM_PORT=9000 (default 8000)" in text
    assert "PODIUM_EXPLAIN=off\n" in text
    assert [line.partition("=")[0] for line in text.splitlines() if line.startswith("PODIUM_")] == [
        row.variable for row in table()
    ]
    monkeypatch.setenv("PODIUM_PORT", "x")
    assert serve.run(parse(verb="settings")) == 2
    assert "PODIUM_PORT='x'" in capsys.readouterr().err


def read_answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    received = b""
    while b"\r\n\r\n" not in received:
        part = connection.recv(65536)
        assert part, received
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    while len(body) < int(headers["content-length"]):
        body += connection.recv(65536)
    return int(first.split()[1]), headers, body


POST = b"POST /v1/rank HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"


@pytest.fixture(scope="module")
def narrow(bundle: Path) -> Generator[Process]:
    """A service with room for one request."""
    with serving(bundle, PODIUM_MAX_IN_FLIGHT="1") as process:
        assert process.settled().status_code == 200
        yield process


@contextmanager
def half_sent(process: Process) -> Generator[socket.socket]:
    """A request that keeps its place, because its body does not go on."""
    with socket.create_connection(("127.0.0.1", process.port), timeout=SECONDS) as connection:
        connection.sendall(POST + b"content-length: 99\r\n\r\n{")
        ends = time.monotonic() + SECONDS
        while "\npodium_in_flight 1.0" not in process.get("/metrics").text:
            assert time.monotonic() < ends
            time.sleep(0.01)
        yield connection


def test_a_refused_connection_can_be_used_again_whatever_was_sent_of_the_body(narrow: Process):
    body = json.dumps(GOOD).encode()
    large = POST + b"content-length: 1000000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", narrow.port), timeout=SECONDS) as connection:
        with half_sent(narrow):
            for part in (0, 10, 200_000, 1_000_000):
                connection.sendall(large + b" " * part)
                status, headers, answer = read_answer(connection)
                assert (status, json.loads(answer)["status"]) == (503, 503)
                assert int(headers["retry-after"]) >= 1
                assert "connection" not in headers
                connection.sendall(b" " * (1_000_000 - part) + b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n")
                assert read_answer(connection)[0] == 200
        ends = time.monotonic() + SECONDS
        status = 503
        while status == 503 and time.monotonic() < ends:
            connection.sendall(POST + b"content-length: %d\r\n\r\n" % len(body) + body)
            status = read_answer(connection)[0]
        assert status == 200


def test_a_refused_client_that_would_have_waited_is_disconnected(narrow: Process):
    with half_sent(narrow), socket.create_connection(("127.0.0.1", narrow.port), timeout=SECONDS) as connection:
        connection.sendall(POST + b"expect: 100-continue\r\ncontent-length: 1000000\r\n\r\n")
        status, headers, _ = read_answer(connection)
        assert (status, headers["connection"]) == (503, "close")
        assert connection.recv(100) == b""


def test_a_deadline_counts_from_the_arrival(narrow: Process):
    with socket.create_connection(("127.0.0.1", narrow.port), timeout=SECONDS) as connection:
        connection.sendall(POST + b"x-request-deadline-ms: 100\r\ncontent-length: 99\r\n\r\n{")
        status, headers, _ = read_answer(connection)
        assert (status, headers["connection"]) == (504, "close")
    assert httpx.post(f"{narrow.base}/v1/rank", json=GOOD).status_code == 200
