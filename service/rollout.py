"""What a rollout asks: `preflight` before anything is replaced, `smoke` once everything is."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from service.settings import Settings, SettingsError

PREFLIGHT_SECONDS = 240
SMOKE_SECONDS = 60

# A gateway that has just got its pods, or a pod that is just full, says when to come again; so do those in between.
PASSING = frozenset({502, 503, 504})

# Pods that were replaced go on answering while they end and until their addresses are forgotten: some 20 s.
AGAIN_SECONDS = 1.0


class Failed(Exception):
    """What was asked for is not so. `exit_code`: 2 used wrongly, 3 refused or not as pinned, 5 out of reach."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def add_verbs(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds both verbs to argparse subparsers; `args.run(args)` then returns the exit code."""
    before = add(
        "preflight",
        help="start as a pod would, without a port: is the pinned model there, and does this image serve it?",
        description="Fetches PODIUM_MODEL, checks it against PODIUM_MODEL_SHA256, loads it, warms it and replays its "
        "golden queries. Exit code 0: a pod would become ready; 2: a setting; 3: refused; 5: the registry is out of "
        "reach.",
    )
    _add_timeout(before, PREFLIGHT_SECONDS)
    before.set_defaults(run=partial(_answered, preflight))

    after = add(
        "smoke",
        help="send the model's golden queries to a running service, and compare the answers",
        description="Sends the golden queries of PODIUM_MODEL to a service or its gateway; scores must be those "
        "published, bit for bit, name and version the model's. While another version or commit answers, as old pods do "
        "right after a rollout, it asks again. Exit code 0: they are; 2: used wrongly; 3: not, or the key is refused; "
        "5: no answer.",
    )
    after.add_argument("--url", required=True, help="where the service is, as http://rank-gateway:8080")
    after.add_argument("--key-file", type=Path, metavar="FILE", help="a file that holds the bearer key")
    after.add_argument("--commit", metavar="COMMIT", help="the commit that answers must come from")
    _add_timeout(after, SMOKE_SECONDS)
    after.set_defaults(run=partial(_answered, smoke))


def preflight(args: argparse.Namespace) -> None:
    """Goes through a pod's own start, so that nothing can pass here and fail there.

    Raises:
        Failed: a pod would not become ready.
    """
    # Here and no earlier: these bring the web framework's half of the service, which other verbs do without.
    from service.app import commit_of  # noqa: PLC0415
    from service.loading import Loader  # noqa: PLC0415
    from service.telemetry import Telemetry  # noqa: PLC0415

    settings = pinned()
    loader = Loader(settings, Telemetry(commit_of(settings)))
    loader.start()
    ends = time.monotonic() + args.timeout
    while loader.state.phase not in ("ready", "failed") and time.monotonic() < ends:
        time.sleep(0.02)
    state = loader.state
    loader.stop()
    if state.model is not None:
        manifest = state.model.manifest
        phases = ", ".join(f"{phase} {seconds:.2f} s" for phase, seconds in state.seconds)
        sys.stdout.write(f"{manifest.name}/{manifest.version} ({manifest.digest}) would be served: {phases}\n")
        return
    if state.failure is None:
        raise Failed(f"still {state.phase} after {args.timeout} s", 5)
    passing = state.phase != "failed"
    raise Failed(f"{settings.model}: {state.failure.detail} ({state.failure.reason})", 5 if passing else 3)


def smoke(args: argparse.Namespace) -> None:
    """
    Raises:
        Failed: an answer is not what the pinned model gives, or there is none.
        RegistryError, BundleError: the model cannot be had.
    """
    from service import bundle  # noqa: PLC0415
    from service.registry import fetch_model  # noqa: PLC0415

    settings = pinned()
    caller = Caller(args.url, _key(args.key_file), time.monotonic() + args.timeout)
    with tempfile.TemporaryDirectory(dir=settings.model_folder) as into:
        folder = fetch_model(str(settings.model), Path(into), settings.model_sha256, settings)
        manifest = bundle.verify(folder, settings.model_sha256)
        lines = [json.loads(line) for line in (folder / bundle.GOLDEN).read_bytes().splitlines()]
    headers_of_pin = {"x-podium-model": manifest.name, "x-podium-version": manifest.version}
    headers_of_pin |= {"x-podium-commit": args.commit} if args.commit else {}
    documents = 0
    for line in lines:
        answer, headers = caller.ask(line["request"], headers_of_pin)
        expected = dict(zip((item["id"] for item in line["request"]["items"]), line["scores"], strict=True))
        for problem in _differences(answer, expected, manifest.name, manifest.version):
            raise Failed(f"golden query {line['request']['id']!r}: {problem}", 3)
        if args.commit and headers.get("x-podium-commit") != args.commit:
            raise Failed(f"the answer is commit {headers.get('x-podium-commit')}'s, the pin says {args.commit}", 3)
        documents += len(expected)
    sys.stdout.write(
        f"{args.url} answers as {manifest.name}/{manifest.version}: {documents} documents, the same scores\n"
    )


def pinned() -> Settings:
    """The settings, with a model and its digest in them.

    Raises:
        Failed: there is none, or a setting is not allowed.
    """
    try:
        settings = Settings.from_env()
    except SettingsError as error:
        raise Failed(str(error), 2) from error
    if settings.model is None or settings.model_sha256 is None:
        raise Failed("set PODIUM_MODEL and PODIUM_MODEL_SHA256: what is not pinned cannot be compared", 2)
    return settings


class Caller:
    """Asks again, until `ends`, where asking again may help. With the standard library alone: an image that serves has
    no client of HTTP."""

    def __init__(self, url: str, key: str | None, ends: float) -> None:
        place = urlsplit(url)
        if place.scheme not in ("http", "https") or not place.hostname or place.path.strip("/"):
            raise Failed(f"--url {url!r}: give http://host:port", 2)
        self._kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
        self._url, self._host, self._port = url, place.hostname, place.port
        self._headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
        self._ends = ends

    def ask(self, request: Any, pinned: Mapping[str, str]) -> tuple[Any, Mapping[str, str]]:
        """The answer to a ranking request, and its headers by lower-case names.

        A pod that has other headers than the pinned is not the one that is asked; what it refuses, another may not.

        Raises:
            Failed: it is refused, there is no answer in time, or none but others'.
        """
        body = json.dumps(request).encode()
        while True:
            status, headers, content = self._answer(body)
            other = [f"{name} {headers[name]}" for name in pinned if headers.get(name, pinned[name]) != pinned[name]]
            if not other:
                if status != 200:
                    raise Failed(self._said(status, content), 3)
                return json.loads(content), headers
            if time.monotonic() + AGAIN_SECONDS > self._ends:
                said = ", ".join(f"{name} {value}" for name, value in pinned.items())
                raise Failed(f"still answered by {', '.join(other)}: the pin says {said}", 3)
            time.sleep(AGAIN_SECONDS)

    def _answer(self, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        for last in self._tries():
            try:
                status, headers, content = self._send(body)
            except (OSError, http.client.HTTPException) as error:
                if last:
                    raise Failed(f"{self._url} gives no answer: {error!r}", 5) from error
                continue
            if status not in PASSING:
                return status, headers, content
            if last:
                raise Failed(self._said(status, content), 5)
        raise AssertionError

    def _said(self, status: int, content: bytes) -> str:
        return f"{self._url} answers {status}: {content[:300].decode('utf-8', 'replace')}"

    def _tries(self) -> Iterator[bool]:
        """Whether it is the last one, for each try."""
        pause = 0.25
        while time.monotonic() + pause < self._ends:
            yield False
            time.sleep(pause)
            pause = min(pause * 2, 5.0)
        yield True

    def _send(self, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        connection = self._kind(self._host, self._port, timeout=10)
        try:
            connection.request("POST", "/v1/rank", body, self._headers)
            response = connection.getresponse()
            return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        finally:
            connection.close()


def _differences(answer: Any, expected: Mapping[str, float], name: str, version: str) -> Iterator[str]:
    import numpy as np  # noqa: PLC0415

    try:
        model, scores = answer["model"], {item["id"]: item["score"] for item in answer["items"]}
    except (TypeError, KeyError):
        yield "the answer is no ranking"
        return
    if (model["name"], model["version"]) != (name, version):
        yield f"the answer is {model['name']}/{model['version']}'s, the pin says {name}/{version}"
    if set(scores) != set(expected):
        yield f"{len(scores)} items came back of {len(expected)}"
        return
    for item, score in expected.items():
        if np.float32(cast(float, scores[item])).tobytes() != np.float32(score).tobytes():
            yield f"item {item!r} has the score {scores[item]}, published was {score}"


def _add_timeout(parser: argparse.ArgumentParser, default: int) -> None:
    help_text = "how long to try (default: %(default)s)"
    parser.add_argument("--timeout", type=int, default=default, metavar="SECONDS", help=help_text)


def _key(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        key = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Failed(f"--key-file {path} cannot be read: {error}", 2) from error
    if not key or not key.isprintable():
        raise Failed(f"--key-file {path} holds no key", 2)
    return key


def _answered(run: Callable[[argparse.Namespace], None], args: argparse.Namespace) -> int:
    try:
        run(args)
    except Failed as failure:
        sys.stderr.write(f"podium: {failure}\n")
        return failure.exit_code
    finally:
        sys.stdout.flush()
    return os.EX_OK
