"""Against a real store: what conditions on writes do, in one put and in parts."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from service import bucket as module
from service.bucket import BUNDLE, Bucket
from service.errors import DigestMismatch
from service.faults import status
from service.location import RegistryUnavailable
from service.manifest import FileEntry
from service.settings import Settings
from tests.engines.emulator import BUCKET, Store
from tests.engines.proxy import Proxy, done_and_lost, error, proxied, reset

SMALL = b"small"
LARGE = random.Random(3).randbytes((11 << 20) + 7)


@pytest.fixture
def proxy(store: Store, monkeypatch: pytest.MonkeyPatch) -> Generator[Proxy]:
    # The smallest parts that S3 takes.
    monkeypatch.setattr(module, "UPLOAD_PART", 5 << 20)
    monkeypatch.setattr(module, "FIRST_DELAY", 0.01)
    with proxied(store.endpoint) as running:
        yield running


@pytest.fixture
def bucket(proxy: Proxy) -> Bucket:
    return Bucket(BUCKET, Settings(s3_endpoint=proxy.url))


Put = Callable[..., bool]


@pytest.fixture
def put(bucket: Bucket, store: Store, tmp_path: Path) -> Put:
    def put(data: bytes, replacing: str | None = None, entry: FileEntry | None = None) -> bool:
        (tmp_path / "file").write_bytes(data)
        return bucket.put(
            f"{store.prefix}/key", tmp_path / "file", entry or FileEntry.of(data), "sha256:mine", replacing
        )

    return put


def uploads(store: Store) -> list[Any]:
    found = store.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
    return [each for each in found if each["Key"].startswith(store.prefix)]


@pytest.mark.parametrize("large", [False, True])
def test_the_store_itself_refuses_a_second_put(store: Store, large: bool) -> None:
    # What all else stands on: a store that ignores the condition would fail here, and not look like a success.
    where = {"Bucket": BUCKET, "Key": f"{store.prefix}/key"}
    store.write("key", b"first")
    with pytest.raises(ClientError) as refused:
        if large:
            upload = {**where, "UploadId": store.client.create_multipart_upload(**where)["UploadId"]}
            tag = store.client.upload_part(**upload, PartNumber=1, Body=b"second")["ETag"]
            parts = {"Parts": [{"PartNumber": 1, "ETag": tag}]}
            store.client.complete_multipart_upload(**upload, MultipartUpload=parts, IfNoneMatch="*")
        else:
            store.client.put_object(**where, Body=b"second", IfNoneMatch="*")
    assert status(refused.value) == 412
    assert store.read("key") == b"first"


@pytest.mark.parametrize("data", [b"", SMALL, LARGE], ids=["empty", "small", "large"])
def test_a_put_stores_once_and_says_so(bucket: Bucket, store: Store, put: Put, data: bytes) -> None:
    assert put(data) is True
    assert put(b"other") is False
    assert put(LARGE) is False
    assert store.read("key") == data
    assert uploads(store) == []
    found = bucket.stat(f"{store.prefix}/key")
    assert found is not None
    assert (found.size, found.metadata) == (len(data), {BUNDLE: "sha256:mine"})
    assert bucket.list(f"{store.prefix}/")["key"].etag == found.etag
    assert b"".join(bucket.read(f"{store.prefix}/key", 0, len(data))) == data


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_only_the_object_that_was_seen_is_replaced(bucket: Bucket, store: Store, put: Put, data: bytes) -> None:
    store.write("key", b"torn")
    seen = bucket.stat(f"{store.prefix}/key")
    assert seen is not None
    store.write("key", b"changed meanwhile")
    assert put(data, seen.etag) is False
    now = bucket.stat(f"{store.prefix}/key")
    assert now is not None
    assert put(data, now.etag) is True
    assert store.read("key") == data


def test_a_large_file_goes_in_parts_side_by_side(proxy: Proxy, put: Put) -> None:
    assert put(LARGE)
    sent = [request for request in proxy.seen if request.startswith("PUT") and "partNumber" in request]
    assert len(sent) == 3


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (error(409, "ConditionalRequestConflict"), "POST .*uploadId"),
        (error(404, "NoSuchUpload"), "POST .*uploadId"),
        (error(200, "InternalError"), "POST .*uploadId"),
        (error(503, "SlowDown"), "POST .*uploads"),
        (error(503, "SlowDown"), "PUT .*partNumber=2"),
        (reset, "PUT .*partNumber=3"),
        (done_and_lost, "PUT .*partNumber=1"),
    ],
)
def test_a_large_put_that_meets_a_fault_is_sent_again(
    proxy: Proxy, store: Store, put: Put, fault: Any, what: str
) -> None:
    proxy.fail(fault, 1, what)
    assert put(LARGE) is True
    assert store.read("key") == LARGE
    assert uploads(store) == []


def test_a_large_put_whose_answer_is_lost_finds_its_own_object(proxy: Proxy, store: Store, put: Put) -> None:
    proxy.fail(done_and_lost, 1, "POST .*uploadId")
    assert put(LARGE) is False
    assert store.read("key") == LARGE


def test_a_large_put_that_fails_leaves_no_upload(proxy: Proxy, store: Store, put: Put) -> None:
    proxy.fail(error(403, "AccessDenied"), what="PUT .*partNumber=3")
    with pytest.raises(RegistryUnavailable):
        put(LARGE)
    assert uploads(store) == []
    assert store.listing() == []


def test_a_file_that_changed_is_not_stored(store: Store, put: Put) -> None:
    with pytest.raises(RegistryUnavailable):
        put(SMALL, entry=FileEntry.of(b"SMALL"))
    with pytest.raises(DigestMismatch, match="changed while it was sent"):
        put(LARGE, entry=FileEntry("0" * 64, len(LARGE)))
    assert store.listing() == []


def test_what_is_absent_is_none_or_a_mismatch(bucket: Bucket, store: Store) -> None:
    key = f"{store.prefix}/nothing"
    assert bucket.stat(key) is None
    assert bucket.get(key, 10) is None
    assert bucket.list(f"{store.prefix}/") == {}
    with pytest.raises(DigestMismatch, match="is not there with all its bytes"):
        list(bucket.read(key, 0, 10))
    store.write("short", b"12345")
    with pytest.raises(DigestMismatch, match="is not there with all its bytes"):
        list(bucket.read(f"{store.prefix}/short", 4, 10))


def test_a_get_ends_at_its_limit(bucket: Bucket, store: Store) -> None:
    store.write("long", b"123456789")
    assert bucket.get(f"{store.prefix}/long", 4) == b"1234"


@pytest.mark.parametrize(
    ("environ", "setting", "region"),
    [
        ({}, None, "us-east-1"),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, None, "eu-west-1"),
        ({"AWS_REGION": "eu-west-2", "AWS_DEFAULT_REGION": "eu-west-1"}, None, "eu-west-2"),
        ({"AWS_REGION": "eu-west-2"}, "eu-west-3", "eu-west-3"),
    ],
)
def test_the_region_is_the_settings_or_the_environments(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], setting: str | None, region: str
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert Bucket("models", Settings(s3_region=setting))._client.meta.region_name == region
