"""Addresses: where a registry is, which model is meant, and what can go wrong on the way there."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from service.manifest import valid_name

MODELS = "models"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(.*)", re.DOTALL)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class RegistryError(Exception):
    """A registry that could not do what was asked. `reason` is for machines, the message for people."""

    reason = "registry-error"
    exit_code = 3


class BadUri(RegistryError):
    """An address, a name or a version that is none."""

    reason = "bad-uri"
    exit_code = 2


class ModelNotFound(RegistryError):
    reason = "model-not-found"


class FetchFailed(RegistryError):
    """The registry answered; the folder that the model should go to could not be written."""

    reason = "fetch-failed"


class VersionExists(RegistryError):
    """Other content is published under this version: versions are immutable."""

    reason = "version-exists"
    exit_code = 4


class RegistryUnavailable(RegistryError):
    reason = "registry-unavailable"
    exit_code = 5


@dataclass(frozen=True)
class ModelRef:
    """A model's address. Either `registry`, `name` and `version` are set, or `folder`: a bundle lying alone."""

    uri: str
    registry: str | None = None
    name: str | None = None
    version: str | None = None
    folder: Path | None = None


def local_path(uri: str) -> Path:
    """The absolute path that a `file:` URI or a plain path names. A plain path may be relative.

    Raises:
        BadUri: empty, unprintable, another scheme, a host, or a `file:` path that is relative, climbs by
            `..`, or hides a `/` in an escape.
    """
    if not uri or not uri.isprintable():
        raise BadUri(f"{uri!r} is no address: give file:///folder or a path")
    split = _SCHEME.fullmatch(uri)
    if split is None:
        # pathlib keeps a second leading slash, which POSIX leaves to the system; here it means nothing.
        path = Path(f"/{uri.lstrip('/')}" if uri.startswith("/") else uri)
        # `a/../b` means what the shell takes it for, also where `a` is a symbolic link.
        return Path(os.path.realpath(path)) if ".." in path.parts else path.absolute()
    scheme, rest = split[1].lower(), split[2]
    if scheme != "file":
        raise BadUri(
            f"{uri!r}: {scheme}: is not supported; give file:///folder or a path (./{uri} if that is its name)"
        )
    return _file_path(uri, rest)


def _file_path(uri: str, rest: str) -> Path:
    if rest.startswith("//"):
        host, slash, tail = rest[2:].partition("/")
        if host not in ("", "localhost"):
            raise BadUri(f"{uri!r} names the host {host!r}: a file URI has three slashes, file:///folder")
        rest = slash + tail
    if not rest.startswith("/"):
        raise BadUri(f"{uri!r} is relative: give file:///absolute/folder, or a plain path")
    if "?" in rest or "#" in rest or _BAD_ESCAPE.search(rest):
        raise BadUri(f"{uri!r}: write ? as %3F, # as %23 and % as %25")
    return Path("/", *(_segment(uri, part) for part in rest.split("/") if part))


def _segment(uri: str, escaped: str) -> str:
    try:
        part = unquote(escaped, errors="strict")
    except UnicodeDecodeError as error:
        raise BadUri(f"{uri!r}: {escaped!r} is not UTF-8 in percent escapes") from error
    # One spelling a folder: what an allow-list or a log shows is then what is opened.
    if part in (".", "..") or "/" in part or not part.isprintable():
        raise BadUri(f"{uri!r}: {escaped!r} is no name of a folder")
    return part


def parse_model_uri(uri: str) -> ModelRef:
    """Reads `<registry>/models/<name>/<version>`; any other address is a folder that holds one bundle.

    Nothing is opened.

    Raises:
        BadUri: as `local_path`.
    """
    path = local_path(uri)
    models, name, version = path.parent.parent, path.parent.name, path.name
    if models.name == MODELS and valid_name(name) and valid_name(version):
        return ModelRef(path.as_uri(), models.parent.as_uri(), name, version)
    return ModelRef(path.as_uri(), folder=path)


def check_name(text: str, what: str) -> str:
    """Returns `text` if it may name a model or a version.

    Raises:
        BadUri: it may not: what is joined to a path must never be one.
    """
    if not valid_name(text):
        raise BadUri(
            f"{text!r} is no {what}: 1 to 63 of a-z, 0-9, '.', '_' and '-', with a letter or a digit at both ends"
        )
    return text
