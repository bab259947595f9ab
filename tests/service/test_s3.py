"""What only a registry in S3 can get wrong; the suite that it shares with a folder is in test_registry."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from service import bucket, bundle
from service.bucket import BUNDLE
from service.errors import BundleMissing, DigestMismatch
from service.location import VersionExists
from service.manifest import Manifest
from service.registry import Registry, fetch_model, open_registry
from service.settings import Settings
from tests.engines.emulator import BUCKET, Store
from tests.engines.proxy import Handler, passing, proxied
from tests.service.bundles import make_bundle

KILLED = """
import os, signal, sys
from pathlib import Path
from service import bucket
from service.registry import open_registry
kill = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
put = bucket.Bucket.put
def killing(self, key, *a, **k):
    {moment}
bucket.Bucket.put = killing
bucket.UPLOAD_PART = 1 << 10
open_registry(sys.argv[1]).publish(Path(sys.argv[2]))
"""
MOMENTS = {
    "before a file": ("kill()", 0),
    "after the first file": ("put(self, key, *a, **k); kill()", 1),
    "before the last file": ("kill() if key.endswith('model.ubj') else None; return put(self, key, *a, **k)", 1),
    "before the manifest": ("kill() if key.endswith('manifest.json') else None; return put(self, key, *a, **k)", 2),
    "after the manifest": (
        "done = put(self, key, *a, **k); kill() if key.endswith('manifest.json') else None; return done",
        3,
    ),
    "in the middle of an upload": ("ordered = bucket.ordered; bucket.ordered = kill; put(self, key, *a, **k)", 0),
}


@pytest.fixture
def registry(store: Store) -> Registry:
    return open_registry(store.uri)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    make_bundle(tmp_path / "source")
    return tmp_path / "source"


def key(manifest: Manifest, file: str) -> str:
    return f"models/tiny/{manifest.version}/{file}"


@pytest.mark.parametrize("moment", MOMENTS)
def test_what_a_killed_publisher_leaves_is_listed_nowhere_and_completed_by_the_next(
    registry: Registry, store: Store, source: Path, tmp_path: Path, moment: str
) -> None:
    line, left = MOMENTS[moment]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED.format(moment=line), store.uri, source], timeout=60, check=False
    )
    assert killed.returncode == -9
    assert len(store.listing()) == left
    whole = moment == "after the manifest"
    assert len(registry.list()) == whole
    manifest = bundle.read_manifest(source)
    if 0 < left < 3:
        with pytest.raises(BundleMissing, match=r"no manifest\.json: it is being published, or that was stopped"):
            registry.manifest("tiny", manifest.version)
    assert registry.publish(source).existed is whole
    assert registry.fetch("tiny", manifest.version, tmp_path / "into")


@pytest.mark.parametrize("torn", [b"", b"torn", None])
def test_a_torn_file_without_a_manifest_is_healed(
    registry: Registry, store: Store, source: Path, torn: bytes | None
) -> None:
    # Nothing that publishes here leaves one; somebody who copies by hand may.
    manifest, whole = bundle.read_manifest(source), (source / bundle.MODEL).read_bytes()
    store.write(key(manifest, bundle.MODEL), bytes(len(whole)) if torn is None else torn)
    assert not registry.publish(source).existed
    assert [entry.problem for entry in registry.list()] == [None]
    assert store.read(key(manifest, bundle.MODEL)) == whole


def test_a_file_of_another_bundle_is_refused_naming_both(registry: Registry, store: Store, source: Path) -> None:
    manifest, other = bundle.read_manifest(source), "sha256:" + "1" * 64
    where = {"Bucket": BUCKET, "Key": f"{store.prefix}/{key(manifest, bundle.MODEL)}"}
    store.client.put_object(**where, Body=b"other", Metadata={BUNDLE: other})
    with pytest.raises(VersionExists, match="a version never changes") as refused:
        registry.publish(source)
    assert other in str(refused.value)
    assert manifest.digest in str(refused.value)
    assert store.read(key(manifest, bundle.MODEL)) == b"other"
    assert registry.list() == []


def test_a_stray_object_is_refused_before_the_version_is_there(registry: Registry, store: Store, source: Path) -> None:
    manifest = bundle.read_manifest(source)
    store.write(key(manifest, "stray.txt"), b"x")
    with pytest.raises(VersionExists, match=r"stray\.txt lies in s3://.* delete it there"):
        registry.publish(source)
    assert registry.list() == []
    store.delete(key(manifest, "stray.txt"))
    assert not registry.publish(source).existed


def test_the_list_survives_what_does_not_belong_there(registry: Registry, store: Store, source: Path) -> None:
    version = registry.publish(source).version
    for name in (
        "models/",
        "models/README.txt",
        "models/tiny/",
        f"models/tiny/{version}/",
        "models/tiny/file",
        "a/b/c",
    ):
        store.write(name, b"")
    store.write("models/Upper/V1/manifest.json", b"{}")
    store.write("models/tiny/half/model.ubj", b"x")
    store.write("models/tiny/odd/manifest.json", b"{}")
    found = {f"{entry.name}/{entry.version}": entry.problem is None for entry in registry.list()}
    assert found == {f"tiny/{version}": True, "tiny/odd": False, "Upper/V1": False}
    assert [entry.version for entry in registry.list("tiny")] == ["odd", version]
    assert registry.newest().version == version


def test_more_objects_than_a_page_are_listed(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "PAGE", 2)
    for number in range(3):
        make_bundle(tmp_path / str(number), seed=number)
        registry.publish(tmp_path / str(number))
    assert [entry.problem for entry in registry.list()] == [None] * 3


def test_a_model_in_s3_is_fetched_by_its_address(store: Store, source: Path, tmp_path: Path) -> None:
    published = open_registry(f"{store.uri}/").publish(source)
    manifest = bundle.read_manifest(source)
    assert published.uri == f"{store.uri}/models/tiny/{manifest.version}"
    settings = Settings(s3_endpoint=store.endpoint)
    folder = fetch_model(published.uri, tmp_path / "into", manifest.digest, settings)
    assert folder == tmp_path / "into" / "tiny" / manifest.version
    assert bundle.verify(folder) == manifest


def test_files_come_while_the_list_that_checks_them_is_waited_for(store: Store, source: Path, tmp_path: Path) -> None:
    version = open_registry(store.uri).publish(source).version
    asked, waited = threading.Event(), list[bool]()

    def model(handler: Handler, body: bytes) -> None:
        asked.set()
        passing(handler, body)

    def late(handler: Handler, body: bytes) -> None:
        waited.append(asked.wait(5))
        passing(handler, body)

    with proxied(store.endpoint) as proxy:
        proxy.faults = [(re.compile(r"model\.ubj"), 1, model), (re.compile("list-type"), 1, late)]
        registry = open_registry(store.uri, Settings(s3_endpoint=proxy.url))
        assert registry.fetch("tiny", version, tmp_path / "into")
        assert waited == [True]
        # What the list says of them ends a fetch that would only be tried again in vain.
        store.delete(f"models/tiny/{version}/model.ubj")
        proxy.seen.clear()
        with pytest.raises(DigestMismatch, match=r"model\.ubj is listed in the manifest and not there"):
            registry.fetch("tiny", version, tmp_path / "again")
        assert sum("model.ubj" in each for each in proxy.seen) == 1
        assert not (tmp_path / "again" / "tiny").exists()


def test_a_bucket_without_a_prefix_is_a_registry(store: Store, source: Path) -> None:
    name = f"podium-{store.prefix[-8:]}"
    store.client.create_bucket(Bucket=name)
    published = open_registry(f"s3://{name}").publish(source)
    assert published.uri == f"s3://{name}/models/tiny/{published.version}"
    assert len(open_registry(f"s3://{name}/").list()) == 1


def test_boto3_is_imported_for_s3_alone(source: Path) -> None:
    script = (
        "import sys; from pathlib import Path; import service.loading, service.commands; from service import registry\n"
        "registry.fetch_model(sys.argv[1], Path('/nowhere')); registry.parse_model_uri('s3://bucket/models/a/1')\n"
        "assert not {'boto3', 'botocore', 'urllib3'} & set(sys.modules)\n"
        "registry.open_registry('s3://bucket'); assert 'boto3' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script, source], check=True, timeout=60)
