"""Bundles on the move: listed, copied, verified, and installed whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from service import bundle
from service.errors import BundleError, BundleMissing, DigestMismatch, ManifestInvalid
from service.location import FetchFailed, check_name
from service.manifest import Manifest
from service.staging import discard, place, reason, staging

CHUNK = 1 << 20


def verify_folder(folder: Path, expected: str | None = None) -> Manifest:
    """`bundle.verify`, and nothing beside it: no unlisted file, no link, no manifest in another spelling.

    Raises:
        BundleError: as `bundle.verify`.
    """
    if folder.is_dir() and not _plain(folder / bundle.MANIFEST):
        raise BundleMissing(f"no model at {folder}: manifest.json is not there as a plain file")
    manifest = sound_manifest(folder, expected)
    check_listing(folder, manifest)
    for name, entry in manifest.files.items():
        bundle.verify_file(folder / name, entry)
    check_spelling((folder / bundle.MANIFEST).read_bytes(), manifest)
    return manifest


def check_spelling(data: bytes, manifest: Manifest) -> None:
    """
    Raises:
        ManifestInvalid: `data` says what `manifest` does in another way than publish would.
    """
    if data != manifest.to_json():
        # Parsed, it says the same: only a byte by byte comparison sees a blank that became a tab.
        raise ManifestInvalid("manifest.json is not spelled as it was published: it was changed by hand")


def sound_manifest(folder: Path, expected: str | None = None) -> Manifest:
    """The manifest in `folder`, in agreement with itself and with the digest that a caller pinned.

    Raises:
        BundleError: as `bundle.read_manifest` and `bundle.verify_identity`.
    """
    return _sound(lambda: bundle.read_manifest(folder), expected)


def sound_bytes(data: bytes) -> Manifest:
    """The manifest in `data`, in agreement with itself.

    Raises:
        BundleError: as `Manifest.from_json` and `bundle.verify_identity`.
    """
    if len(data) > bundle.MAX_MANIFEST_BYTES:
        raise ManifestInvalid(f"manifest.json is larger than {bundle.MAX_MANIFEST_BYTES >> 20} MiB")
    return _sound(lambda: Manifest.from_json(data))


def check_listing(folder: Path, manifest: Manifest) -> None:
    """Compares the folder's listing with the manifest's: names and sizes, cheap enough for every `list`.

    Raises:
        DigestMismatch: a file is missing, unlisted, no plain file, or has another size.
        OSError: the folder cannot be read.
    """
    check_sizes({path.name: path.stat().st_size if _plain(path) else None for path in folder.iterdir()}, manifest)


def check_sizes(sizes: Mapping[str, int | None], manifest: Manifest) -> None:
    """As `check_listing`, for a listing by name; the size of what is no plain file is None."""
    if unlisted := sorted(set(sizes) - {bundle.MANIFEST, *manifest.files}):
        raise DigestMismatch(f"{unlisted[0]} lies in the bundle and is not listed in its manifest")
    for name, entry in manifest.files.items():
        size = sizes.get(name)
        if size is None:
            raise DigestMismatch(f"{name} is listed in the manifest and not there as a plain file")
        if size != entry.size:
            raise DigestMismatch(f"{name} has {size} bytes, the manifest says {entry.size}")


def copy_bundle(source: Path, target: Path, manifest: Manifest) -> None:
    """Copies the files that the manifest lists, then the manifest: a folder with a manifest is complete.

    Raises:
        DigestMismatch: a listed file cannot be read.
        OSError: `target` cannot be written.
    """
    for name in (*manifest.files, bundle.MANIFEST):
        try:
            # No link is followed, and no pipe waited for.
            descriptor = os.open(source / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise DigestMismatch(f"{name} is part of the bundle and cannot be read: {reason(error)}") from error
        with os.fdopen(descriptor, "rb") as reader, (target / name).open("xb") as writer:
            shutil.copyfileobj(reader, writer, CHUNK)


def install(into: Path, manifest: Manifest, download: Callable[[Path], None], *, hashed: bool = False) -> Path:
    """Has `download` fill a private folder, verifies it, and makes it `<into>/<name>/<version>` in one step.

    Args:
        hashed: `download` has verified each file as it came, and is not asked to prove it by reading them again.

    Raises:
        FetchFailed: `into` cannot be written.
        BundleError: what was downloaded is not what the manifest says.
    """
    into = into.absolute()
    target = into / check_name(manifest.name, "model name") / check_name(manifest.version, "version")
    try:
        if _whole(target, manifest.digest):
            return target
        with staging(into) as aside:
            download(aside)
            if hashed:
                check_listing(aside, manifest)
                check_spelling((aside / bundle.MANIFEST).read_bytes(), manifest)
            else:
                verify_folder(aside, manifest.digest)
            # Another process may have put the same there meanwhile; what is there and damaged gives way.
            while not place(aside, target) and not _whole(target, manifest.digest):
                if target.is_symlink() or not target.is_dir():
                    raise FetchFailed(f"{target} is not a folder: move it away, or fetch into another folder")
                discard(target, into)
    except OSError as error:
        raise FetchFailed(f"cannot write {target}: {reason(error)}; nothing half-made is left there") from error
    return target


def _sound(read: Callable[[], Manifest], expected: str | None = None) -> Manifest:
    try:
        manifest = read()
        bundle.verify_identity(manifest, expected)
    except (ValueError, RecursionError) as error:
        # JSON as Python reads it knows NaN, and nests deeper than can be written again.
        raise ManifestInvalid(f"manifest.json cannot be hashed: {error}") from error
    return manifest


def _whole(folder: Path, digest: str) -> bool:
    try:
        verify_folder(folder, digest)
    except BundleError:
        return False
    return not folder.is_symlink()


def _plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
