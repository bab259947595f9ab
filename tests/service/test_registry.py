"""One suite for every kind of registry (`Backend`), and what only a folder can get wrong."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import bundle
from service.errors import BundleError, BundleMissing, DigestMismatch, ManifestInvalid
from service.manifest import Manifest
from service.registry import (
    BadUri,
    FetchFailed,
    FolderRegistry,
    ModelNotFound,
    Registry,
    RegistryUnavailable,
    VersionExists,
    fetch_model,
    manifest_of,
    open_registry,
    parse_model_uri,
)
from service.staging import STAGING
from service.transfer import verify_folder
from tests.engines.emulator import Store
from tests.service.bundles import make_bundle


class Backend(Protocol):
    """A registry, and a way to its stored bytes behind its back. `key`: models/<name>/<version>/<file>.

    `lenient`: script lines that make a publisher take a forged manifest. `torn_is_listed`: whether files without a
    manifest are shown as a broken version, which they are where every publisher works aside until all is there.
    """

    registry: Registry
    lenient: str
    torn_is_listed: bool

    def read(self, key: str) -> bytes: ...
    def write(self, key: str, data: bytes) -> None: ...
    def delete(self, key: str) -> None: ...


class FolderBackend:
    lenient = "registry.verify_folder = registry.sound_manifest = lenient"
    torn_is_listed = True

    def __init__(self, tmp_path: Path) -> None:
        self.root = tmp_path / "registry"
        self.registry: Registry = open_registry(self.root.as_uri())

    def read(self, key: str) -> bytes:
        return (self.root / key).read_bytes()

    def write(self, key: str, data: bytes) -> None:
        (self.root / key).parent.mkdir(parents=True, exist_ok=True)
        (self.root / key).write_bytes(data)

    def delete(self, key: str) -> None:
        (self.root / key).unlink()


class S3Backend:
    lenient = "from service import s3; s3.verify_folder = lenient; s3.sound_bytes = Manifest.from_json"
    torn_is_listed = False

    def __init__(self, store: Store) -> None:
        self.registry: Registry = open_registry(store.uri)
        self.read, self.write, self.delete = store.read, store.write, store.delete


BACKENDS: dict[str, Callable[[pytest.FixtureRequest], Backend]] = {
    "folder": lambda request: FolderBackend(request.getfixturevalue("tmp_path")),
    "s3": lambda request: S3Backend(request.getfixturevalue("store")),
}


@pytest.fixture(params=sorted(BACKENDS))
def backend(request: pytest.FixtureRequest) -> Backend:
    return BACKENDS[request.param](request)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    make_bundle(tmp_path / "source")
    return tmp_path / "source"


@pytest.fixture
def tiny(backend: Backend, source: Path) -> Manifest:
    """A published model."""
    backend.registry.publish(source)
    return bundle.read_manifest(source)


def key(manifest: Manifest, file: str) -> str:
    return f"models/{manifest.name}/{manifest.version}/{file}"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def relabelled(source: Path, target: Path, **changes: Any) -> Path:
    """A copy whose manifest says something else than its digest covers."""
    shutil.copytree(source, target)
    manifest = replace(bundle.read_manifest(source), **changes)
    (target / bundle.MANIFEST).write_bytes(manifest.to_json())
    return target


# The suite.


def test_publish_list_show_fetch(backend: Backend, source: Path, tmp_path: Path) -> None:
    registry = backend.registry
    published = registry.publish(source)
    manifest = bundle.read_manifest(source)
    assert (published.version, published.digest, published.existed) == (manifest.version, manifest.digest, False)
    assert published.uri == f"{registry.uri}/models/tiny/{manifest.version}"

    (entry,) = registry.list()
    assert (entry.name, entry.version, entry.uri) == ("tiny", manifest.version, published.uri)
    assert (entry.manifest, entry.problem) == (manifest, None)
    assert entry.size == sum(len((source / name).read_bytes()) for name in manifest.files)
    assert abs(entry.published / 1e9 - time.time()) < 60
    assert registry.manifest("tiny", manifest.version) == manifest

    fetched = registry.fetch("tiny", manifest.version, tmp_path / "into", manifest.digest)
    assert fetched == tmp_path / "into" / "tiny" / manifest.version
    assert contents(fetched) == contents(source)


def test_the_same_content_again_is_a_success_that_writes_nothing(backend: Backend, source: Path) -> None:
    backend.registry.publish(source)
    before = backend.registry.list()
    assert backend.registry.publish(source).existed
    assert backend.registry.list() == before


def test_other_content_under_a_version_is_refused_naming_both_digests(
    backend: Backend, tiny: Manifest, source: Path, tmp_path: Path
) -> None:
    other = make_bundle(tmp_path / "other", seed=1)
    for name in (*tiny.files, bundle.MANIFEST):
        backend.write(key(tiny, name), (tmp_path / "other" / name).read_bytes())
    backend.write(key(tiny, bundle.MANIFEST), replace(other, version=tiny.version).to_json())
    with pytest.raises(VersionExists, match=tiny.digest) as refused:
        backend.registry.publish(source)
    assert other.version in str(refused.value)
    assert refused.value.exit_code == 4
    assert backend.read(key(tiny, bundle.MODEL)) == (tmp_path / "other" / bundle.MODEL).read_bytes()


def test_a_damaged_version_is_not_taken_for_the_same(backend: Backend, tiny: Manifest, source: Path) -> None:
    backend.write(key(tiny, bundle.MODEL), flipped(backend.read(key(tiny, bundle.MODEL)), 100, 1))
    with pytest.raises(VersionExists, match="damaged"):
        backend.registry.publish(source)


def test_versions_are_listed_last_published_first(backend: Backend, tmp_path: Path) -> None:
    published: list[str] = []
    for number, name in enumerate(["b", "a", "b"]):
        make_bundle(tmp_path / str(number), name, seed=number)
        published.append(backend.registry.publish(tmp_path / str(number)).uri)
    assert [entry.uri for entry in backend.registry.list()] == [published[1], published[2], published[0]]
    assert [entry.uri for entry in backend.registry.list("b")] == [published[2], published[0]]
    assert backend.registry.newest().uri == published[2]
    assert backend.registry.newest("a").uri == published[1]
    assert backend.registry.list("nobody") == []


def test_newest_passes_over_broken_versions(backend: Backend, tmp_path: Path) -> None:
    sound = make_bundle(tmp_path / "sound")
    broken = make_bundle(tmp_path / "broken", seed=1)
    backend.registry.publish(tmp_path / "sound")
    backend.registry.publish(tmp_path / "broken")
    backend.delete(key(broken, bundle.MODEL))
    assert backend.registry.newest().version == sound.version
    backend.delete(key(sound, bundle.MODEL))
    with pytest.raises(ModelNotFound, match="no sound version of tiny"):
        backend.registry.newest("tiny")


DAMAGES: dict[str, Callable[[Backend, Manifest], None]] = {
    "truncated": lambda b, m: b.write(key(m, bundle.MODEL), b.read(key(m, bundle.MODEL))[:-1]),
    "longer": lambda b, m: b.write(key(m, bundle.MODEL), b.read(key(m, bundle.MODEL)) + b"\0"),
    "empty": lambda b, m: b.write(key(m, bundle.GOLDEN), b""),
    "missing": lambda b, m: b.delete(key(m, bundle.GOLDEN)),
    "unlisted": lambda b, m: b.write(key(m, "more.bin"), b"x"),
    "no manifest": lambda b, m: b.delete(key(m, bundle.MANIFEST)),
    "manifest cut": lambda b, m: b.write(key(m, bundle.MANIFEST), b.read(key(m, bundle.MANIFEST))[:100]),
    "manifest empty": lambda b, m: b.write(key(m, bundle.MANIFEST), b""),
    "manifest no object": lambda b, m: b.write(key(m, bundle.MANIFEST), b"[]"),
    "another version": lambda b, m: lie(b, m, version="20200101-0123456789ab"),
    "another name": lambda b, m: lie(b, m, name="other"),
    "another date": lambda b, m: lie(b, m, version=f"20200101{m.version[8:]}"),
    "another digest": lambda b, m: lie(b, m, digest="sha256:" + "0" * 64),
    "another size": lambda b, m: lie(b, m, files={**m.files, bundle.MODEL: replace(m.files[bundle.MODEL], size=1)}),
    "another hash": lambda b, m: lie(
        b, m, files={**m.files, bundle.MODEL: replace(m.files[bundle.MODEL], sha256="0" * 64)}
    ),
    "better metrics": lambda b, m: lie(b, m, metrics={"ndcg@10": 0.99}),
    "not a number": lambda b, m: rewrite(b, m, b'"metrics": {}', b'"metrics": {"ndcg@10": NaN}'),
    "infinite": lambda b, m: rewrite(b, m, b'"metrics": {}', b'"metrics": {"ndcg@10": 1e999}'),
    "a file above": lambda b, m: rewrite(b, m, b'"model.ubj"', b'"../model.ubj"'),
    "an absolute file": lambda b, m: rewrite(b, m, b'"model.ubj"', b'"/etc/passwd"'),
    "a file with NUL": lambda b, m: rewrite(b, m, b'"model.ubj"', b'"model\\u0000.ubj"'),
    "a hidden file": lambda b, m: rewrite(b, m, b'"model.ubj"', b'".model.ubj"'),
    "itself as a file": lambda b, m: rewrite(b, m, b'"model.ubj"', b'"manifest.json"'),
}


def lie(backend: Backend, manifest: Manifest, **changes: Any) -> None:
    backend.write(key(manifest, bundle.MANIFEST), replace(manifest, **changes).to_json())


def rewrite(backend: Backend, manifest: Manifest, old: bytes, new: bytes) -> None:
    text = backend.read(key(manifest, bundle.MANIFEST))
    assert old in text
    backend.write(key(manifest, bundle.MANIFEST), text.replace(old, new))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_version_is_listed_with_its_problem_and_never_fetched(
    backend: Backend, tiny: Manifest, tmp_path: Path, damage: str
) -> None:
    DAMAGES[damage](backend, tiny)
    if damage == "no manifest" and not backend.torn_is_listed:
        assert backend.registry.list() == []
    else:
        (entry,) = backend.registry.list()
        assert (entry.name, entry.version, entry.manifest) == ("tiny", tiny.version, None)
        assert entry.problem
    with pytest.raises(BundleError):
        backend.registry.fetch("tiny", tiny.version, tmp_path / "into")
    assert contents(tmp_path / "into") == {}


def test_equal_content_in_another_spelling_of_the_manifest_is_refused(
    backend: Backend, tiny: Manifest, tmp_path: Path
) -> None:
    rewrite(backend, tiny, b"\n ", b"\n\t")
    with pytest.raises(ManifestInvalid, match="spelled"):
        backend.registry.fetch("tiny", tiny.version, tmp_path / "into")


@pytest.mark.parametrize(
    "name", ["..", ".", "", "/", "/etc", "../tiny", "tiny/..", "Tiny", "t\0", "t\n", "-t", "t ", "é", "t" * 64, "a..b"]
)
def test_what_is_no_name_reaches_no_path(backend: Backend, tiny: Manifest, tmp_path: Path, name: str) -> None:
    registry, version = backend.registry, tiny.version
    attempts: list[Callable[[], object]] = [
        lambda: registry.list(name),
        lambda: registry.newest(name),
        lambda: registry.manifest(name, version),
        lambda: registry.manifest("tiny", name),
        lambda: registry.fetch(name, version, tmp_path / "into"),
        lambda: registry.fetch("tiny", name, tmp_path / "into"),
    ]
    for attempt in attempts:
        with pytest.raises(BadUri) as refused:
            attempt()
        assert refused.value.exit_code == 2


@pytest.mark.parametrize("name", ["..", "/etc", "Tiny", "t\0", ""])
def test_a_bundle_with_an_odd_name_is_not_published(backend: Backend, source: Path, tmp_path: Path, name: str) -> None:
    backend.registry.publish(source)
    for field in ("name", "version"):
        odd = relabelled(source, tmp_path / field, **{field: name})
        with pytest.raises(ManifestInvalid, match=field):
            backend.registry.publish(odd)
    assert len(backend.registry.list()) == 1


def test_a_bundle_that_lies_is_not_published(backend: Backend, source: Path, tmp_path: Path) -> None:
    good = tmp_path / "good"
    make_bundle(good, "good")
    backend.registry.publish(good)
    broken = shutil.copytree(source, tmp_path / "broken")
    (broken / bundle.MODEL).write_bytes(flipped((source / bundle.MODEL).read_bytes(), 7, 64))
    with pytest.raises(DigestMismatch, match=bundle.MODEL):
        backend.registry.publish(broken)
    extra = shutil.copytree(source, tmp_path / "extra")
    (extra / "notes.txt").write_text("not listed")
    with pytest.raises(DigestMismatch, match=r"notes\.txt"):
        backend.registry.publish(extra)
    linked = shutil.copytree(source, tmp_path / "linked")
    (linked / bundle.MODEL).unlink()
    (linked / bundle.MODEL).symlink_to(source / bundle.MODEL)
    with pytest.raises(DigestMismatch, match="plain file"):
        backend.registry.publish(linked)
    for missing in (tmp_path / "nowhere", good / bundle.MODEL):
        with pytest.raises(BundleMissing):
            backend.registry.publish(missing)
    assert [entry.name for entry in backend.registry.list()] == ["good"]


def test_what_is_not_there_is_said(backend: Backend, tiny: Manifest, tmp_path: Path) -> None:
    for name, version in (("tiny", "20200101-0123456789ab"), ("other", tiny.version)):
        with pytest.raises(ModelNotFound, match=f"{name}/{version}"):
            backend.registry.manifest(name, version)
        with pytest.raises(ModelNotFound):
            backend.registry.fetch(name, version, tmp_path / "into")


def test_a_pinned_digest_is_kept(backend: Backend, tiny: Manifest, tmp_path: Path) -> None:
    with pytest.raises(DigestMismatch, match="pinned"):
        backend.registry.fetch("tiny", tiny.version, tmp_path / "into", "sha256:" + "0" * 64)
    assert not (tmp_path / "into").exists()
    assert backend.registry.fetch("tiny", tiny.version, tmp_path / "into", tiny.digest.removeprefix("sha256:"))


def test_a_whole_copy_is_reused_and_a_damaged_one_replaced(backend: Backend, tiny: Manifest, tmp_path: Path) -> None:
    folder = backend.registry.fetch("tiny", tiny.version, tmp_path / "into")
    before = (folder / bundle.MODEL).stat()
    assert backend.registry.fetch("tiny", tiny.version, tmp_path / "into") == folder
    after = (folder / bundle.MODEL).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    (folder / bundle.MODEL).write_bytes(b"torn")
    (folder / "leftover").write_bytes(b"x")
    backend.registry.fetch("tiny", tiny.version, tmp_path / "into")
    assert verify_folder(folder) == tiny
    assert list((tmp_path / "into" / STAGING).iterdir()) == []


def test_a_target_that_cannot_be_written_is_named(backend: Backend, tiny: Manifest, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for into in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nowhere")):
        with pytest.raises(FetchFailed, match=str(into)):
            backend.registry.fetch("tiny", tiny.version, into)
    (tmp_path / "into" / "tiny").mkdir(parents=True)
    (tmp_path / "into" / "tiny" / tiny.version).write_text("in the way")
    with pytest.raises(FetchFailed, match="not a folder"):
        backend.registry.fetch("tiny", tiny.version, tmp_path / "into")


# Several processes. Each script gets the registry's URI and folders, says `ready`, and waits for a line.

PUBLISH = """
import sys
from pathlib import Path
from service import bundle, registry
from service.manifest import Manifest
{patch}
print("ready", flush=True)
sys.stdin.readline()
try:
    print(registry.open_registry(sys.argv[1]).publish(Path(sys.argv[2])))
except Exception as error:
    print(type(error).__name__, error)
"""
# As if two contents had digests with the same first twelve digits: only then can they want one version.
LENIENT = """
def lenient(folder, expected=None):
    manifest = bundle.read_manifest(folder)
    for name, entry in manifest.files.items():
        bundle.verify_file(folder / name, entry)
    return manifest
"""


def start(script: str, *arguments: str | Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def finish(processes: list[subprocess.Popen[str]]) -> list[str]:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [process.communicate(timeout=60)[0] for process in processes]


def test_publishers_of_the_same_at_once_all_succeed_and_one_writes(backend: Backend, source: Path) -> None:
    script = PUBLISH.format(patch="")
    said = finish([start(script, backend.registry.uri, source) for _ in range(4)])
    assert sum("existed=False" in text for text in said) == 1, said
    assert sum("existed=True" in text for text in said) == 3, said
    (entry,) = backend.registry.list()
    assert entry.problem is None


def test_publishers_of_different_content_at_once_leave_one_whole(
    backend: Backend, source: Path, tmp_path: Path
) -> None:
    mine = bundle.read_manifest(source)
    make_bundle(tmp_path / "other", seed=1)
    other = relabelled(tmp_path / "other", tmp_path / "forged", version=mine.version)
    script = PUBLISH.format(patch=LENIENT + backend.lenient)
    said = finish([start(script, backend.registry.uri, folder) for folder in (source, other, source, other)])
    assert sum("existed=False" in text for text in said) == 1, said
    assert sum("existed=True" in text for text in said) == 1, said
    refused = [text for text in said if text.startswith("VersionExists")]
    assert len(refused) == 2, said
    assert all(mine.digest in text and bundle.read_manifest(other).digest in text for text in refused)
    stored = {name: backend.read(key(mine, name)) for name in (*mine.files, bundle.MANIFEST)}
    assert stored in (contents(source), contents(other))


# What only a folder can get wrong.

KILLED_AT = {
    "start": "registry.copy_bundle = kill",
    "a file": "from service import transfer; transfer.shutil.copyfileobj = kill",
    "verify": "registry.copy_bundle = lambda *a: setattr(registry, 'verify_folder', kill) or copy(*a)",
    "rename": "registry.place = kill",
}


@pytest.mark.parametrize("moment", KILLED_AT)
def test_a_killed_publisher_leaves_nothing_listed_and_its_staging_is_swept(
    tmp_path: Path, source: Path, moment: str
) -> None:
    patch = (
        f"import os, signal\nkill = lambda *a: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"copy = registry.copy_bundle\n{KILLED_AT[moment]}"
    )
    backend = FolderBackend(tmp_path)
    process = start(PUBLISH.format(patch=patch), backend.registry.uri, source)
    assert finish([process]) == [""]
    assert process.returncode == -9
    assert backend.registry.list() == []
    assert len(list((backend.root / STAGING).iterdir())) == 1
    assert not backend.registry.publish(source).existed
    assert list((backend.root / STAGING).iterdir()) == []
    assert len(backend.registry.list()) == 1


def test_a_slow_publisher_is_not_swept_by_another(tmp_path: Path, source: Path) -> None:
    patch = (
        "place = registry.place\n"
        "def slow(*a):\n    print('placing', flush=True); sys.stdin.readline(); return place(*a)\n"
        "registry.place = slow"
    )
    backend = FolderBackend(tmp_path)
    process = start(PUBLISH.format(patch=patch), backend.registry.uri, source)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    assert process.stdout.readline() == "placing\n"
    make_bundle(tmp_path / "other", "other")
    backend.registry.publish(tmp_path / "other")
    assert "existed=False" in finish([process])[0]
    assert [entry.problem for entry in backend.registry.list()] == [None, None]


@pytest.mark.parametrize("limit", [100, 5400, 8000])
def test_a_full_disk_leaves_nothing_half_made(tmp_path: Path, source: Path, limit: int) -> None:
    # A limit on file size fails a write half-way, as a full disk does.
    patch = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))"
    backend = FolderBackend(tmp_path)
    (said,) = finish([start(PUBLISH.format(patch=patch), backend.registry.uri, source)])
    assert said.startswith("RegistryUnavailable cannot write registry file:///")
    assert "File too large" in said
    assert contents(backend.root) == {}
    assert backend.registry.list() == []


@pytest.mark.parametrize("where", ["", "models", "models/tiny", STAGING])
def test_a_file_where_a_folder_should_be_is_named(tmp_path: Path, source: Path, where: str) -> None:
    root = tmp_path / "registry"
    (root / where).parent.mkdir(parents=True, exist_ok=True)
    (root / where).write_text("in the way")
    registry = FolderRegistry(root)
    with pytest.raises(RegistryUnavailable, match="nothing half-made") as refused:
        registry.publish(source)
    assert str(root / where) in str(refused.value)
    assert refused.value.exit_code == 5
    assert [path for path in contents(tmp_path / "registry") if path.endswith(bundle.MODEL)] == []


def test_a_registry_that_is_not_there_is_named(tmp_path: Path, source: Path) -> None:
    registry = FolderRegistry(tmp_path / "nowhere")
    attempts: list[Callable[[], object]] = [
        registry.list,
        registry.newest,
        lambda: registry.manifest("tiny", "20200101-0123456789ab"),
        lambda: registry.fetch("tiny", "20200101-0123456789ab", tmp_path / "into"),
    ]
    for attempt in attempts:
        with pytest.raises(RegistryUnavailable, match="does not exist"):
            attempt()
    with pytest.raises(RegistryUnavailable, match="cannot write"):
        FolderRegistry(Path("/proc/nowhere")).publish(source)


@pytest.mark.parametrize("where", [STAGING, "models", "models/tiny", "models/tiny/{version}"])
def test_a_link_out_of_the_registry_is_not_followed(tmp_path: Path, source: Path, where: str) -> None:
    backend = FolderBackend(tmp_path)
    manifest = bundle.read_manifest(source)
    outside = tmp_path / "outside"
    shutil.copytree(source, outside / "tiny" / manifest.version)
    link = backend.root / where.format(version=manifest.version)
    link.parent.mkdir(parents=True, exist_ok=True)
    target = {"models/tiny": "tiny", "models/tiny/{version}": f"tiny/{manifest.version}"}.get(where, "")
    link.symlink_to(outside / target)
    before = contents(outside)
    refusals = (RegistryUnavailable, VersionExists, BundleMissing)
    with pytest.raises(refusals, match="link"):
        backend.registry.publish(source)
    with pytest.raises(refusals, match="link"):
        backend.registry.manifest("tiny", manifest.version)
    with pytest.raises(refusals, match="link"):
        backend.registry.fetch("tiny", manifest.version, tmp_path / "into")
    assert contents(outside) == before


def test_the_root_itself_may_be_a_link(tmp_path: Path, source: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "registry").symlink_to(tmp_path / "disk")
    published = FolderBackend(tmp_path).registry.publish(source)
    assert manifest_of(parse_model_uri(published.uri)).digest == published.digest


def test_the_list_survives_what_does_not_belong_there(tmp_path: Path, source: Path) -> None:
    backend = FolderBackend(tmp_path)
    backend.registry.publish(source)
    models = backend.root / "models"
    (models / ".DS_Store").write_bytes(b"x")
    (models / "README.txt").write_bytes(b"x")
    (models / "Upper" / "V1").mkdir(parents=True)
    (models / "linked").symlink_to(tmp_path)
    (models / "dangling").symlink_to(tmp_path / "nowhere")
    (models / "tiny" / "empty").mkdir()
    (models / "tiny" / "file").write_bytes(b"x")
    (models / "tiny" / "piped").mkdir()
    os.mkfifo(models / "tiny" / "piped" / bundle.MANIFEST)
    (models / "tiny" / "folder" / bundle.MANIFEST).mkdir(parents=True)
    entries = backend.registry.list()
    sound = [entry for entry in entries if entry.problem is None]
    assert [entry.name for entry in sound] == ["tiny"]
    listed = {f"{entry.name}/{entry.version}".rstrip("/") for entry in entries} - {f"tiny/{sound[0].version}"}
    odd = ["empty", "file", "piped", "folder"]
    assert listed == {"README.txt", "Upper/V1", "linked", "dangling", *(f"tiny/{name}" for name in odd)}
    assert backend.registry.newest().version == sound[0].version


def test_published_files_follow_the_umask(tmp_path: Path, source: Path) -> None:
    backend = FolderBackend(tmp_path)
    backend.registry.publish(source)
    folder = Path(parse_model_uri(backend.registry.newest().uri).uri.removeprefix("file://"))
    umask = os.umask(0)
    os.umask(umask)
    assert folder.stat().st_mode & 0o777 == 0o777 & ~umask
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o666 & ~umask}


# A model's address, opened.


def test_a_local_model_is_served_from_where_it_lies(tmp_path: Path, source: Path) -> None:
    published = FolderBackend(tmp_path).registry.publish(source)
    into = tmp_path / "into"
    assert fetch_model(published.uri, into).as_uri() == published.uri
    assert fetch_model(source.as_uri(), into) == source
    assert fetch_model(str(source), into) == source
    assert not into.exists()


def test_a_model_that_is_not_there_is_refused(tmp_path: Path, source: Path) -> None:
    published = FolderBackend(tmp_path).registry.publish(source)
    cases: list[tuple[str, type[Exception]]] = [
        (f"{published.uri}0", ModelNotFound),
        (published.uri.replace("/registry/", "/nowhere/"), RegistryUnavailable),
        ((tmp_path / "nowhere").as_uri(), BundleMissing),
        (tmp_path.as_uri(), BundleMissing),
        ("s3://Bucket/models/tiny/1", BadUri),
    ]
    for uri, error in cases:
        with pytest.raises(error):
            fetch_model(uri, tmp_path / "into")
    with pytest.raises(BundleMissing):
        manifest_of(parse_model_uri(tmp_path.as_uri()))


def test_a_version_moved_to_another_place_is_refused(tmp_path: Path, source: Path) -> None:
    backend = FolderBackend(tmp_path)
    published = backend.registry.publish(source)
    shutil.copytree(source, backend.root / "models" / "other" / published.version)
    with pytest.raises(ManifestInvalid, match="moved"):
        fetch_model(published.uri.replace("tiny", "other"), tmp_path / "into")


# One changed byte.


def flipped(data: bytes, position: int, mask: int) -> bytes:
    changed = bytearray(data)
    changed[position % len(data)] ^= mask
    return bytes(changed)


@pytest.fixture(scope="module")
def sacrifice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flip") / "bundle"
    make_bundle(folder, metrics={"ndcg@10": 1.0, "interval": [0.25, 0.5]}, data={"rows": 120})
    return folder


@given(
    file=st.sampled_from([bundle.MANIFEST, bundle.MODEL, bundle.GOLDEN]),
    position=st.integers(0, 1 << 20),
    mask=st.integers(1, 255),
)
def test_a_flipped_byte_anywhere_is_refused(sacrifice: Path, file: str, position: int, mask: int) -> None:
    whole = (sacrifice / file).read_bytes()
    (sacrifice / file).write_bytes(flipped(whole, position, mask))
    try:
        with pytest.raises(BundleError):
            verify_folder(sacrifice)
    finally:
        (sacrifice / file).write_bytes(whole)


@pytest.mark.parametrize("mask", [0x01, 0x29, 0x4B])
def test_every_byte_of_the_manifest_counts(sacrifice: Path, mask: int) -> None:
    # 0x29 makes a tab of a blank, 0x4b an exponent of a point: JSON that says the same.
    path = sacrifice / bundle.MANIFEST
    whole = path.read_bytes()
    try:
        for position in range(len(whole)):
            path.write_bytes(flipped(whole, position, mask))
            with pytest.raises(BundleError):
                verify_folder(sacrifice)
    finally:
        path.write_bytes(whole)
