from __future__ import annotations

from pathlib import Path

import pytest

from service import bundle
from service.bucket import Bucket
from service.errors import DigestMismatch
from service.location import ModelNotFound
from service.registry import open_registry
from service.settings import Settings
from tests.bench.download import REFERENCE, measure
from tests.bench.fileserver import serving
from tests.engines.emulator import BUCKET, Store
from tests.service.bundles import make_bundle


@pytest.mark.usefixtures("store")
def test_every_row_is_measured_in_every_round(tmp_path: Path) -> None:
    seconds = measure(tmp_path, 2, 20_000)
    assert len(seconds) == 8
    assert list(seconds)[1] == REFERENCE
    assert all(len(each) == 2 and min(each) > 0 for each in seconds.values())


def test_the_file_server_says_of_a_bundle_what_s3_does(store: Store, tmp_path: Path) -> None:
    manifest = make_bundle(tmp_path / "source")
    open_registry(store.uri).publish(tmp_path / "source")
    prefix = f"{store.prefix}/models/tiny/{manifest.version}/"
    folder = tmp_path / "served" / "bucket" / prefix
    folder.parent.mkdir(parents=True)
    (tmp_path / "source").rename(folder)
    with serving(tmp_path / "served") as endpoint:
        served, stored = (
            Bucket("bucket", Settings(s3_endpoint=endpoint)),
            Bucket(BUCKET, Settings(s3_endpoint=store.endpoint)),
        )
        assert {name: each.size for name, each in served.list(prefix).items()} == {
            name: each.size for name, each in stored.list(prefix).items()
        }
        assert list(served.read(f"{prefix}golden.jsonl", 5, 50)) == list(stored.read(f"{prefix}golden.jsonl", 5, 50))
        registry = open_registry(f"s3://bucket/{store.prefix}", Settings(s3_endpoint=endpoint))
        assert bundle.verify(registry.fetch("tiny", manifest.version, tmp_path / "into")) == manifest
        with pytest.raises(ModelNotFound):
            registry.manifest("tiny", "none")
        (folder / bundle.MODEL).write_bytes(bytes(10))
        with pytest.raises(DigestMismatch):
            registry.fetch("tiny", manifest.version, tmp_path / "again")
