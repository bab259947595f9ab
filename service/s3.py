"""A registry in an S3 bucket: files first and the manifest last, each put only where nothing is.

Layout: `<prefix>/models/<name>/<version>/<file>`. A version is there when its manifest is: what a publisher that was
stopped leaves is listed nowhere, and the next publish of the same content completes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path

from service import bundle
from service.bucket import BUNDLE, Bucket, Stored
from service.download import download, ordered, started
from service.errors import BundleError, BundleMissing, DigestMismatch, ManifestInvalid
from service.location import MODELS, S3, ModelNotFound, VersionExists, check_name, s3_place
from service.manifest import FileEntry, Manifest, valid_name
from service.registry import Entry, Published, in_order, newest_of, refuse_other, refusing_damage
from service.settings import Settings
from service.staging import reason
from service.transfer import check_sizes, check_spelling, install, sound_bytes, verify_folder

# Manifests read at once by `list`: each is a round trip and little else.
MANIFESTS = 8


class S3Registry:
    """As `service.registry.Registry`. Two publishers of one version may race: the first put of each file stands."""

    def __init__(self, uri: str, settings: Settings) -> None:
        name, prefix = s3_place(uri)
        self._place = f"{name}/{prefix}" if prefix else name
        self._root = f"{prefix}/{MODELS}/" if prefix else f"{MODELS}/"
        self._bucket = Bucket(name, settings)

    @property
    def uri(self) -> str:
        return S3 + self._place

    def publish(self, folder: Path) -> Published:
        try:
            manifest = verify_folder(folder)
        except OSError as error:
            raise BundleMissing(f"the bundle at {folder} cannot be read: {reason(error)}") from error
        key = self._key(manifest.name, manifest.version)
        existed = self._bucket.stat(key + bundle.MANIFEST) is not None
        if not existed:
            for name, entry in manifest.files.items():
                self._add(key, folder / name, entry, manifest)
            self._refuse_unlisted(key, manifest)
            sealed = FileEntry.of((folder / bundle.MANIFEST).read_bytes())
            existed = not self._bucket.put(key + bundle.MANIFEST, folder / bundle.MANIFEST, sealed, manifest.digest)
        if existed:
            self._refuse_other_content(key, manifest)
        return Published(self._uri(manifest.name, manifest.version), manifest.version, manifest.digest, existed)

    def list(self, name: str | None = None) -> list[Entry]:
        below = self._root if name is None else f"{self._root}{check_name(name, 'model name')}/"
        there = self._bucket.list(below)
        versions = _versions(there if name is None else {f"{name}/{key}": each for key, each in there.items()})
        return in_order(ordered(self._entry, versions, MANIFESTS))

    def manifest(self, name: str, version: str) -> Manifest:
        return self._manifest(name, version)[1]

    def fetch(self, name: str, version: str, into: Path, expected: str | None = None) -> Path:
        key = self._key(name, version)
        data, manifest = self._manifest(name, version)
        # Before a file is read: what is pinned and what is there may never agree.
        bundle.verify_identity(manifest, expected)
        return install(into, manifest, lambda aside: self._download(key, manifest, data, aside), hashed=True)

    def newest(self, name: str | None = None) -> Entry:
        return newest_of(self, name)

    def _add(self, key: str, path: Path, entry: FileEntry, manifest: Manifest) -> None:
        replacing = None
        while not self._bucket.put(key + path.name, path, entry, manifest.digest, replacing):
            there = self._bucket.stat(key + path.name)
            replacing = None if there is None else there.etag
            if there is None or self._same(key + path.name, there, entry):
                if there is not None:
                    return
                continue
            # Publishers of this content put these bytes and no others: of theirs, or of nobody's, it is damaged.
            if there.metadata.get(BUNDLE, manifest.digest) != manifest.digest:
                raise VersionExists(
                    f"{self._uri(manifest.name, manifest.version)} is being published with other content, "
                    f"{there.metadata[BUNDLE]}, or was and that was stopped; yours is {manifest.digest}: a version "
                    "never changes. Delete what is there if nobody publishes it"
                )

    def _same(self, key: str, there: Stored, entry: FileEntry) -> bool:
        if there.size != entry.size:
            return False
        digest = hashlib.sha256()
        for chunk in self._bucket.read(key, 0, entry.size):
            digest.update(chunk)
        return digest.hexdigest() == entry.sha256

    def _refuse_unlisted(self, key: str, manifest: Manifest) -> None:
        there = self._bucket.list(key)
        if unlisted := sorted(set(_sizes(there)) - {bundle.MANIFEST, *manifest.files}):
            raise VersionExists(
                f"{unlisted[0]} lies in {self._uri(manifest.name, manifest.version)} and is no part of your bundle, "
                f"{manifest.digest}: delete it there, then publish again"
            )

    def _refuse_other_content(self, key: str, manifest: Manifest) -> None:
        with refusing_damage(manifest):
            data, there = self._manifest(manifest.name, manifest.version)
            objects = self._bucket.list(key)
            check_sizes(_sizes(objects), there)
            check_spelling(data, there)
            for name, entry in there.files.items():
                if not self._same(key + name, objects[name], entry):
                    raise DigestMismatch(f"{name} does not hash to what the manifest says")
        refuse_other(there.digest, manifest)

    def _manifest(self, name: str, version: str) -> tuple[bytes, Manifest]:
        key = self._key(name, version)
        data = self._bucket.get(key + bundle.MANIFEST, bundle.MAX_MANIFEST_BYTES + 1)
        if data is None:
            if self._bucket.list(key):
                raise BundleMissing(
                    f"{self._uri(name, version)} holds files and no manifest.json: it is being published, or that was "
                    "stopped. Publish it again"
                )
            raise ModelNotFound(f"{self.uri} has no {name}/{version}: `python -m service list` shows what is there")
        manifest = sound_bytes(data)
        if (manifest.name, manifest.version) != (name, version):
            raise ManifestInvalid(
                f"{self._uri(name, version)} holds the manifest of {manifest.name}/{manifest.version}: "
                "it was moved or edited"
            )
        return data, manifest

    def _download(self, key: str, manifest: Manifest, data: bytes, aside: Path) -> None:
        def attempt() -> None:
            download(manifest.files, lambda name, start, stop: self._bucket.read(key + name, start, stop), aside)

        # Meanwhile, as a pod that starts would wait for it. It tells what is missing or too much by its name.
        listing = started(self._bucket.list, key)
        try:
            attempt()
        except DigestMismatch:
            check_sizes(_sizes(listing.result()), manifest)
            # Bytes may be damaged on their way, and then the next time they are not.
            attempt()
        check_sizes(_sizes(listing.result()), manifest)
        (aside / bundle.MANIFEST).write_bytes(data)

    def _entry(self, found: tuple[str, str, Mapping[str, Stored]]) -> Entry:
        name, version, objects = found
        uri, published = self._uri(name, version), objects[bundle.MANIFEST].modified
        if not (valid_name(name) and valid_name(version)):
            return Entry(name, version, uri, published, problem="not a name and a version that publish would give")
        try:
            manifest = self._manifest(name, version)[1]
            check_sizes(_sizes(objects), manifest)
        except (BundleError, ModelNotFound) as error:
            return Entry(name, version, uri, published, problem=str(error))
        return Entry(name, version, uri, published, manifest)

    def _key(self, name: str, version: str) -> str:
        return f"{self._root}{check_name(name, 'model name')}/{check_name(version, 'version')}/"

    def _uri(self, name: str, version: str) -> str:
        return f"{self.uri}/{MODELS}/{name}/{version}"


def _versions(objects: Mapping[str, Stored]) -> Iterator[tuple[str, str, dict[str, Stored]]]:
    """Name, version and objects of each version that has a manifest, from objects by `<name>/<version>/<file>`."""
    keys = sorted(key.split("/", 2) for key in objects if key.count("/") >= 2)
    for (name, version), group in groupby(keys, lambda parts: (parts[0], parts[1])):
        files = {file: objects[f"{name}/{version}/{file}"] for _, _, file in group}
        if bundle.MANIFEST in files:
            yield name, version, files


def _sizes(objects: Mapping[str, Stored]) -> dict[str, int | None]:
    # A console makes an empty object with no name to show a folder.
    return {name: each.size for name, each in objects.items() if name}
