"""Metrics, log lines and the identity of what answers: which model, which commit."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

METRICS: Mapping[str, str] = {
    "podium_requests_total": "Requests answered, by route, method and status; 499 is a client that left.",
    "podium_request_seconds": "Seconds from the first byte of a request's head to the end of its answer.",
    "podium_in_flight": "Requests being answered.",
    "podium_queue_seconds": "Seconds that a request waited, body read, for its turn to be scored.",
    "podium_rejected_total": "Requests refused, by the slug of their problem document.",
    "podium_refused_total": "Requests refused for want of room: in-flight, queue (too long a wait) or deadline.",
    "podium_refusal_seconds": "Seconds to refuse who has no room, from the first byte, or the last of a slow body.",
    "podium_backlog_seconds": "Busy seconds of the queries that wait for scoring, as estimated from those before.",
    "podium_busy_seconds_total": "Seconds spent reading, scoring and encoding queries.",
    "podium_items": "Items per query.",
    "podium_score_seconds": "Seconds of scoring alone, per query.",
    "podium_model_info": "1 for the model that serves, by name, version, digest and the service's commit.",
    "podium_load_seconds": "Seconds that each phase of the start took.",
    "podium_load_retries_total": "Times that the start had to wait for its registry, by reason.",
    "podium_phase": "1 for the phase the start is in, 0 for the others.",
}

# The lower end tells short queries from long ones; the upper is for waiting.
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
# A refusal is short once it is looked at, and may wait for a slice of scoring before that: 0.02 is what to watch.
REFUSALS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
ITEMS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# A time stamp beside each series would nearly double their number, and no query here needs it.
disable_created_metrics()

logger = logging.getLogger("podium")


@dataclass
class Identity:
    """Goes with every answer and log line. `model` and `version` are None until a model is ready."""

    commit: str
    model: str | None = None
    version: str | None = None

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """As ASGI headers. Names, versions and commits are ASCII by their own rules."""
        pairs = [("x-podium-commit", self.commit), ("x-podium-model", self.model), ("x-podium-version", self.version)]
        return [(name.encode(), value.encode("latin-1", "replace")) for name, value in pairs if value is not None]


class Metrics:
    """The metrics of one application, in a registry of its own: several may live in one process."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        by_answer = ("route", "method", "status")
        self._requests = Counter(*_named("podium_requests_total"), by_answer, registry=self.registry)
        self._seconds = Histogram(*_named("podium_request_seconds"), by_answer, buckets=SECONDS, registry=self.registry)
        self.in_flight = Gauge(*_named("podium_in_flight"), registry=self.registry)
        self.queue_seconds = Histogram(*_named("podium_queue_seconds"), buckets=SECONDS, registry=self.registry)
        self._rejected = Counter(*_named("podium_rejected_total"), ("reason",), registry=self.registry)
        self._refused = Counter(*_named("podium_refused_total"), ("reason",), registry=self.registry)
        self._refusal_seconds = Histogram(*_named("podium_refusal_seconds"), buckets=REFUSALS, registry=self.registry)
        self.backlog = Gauge(*_named("podium_backlog_seconds"), registry=self.registry)
        self.busy = Counter(*_named("podium_busy_seconds_total"), registry=self.registry)
        self.items = Histogram(*_named("podium_items"), buckets=ITEMS, registry=self.registry)
        self.score_seconds = Histogram(*_named("podium_score_seconds"), buckets=SECONDS, registry=self.registry)
        about = ("name", "version", "digest", "commit")
        self._model = Gauge(*_named("podium_model_info"), about, registry=self.registry)
        self._load = Gauge(*_named("podium_load_seconds"), ("phase",), registry=self.registry)
        self._put_off = Counter(*_named("podium_load_retries_total"), ("reason",), registry=self.registry)
        self._phase = Gauge(*_named("podium_phase"), ("phase",), registry=self.registry)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        # A client may invent methods; a time series for each would be a leak.
        labels = (route, method if method in _METHODS else "other", str(status))
        self._requests.labels(*labels).inc()
        self._seconds.labels(*labels).observe(seconds)

    def rejected(self, reason: str) -> None:
        self._rejected.labels(reason).inc()

    def refused(self, reason: str, seconds: float) -> None:
        self._refused.labels(reason).inc()
        self._refusal_seconds.observe(seconds)

    def entered(self, phase: str, phases: tuple[str, ...]) -> None:
        for name in phases:
            self._phase.labels(name).set(name == phase)

    def put_off(self, reason: str) -> None:
        self._put_off.labels(reason).inc()

    def left(self, phase: str, seconds: float) -> None:
        self._load.labels(phase).set(seconds)

    def serves(self, name: str, version: str, digest: str) -> None:
        self._model.labels(name, version, digest, self._identity.commit).set(1)

    def render(self) -> bytes:
        """The exposition text of Prometheus."""
        return generate_latest(self.registry)


class Telemetry:
    """What one application tells about itself."""

    def __init__(self, commit: str) -> None:
        self.identity = Identity(commit)
        self.metrics = Metrics(self.identity)

    def event(self, name: str, level: int = logging.INFO, *, error: BaseException | None = None, **about: Any) -> None:
        """Writes one log line; `error` adds its traceback."""
        if logger.isEnabledFor(level):
            identity = {"model": self.identity.model, "version": self.identity.version, "commit": self.identity.commit}
            logger.log(level, name, exc_info=error, extra={"about": {**identity, **about}})


class JsonLines(logging.Formatter):
    """A log record as one line of JSON; also the records of libraries, which know no event."""

    def __init__(self, identity: Identity) -> None:
        super().__init__()
        self._identity = identity

    def format(self, record: logging.LogRecord) -> str:
        about: Mapping[str, Any] | None = getattr(record, "about", None)
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage() if about is not None else "log",
        }
        if about is None:
            identity = self._identity
            line |= {"model": identity.model, "version": identity.version, "commit": identity.commit}
            line |= {"logger": record.name, "message": record.getMessage()}
        else:
            line |= about
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return _dumps(line)


def configure_logging(level: str, identity: Identity, stream: TextIO | None = None) -> None:
    """Sends every log record of the process to `stream` (standard output) as JSON lines.

    uvicorn's loggers come the same way, from warnings up: the events here say the rest better.
    """
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonLines(identity))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.captureWarnings(True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
    logging.getLogger("uvicorn").setLevel("WARNING" if level == "info" else level.upper())


def _named(metric: str) -> tuple[str, str]:
    return metric, METRICS[metric]


def _dumps(line: Mapping[str, Any]) -> str:
    try:
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        # A lone surrogate in a text, or a number too long: a log line must not raise.
        return orjson.dumps({key: ascii(value) for key, value in line.items()}).decode()
