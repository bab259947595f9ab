"""Every setting of the service: its variable, default, meaning and reason, in this one place."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from difflib import get_close_matches
from typing import Any, cast

PREFIX = "PODIUM_"

# Variables with our prefix that other commands read: seeing them here is no mistake.
OTHERS = frozenset({"PODIUM_REQUIRE_ALL", "PODIUM_TEST_DATA", "PODIUM_CACHE"})
OTHERS_PREFIX = "PODIUM_SAGEMAKER_"

_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})")


class SettingsError(ValueError):
    """A variable holds what its setting does not allow; the message names both and what is allowed."""


@dataclass(frozen=True)
class Kind:
    """How a setting is read, and the words for what it allows; for all else `read` raises ValueError or KeyError."""

    read: Callable[[str], Any]
    allowed: str


def integer(low: int, high: int) -> Kind:
    """A whole number, written in ASCII digits alone."""

    def read(text: str) -> int:
        # int() alone would take "1_000", " 8" and Arabic-Indic digits.
        if not (text.isascii() and text.isdecimal() and len(text) < 20 and low <= int(text) <= high):
            raise ValueError(text)
        return int(text)

    return Kind(read, f"a whole number from {low} to {high}")


def choice(**values: Any) -> Kind:
    """One of these words, each with what it stands for."""
    return Kind(values.__getitem__, " or ".join(values))


def _text(allowed: str) -> Kind:
    def read(text: str) -> str:
        if not text.isprintable() or text != text.strip():
            raise ValueError(text)
        return text

    return Kind(read, allowed)


def _matching(pattern: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if re.fullmatch(pattern, text) is None:
            raise ValueError(text)
        return text

    return read


_endpoint = _matching(r"https?://([A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?/?")
_region = _matching(r"[a-z0-9-]{1,40}")


def _digest(text: str) -> str:
    found = _DIGEST.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return f"sha256:{found[1]}"


def _setting(default: Any, kind: Kind, doc: str, why: str) -> Any:
    return field(default=default, metadata={"kind": kind, "doc": doc, "why": why})


@dataclass(frozen=True)
class Settings:
    """Read it with `from_env`; a test builds it with the fields it needs."""

    model: str | None = _setting(
        None,
        _text("the URI or folder of a model, as s3://bucket/prefix/models/<name>/<version>"),
        "The model to serve.",
        "A process serves one model for its whole life: what runs is what its configuration says.",
    )
    model_sha256: str | None = _setting(
        None,
        Kind(_digest, "64 hex digits, with or without sha256: before them"),
        "The digest that the model must have.",
        "A pinned digest makes a changed registry a failed start instead of other scores.",
    )
    registry: str | None = _setting(
        None,
        _text("the URI or folder of a registry, as file:///registry or s3://bucket/prefix"),
        "Where `--newest` and the registry verbs look; unset, `.podium/registry` of the current folder.",
        "A model URI names its own registry, so a pod does not need this.",
    )
    model_folder: str | None = _setting(
        None,
        _text("a folder that can be written"),
        "Where a downloaded model is put; unset, a temporary folder that goes with the process.",
        "A pod's root file system is read-only: this names the volume that is not.",
    )
    s3_endpoint: str | None = _setting(
        None,
        Kind(_endpoint, "https://host, with :port if need be (http:// for an emulator)"),
        "Where `s3://` registries are; unset, Amazon S3 or what AWS_ENDPOINT_URL_S3 says.",
        "Other makers' stores and emulators speak S3 too. Credentials come from where every AWS tool has them.",
    )
    s3_region: str | None = _setting(
        None,
        Kind(_region, "the name of a region, as eu-central-1"),
        "The region of `s3://` registries; unset, what AWS_REGION or the AWS profile says, else us-east-1.",
        "A request is signed for one region, and another region refuses it.",
    )
    s3_timeout_seconds: int = _setting(
        10,
        integer(1, 300),
        "The longest silence of an `s3://` registry, in connecting and in answering.",
        "S3 answers within 0.2 s; what is silent for ten will not go on, and another try will.",
    )
    host: str = _setting(
        "127.0.0.1",
        _text("an address of this machine, 0.0.0.0 for all"),
        "The address to listen on.",
        "A laptop should not open a port to its network unasked; an image sets 0.0.0.0.",
    )
    port: int = _setting(
        8000,
        integer(0, 65535),
        "The port to listen on; 0 takes a free one and logs it.",
        "Above 1024, so that no privilege is needed.",
    )
    max_items: int = _setting(
        2000,
        integer(1, 100_000),
        "The most items a query may have.",
        "The longest query of MSLR-WEB30K has 1251 documents, and others wait while one is scored.",
    )
    max_body_bytes: int = _setting(
        8 << 20,
        integer(1024, 1 << 30),
        "The most bytes a request body may have.",
        "2000 items of 136 features at 20 characters a number are 5.4 MB; the rest is room for names.",
    )
    explain: bool = _setting(
        False,
        choice(on=True, off=False),
        "Whether a request may ask for contributions.",
        "Contributions cost many times what scores do, and other requests wait for them.",
    )
    explain_max_items: int = _setting(
        100,
        integer(1, 100_000),
        "The most items a query with contributions may have.",
        "The whole process waits for one explained query, so it must be a short one.",
    )
    max_in_flight: int = _setting(
        128,
        integer(1, 100_000),
        "The most requests that are read, waiting or scored at once; more are refused with 503.",
        "It bounds memory; at 100 items a query 128 are 0.2 s of work, so that bursts below capacity find room.",
    )
    max_queue_ms: int = _setting(
        250,
        integer(1, 600_000),
        "The most milliseconds of work that a request may find before it; more is refused with 503.",
        "Longer queues add waiting and no throughput; whoever routes requests can send a refused one elsewhere.",
    )
    default_deadline_ms: int = _setting(
        10_000,
        integer(1, 86_400_000),
        "The deadline of a request without X-Request-Deadline-Ms, from its arrival, body included.",
        "Nobody looks at a ranking that took longer, and a client that sends its body slower keeps a place of others.",
    )
    retry_after_seconds: int = _setting(
        2,
        integer(1, 3600),
        "The Retry-After of answers given while no model is ready.",
        "A start takes about as long; clients add their own jitter.",
    )
    table: str | None = _setting(
        None,
        Kind(_matching(r"[A-Za-z0-9_.-]{3,255}"), "the name of a DynamoDB table"),
        "Where the worker of the delayed path puts rankings.",
        "Only that worker needs it: what answers over HTTP keeps nothing.",
    )
    result_days: int = _setting(
        7,
        integer(1, 3650),
        "The days after which DynamoDB may delete a ranking that the worker put there.",
        "A delayed ranking is fetched within days, and a table that only grows costs more each month.",
    )
    log_level: str = _setting(
        "info",
        choice(debug="debug", info="info", warning="warning", error="error"),
        "The least severe log lines to write.",
        "Probes and metrics log at debug, because they would be most of the lines.",
    )
    commit: str | None = _setting(
        None,
        _text("a commit, with -dirty after it where the tree was changed"),
        "The commit that this code is; unset, git is asked.",
        "An image holds no git.",
    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ, prefix: str = "") -> Settings:
        """Reads the `PODIUM_*` variables; an empty one counts as unset.

        Args:
            prefix: only fields that begin so are read.

        Raises:
            SettingsError: a value is not allowed.
        """
        given: dict[str, Any] = {}
        for each in fields(cls):
            text = environ.get(variable(each), "") if each.name.startswith(prefix) else ""
            if text and not _service_link(variable(each), text):
                given[each.name] = _read(each, text)
        return cls(**given)

    @property
    def public(self) -> Mapping[str, Any]:
        """The settings by field name, for the log line of a start. None of them is a secret."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


@dataclass(frozen=True)
class Row:
    """A setting as the documentation shows it."""

    variable: str
    default: str
    allowed: str
    doc: str
    why: str


def variable(setting: Field[Any]) -> str:
    return PREFIX + setting.name.upper()


def table() -> list[Row]:
    """All settings, in the order of the class."""
    rows: list[Row] = []
    for each in fields(Settings):
        doc = each.metadata
        rows.append(Row(variable(each), _shown(each.default), _kind(each).allowed, doc["doc"], doc["why"]))
    return rows


def unknown_variables(environ: Mapping[str, str] = os.environ) -> dict[str, str | None]:
    """The `PODIUM_*` variables that nothing reads, each with the known name closest to it.

    They are worth a warning and no more: Kubernetes puts `<SERVICE>_PORT` and the like of every service in
    the namespace into each pod, and a service may well be named podium.
    """
    known = [variable(each) for each in fields(Settings)]
    ours = {*known, *OTHERS}
    unknown = sorted(
        name
        for name, text in environ.items()
        if name.startswith(PREFIX)
        and not name.startswith(OTHERS_PREFIX)
        and (name not in ours or _service_link(name, text))
    )
    return {name: next(iter(get_close_matches(name, known, 1)), None) for name in unknown}


def _service_link(name: str, text: str) -> bool:
    # Of a service named podium Kubernetes makes PODIUM_PORT=tcp://10.0.0.1:8000, which is not our port.
    return name == "PODIUM_PORT" and "://" in text


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return "on" if default else "off"
    return "" if default is None else str(default)


def _kind(setting: Field[Any]) -> Kind:
    return cast(Kind, setting.metadata["kind"])


def _read(setting: Field[Any], text: str) -> Any:
    kind = _kind(setting)
    try:
        return kind.read(text)
    except (ValueError, KeyError) as error:
        raise SettingsError(f"{variable(setting)}={text!r:.200}: give {kind.allowed}") from error
