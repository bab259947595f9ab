from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from service.__main__ import main
from service.manifest import Manifest
from service.registry import open_registry
from tests.conftest import ROOT
from tests.engines.emulator import Store
from tests.service.bundles import make_bundle
from tests.service.test_loading import flip_byte, rewrite

COMMIT = "c" * 40
KEY = "the-smoke-key"


@pytest.fixture
def pin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    """A bundle at `tmp_path/bundle`, and the environment of a pod that is to serve it."""
    manifest = make_bundle(tmp_path / "bundle")
    monkeypatch.setenv("PODIUM_MODEL", str(tmp_path / "bundle"))
    monkeypatch.setenv("PODIUM_MODEL_SHA256", manifest.digest)
    monkeypatch.setenv("PODIUM_COMMIT", COMMIT)
    return manifest


def test_a_pinned_model_passes(pin: Manifest, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preflight"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert f"{pin.name}/{pin.version} ({pin.digest}) would be served: downloading" in said.out
    assert "replaying" in said.out


Change = Callable[[Path, pytest.MonkeyPatch], Any]
REFUSED: dict[str, tuple[Change, int, str]] = {
    "no model": (lambda _, env: env.delenv("PODIUM_MODEL"), 2, "set PODIUM_MODEL and PODIUM_MODEL_SHA256"),
    "no pin": (lambda _, env: env.delenv("PODIUM_MODEL_SHA256"), 2, "set PODIUM_MODEL and PODIUM_MODEL_SHA256"),
    "a setting": (lambda _, env: env.setenv("PODIUM_MAX_ITEMS", "many"), 2, "PODIUM_MAX_ITEMS='many'"),
    "another digest": (lambda _, env: env.setenv("PODIUM_MODEL_SHA256", "0" * 64), 3, "digest-mismatch"),
    "a changed byte": (lambda folder, _: flip_byte(folder), 3, "digest-mismatch"),
    "no such model": (lambda _, env: env.setenv("PODIUM_MODEL", "/nowhere/at/all"), 3, "no model at /nowhere"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_pod_would_not_serve_is_refused_first(
    case: str,
    pin: Manifest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    change, code, words = REFUSED[case]
    change(tmp_path / "bundle", monkeypatch)
    assert main(["preflight", "--timeout", "20"]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("podium: ")
    assert words in said.err


def test_a_model_that_scores_otherwise_is_refused(
    pin: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_bundle(tmp_path / "other", seed=1)
    assert other.digest != pin.digest
    rewrite(tmp_path / "bundle", model=(tmp_path / "other" / "model.ubj").read_bytes())
    sealed = Manifest.from_json((tmp_path / "bundle" / "manifest.json").read_bytes())
    monkeypatch.setenv("PODIUM_MODEL_SHA256", sealed.digest)
    assert main(["preflight"]) == 3
    assert "golden-mismatch" in capsys.readouterr().err


def test_a_registry_out_of_reach_is_waited_for_and_is_another_code(
    pin: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PODIUM_MODEL", f"{(tmp_path / 'absent').as_uri()}/models/{pin.name}/{pin.version}")
    began = time.monotonic()
    assert main(["preflight", "--timeout", "1"]) == 5
    assert time.monotonic() - began >= 1
    assert "(registry-unavailable)" in capsys.readouterr().err


def test_a_model_in_s3_passes(
    pin: Manifest, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PODIUM_MODEL", open_registry(store.uri).publish(tmp_path / "bundle").uri)
    monkeypatch.setenv("PODIUM_MODEL_FOLDER", str(tmp_path))
    assert main(["preflight"]) == 0
    assert "would be served" in capsys.readouterr().out


@pytest.fixture
def served(pin: Manifest) -> Generator[str]:
    """A real service process with the pinned model."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "service", "serve", "--port", str(port)], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def test_a_service_is_asked_until_it_answers_and_its_answers_are_compared(
    served: str, pin: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["smoke", "--url", served, "--commit", COMMIT]) == 0
    assert f"answers as {pin.name}/{pin.version}: 145 documents, the same scores" in capsys.readouterr().out
    assert main(["smoke", "--url", served, "--commit", "d" * 40, "--timeout", "1"]) == 3
    said = capsys.readouterr().err
    assert f"still answered by x-podium-commit {COMMIT}: " in said
    assert f"x-podium-commit {'d' * 40}" in said


def test_another_model_than_the_pinned_one_is_noticed(
    served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_bundle(tmp_path / "other", seed=1)
    monkeypatch.setenv("PODIUM_MODEL", str(tmp_path / "other"))
    monkeypatch.setenv("PODIUM_MODEL_SHA256", other.digest)
    assert main(["smoke", "--url", served, "--timeout", "8"]) == 3
    assert f"the pin says x-podium-model {other.name}, x-podium-version {other.version}" in capsys.readouterr().err


Answer = Callable[[Any], tuple[int, Any]]


@pytest.fixture
def gateway() -> Generator[Callable[..., str]]:
    """Starts a server that answers ranking requests as told, and asks for the key."""
    running: list[tuple[HTTPServer, threading.Thread]] = []

    def start(answer: Answer, headers: Callable[[], dict[str, str]] = dict) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["content-length"])))
                allowed = self.headers.get("authorization") == f"Bearer {KEY}"
                status, document = answer(request) if allowed else (401, {"title": "No valid key"})
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                for name, value in headers().items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def key(tmp_path: Path) -> str:
    (tmp_path / "key").write_text(f"{KEY}\n")
    return str(tmp_path / "key")


def golden_answer(folder: Path, manifest: Manifest, change: Callable[[Any], Any]) -> Answer:
    """Answers golden queries as the model would, and then changes the answer."""
    lines = [json.loads(line) for line in (folder / "golden.jsonl").read_bytes().splitlines()]
    scores = {line["request"]["id"]: line["scores"] for line in lines}

    def answer(request: Any) -> tuple[int, Any]:
        items = [
            {"id": item["id"], "score": score}
            for item, score in zip(request["items"], scores[request["id"]], strict=True)
        ]
        document = {"model": {"name": manifest.name, "version": manifest.version}, "items": items}
        return 200, change(document)

    return answer


WRONG: dict[str, tuple[Callable[[Any], Any], str]] = {
    "the last bit of a score": (
        lambda d: d["items"][0].update(score=d["items"][0]["score"] * (1 + 2e-7)) or d,
        "published was",
    ),
    "an item less": (lambda d: d["items"].pop() and d, "items came back of"),
    "another version": (lambda d: d["model"].update(version="20200101-000000000000") or d, "the pin says"),
    "no ranking": (lambda _: ["hello"], "the answer is no ranking"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_answer_is_noticed(  # noqa: PLR0917 - fixtures
    case: str,
    gateway: Callable[[Answer], str],
    key: str,
    pin: Manifest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    change, words = WRONG[case]
    right = gateway(golden_answer(tmp_path / "bundle", pin, lambda document: document))
    assert main(["smoke", "--url", right, "--key-file", key]) == 0
    wrong = gateway(golden_answer(tmp_path / "bundle", pin, change))
    assert main(["smoke", "--url", wrong, "--key-file", key]) == 3
    assert words in capsys.readouterr().err


OLD: dict[str, Callable[[Answer], tuple[Answer, dict[str, str]]]] = {
    "another version": (lambda right: (right, {"x-podium-version": "20200101-000000000000"})),
    "another model": (lambda right: (right, {"x-podium-model": "older"})),
    "another commit": (lambda right: (right, {"x-podium-commit": "d" * 40})),
    # It ranks by other features.
    "a refusal": (lambda _: (lambda _: (422, {}), {"x-podium-version": "20200101-000000000000"})),
}


@pytest.mark.parametrize("case", OLD)
def test_old_pods_may_answer_for_a_while_but_not_for_good(  # noqa: PLR0917 - fixtures
    case: str,
    gateway: Callable[..., str],
    key: str,
    pin: Manifest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    right = golden_answer(tmp_path / "bundle", pin, lambda document: document)
    new = {"x-podium-model": pin.name, "x-podium-version": pin.version, "x-podium-commit": COMMIT}
    old_answer, differs = OLD[case](right)
    command = ["smoke", "--key-file", key, "--commit", COMMIT]
    until = time.monotonic() + 1.5

    def turning(request: Any) -> tuple[int, Any]:
        return old_answer(request) if time.monotonic() < until else right(request)

    url = gateway(turning, lambda: new | (differs if time.monotonic() < until else {}))
    assert main([*command, "--url", url, "--timeout", "20"]) == 0
    assert time.monotonic() > until

    url = gateway(old_answer, lambda: new | differs)
    began = time.monotonic()
    assert main([*command, "--url", url, "--timeout", "2"]) == 3
    assert 1 <= time.monotonic() - began < 5
    assert f"still answered by {' '.join(*differs.items())}: " in capsys.readouterr().err


@pytest.mark.parametrize("named", [True, False])
def test_what_the_right_pod_answers_is_judged_at_once(  # noqa: PLR0917 - fixtures
    named: bool,
    gateway: Callable[..., str],
    key: str,
    pin: Manifest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As is one that does not say whose it is."""
    change, words = WRONG["the last bit of a score"] if named else (lambda document: document, "commit None's")
    headers = {"x-podium-version": pin.version, "x-podium-commit": COMMIT} if named else {}
    url = gateway(golden_answer(tmp_path / "bundle", pin, change), lambda: headers)
    began = time.monotonic()
    assert main(["smoke", "--url", url, "--key-file", key, "--commit", COMMIT]) == 3
    assert time.monotonic() - began < 5
    assert words in capsys.readouterr().err


def test_a_refused_key_is_no_reason_to_ask_again(
    gateway: Callable[[Answer], str], tmp_path: Path, pin: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    url = gateway(golden_answer(tmp_path / "bundle", pin, lambda document: document))
    began = time.monotonic()
    assert main(["smoke", "--url", url]) == 3
    assert time.monotonic() - began < 5
    assert "answers 401" in capsys.readouterr().err


def test_a_full_gateway_is_asked_again(
    gateway: Callable[[Answer], str], key: str, tmp_path: Path, pin: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    right = golden_answer(tmp_path / "bundle", pin, lambda document: document)
    refusals = [503, 502, 503]
    url = gateway(lambda request: (refusals.pop(), {}) if refusals else right(request))
    assert main(["smoke", "--url", url, "--key-file", key]) == 0
    url = gateway(lambda _: (503, {"title": "Too much work is waiting"}))
    assert main(["smoke", "--url", url, "--key-file", key, "--timeout", "1"]) == 5
    assert "answers 503" in capsys.readouterr().err


def test_nobody_there(pin: Manifest, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["smoke", "--url", "http://127.0.0.1:9", "--timeout", "1"]) == 5
    assert "gives no answer" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["rank-gateway:8080", "ftp://rank-gateway", "http://", "http://rank-gateway/v1/rank"])
def test_a_url_that_is_none(url: str, pin: Manifest, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["smoke", "--url", url]) == 2
    assert "give http://host:port" in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff", b"two\nlines"])
def test_a_key_file_that_holds_none(
    content: bytes | None, tmp_path: Path, pin: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    assert main(["smoke", "--url", "http://127.0.0.1:9", "--key-file", str(tmp_path / "key")]) == 2
    assert "--key-file" in capsys.readouterr().err
