"""A job's model.tar.gz: fetched, unpacked without trust, proven, and only then published.

The archive comes from a container that ran with a role of its own, so whoever fetches it takes nothing for granted:
neither what is in it nor how much.
"""

from __future__ import annotations

import gzip
import re
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from io import BufferedReader, FileIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from service.location import S3, s3_place
from service.manifest import Manifest
from service.transfer import verify_folder
from training.job_errors import JobError

if TYPE_CHECKING:
    from service.bucket import Bucket

# A forest of ten thousand deep trees is some hundred megabytes.
MAX_PACKED_BYTES = 1 << 30
MAX_BYTES = 4 << 30
MAX_FILES = 64
# tarfile reads the headers that come before a file's own in one go, whatever size they claim.
MAX_HEADER_BYTES = 1 << 20

_CHUNK = 1 << 20
_NAME = re.compile(r"(?:\./)?([A-Za-z0-9_][A-Za-z0-9._-]{0,127})")
_TOP = (".", "./", "")

Tell = Callable[[int, int], None]


class ArtifactError(JobError):
    """An archive that is not a bundle, or not this job's."""


@contextmanager
def fetched(
    bucket: Bucket, about: Mapping[str, Any], tell: Tell = lambda done, total: None
) -> Generator[tuple[Path, Manifest]]:
    """Downloads and unpacks the model of a job that DescribeTrainingJob tells of: a folder, which goes with the block,
    and its manifest.

    Raises:
        ArtifactError: it is no bundle, or was made of other inputs than the job was given.
        BundleError: as `verify_folder`.
        RegistryError: S3 is out of reach, or has no such object.
    """
    uri = about["ModelArtifacts"]["S3ModelArtifacts"]
    key = model_key(uri, bucket.name)
    with tempfile.TemporaryDirectory(prefix="podium-fetch-") as scratch:
        archive, folder = Path(scratch) / "model.tar.gz", Path(scratch) / "bundle"
        download(bucket, key, archive, tell)
        folder.mkdir()
        unpack(archive, folder)
        manifest = verify_folder(folder)
        check_origin(manifest, about.get("HyperParameters", {}), about["TrainingJobName"])
        yield folder, manifest


def model_bucket(uri: str) -> str:
    """The bucket of an artifact's address. Raises ArtifactError."""
    if not uri.startswith(S3) or not uri.endswith("/model.tar.gz"):
        raise ArtifactError(f"{uri!r} is no address of a model.tar.gz in S3: the job left no model")
    return s3_place(uri)[0]


def model_key(uri: str, bucket: str) -> str:
    found = model_bucket(uri)
    if found != bucket:
        raise ArtifactError(f"{uri} does not lie in {bucket}")
    return s3_place(uri)[1]


def download(bucket: Bucket, key: str, target: Path, tell: Tell) -> None:
    there = bucket.stat(key)
    if there is None:
        raise ArtifactError(f"s3://{bucket.name}/{key} is not there any more: deleted, or expired by a lifecycle rule")
    if there.size > MAX_PACKED_BYTES:
        raise ArtifactError(f"model.tar.gz has {there.size} bytes, above the {MAX_PACKED_BYTES} that a bundle may have")
    done = 0
    with target.open("wb") as file:
        for chunk in bucket.read(key, 0, there.size):
            file.write(chunk)
            done += len(chunk)
            tell(done, there.size)


def unpack(archive: Path, folder: Path) -> None:
    """Writes the plain files at the archive's top into the empty `folder`.

    Raises:
        ArtifactError: it holds anything else, more than a bundle may, or is damaged. `folder` is of no use then.
    """
    plain = archive.with_name("model.tar")
    try:
        _inflate(archive, plain)
        with _Guarded(FileIO(plain)) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            _extract(tar, folder)
    # tarfile answers some damage with errors of its parts, or by its own recursion.
    except (tarfile.TarError, ValueError, OverflowError, RecursionError, EOFError) as error:
        raise ArtifactError(f"model.tar.gz is no sound tar archive: {error}") from error
    finally:
        plain.unlink(missing_ok=True)


def check_origin(manifest: Manifest, hyperparameters: Mapping[str, str], job: str) -> None:
    """
    Raises:
        ArtifactError: the bundle tells of another commit, data or name than the job was given.
    """
    found = {"commit": manifest.commit, "data_sha256": manifest.data.get("sha256"), "name": manifest.name}
    for key, value in found.items():
        given = hyperparameters.get(key)
        if given is not None and given.removesuffix("-dirty") != value:
            raise ArtifactError(f"{job} was given {key} {given!r}, and its model says {value!r}: it is not published")


def _inflate(archive: Path, plain: Path) -> None:
    size = 0
    try:
        with gzip.open(archive) as packed, plain.open("wb") as file:
            while chunk := packed.read(_CHUNK):
                size += len(chunk)
                if size > MAX_BYTES:
                    raise ArtifactError(f"model.tar.gz unpacks to more than {MAX_BYTES} bytes: that is no bundle")
                file.write(chunk)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ArtifactError(f"model.tar.gz is damaged: {error}") from error


def _extract(tar: tarfile.TarFile, folder: Path) -> None:
    files = 0
    for member in tar:
        if member.isdir() and member.name in _TOP:
            continue
        found = _NAME.fullmatch(member.name)
        # By type and not by isreg(), which calls sparse files regular: those make gigabytes of nothing.
        if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse():
            raise ArtifactError(f"model.tar.gz holds {member.name!r:.200}, which is no plain file")
        if found is None:
            raise ArtifactError(f"model.tar.gz holds {member.name!r:.200}: a bundle has plain names and no folders")
        files += 1
        if files > MAX_FILES:
            raise ArtifactError(f"model.tar.gz holds more than {MAX_FILES} files")
        source = tar.extractfile(member)
        if source is None:
            raise ArtifactError(f"model.tar.gz: {member.name!r:.200} cannot be read")
        _write(folder / found[1], source, member.size)


def _write(path: Path, source: IO[bytes], size: int) -> None:
    try:
        with path.open("xb") as file:
            while chunk := source.read(_CHUNK):
                file.write(chunk)
                size -= len(chunk)
    except FileExistsError as error:
        raise ArtifactError(f"model.tar.gz holds {path.name} twice") from error
    if size:
        raise ArtifactError(f"model.tar.gz: {path.name} is cut off")


class _Guarded(BufferedReader):
    """A file of which nobody reads much at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= MAX_HEADER_BYTES:
            raise ValueError(f"a header of {size} bytes")
        return super().read(size)
