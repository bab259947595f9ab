"""Addresses: where a registry is, which model is meant, and what can go wrong on the way there."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from service.manifest import valid_name

MODELS = "models"
S3 = "s3://"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(.*)", re.DOTALL)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
# What S3 calls safe in a key: it reads the same in an address, a log and a policy.
_KEY_PART = re.compile(r"[A-Za-z0-9!_.*'()=-]+")


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
    """A registry out of reach. Time may heal that, so whoever can wait tries again."""

    reason = "registry-unavailable"
    exit_code = 5


class RegistryMissing(RegistryUnavailable):
    """The bucket is not there, or not yet."""

    reason = "registry-not-found"


class RegistryDenied(RegistryUnavailable):
    """Credentials are missing, wrong, expired, or do not allow it. A role may be granted while a pod waits."""

    reason = "registry-denied"


class ClockSkewed(RegistryUnavailable):
    """This machine's clock is too far from the registry's for a signature to count."""

    reason = "clock-skewed"


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
            f"{uri!r}: {scheme}: is not supported; give s3://bucket/prefix, file:///folder or a path "
            f"(./{uri} if that is its name)"
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


def is_s3(uri: str) -> bool:
    return uri[:3].lower() == "s3:"


def s3_place(uri: str) -> tuple[str, str]:
    """Bucket and prefix of `s3://bucket/prefix`; the prefix has no slash at its ends and may be empty.

    Raises:
        BadUri: no bucket's name, or a prefix that could be read in two ways.
    """
    bucket, _, prefix = uri[len(S3) :].partition("/")
    if uri[: len(S3)].lower() != S3 or _BUCKET.fullmatch(bucket) is None or ".." in bucket:
        raise BadUri(
            f"{uri!r} names no bucket: give s3://bucket/prefix, the bucket in 3 to 63 of a-z, 0-9, '.' and '-'"
        )
    prefix = prefix.removesuffix("/")
    for part in prefix.split("/") if prefix else ():
        if part in (".", "..") or _KEY_PART.fullmatch(part) is None:
            raise BadUri(f"{uri!r}: {part!r} is no part of a prefix: use A-Z, a-z, 0-9 and !_.*'()=- between slashes")
    return bucket, prefix


def parse_model_uri(uri: str) -> ModelRef:
    """Reads `<registry>/models/<name>/<version>`; any other local address is a folder that holds one bundle.

    Nothing is opened.

    Raises:
        BadUri: as `local_path` and `s3_place`, or an S3 address of no version.
    """
    if is_s3(uri):
        return _s3_model(uri)
    path = local_path(uri)
    models, name, version = path.parent.parent, path.parent.name, path.name
    if models.name == MODELS and valid_name(name) and valid_name(version):
        return ModelRef(path.as_uri(), models.parent.as_uri(), name, version)
    return ModelRef(path.as_uri(), folder=path)


def _s3_model(uri: str) -> ModelRef:
    bucket, key = s3_place(uri)
    parts = key.split("/")
    if len(parts) < 3 or parts[-3] != MODELS or not (valid_name(parts[-2]) and valid_name(parts[-1])):
        raise BadUri(f"{uri!r} names no model: give s3://bucket/prefix/{MODELS}/NAME/VERSION")
    registry = "/".join((f"{S3}{bucket}", *parts[:-3]))
    return ModelRef(f"{registry}/{MODELS}/{parts[-2]}/{parts[-1]}", registry, parts[-2], parts[-1])


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
