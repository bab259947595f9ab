"""One S3 bucket: puts that replace nothing, reads that go on where they broke off, and errors for people.

Only what is opened for `s3://` imports this module: boto3 takes half a second to import.
"""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, IncompleteReadError

from service.backoff import delays
from service.download import WINDOW, ordered
from service.errors import DigestMismatch
from service.faults import explain, passes, status
from service.location import RegistryUnavailable
from service.manifest import FileEntry
from service.settings import Settings

# Tries of one request, about five seconds in all. Who can wait longer, as the start of a pod, tries again as a whole.
TRIES = 6
FIRST_DELAY, MOST_DELAY = 0.2, 5.0

# Read at once: each costs a turn of the interpreter, which the threads of all parts share.
CHUNK = 1 << 20
# One put up to here; above, in parts that go side by side. S3 takes no part below 5 MiB but the last.
UPLOAD_PART = 8 << 20

# Objects in one answer to a list: as many as S3 gives.
PAGE = 1000

# Which bundle an object belongs to, so that remains of another one can be named.
BUNDLE = "podium-bundle"

Result = TypeVar("Result")


@dataclass(frozen=True)
class Stored:
    """An object: its size, when it was written in nanoseconds since 1970, its tag, and whose it is if asked."""

    size: int
    modified: int
    etag: str
    metadata: dict[str, str] = field(default_factory=dict[str, str])


class Bucket:
    """All methods raise `RegistryUnavailable` or a kind of it, after as many tries as may help."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.endpoint = settings.s3_endpoint
        seconds = settings.s3_timeout_seconds
        config = Config(
            connect_timeout=seconds,
            read_timeout=seconds,
            max_pool_connections=2 * WINDOW,
            # The tries are ours: they cover bodies too, and say what happened.
            retries={"total_max_attempts": 1, "mode": "standard"},
            # Every put carries the sha256 of the manifest, and every get is hashed here.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            # Other makers' endpoints seldom have a host name for each bucket.
            s3={"addressing_style": "path" if self.endpoint else "auto"},
        )
        self._client: Any = self._once(lambda: _client(settings, config))

    def list(self, prefix: str) -> dict[str, Stored]:
        """The objects below `prefix`, by the rest of their keys."""
        return self._persist(lambda: self._list(prefix))

    def stat(self, key: str) -> Stored | None:
        def attempt() -> Stored | None:
            try:
                found = self._client.head_object(Bucket=self.name, Key=key)
            except ClientError as error:
                if status(error) == 404:
                    return None
                raise
            return Stored(found["ContentLength"], _nanoseconds(found["LastModified"]), found["ETag"], found["Metadata"])

        return self._persist(attempt)

    def get(self, key: str, limit: int) -> bytes | None:
        """The object's first `limit` bytes, or None where there is no such object."""

        def attempt() -> bytes | None:
            try:
                found = self._client.get_object(Bucket=self.name, Key=key)
            except self._client.exceptions.NoSuchKey:
                return None
            size = min(limit, found["ContentLength"])
            with closing(found["Body"]) as body:
                return b"".join(_exactly(body, 0, size))

        return self._persist(attempt)

    def read(self, key: str, start: int, stop: int) -> Iterator[bytes]:
        """The object's bytes from `start` up to `stop`. A try goes on where the one before it broke off.

        Raises:
            DigestMismatch: there is no such object, or it is shorter.
        """
        waits = islice(delays(FIRST_DELAY, MOST_DELAY), TRIES - 1)
        while start < stop:
            try:
                for chunk in self._range(key, start, stop):
                    start += len(chunk)
                    yield chunk
            except (ClientError, BotoCoreError) as error:
                if status(error) in (404, 416) and not isinstance(error, self._client.exceptions.NoSuchBucket):
                    raise DigestMismatch(f"{key} is not there with all its bytes") from error
                self._wait(waits, error)

    def put(self, key: str, path: Path, entry: FileEntry, bundle: str, replacing: str | None = None) -> bool:
        """Stores the file at `path`; False where there is an object already, whatever it holds.

        Args:
            entry: what the file must hash to. The store checks it as well.
            bundle: the digest of the bundle that it belongs to.
            replacing: the tag of the object that gives way; False where that is not what is there.
        """
        condition = {"IfNoneMatch": "*"} if replacing is None else {"IfMatch": replacing}
        about: dict[str, Any] = {"Bucket": self.name, "Key": key, "Metadata": {BUNDLE: bundle}}

        def attempt() -> bool:
            try:
                if entry.size > 2 * UPLOAD_PART:
                    self._put_parts(about, path, entry, condition)
                else:
                    checksum = base64.b64encode(bytes.fromhex(entry.sha256)).decode()
                    self._client.put_object(**about, Body=path.read_bytes(), ChecksumSHA256=checksum, **condition)
            except ClientError as error:
                if status(error) == 412:
                    return False
                raise
            return True

        return self._persist(attempt)

    def _put_parts(self, about: dict[str, Any], path: Path, entry: FileEntry, condition: dict[str, str]) -> None:
        upload = self._client.create_multipart_upload(**about, ChecksumAlgorithm="SHA256")["UploadId"]
        where = {"Bucket": about["Bucket"], "Key": about["Key"], "UploadId": upload}
        digest = hashlib.sha256()

        def parts() -> Iterator[tuple[int, bytes]]:
            with path.open("rb") as file:
                for number in range(1, 10_001):
                    data = file.read(UPLOAD_PART)
                    if not data:
                        break
                    digest.update(data)
                    yield number, data
            if digest.hexdigest() != entry.sha256:
                raise DigestMismatch(f"{path.name} changed while it was sent")

        def send(part: tuple[int, bytes]) -> dict[str, Any]:
            number, data = part
            checksum = base64.b64encode(hashlib.sha256(data).digest()).decode()
            sent = self._persist(
                lambda: self._client.upload_part(**where, PartNumber=number, Body=data, ChecksumSHA256=checksum)
            )
            return {"PartNumber": number, "ETag": sent["ETag"], "ChecksumSHA256": checksum}

        try:
            sent = list(ordered(send, parts()))
            self._client.complete_multipart_upload(**where, MultipartUpload={"Parts": sent}, **condition)
        except BaseException:
            # What a killed process leaves is invisible and not listed; a lifecycle rule of the bucket ends it.
            with suppress(ClientError, BotoCoreError):
                self._client.abort_multipart_upload(**where)
            raise

    def _list(self, prefix: str) -> dict[str, Stored]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.name, Prefix=prefix, PaginationConfig={"PageSize": PAGE}
        )
        return {
            found["Key"].removeprefix(prefix): Stored(found["Size"], _nanoseconds(found["LastModified"]), found["ETag"])
            for page in pages
            for found in page.get("Contents", ())
        }

    def _range(self, key: str, start: int, stop: int) -> Iterator[bytes]:
        found = self._client.get_object(Bucket=self.name, Key=key, Range=f"bytes={start}-{stop - 1}")
        with closing(found["Body"]) as body:
            if not found.get("ContentRange", "").startswith(f"bytes {start}-"):
                raise RegistryUnavailable(f"{self._where} does not answer ranges of an object: it is no S3")
            yield from _exactly(body, start, stop)

    def _persist(self, attempt: Callable[[], Result]) -> Result:
        waits = islice(delays(FIRST_DELAY, MOST_DELAY), TRIES - 1)
        while True:
            try:
                return attempt()
            except (ClientError, BotoCoreError) as error:
                self._wait(waits, error)

    def _wait(self, waits: Iterator[float], error: ClientError | BotoCoreError) -> None:
        delay = next(waits, None) if passes(error) else None
        if delay is None:
            raise explain(error, self._where) from error
        time.sleep(delay)

    def _once(self, attempt: Callable[[], Result]) -> Result:
        try:
            return attempt()
        except (ClientError, BotoCoreError, ValueError) as error:
            raise explain(error, self._where) from error

    @property
    def _where(self) -> str:
        return f"s3://{self.name}" + (f" at {self.endpoint}" if self.endpoint else "")


def _client(settings: Settings, config: Config) -> Any:
    # A session of its own: the default one is shared by all threads and not made for that.
    session: Any = boto3.session.Session()
    # boto3 knows AWS_DEFAULT_REGION only; what runs on AWS is given AWS_REGION.
    region = settings.s3_region or os.environ.get("AWS_REGION") or session.region_name or "us-east-1"
    return session.client("s3", endpoint_url=settings.s3_endpoint, region_name=region, config=config)


def _exactly(body: Any, start: int, stop: int) -> Iterator[bytes]:
    while start < stop:
        chunk = body.read(min(CHUNK, stop - start))
        if not chunk:
            # botocore checks the length only of a body that is read to its end.
            raise IncompleteReadError(actual_bytes=start, expected_bytes=stop)
        start += len(chunk)
        yield chunk


def _nanoseconds(moment: Any) -> int:
    return round(moment.timestamp() * 1000) * 1_000_000
