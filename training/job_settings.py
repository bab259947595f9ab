"""Every setting of a SageMaker job: its option, variable, key of a file, default and meaning, in this one place."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, cast

from service.location import BadUri, s3_place
from service.settings import Kind, choice, integer
from training.job_errors import JobSettingsError

PREFIX = "PODIUM_SAGEMAKER_"
CONFIG = f"{PREFIX}CONFIG"


def _matching(pattern: str, allowed: str) -> Kind:
    def read(text: str) -> str:
        if re.fullmatch(pattern, text) is None:
            raise ValueError(text)
        return text

    return Kind(read, allowed)


def _many(pattern: str, allowed: str) -> Kind:
    one = _matching(pattern, allowed)
    return Kind(lambda text: tuple(one.read(part.strip()) for part in text.split(",")), f"{allowed}, commas between")


def _store(text: str) -> str:
    bucket, prefix = s3_place(text)
    return f"s3://{bucket}/{prefix}".rstrip("/")


_KEY = _matching(r"[a-zA-Z0-9:/_-]{1,2048}", "the ARN or id of a KMS key")
_ON_OFF = choice(on=True, off=False)


def _setting(default: Any, kind: Kind, doc: str) -> Any:
    return field(default=default, metadata={"kind": kind, "doc": doc})


@dataclass(frozen=True)
class JobSettings:
    """Where and how a job runs. `read` takes it from options, then variables, then a file, then these defaults."""

    role: str | None = _setting(
        None,
        _matching(r"arn:aws[a-z-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@/-]+", "the ARN of an IAM role"),
        "the role that the job runs as",
    )
    image: str | None = _setting(
        None,
        # A tag may be moved between two starts, and then the name of the job would tell of another program.
        _matching(r"\S+@sha256:[0-9a-f]{64}", "an image by digest, REPOSITORY@sha256:<64 hex digits>"),
        "the training image",
    )
    store: str | None = _setting(
        None,
        Kind(_store, "s3://bucket/prefix"),
        "where input, checkpoints and results go",
    )
    prefix: str = _setting(
        "podium",
        _matching(r"(?=.{1,24}\Z)[a-zA-Z0-9](-*[a-zA-Z0-9])*", "1 to 24 letters, digits and dashes"),
        "how names of jobs begin, which a policy can allow",
    )
    instance_type: str = _setting(
        "ml.m5.4xlarge", _matching(r"ml\.[a-z0-9-]+\.[a-z0-9]+", "a type as ml.m5.4xlarge"), "the kind of machine"
    )
    instance_count: int = _setting(1, integer(1, 100), "how many machines")
    volume_gb: int = _setting(30, integer(1, 16384), "disk of each machine")
    input_mode: str = _setting("File", choice(File="File", FastFile="FastFile"), "how input gets there")
    subnets: tuple[str, ...] = _setting((), _many(r"[-0-9a-zA-Z]{1,32}", "ids of subnets"), "of the VPC")
    security_groups: tuple[str, ...] = _setting(
        (), _many(r"[-0-9a-zA-Z]{1,32}", "ids of security groups"), "of the VPC"
    )
    volume_key: str | None = _setting(None, _KEY, "KMS key of the disks")
    output_key: str | None = _setting(None, _KEY, "KMS key of the results")
    max_runtime_seconds: int = _setting(10_800, integer(60, 2_419_200), "the job is stopped after that long")
    spot: bool = _setting(False, _ON_OFF, "spot instances: cheaper, and interrupted at times")
    max_wait_seconds: int | None = _setting(
        None, integer(60, 2_419_200), "spot only: runtime and waiting together (default: twice the runtime)"
    )
    tags: tuple[str, ...] = _setting(
        (), _many(r"[\w\s.:/+@-]{1,128}=[\w\s.:/=+@-]{0,256}", "KEY=VALUE"), "tags of the job"
    )

    @classmethod
    def read(cls, options: Mapping[str, str | None], environ: Mapping[str, str] = os.environ) -> JobSettings:
        """
        Args:
            options: by field name, and `config` for a TOML file with field names as keys.

        Raises:
            JobSettingsError: a value is not allowed, a key of the file is unknown, or values do not go together.
        """
        path = options.get("config") or environ.get(CONFIG)
        texts = _file(Path(path)) if path else {}
        given: dict[str, Any] = {}
        for each in fields(cls):
            sources = {
                option(each): options.get(each.name),
                PREFIX + each.name.upper(): environ.get(PREFIX + each.name.upper()),
                f"{path}: {each.name}": texts.get(each.name),
            }
            source, text = next(((source, text) for source, text in sources.items() if text), ("", ""))
            if text:
                given[each.name] = _read(each, source, text)
        settings = cls(**given)
        settings.check()
        return settings

    def check(self) -> None:
        if bool(self.subnets) != bool(self.security_groups):
            raise JobSettingsError("a VPC takes both: give --subnets and --security-groups, or neither")
        if self.max_wait_seconds is not None and not self.spot:
            raise JobSettingsError("--max-wait-seconds is for spot instances: give --spot on too")
        if self.spot and self.wait_seconds < self.max_runtime_seconds:
            raise JobSettingsError(
                f"--max-wait-seconds {self.wait_seconds} is shorter than --max-runtime-seconds "
                f"{self.max_runtime_seconds}, which it includes"
            )

    @property
    def wait_seconds(self) -> int:
        return self.max_wait_seconds or min(2 * self.max_runtime_seconds, 2_419_200)

    def require(self, name: str) -> str:
        """
        Raises:
            JobSettingsError: the setting is not set.
        """
        value = getattr(self, name)
        if not value:
            (about,) = (each for each in fields(self) if each.name == name)
            raise JobSettingsError(
                f"no {name} is set, {about.metadata['doc']}: give {option(about)} or {PREFIX}{name.upper()}, "
                f"{_kind(about).allowed}"
            )
        return value


def option(setting: Field[Any]) -> str:
    return f"--{setting.name.replace('_', '-')}"


def help_text(setting: Field[Any]) -> str:
    default = setting.default
    shown = {True: "on", False: "off"}.get(default, default) if isinstance(default, bool) else default
    return f"{setting.metadata['doc']}: {_kind(setting).allowed}" + (f" (default: {shown})" if shown else "")


def _kind(setting: Field[Any]) -> Kind:
    return cast(Kind, setting.metadata["kind"])


def _read(setting: Field[Any], source: str, text: str) -> Any:
    kind = _kind(setting)
    try:
        return kind.read(text)
    except (ValueError, KeyError, BadUri) as error:
        raise JobSettingsError(f"{source} {text!r:.200}: give {kind.allowed}") from error


def _file(path: Path) -> dict[str, str]:
    try:
        document = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise JobSettingsError(f"{path} cannot be read as TOML: {error}") from error
    known = {each.name for each in fields(JobSettings)}
    if unknown := sorted(set(document) - known):
        raise JobSettingsError(f"{path}: {unknown[0]} is no setting of a job; there are {', '.join(sorted(known))}")
    return {name: _text(value) for name, value in document.items()}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return ",".join(map(str, cast(list[Any], value)))
    if isinstance(value, dict):
        return ",".join(f"{key}={text}" for key, text in cast(dict[str, Any], value).items())
    return str(value)
