"""Every fault that a store or the way to it can have, over real sockets: which reason, which words, and whether trying
again heals it."""

from __future__ import annotations

import time
from collections.abc import Generator
from email.utils import formatdate
from pathlib import Path

import pytest

from service import bucket, bundle
from service.errors import DigestMismatch
from service.location import RegistryError
from service.manifest import Manifest
from service.registry import Registry, open_registry
from tests.engines import proxy as faults
from tests.engines.emulator import BUCKET, Store, free_port
from tests.engines.proxy import Fault, Proxy, error, proxied
from tests.service.bundles import make_bundle

HOUR_AGO = formatdate(time.time() - 3570, usegmt=True)

SLOW_DOWN = error(503, "SlowDown", "Please reduce your request rate.")
NO_BUCKET = error(404, "NoSuchBucket")

# Name: the fault, the reason, what is said, and whether a request that meets it is sent again.
FAULTS: dict[str, tuple[Fault, str, str, bool]] = {
    "throttled": (SLOW_DOWN, "registry-unavailable", "SlowDown: Please reduce your request rate.", True),
    "throttled by 429": (error(429, "TooManyRequests"), "registry-unavailable", "try again in a while", True),
    "internal error": (error(500, "InternalError"), "registry-unavailable", "InternalError", True),
    "bad gateway": (error(502, ""), "registry-unavailable", "is not able to answer", True),
    "request timed out there": (error(400, "RequestTimeout"), "registry-unavailable", "RequestTimeout", True),
    "connection reset": (faults.reset, "registry-unavailable", "check the network", True),
    "no answer": (faults.silence, "registry-unavailable", "is silent: check the network", True),
    "body cut": (faults.truncated, "registry-unavailable", "s3://", True),
    "body stalled": (faults.stalled, "registry-unavailable", "is silent: check the network", True),
    "no such key id": (error(403, "InvalidAccessKeyId"), "registry-denied", "check the credentials", False),
    "wrong secret": (error(403, "SignatureDoesNotMatch"), "registry-denied", "check the credentials", False),
    "expired token": (error(400, "ExpiredToken"), "registry-denied", "ExpiredToken", False),
    "not allowed": (error(403, "AccessDenied"), "registry-denied", "allow to list, get and put", False),
    "no bucket": (NO_BUCKET, "registry-not-found", "does not exist: check the name", False),
    "clock": (error(403, "RequestTimeTooSkewed", date=HOUR_AGO), "clock-skewed", "minutes ahead of its own", False),
    "clock unsaid": (error(403, "RequestTimeTooSkewed"), "clock-skewed", "too far from its own: set the clock", False),
    "another region": (error(400, "AuthorizationHeaderMalformed"), "registry-unavailable", "PODIUM_S3_REGION", False),
    "not implemented": (error(501, "NotImplemented"), "registry-unavailable", "NotImplemented", True),
}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(bucket, "TRIES", 3)
    monkeypatch.setenv("PODIUM_S3_TIMEOUT_SECONDS", "1")


@pytest.fixture
def proxy(store: Store, monkeypatch: pytest.MonkeyPatch, quick: None) -> Generator[Proxy]:
    with proxied(store.endpoint) as running:
        monkeypatch.setenv("PODIUM_S3_ENDPOINT", running.url)
        yield running


@pytest.fixture
def registry(proxy: Proxy, store: Store) -> Registry:
    return open_registry(store.uri)


@pytest.fixture
def tiny(store: Store, tmp_path: Path) -> Manifest:
    """A model, published without the proxy."""
    manifest = make_bundle(tmp_path / "source")
    for name in (*manifest.files, bundle.MANIFEST):
        store.write(f"models/tiny/{manifest.version}/{name}", (tmp_path / "source" / name).read_bytes())
    return manifest


MODEL, LIST, MANIFEST = "GET .*model.ubj", "GET .*list-type", "GET .*manifest.json"
MEETINGS = [
    *((MODEL, fault) for fault in FAULTS),
    *((LIST, fault) for fault in ("throttled", "connection reset", "body cut", "not allowed", "no bucket")),
    *((MANIFEST, fault) for fault in ("internal error", "connection reset", "body cut", "clock", "no bucket")),
]


@pytest.mark.parametrize(("request_of", "fault"), MEETINGS)
def test_a_fetch_that_meets_a_fault_says_why_and_the_next_one_heals(  # noqa: PLR0917
    proxy: Proxy, registry: Registry, tiny: Manifest, tmp_path: Path, request_of: str, fault: str
) -> None:
    what, reason, said, again = FAULTS[fault]
    proxy.fail(what, what=request_of)
    with pytest.raises(RegistryError) as refused:
        registry.fetch("tiny", tiny.version, tmp_path / "into")
    assert refused.value.reason == reason
    assert refused.value.exit_code == 5
    assert said in str(refused.value)
    assert f"s3://{BUCKET} at {proxy.url}" in str(refused.value)
    assert [path for path in (tmp_path / "into").rglob("*") if path.is_file()] == []
    asked = [request for request in proxy.seen if faults.re.search(request_of, request)]
    assert len(asked) == (3 if again else 1)

    proxy.fail(what, times=2 if again else 0, what=request_of)
    folder = registry.fetch("tiny", tiny.version, tmp_path / "into")
    assert bundle.verify(folder) == tiny


def test_a_cut_body_goes_on_where_it_broke_off(proxy: Proxy, registry: Registry, tmp_path: Path, store: Store) -> None:
    manifest = make_bundle(tmp_path / "large", contents={"more.bin": bytes(range(256)) * 2000})
    for name in (*manifest.files, bundle.MANIFEST):
        store.write(f"models/tiny/{manifest.version}/{name}", (tmp_path / "large" / name).read_bytes())
    sizes: list[int] = []

    def cut(handler: faults.Handler, body: bytes) -> None:
        sizes.append(int(handler.headers["range"].removeprefix("bytes=").partition("-")[0]))
        faults.truncated(handler, body)

    proxy.fail(cut, times=2, what="GET .*more.bin")
    folder = registry.fetch("tiny", manifest.version, tmp_path / "into")
    assert (folder / "more.bin").read_bytes() == bytes(range(256)) * 2000
    assert sizes[0] == 0 < sizes[1]


def test_a_byte_damaged_on_its_way_heals_and_one_damaged_there_does_not(
    proxy: Proxy, registry: Registry, tiny: Manifest, tmp_path: Path
) -> None:
    proxy.fail(faults.flipped, times=1, what="GET .*model.ubj")
    assert bundle.verify(registry.fetch("tiny", tiny.version, tmp_path / "once")) == tiny
    proxy.fail(faults.flipped, what="GET .*model.ubj")
    with pytest.raises(DigestMismatch, match=r"model\.ubj came as"):
        registry.fetch("tiny", tiny.version, tmp_path / "always")
    assert [path for path in (tmp_path / "always").rglob("*") if path.is_file()] == []


def test_a_store_without_ranges_is_named(proxy: Proxy, registry: Registry, tiny: Manifest, tmp_path: Path) -> None:
    def whole(handler: faults.Handler, body: bytes) -> None:
        del handler.headers["range"]
        faults.passing(handler, body)

    proxy.fail(whole, what="GET .*model.ubj")
    with pytest.raises(RegistryError, match="does not answer ranges"):
        registry.fetch("tiny", tiny.version, tmp_path / "into")


def test_a_list_that_is_no_list_is_no_empty_registry(proxy: Proxy, registry: Registry, tiny: Manifest) -> None:
    proxy.fail(faults.no_xml, what="GET .*list-type")
    with pytest.raises(RegistryError, match="not able to answer"):
        registry.list()


PUT_FAULTS: dict[str, Fault] = {
    "throttled": SLOW_DOWN,
    "internal error": error(500, "InternalError"),
    "another writer": error(409, "ConditionalRequestConflict"),
    "damaged on its way": error(400, "BadDigest"),
    "connection reset": faults.reset,
    "done and lost": faults.done_and_lost,
}


@pytest.mark.parametrize("file", [bundle.MODEL, bundle.MANIFEST])
@pytest.mark.parametrize("fault", PUT_FAULTS)
def test_a_put_that_meets_a_fault_is_sent_again(
    proxy: Proxy, registry: Registry, tmp_path: Path, fault: str, file: str
) -> None:
    manifest = make_bundle(tmp_path / "source")
    proxy.fail(PUT_FAULTS[fault], times=2, what=f"PUT .*{file}")
    assert registry.publish(tmp_path / "source").digest == manifest.digest
    assert [entry.problem for entry in registry.list()] == [None]
    # The answer was lost, not the object: what is there is one's own.
    again = 2 if fault == "done and lost" else 3
    assert len([request for request in proxy.seen if request.startswith("PUT") and file in request]) >= again


@pytest.mark.parametrize(
    ("environ", "reason", "said"),
    [
        ({"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"}, "registry-denied", "InvalidAccessKeyId"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "registry-denied", "no credentials for s3://"),
        ({"AWS_SECRET_ACCESS_KEY": ""}, "registry-denied", "no credentials for s3://"),
        ({"AWS_PROFILE": "nobody"}, "registry-denied", "nobody"),
        ({"PODIUM_S3_ENDPOINT": "http://127.0.0.1:{free}"}, "registry-unavailable", "check the network"),
        ({"PODIUM_S3_ENDPOINT": "nowhere"}, "bad-uri", "PODIUM_S3_ENDPOINT='nowhere': give https://host"),
    ],
)
def test_what_is_set_wrongly_is_said(  # noqa: PLR0917
    store: Store, monkeypatch: pytest.MonkeyPatch, quick: None, environ: dict[str, str], reason: str, said: str
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value.format(free=free_port()))
    with pytest.raises(RegistryError) as refused:
        open_registry(store.uri).list()
    assert refused.value.reason == reason
    assert said in str(refused.value)


def test_a_bucket_that_is_not_there_is_named(store: Store, tmp_path: Path, quick: None) -> None:
    make_bundle(tmp_path / "source")
    registry = open_registry("s3://podium-nowhere/models-of-mine")
    for attempt in (
        registry.list,
        lambda: registry.publish(tmp_path / "source"),
        lambda: registry.fetch("tiny", "20200101-0123456789ab", tmp_path / "into"),
    ):
        with pytest.raises(RegistryError, match=r"s3://podium-nowhere at .* does not exist") as refused:
            attempt()
        assert refused.value.reason == "registry-not-found"
