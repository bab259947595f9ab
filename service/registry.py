"""Where model versions are kept: published once, whole, never changed. Here in a folder; `service.s3` has the other.

Layout: `<root>/models/<name>/<version>/{manifest.json,model.ubj,golden.jsonl,...}`.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from service import bundle
from service.diff import Difference, diff
from service.errors import BundleError, BundleMissing, ManifestInvalid
from service.location import (
    MODELS,
    BadUri,
    FetchFailed,
    ModelNotFound,
    ModelRef,
    RegistryError,
    RegistryUnavailable,
    VersionExists,
    check_name,
    is_s3,
    local_path,
    parse_model_uri,
    s3_place,
)
from service.manifest import Manifest, valid_name
from service.settings import Settings, SettingsError
from service.staging import STAGING, place, reason, staging
from service.transfer import check_listing, copy_bundle, install, sound_manifest, verify_folder

__all__ = [
    "BadUri",
    "Difference",
    "Entry",
    "FetchFailed",
    "FolderRegistry",
    "ModelNotFound",
    "ModelRef",
    "Published",
    "Registry",
    "RegistryError",
    "RegistryUnavailable",
    "VersionExists",
    "diff",
    "fetch_model",
    "manifest_of",
    "open_registry",
    "parse_model_uri",
    "verify_folder",
]


@dataclass(frozen=True)
class Published:
    """`existed`: the same content was there before, and nothing was written."""

    uri: str
    version: str
    digest: str
    existed: bool


@dataclass(frozen=True)
class Entry:
    """One version in a list, with either a manifest or a problem. `published`: nanoseconds since 1970, or 0."""

    name: str
    version: str
    uri: str
    published: int = 0
    manifest: Manifest | None = None
    problem: str | None = None

    @property
    def size(self) -> int:
        """Bytes of the bundle's files, without the manifest."""
        return sum(entry.size for entry in self.manifest.files.values()) if self.manifest else 0

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "name": self.name,
            "version": self.version,
            "uri": self.uri,
            "published": self.published,
            "problem": self.problem,
        }
        if self.manifest is None:
            return document
        about = self.manifest
        return document | {
            "digest": about.digest,
            "created": about.created,
            "commit": about.commit,
            "dirty": about.dirty,
            "size": self.size,
            "metrics": dict(about.metrics),
        }


class Registry(Protocol):
    """What every registry does. All methods raise `RegistryUnavailable` when it cannot be reached, and
    `BadUri` for a name or version that is none."""

    @property
    def uri(self) -> str: ...

    def publish(self, folder: Path) -> Published:
        """Verifies the bundle in `folder` and makes it a version, at once or not at all.

        Raises:
            BundleError: the bundle does not prove itself.
            VersionExists: other content stands under this version.
        """
        ...

    def list(self, name: str | None = None) -> list[Entry]:
        """All versions, by name, the last published first. Broken ones are listed with their problem."""
        ...

    def manifest(self, name: str, version: str) -> Manifest:
        """
        Raises:
            ModelNotFound: there is no such version.
            BundleError: its manifest lies.
        """
        ...

    def fetch(self, name: str, version: str, into: Path, expected: str | None = None) -> Path:
        """Copies a version to `<into>/<name>/<version>`, verified. A whole copy is reused, a damaged one replaced.

        Args:
            expected: the digest that a caller pinned, with or without `sha256:`.

        Raises:
            ModelNotFound, BundleError: as `manifest`.
            FetchFailed: `into` cannot be written. Nothing half-made is left.
        """
        ...

    def newest(self, name: str | None = None) -> Entry:
        """The version published last: a convenience for a laptop. What runs anywhere else is pinned in git,
        the only pointer there is.

        Raises:
            ModelNotFound: no sound version.
        """
        ...


class FolderRegistry:
    """A registry in a folder of a local or shared file system. The folder is made by the first publish."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    @property
    def uri(self) -> str:
        return self.root.as_uri()

    def publish(self, folder: Path) -> Published:
        try:
            manifest = verify_folder(folder)
        except OSError as error:
            raise BundleMissing(f"the bundle at {folder} cannot be read: {reason(error)}") from error
        with self._reaching("write"):
            target = self._folder(manifest.name, manifest.version)
            existed = os.path.lexists(target) or not self._add(folder, manifest, target)
            if existed:
                _refuse_other_content(target, manifest)
        return Published(target.as_uri(), manifest.version, manifest.digest, existed)

    def list(self, name: str | None = None) -> list[Entry]:
        with self._reaching("read"):
            self._require_root()
            names = _visible(self._models("")) if name is None else [check_name(name, "model name")]
            entries = [entry for model in names for entry in self._entries(model)]
        return in_order(entries)

    def manifest(self, name: str, version: str) -> Manifest:
        return self.folder_and_manifest(name, version)[1]

    def folder_and_manifest(self, name: str, version: str) -> tuple[Path, Manifest]:
        """Where a version lies, and its manifest. Raises as `manifest`."""
        with self._reaching("read"):
            folder = self._folder(name, version)
            self._require_root()
            if not os.path.lexists(folder):
                raise ModelNotFound(f"{self.uri} has no {name}/{version}: `python -m service list` shows what is there")
            return folder, _manifest_at(folder, name, version)

    def fetch(self, name: str, version: str, into: Path, expected: str | None = None) -> Path:
        source, manifest = self.folder_and_manifest(name, version)
        # Before a byte is copied: what is pinned and what is there may never agree.
        bundle.verify_identity(manifest, expected)
        with self._reaching("read"):
            check_listing(source, manifest)
        return install(into, manifest, lambda aside: copy_bundle(source, aside, manifest))

    def newest(self, name: str | None = None) -> Entry:
        return newest_of(self, name)

    def _add(self, folder: Path, manifest: Manifest, target: Path) -> bool:
        with staging(self.root) as aside:
            copy_bundle(folder, aside, manifest)
            verify_folder(aside, manifest.digest)
            return place(aside, target)

    def _folder(self, name: str, version: str) -> Path:
        return self._models(check_name(name, "model name")) / check_name(version, "version")

    def _models(self, name: str) -> Path:
        # A link would let a registry read and write outside its own folder.
        for folder in (self.root / STAGING, self.root / MODELS, self.root / MODELS / name):
            if folder.is_symlink():
                raise RegistryUnavailable(f"{folder} is a symbolic link: a registry's folders lie in the registry")
        return folder

    def _require_root(self) -> None:
        if not self.root.is_dir():
            what = "is not a folder" if self.root.exists() else "does not exist"
            raise RegistryUnavailable(f"registry {self.uri} {what}: check the address, or publish a model to it first")

    def _entries(self, name: str) -> Iterator[Entry]:
        folder = self.root / MODELS / name
        if folder.is_symlink() or not folder.is_dir():
            if os.path.lexists(folder):
                yield Entry(name, "", folder.as_uri(), problem="not a folder of versions")
            return
        for version in _visible(folder):
            yield self._entry(name, version)

    def _entry(self, name: str, version: str) -> Entry:
        folder = self.root / MODELS / name / version
        about = Entry(name, version, folder.as_uri(), _published(folder))
        if not (valid_name(name) and valid_name(version)):
            return replace(about, problem="not a name and a version that publish would give")
        try:
            manifest = _manifest_at(folder, name, version)
            check_listing(folder, manifest)
        except (BundleError, OSError) as error:
            return replace(about, problem=str(error))
        return replace(about, manifest=manifest)

    @contextmanager
    def _reaching(self, deed: str) -> Generator[None, None, None]:
        try:
            yield
        except OSError as error:
            raise RegistryUnavailable(
                f"cannot {deed} registry {self.uri}: {reason(error)}; nothing half-made is listed"
            ) from error


def newest_of(registry: Registry, name: str | None) -> Entry:
    """As `Registry.newest`."""
    sound = [entry for entry in registry.list(name) if entry.problem is None]
    if not sound:
        raise ModelNotFound(f"{registry.uri} holds no sound version{f' of {name}' if name else ''} yet: publish one")
    return max(sound, key=lambda e: (e.published, e.version))


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """As `Registry.list` gives them."""
    return sorted(entries, key=lambda e: (e.name, -e.published, e.version))


def open_registry(uri: str, settings: Settings | None = None) -> Registry:
    """The registry at `s3://bucket/prefix`, `file:///folder` or a plain path. It is not asked anything yet.

    Args:
        settings: has the endpoint and region of S3; None reads them from the environment.

    Raises:
        BadUri: as `local_path` and `s3_place`, or a PODIUM_S3_* variable is not allowed.
        RegistryDenied: AWS credentials are set and cannot be read.
    """
    if not is_s3(uri):
        return FolderRegistry(local_path(uri))
    s3_place(uri)
    try:
        settings = settings or Settings.from_env(prefix="s3_")
    except SettingsError as error:
        raise BadUri(str(error)) from error
    # Here and no earlier: boto3 takes half a second to import.
    from service.s3 import S3Registry  # noqa: PLC0415

    return S3Registry(uri, settings)


def manifest_of(ref: ModelRef) -> Manifest:
    """
    Raises:
        RegistryError, BundleError: as `Registry.manifest`.
    """
    if ref.registry is None or ref.name is None or ref.version is None:
        return sound_manifest(ref.folder or local_path(ref.uri))
    return open_registry(ref.registry).manifest(ref.name, ref.version)


def fetch_model(uri: str, into: Path, expected: str | None = None, settings: Settings | None = None) -> Path:
    """The folder of the model at `uri`. One that is local already stays where it is, and is not hashed here:
    whoever loads a model calls `bundle.verify` first. One that is not is fetched below `into`.

    Raises:
        BadUri, RegistryError, BundleError: as `Registry.fetch`.
    """
    ref = parse_model_uri(uri)
    if ref.registry is None or ref.name is None or ref.version is None:
        folder = ref.folder or local_path(uri)
        bundle.read_manifest(folder)
        return folder
    registry = open_registry(ref.registry, settings)
    if isinstance(registry, FolderRegistry):
        return registry.folder_and_manifest(ref.name, ref.version)[0]
    return registry.fetch(ref.name, ref.version, into, expected)


def _published(folder: Path) -> int:
    # The manifest is written last and never again.
    try:
        return (folder / bundle.MANIFEST).stat().st_mtime_ns
    except OSError:
        return 0


def _visible(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def _manifest_at(folder: Path, name: str, version: str) -> Manifest:
    if folder.is_symlink() or not (folder / bundle.MANIFEST).is_file():
        # What publish placed is a folder with a manifest: a link, or a pipe to wait at, is not opened.
        raise BundleMissing(f"{folder} holds no model: it is a link, or has no manifest.json")
    manifest = sound_manifest(folder)
    if (manifest.name, manifest.version) != (name, version):
        raise ManifestInvalid(
            f"{folder} holds the manifest of {manifest.name}/{manifest.version}: it was moved or edited"
        )
    return manifest


def _refuse_other_content(target: Path, manifest: Manifest) -> None:
    with refusing_damage(manifest):
        there = _manifest_at(target, manifest.name, manifest.version)
        verify_folder(target)
    refuse_other(there.digest, manifest)


@contextmanager
def refusing_damage(manifest: Manifest) -> Generator[None, None, None]:
    """Turns what is wrong with the version that is there into VersionExists."""
    try:
        yield
    except BundleError as error:
        raise VersionExists(
            f"{manifest.name}/{manifest.version} is there already and damaged ({error}); yours is {manifest.digest}: "
            "move the damaged one away first"
        ) from error


def refuse_other(digest: str, manifest: Manifest) -> None:
    """
    Raises:
        VersionExists: the version that is there has another digest than `manifest`.
    """
    if digest != manifest.digest:
        # Versions carry twelve digits of the digest: that these agree and the rest does not was somebody's intent.
        raise VersionExists(
            f"{manifest.name}/{manifest.version} is there already with other content, {digest}; "
            f"yours is {manifest.digest}: a version never changes"
        )
