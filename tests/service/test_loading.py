from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service import bucket, loading
from service.loading import PHASES, STEPS, Loader
from service.manifest import FileEntry, Manifest
from service.registry import FolderRegistry, open_registry
from service.settings import Settings
from service.telemetry import Telemetry
from tests.engines import proxy
from tests.engines.emulator import Store
from tests.service.bundles import NAMES, make_bundle, train_model

Fault = Callable[[Path], Any]


def load(settings: Settings) -> Loader:
    loader = Loader(settings, Telemetry("test"))
    loader.run()
    return loader


def rewrite(folder: Path, **changed: bytes) -> None:
    """Changes files of a bundle and seals it again: only what the model computes can tell."""
    manifest = Manifest.from_json((folder / "manifest.json").read_bytes())
    files = dict(manifest.files)
    for stem, data in changed.items():
        name = {"model": "model.ubj", "golden": "golden.jsonl"}[stem]
        (folder / name).write_bytes(data)
        files[name] = FileEntry.of(data)
    document = json.loads(manifest.to_json())
    document["files"] = {name: {"sha256": entry.sha256, "size": entry.size} for name, entry in files.items()}
    sealed = Manifest.from_json(json.dumps(document).encode()).seal()
    (folder / "manifest.json").write_bytes(sealed.to_json())


def edit_manifest(folder: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / "manifest.json"
    document = json.loads(path.read_bytes())
    edit(document)
    path.write_text(json.dumps(document))


def flip_byte(folder: Path, name: str = "model.ubj") -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)


def truncate(folder: Path) -> None:
    path = folder / "model.ubj"
    path.write_bytes(path.read_bytes()[:-7])


def one_ulp(folder: Path) -> None:
    first, *rest = (folder / "golden.jsonl").read_bytes().splitlines()
    entry = json.loads(first)
    entry["scores"][0] = float(np.nextafter(np.float32(entry["scores"][0]), np.float32(np.inf)))
    rewrite(folder, golden=b"\n".join([json.dumps(entry).encode(), *rest]))


def reseal_with_other_names(folder: Path) -> None:
    # The golden queries that list names then speak of a feature that the model does not have.
    manifest = Manifest.from_json((folder / "manifest.json").read_bytes())
    names = ("bm24", *NAMES[1:])
    document = json.loads(manifest.to_json())
    schema = type(manifest.schema).from_names(names)
    document["schema"] = {"sha256": schema.sha256, "features": list(names)}
    sealed = Manifest.from_json(json.dumps(document).encode()).seal()
    (folder / "manifest.json").write_bytes(sealed.to_json())


FAULTS: list[tuple[str, Fault, str, str, str]] = [
    ("no manifest", lambda f: (f / "manifest.json").unlink(), "downloading", "model-not-found", "no manifest.json"),
    (
        "manifest no JSON",
        lambda f: (f / "manifest.json").write_text("{"),
        "downloading",
        "manifest-invalid",
        "not JSON",
    ),
    (
        "manifest without a schema",
        lambda f: edit_manifest(f, lambda d: d.pop("schema")),
        "downloading",
        "manifest-invalid",
        "schema is missing",
    ),
    (
        "manifest of another format",
        lambda f: edit_manifest(f, lambda d: d.update(format=2)),
        "downloading",
        "manifest-invalid",
        "format 2 is unknown",
    ),
    (
        "manifest with other metrics",
        lambda f: edit_manifest(f, lambda d: d.update(metrics={"ndcg@10": 0.99})),
        "verifying",
        "digest-mismatch",
        "it was changed",
    ),
    (
        "manifest with another version",
        lambda f: edit_manifest(f, lambda d: d.update(version="20990101-000000000000")),
        "verifying",
        "digest-mismatch",
        "does not belong to this content",
    ),
    (
        "one name changed",
        lambda f: edit_manifest(f, lambda d: d["schema"]["features"].__setitem__(0, "bm26")),
        "downloading",
        "schema-mismatch",
        "a name was changed",
    ),
    ("flipped byte of the model", flip_byte, "verifying", "digest-mismatch", "model.ubj hashes to"),
    (
        "flipped byte of the proof",
        lambda f: flip_byte(f, "golden.jsonl"),
        "verifying",
        "digest-mismatch",
        "golden.jsonl hashes to",
    ),
    ("truncated model", truncate, "verifying", "digest-mismatch", "bytes, the manifest says"),
    ("no model file", lambda f: (f / "model.ubj").unlink(), "verifying", "digest-mismatch", "model.ubj"),
    ("no booster", lambda f: rewrite(f, model=b"nothing"), "loading", "model-unreadable", "model.ubj is no"),
    ("other width", lambda f: rewrite(f, model=train_model(3)), "loading", "schema-mismatch", "takes 3 features"),
    ("other model", lambda f: rewrite(f, model=train_model(4, seed=9)), "replaying", "golden-mismatch", "golden query"),
    ("one score changed by one ulp", one_ulp, "replaying", "golden-mismatch", "golden-0"),
    ("no golden query", lambda f: rewrite(f, golden=b""), "replaying", "golden-mismatch", "holds no query"),
    ("renamed and sealed again", reseal_with_other_names, "replaying", "golden-mismatch", "bm25"),
]


def test_a_good_model_becomes_ready(tmp_path: Path):
    manifest = make_bundle(tmp_path / "bundle")
    telemetry = Telemetry("test")
    loader = Loader(Settings(model=str(tmp_path / "bundle"), model_sha256=manifest.digest), telemetry)
    assert loader.state.phase == "pending"
    loader.run()
    state = loader.state
    assert state.phase == "ready"
    assert state.failure is None
    assert state.model is not None
    assert state.model.manifest == manifest
    assert state.model.about == {"name": "tiny", "version": manifest.version}
    assert [entry["phase"] for entry in state.phases] == list(STEPS)
    assert all(entry["seconds"] >= 0 for entry in state.phases)
    assert (telemetry.identity.model, telemetry.identity.version) == ("tiny", manifest.version)


def test_a_uri_and_an_explaining_service_work_too(tmp_path: Path):
    make_bundle(tmp_path / "bundle")
    loader = load(Settings(model=(tmp_path / "bundle").as_uri(), explain=True, max_items=3))
    assert loader.state.phase == "ready"


@pytest.mark.parametrize(("fault", "phase", "reason", "detail"), [r[1:] for r in FAULTS], ids=[r[0] for r in FAULTS])
def test_a_fault_has_its_reason(tmp_path: Path, fault: Fault, phase: str, reason: str, detail: str):
    folder = tmp_path / "bundle"
    make_bundle(folder)
    fault(folder)
    state = load(Settings(model=str(folder))).state
    assert state.phase == "failed"
    assert state.model is None
    assert state.failure is not None
    assert (state.failure.phase, state.failure.reason) == (phase, reason)
    assert detail in state.failure.detail


def test_another_pin_is_a_digest_mismatch(tmp_path: Path):
    manifest = make_bundle(tmp_path / "bundle")
    state = load(Settings(model=str(tmp_path / "bundle"), model_sha256="sha256:" + "0" * 64)).state
    assert state.failure is not None
    assert state.failure.reason == "digest-mismatch"
    assert manifest.digest in state.failure.detail


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("{tmp}/nowhere", "model-not-found"),
        ("s3://bucket/web/1", "bad-uri"),
        (None, "model-not-found"),
    ],
)
def test_a_model_that_is_not_there(tmp_path: Path, model: str | None, reason: str):
    state = load(Settings(model=None if model is None else model.format(tmp=tmp_path))).state
    assert state.failure is not None
    assert (state.failure.phase, state.failure.reason) == ("downloading", reason)


def test_a_file_that_cannot_be_read_has_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make_bundle(tmp_path / "bundle")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "model.ubj")

    monkeypatch.setattr(loading.bundle, "verify", refuse)
    state = load(Settings(model=str(tmp_path / "bundle"))).state
    assert state.failure is not None
    assert state.failure.reason == "model-unreadable"
    assert "Permission denied" in state.failure.detail


def test_what_nobody_thought_of_is_an_internal_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make_bundle(tmp_path / "bundle")

    def fail(*_: object) -> None:
        raise ZeroDivisionError("surprise")

    monkeypatch.setattr(loading, "warm", fail)
    state = load(Settings(model=str(tmp_path / "bundle"))).state
    assert state.failure is not None
    assert (state.failure.phase, state.failure.reason) == ("warming", "internal-error")
    assert state.failure.detail == "ZeroDivisionError: surprise"


def test_the_phase_gauge_has_exactly_one_phase(tmp_path: Path):
    make_bundle(tmp_path / "bundle")
    for settings, phase in ((Settings(model=str(tmp_path / "bundle")), "ready"), (Settings(), "failed")):
        telemetry = Telemetry("test")
        Loader(settings, telemetry).run()
        lines = telemetry.metrics.render().decode().splitlines()
        gauge = dict(line.split() for line in lines if line.startswith("podium_phase{"))
        assert len(gauge) == len(PHASES)
        assert [line for line, value in gauge.items() if value == "1.0"] == [f'podium_phase{{phase="{phase}"}}']


def test_a_stop_ends_the_start_between_two_phases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make_bundle(tmp_path / "bundle")
    entered, go_on = threading.Event(), threading.Event()

    def slow(*_: object) -> None:
        entered.set()
        go_on.wait(10)

    monkeypatch.setattr(loading, "warm", slow)
    loader = Loader(Settings(model=str(tmp_path / "bundle")), Telemetry("test"))
    loader.start()
    assert entered.wait(20)
    assert loader.state.phase == "warming"
    threading.Timer(0.05, go_on.set).start()
    loader.stop()
    assert loader.state.phase == "warming"
    assert loader.state.model is None


def test_the_process_settles_before_it_is_ready(tmp_path: Path):
    make_bundle(tmp_path / "bundle")
    seen: list[str] = []
    settings = Settings(model=str(tmp_path / "bundle"))
    loader = Loader(settings, Telemetry("test"), lambda: seen.append(loader.state.phase))
    loader.run()
    assert seen == ["replaying"]


def test_a_download_goes_to_the_folder_of_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    digest = make_bundle(tmp_path / "bundle").digest
    folders: list[tuple[Path, bool]] = []
    pins: list[str | None] = []

    def fetch(uri: str, into: Path, pin: str | None, _: Settings) -> Path:
        folders.append((into, into.is_dir()))
        pins.append(pin)
        return Path(uri)

    monkeypatch.setattr(loading, "fetch_model", fetch)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for folder in ("/models", None):
        settings = Settings(model=str(tmp_path / "bundle"), model_sha256=digest, model_folder=folder)
        assert load(settings).state.phase == "ready"
    assert pins == [digest, digest]
    assert folders[0] == (Path("/models"), False)
    temporary, was_there = folders[1]
    assert temporary.parent == tmp_path
    assert was_there
    assert not temporary.exists()


def test_a_local_model_needs_no_folder_to_write_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make_bundle(tmp_path / "bundle")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    assert load(Settings(model=str(tmp_path / "bundle"))).state.phase == "ready"


# A registry out of reach.


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "FIRST_RETRY_SECONDS", 0.02)
    monkeypatch.setattr(loading, "MOST_RETRY_SECONDS", 0.1)
    monkeypatch.setattr(bucket, "TRIES", 1)


def wait_for(what: Callable[[], object], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.usefixtures("soon")
def test_a_registry_that_comes_back_heals_the_start(tmp_path: Path):
    published = FolderRegistry(tmp_path / "registry").publish(source := make_source(tmp_path))
    (tmp_path / "registry").rename(tmp_path / "away")
    telemetry = Telemetry("test")
    loader = Loader(Settings(model=published.uri), telemetry)
    loader.start()
    wait_for(lambda: b'podium_load_retries_total{reason="registry-unavailable"} 3.0' in telemetry.metrics.render())
    state = loader.state
    assert state.phase == "downloading"
    assert state.failure is not None
    assert (state.failure.phase, state.failure.reason) == ("downloading", "registry-unavailable")
    assert "does not exist" in state.failure.detail
    assert state.retry_in is not None
    assert 0 <= state.retry_in <= 0.1
    (tmp_path / "away").rename(tmp_path / "registry")
    wait_for(lambda: loader.state.phase == "ready")
    assert (loader.state.failure, loader.state.retry_in) == (None, None)
    assert source.is_dir()


def test_a_stop_does_not_wait_for_the_next_try(tmp_path: Path):
    loader = Loader(Settings(model=f"{tmp_path}/registry/models/web/20240101-0123456789ab"), Telemetry("test"))
    loader.start()
    wait_for(lambda: loader.state.failure is not None)
    began = time.monotonic()
    loader.stop()
    assert time.monotonic() - began < 0.4
    assert not loader._thread.is_alive()


S3_FAULTS: dict[str, tuple[proxy.Fault, str]] = {
    "throttled": (proxy.error(503, "SlowDown"), "registry-unavailable"),
    "silent": (proxy.silence, "registry-unavailable"),
    "cut": (proxy.truncated, "registry-unavailable"),
    "internal error": (proxy.error(500, "InternalError"), "registry-unavailable"),
    "reset": (proxy.reset, "registry-unavailable"),
    "wrong credentials": (proxy.error(403, "InvalidAccessKeyId"), "registry-denied"),
    "no bucket": (proxy.error(404, "NoSuchBucket"), "registry-not-found"),
    "clock": (proxy.error(403, "RequestTimeTooSkewed"), "clock-skewed"),
}


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("fault", S3_FAULTS)
def test_a_start_from_s3_waits_through_a_fault_and_heals(tmp_path: Path, store: Store, fault: str):
    published = open_registry(store.uri).publish(make_source(tmp_path))
    what, reason = S3_FAULTS[fault]
    with proxy.proxied(store.endpoint) as between:
        between.fail(what)
        settings = Settings(
            model=published.uri,
            model_sha256=published.digest,
            model_folder=str(tmp_path / "models"),
            s3_endpoint=between.url,
            s3_timeout_seconds=1,
        )
        loader = Loader(settings, Telemetry("test"))
        loader.start()
        wait_for(lambda: loader.state.failure is not None)
        state = loader.state
        assert state.failure is not None
        assert (state.phase, state.failure.phase, state.failure.reason) == ("downloading", "downloading", reason)
        assert state.retry_in is not None
        between.fail(what, times=0)
        wait_for(lambda: loader.state.phase == "ready")
    assert loader.state.failure is None
    assert [path.name for path in (tmp_path / "models" / "tiny").iterdir()] == [published.version]


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (
            lambda store, key: store.write(f"{key}/model.ubj", flipped(store.read(f"{key}/model.ubj"))),
            "digest-mismatch",
        ),
        (lambda store, key: store.delete(f"{key}/manifest.json"), "model-not-found"),
        (lambda store, key: [store.delete(each) for each in store.listing()], "model-not-found"),
        (lambda store, key: store.write(f"{key}/manifest.json", b"{"), "manifest-invalid"),
    ],
)
def test_what_no_time_heals_fails_a_start_from_s3(
    tmp_path: Path, store: Store, damage: Callable[[Store, str], Any], reason: str
):
    published = open_registry(store.uri).publish(make_source(tmp_path))
    damage(store, f"models/tiny/{published.version}")
    state = load(Settings(model=published.uri, s3_endpoint=store.endpoint)).state
    assert state.failure is not None
    assert (state.phase, state.failure.phase, state.failure.reason) == ("failed", "downloading", reason)
    assert state.retry_in is None


def flipped(data: bytes) -> bytes:
    return bytes((*data[:-1], data[-1] ^ 1))


def make_source(tmp_path: Path) -> Path:
    make_bundle(tmp_path / "source")
    return tmp_path / "source"
