"""A model version as a folder that can prove itself: the model, its manifest, and golden queries.

A folder is a bundle when it holds `manifest.json`. The manifest lists every other file with size and
sha256; its digest covers the list, so one changed byte anywhere is seen before the model is loaded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from service import files
from service.errors import BundleMissing, DigestMismatch, GoldenMismatch, ManifestInvalid
from service.manifest import FileEntry, Manifest

if TYPE_CHECKING:
    from service.ranker import Floats, Ranker
    from service.schema import FeatureSchema

MANIFEST = "manifest.json"
MODEL = "model.ubj"
GOLDEN = "golden.jsonl"

REQUIRED = (MODEL, GOLDEN)
MAX_MANIFEST_BYTES = 16 << 20


def write_bundle(folder: Path, manifest: Manifest, contents: Mapping[str, bytes]) -> Manifest:
    """Writes a new bundle, files first and manifest last, and returns the manifest under its digest.

    `manifest.files`, `.digest` and `.version` are computed here; what they held is replaced.

    Raises:
        FileExistsError: `folder` holds something.
        ManifestInvalid: a required file is missing, or a name is not allowed.
    """
    missing = [name for name in REQUIRED if name not in contents]
    if missing:
        raise ManifestInvalid(f"a bundle needs {' and '.join(missing)}")
    entries = {name: FileEntry.of(data) for name, data in contents.items()}
    sealed = Manifest.from_json(_with_files(manifest, entries).to_json())
    with files.new_folder(folder) as aside:
        for name, data in contents.items():
            files.write_file(aside / name, data)
        files.write_file(aside / MANIFEST, sealed.to_json())
    return sealed


def read_manifest(folder: Path) -> Manifest:
    """
    Raises:
        BundleMissing: there is no such folder, or no manifest in it.
        ManifestInvalid, SchemaMismatch: as `Manifest.from_json`.
    """
    path = folder / MANIFEST
    try:
        with path.open("rb") as file:
            data = file.read(MAX_MANIFEST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        what = "has no manifest.json" if folder.is_dir() else "is not a folder"
        raise BundleMissing(f"no model at {folder}: it {what}") from error
    except OSError as error:
        raise BundleMissing(f"no model at {folder}: {path.name} cannot be read: {error.strerror}") from error
    if len(data) > MAX_MANIFEST_BYTES:
        raise ManifestInvalid(f"{path} is larger than {MAX_MANIFEST_BYTES >> 20} MiB")
    return Manifest.from_json(data)


def verify(folder: Path, expected: str | None = None) -> Manifest:
    """Checks every byte of a bundle against its manifest, and the manifest against itself.

    Args:
        expected: the digest that a caller pinned, with or without `sha256:`.

    Raises:
        BundleMissing, ManifestInvalid, SchemaMismatch: as `read_manifest`.
        DigestMismatch: a size, a hash, the content digest, the version or the pin differs.
    """
    manifest = read_manifest(folder)
    verify_identity(manifest, expected)
    for name, entry in manifest.files.items():
        verify_file(folder / name, entry)
    return manifest


def verify_identity(manifest: Manifest, expected: str | None = None) -> None:
    """The part of `verify` that needs no file: required files are listed; digest, version and pin agree."""
    missing = [name for name in REQUIRED if name not in manifest.files]
    if missing:
        raise ManifestInvalid(f"manifest.json lists no {' and no '.join(missing)}")
    sealed = manifest.seal()
    if manifest.digest != sealed.digest:
        raise DigestMismatch(
            f"manifest.json says digest {manifest.digest}, its content hashes to {sealed.digest}: it was changed"
        )
    if manifest.version != sealed.version:
        raise DigestMismatch(f"version {manifest.version!r} does not belong to this content, which is {sealed.version}")
    if expected is not None and manifest.digest.removeprefix("sha256:") != expected.removeprefix("sha256:"):
        raise DigestMismatch(f"the pinned digest is {expected}, this bundle is {manifest.digest}")


def verify_file(path: Path, entry: FileEntry) -> None:
    """
    Raises:
        DigestMismatch: the file is missing, no regular file, or differs in size or hash.
    """
    if path.is_symlink() or not path.is_file():
        raise DigestMismatch(f"{path.name} is listed in the manifest and not there as a plain file")
    size = path.stat().st_size
    if size != entry.size:
        raise DigestMismatch(f"{path.name} has {size} bytes, the manifest says {entry.size}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != entry.sha256:
        raise DigestMismatch(f"{path.name} hashes to {digest[:12]}, the manifest says {entry.sha256[:12]}")


def replay(ranker: Ranker, folder: Path) -> int:
    """Scores the golden queries again and compares bit for bit; returns how many documents agreed.

    Raises:
        GoldenMismatch: a score differs, or the file holds no query. Names query, item, both scores.
    """
    documents = 0
    for line in (folder / GOLDEN).read_bytes().splitlines():
        query, items, features, expected = _golden_query(line, ranker.schema)
        scores = ranker.score(features)
        if scores.shape != expected.shape:
            raise GoldenMismatch(f"golden query {query!r}: {len(expected)} scores for {len(scores)} items")
        differing = np.flatnonzero(scores.view(np.uint32) != expected.view(np.uint32))
        if differing.size:
            first = int(differing[0])
            raise GoldenMismatch(
                f"golden query {query!r}, item {items[first]!r}: score {scores[first]!s}, published was "
                f"{expected[first]!s} ({differing.size} of {len(scores)} items differ): "
                "this model or library does not compute what it did"
            )
        documents += len(scores)
    if documents == 0:
        raise GoldenMismatch("golden.jsonl holds no query: a model without proof is not served")
    return documents


def _golden_query(line: bytes, schema: FeatureSchema) -> tuple[str, list[str], Floats, Floats]:
    try:
        entry = json.loads(line)
        request = entry["request"]
        rows = [_golden_row(item["features"], schema) for item in request["items"]]
        features = np.array(rows, np.float64).reshape(len(rows), schema.width).astype(np.float32)
        expected = np.array(entry["scores"], np.float64).astype(np.float32)
        return str(request["id"]), [str(item["id"]) for item in request["items"]], features, expected
    except (ValueError, KeyError, TypeError) as error:
        raise GoldenMismatch(f"golden.jsonl does not fit this model's schema: {error!r}") from error


def _golden_row(features: Any, schema: FeatureSchema) -> list[float | None]:
    if isinstance(features, list):
        return features  # pyright: ignore[reportUnknownVariableType] - checked by the reshape
    row: list[float | None] = [None] * schema.width
    for name, value in features.items():
        row[schema.index[name]] = value
    return row


def _with_files(manifest: Manifest, entries: Mapping[str, FileEntry]) -> Manifest:
    return replace(manifest, files=dict(sorted(entries.items()))).seal()
