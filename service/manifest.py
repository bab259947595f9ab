"""`manifest.json`: what a model version is made of, where it came from, and the hash that names it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from service.errors import ManifestInvalid, SchemaMismatch
from service.schema import FeatureSchema

FORMAT = 1
_IDENTITY = ("format", "name", "version", "digest", "created", "source", "schema")
_CONTENT = ("objective", "parameters", "metrics", "data", "libraries", "files")
KNOWN = frozenset((*_IDENTITY, *_CONTENT))

_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def valid_name(text: str) -> bool:
    """A model name or version: 1 to 63 of a-z, 0-9, dot, dash, underscore, so that it is a Kubernetes
    label value, an S3 key part and a folder name alike, and never a path."""
    return _NAME.fullmatch(text) is not None and ".." not in text


@dataclass(frozen=True)
class FileEntry:
    """A file of the bundle: sha256 as hex, size in bytes."""

    sha256: str
    size: int

    @classmethod
    def of(cls, data: bytes) -> FileEntry:
        return cls(hashlib.sha256(data).hexdigest(), len(data))


@dataclass(frozen=True)
class Manifest:
    """Build it with `Manifest.seal`, which computes `digest` and `version`, or read it with `from_json`.

    `created` is the commit's time in ISO 8601, never the clock's, so that equal inputs give equal bytes.
    `extra` keeps what a later writer added: this reader ignores it, and the digest still covers it.
    """

    name: str
    version: str
    digest: str
    created: str
    commit: str
    dirty: bool
    schema: FeatureSchema
    objective: str
    files: Mapping[str, FileEntry]
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    metrics: Mapping[str, Any] = field(default_factory=dict[str, Any])
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    libraries: Mapping[str, str] = field(default_factory=dict[str, str])
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    format: int = FORMAT

    def seal(self) -> Manifest:
        """The same manifest under its own digest and version."""
        digest = self.content_digest()
        version = f"{self.created[:10].replace('-', '')}-{digest.removeprefix('sha256:')[:12]}"
        return replace(self, digest=digest, version=f"{version}-dirty" if self.dirty else version)

    def content_digest(self) -> str:
        """`sha256:` of all but the version and the digest, as canonical JSON (sorted keys, no blanks)."""
        content = self._document()
        del content["version"], content["digest"]
        return "sha256:" + hashlib.sha256(canonical_json(content)).hexdigest()

    def to_json(self) -> bytes:
        return json.dumps(self._document(), indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> Manifest:
        """
        Raises:
            ManifestInvalid: it is not what `to_json` writes; the message names the field.
            SchemaMismatch: the feature names do not hash to what the manifest says of them.
        """
        document = _parse(data)
        if document.get("format") != FORMAT:
            raise ManifestInvalid(
                f"manifest.json: format {document.get('format')!r} is unknown here; this release reads format {FORMAT}"
            )
        source = _get(document, "source", dict)
        manifest = cls(
            name=_get(document, "name", str),
            version=_get(document, "version", str),
            digest=_get(document, "digest", str),
            created=_get(document, "created", str),
            commit=_get(source, "commit", str, "source."),
            dirty=_get(source, "dirty", bool, "source."),
            schema=_schema(_get(document, "schema", dict)),
            objective=_get(document, "objective", str),
            parameters=_get(document, "parameters", dict),
            metrics=_get(document, "metrics", dict),
            data=_get(document, "data", dict),
            libraries=_get(document, "libraries", dict),
            files={name: _entry(name, entry) for name, entry in _get(document, "files", dict).items()},
            extra={key: value for key, value in document.items() if key not in KNOWN},
        )
        _check_identity(manifest)
        return manifest

    def _document(self) -> dict[str, Any]:
        return {
            **self.extra,
            "format": self.format,
            "name": self.name,
            "version": self.version,
            "digest": self.digest,
            "created": self.created,
            "source": {"commit": self.commit, "dirty": self.dirty},
            "schema": {"sha256": self.schema.sha256, "features": list(self.schema.names)},
            "objective": self.objective,
            "parameters": dict(self.parameters),
            "metrics": dict(self.metrics),
            "data": dict(self.data),
            "libraries": dict(self.libraries),
            "files": {name: {"sha256": entry.sha256, "size": entry.size} for name, entry in self.files.items()},
        }


def canonical_json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _parse(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
        # Python reads NaN and 1e999, which no digest covers because JSON cannot write them.
        canonical_json(document)
    except (ValueError, RecursionError) as error:
        raise ManifestInvalid(f"manifest.json is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ManifestInvalid("manifest.json is not a JSON object")
    return cast(dict[str, Any], document)


def _get(document: Mapping[str, Any], key: str, kind: type, where: str = "") -> Any:
    if key not in document:
        raise ManifestInvalid(f"manifest.json: {where}{key} is missing")
    value = document[key]
    if type(value) is not kind:
        raise ManifestInvalid(f"manifest.json: {where}{key} is {value!r:.80}; expected {kind.__name__}")
    return value


def _schema(document: Mapping[str, Any]) -> FeatureSchema:
    names = _get(document, "features", list, "schema.")
    if not all(isinstance(name, str) for name in names):
        raise ManifestInvalid("manifest.json: schema.features holds something that is not a name")
    try:
        schema = FeatureSchema.from_names(names)
    except ValueError as error:
        raise ManifestInvalid(f"manifest.json: {error}") from error
    stated = _get(document, "sha256", str, "schema.")
    if schema.sha256 != stated:
        raise SchemaMismatch(
            f"the {schema.width} feature names hash to {schema.sha256[:12]}, the manifest says {stated[:12]}: "
            "a name was changed, moved or dropped after training"
        )
    return schema


def _entry(name: str, entry: Any) -> FileEntry:
    if _FILE.fullmatch(name) is None or name == "manifest.json":
        raise ManifestInvalid(f"manifest.json: {name!r} is no name for a file of a bundle")
    if not isinstance(entry, dict):
        raise ManifestInvalid(f"manifest.json: files.{name} is not an object")
    document = cast(dict[str, Any], entry)
    sha256: str = _get(document, "sha256", str, f"files.{name}.")
    size: int = _get(document, "size", int, f"files.{name}.")
    if _SHA256.fullmatch(sha256) is None or size < 0:
        raise ManifestInvalid(f"manifest.json: files.{name} needs 64 hex digits and a size of 0 or more")
    return FileEntry(sha256, size)


def _check_identity(manifest: Manifest) -> None:
    for field_name, value in (("name", manifest.name), ("version", manifest.version)):
        if not valid_name(value):
            raise ManifestInvalid(f"manifest.json: {field_name} {value!r} is not 1 to 63 of a-z 0-9 . _ -")
    if _DIGEST.fullmatch(manifest.digest) is None:
        raise ManifestInvalid(f"manifest.json: digest {manifest.digest!r:.90} is not sha256:<64 hex digits>")
