"""What an environment runs, as git says: `infra/deploy/<env>/release.yaml`, read strictly and never guessed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

NAME = "release"
LOCAL_CONFIG = "config.kubernetes.io/local-config"

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
# As the registry takes names and versions: they become parts of keys, policies and log lines.
_MODEL_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")

# Each key with what it must look like, and the words for that.
_KEYS = {
    "serve-index": (_DIGEST, "sha256: and 64 hex digits, the digest of the multi-platform index"),
    "serve-amd64": (_DIGEST, "sha256: and 64 hex digits, the digest of the amd64 manifest"),
    "serve-commit": (_COMMIT, "the 40 hex digits of a commit"),
    "train-amd64": (_DIGEST, "sha256: and 64 hex digits, the digest of the amd64 manifest"),
    "train-commit": (_COMMIT, "the 40 hex digits of a commit"),
    "model-name": (_MODEL_NAME, "1 to 63 of a-z, 0-9, '.', '_' and '-', a letter or a digit at both ends"),
    "model-version": (_MODEL_NAME, "1 to 63 of a-z, 0-9, '.', '_' and '-', a letter or a digit at both ends"),
    "model-sha256": (_DIGEST, "sha256: and 64 hex digits, the digest of the bundle"),
}
_TOP = {"apiVersion", "kind", "metadata", "data"}
_METADATA = {"name", "annotations"}


class ReleaseError(ValueError):
    """A release file that must not be deployed; the message names the file, the key, and what to do."""


@dataclass(frozen=True)
class Release:
    """Images by digest and the model's pin. Lambda takes one manifest and no index, so it gets `serve_amd64`."""

    serve_index: str
    serve_amd64: str
    serve_commit: str
    train_amd64: str
    train_commit: str
    model_name: str
    model_version: str
    model_sha256: str

    def model_uri(self, bucket: str) -> str:
        return f"s3://{bucket}/{self.model_prefix}"

    @property
    def model_prefix(self) -> str:
        """The keys of the model in its bucket, with no slash at the end."""
        return f"models/{self.model_name}/{self.model_version}"


def read(deploy: Path, environment: str) -> Release | None:
    """The release of an environment, or None on day 0, when nothing was released yet.

    Args:
        deploy: the folder `infra/deploy`.

    Raises:
        ReleaseError: there is a file, and it is not exactly a release.
    """
    path = deploy / environment / "release.yaml"
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ReleaseError(f"{path} cannot be read: {error}") from error
    try:
        document = yaml.load(text, _Strict)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise ReleaseError(f"{path} is no YAML: {' '.join(str(error).split())}. Restore it with git") from error
    return _release(document, path)


class _Strict(yaml.SafeLoader):
    """Refuses a key that stands twice: the later one would win without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if twice := sorted({str(key) for key in keys if keys.count(key) > 1}):
            raise yaml.constructor.ConstructorError(None, None, f"{twice[0]} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _release(document: Any, path: Path) -> Release:
    top = _mapping(document, path, "the document")
    _exactly(top, _TOP, path, "")
    for key, expected in (("apiVersion", "v1"), ("kind", "ConfigMap")):
        if top[key] != expected:
            raise ReleaseError(f"{path}: {key} is {top[key]!r}: a release is a ConfigMap of v1, write {expected!r}")
    metadata = _mapping(top["metadata"], path, "metadata")
    _exactly(metadata, _METADATA, path, "metadata.")
    if metadata["name"] != NAME:
        raise ReleaseError(f"{path}: metadata.name is {metadata['name']!r}: kustomize looks for {NAME!r}")
    annotations = _mapping(metadata["annotations"], path, "metadata.annotations")
    if annotations.get(LOCAL_CONFIG) != "true":
        raise ReleaseError(
            f'{path}: metadata.annotations needs {LOCAL_CONFIG}: "true", a string, '
            "or the file would be applied to the cluster as an object"
        )
    data = _mapping(top["data"], path, "data")
    _exactly(data, set(_KEYS), path, "data.")
    for key, (pattern, words) in _KEYS.items():
        value = data[key]
        if not isinstance(value, str) or pattern.fullmatch(value) is None:
            raise ReleaseError(f"{path}: data.{key} is {value!r:.120}: give {words}, in quotes")
    return Release(**{key.replace("-", "_"): value for key, value in data.items()})


def _mapping(value: Any, path: Path, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ReleaseError(f"{path}: {what} is {type(value).__name__}: write keys and values")
    return cast(dict[str, Any], value)


def _exactly(found: dict[str, Any], known: set[str], path: Path, prefix: str) -> None:
    if missing := sorted(known - set(found)):
        raise ReleaseError(f"{path}: {prefix}{missing[0]} is missing: a release has {', '.join(sorted(known))}")
    if unknown := sorted(map(str, set(found) - known)):
        raise ReleaseError(f"{path}: {prefix}{unknown[0]} is unknown: remove it; known are {', '.join(sorted(known))}")
