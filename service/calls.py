"""What a client of the service sends, what it makes of the answers, and when it asks again; no connections here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import httpx
import numpy as np
import orjson

from service.problems import TYPE_PREFIX
from service.retries import Attempts, retry_after

Features: TypeAlias = Sequence[float | None] | Mapping[str, float | None] | np.ndarray[Any, np.dtype[Any]]
"""Of one item: all in the model's order, or those that are known by name; None and NaN are missing."""
Matrix: TypeAlias = Sequence[Features] | np.ndarray[Any, np.dtype[Any]]

DEADLINE = "x-request-deadline-ms"

_INFINITE = (float("inf"), float("-inf"))


class ClientError(Exception):
    """No ranking. One of those below."""


class Unreachable(ClientError):
    """No connection, or it ended without an answer."""


class TimedOut(ClientError):
    """The time was up before the answer was there."""


class BadAnswer(ClientError):
    """What came back is not of this service, or broke off."""


class ServiceError(ClientError):
    """The service answered with a problem document.

    Attributes:
        status: of HTTP.
        slug: the kind of the problem, as "invalid-request"; empty if the answer was no problem document.
        errors: the mistakes in the request, each with `reason` and where it is.
        request_id: what the service's log has it under.
        document: all that it said.
    """

    def __init__(self, status: int, document: Mapping[str, Any], request_id: str) -> None:
        detail = document.get("detail", "no reason given")
        self.status = status
        self.slug = str(document.get("type", "")).removeprefix(TYPE_PREFIX)
        self.errors: list[dict[str, Any]] = document.get("errors", [])
        self.request_id = request_id
        self.document = document
        super().__init__(f"{status} {self.slug}: {detail} (request {request_id})")


@dataclass(frozen=True)
class RankedItem:
    """`contributions` and `bias` are there if the request asked to explain."""

    id: str
    score: float
    rank: int
    contributions: Mapping[str, float] | None = None
    bias: float | None = None


@dataclass(frozen=True)
class Ranked:
    """The items, best first, and what ranked them."""

    id: str
    items: list[RankedItem]
    model: str
    version: str
    took_ms: float
    request_id: str


@dataclass(frozen=True)
class Readiness:
    """True if the service is ready; otherwise `phase` and `detail` say what it is at, or why it failed."""

    ready: bool
    phase: str
    detail: str = ""

    def __bool__(self) -> bool:
        return self.ready


@dataclass(frozen=True)
class Version:
    """`model`, `version` and `digest` are None until a model is loaded."""

    commit: str
    model: str | None
    version: str | None
    digest: str | None


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    content: bytes

    def wait(self, attempts: Attempts) -> float | None:
        if self.status != 503:
            return None
        return attempts.wait_before_next(retry_after(self.headers.get("retry-after")))

    def document(self, *, expected: tuple[int, ...] = (200,)) -> dict[str, Any]:
        """
        Raises:
            ServiceError: another status than those expected.
            BadAnswer: no JSON object.
        """
        try:
            document = orjson.loads(self.content)
        except orjson.JSONDecodeError:
            document = None
        known = cast(dict[str, Any], document) if type(document) is dict else None
        if self.status not in expected:
            raise ServiceError(self.status, known or {}, self.headers.get("x-request-id", ""))
        if known is None:
            raise BadAnswer(f"{self.status} with a body that is no JSON object: {self.content[:100]!r}")
        return known


def options(attempts: Attempts, body: bytes | None) -> dict[str, Any]:
    headers = {DEADLINE: str(max(1, int(attempts.left * 1000)))}
    if body is not None:
        headers["content-type"] = "application/json"
    # Zero would mean no limit.
    return {"content": body, "headers": headers, "timeout": max(0.001, attempts.left)}


def wait_after(error: httpx.HTTPError, attempts: Attempts, *, begun: bool) -> float:
    """Seconds to wait before asking again.

    Args:
        begun: whether the head of an answer came: then it is never asked again.

    Raises:
        TimedOut, Unreachable, BadAnswer: there is no asking again.
    """
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, httpx.TimeoutException):
        raise TimedOut(text) from error
    # What httpx says of a connection that the other side closed: one that was idle may be closed at any time. It also
    # says so of half a head, which it does not hand out; as a ranking changes nothing, asking again does no harm.
    closed = isinstance(error, httpx.RemoteProtocolError) and "without sending a response" in str(error)
    if begun or not (closed or isinstance(error, httpx.NetworkError)):
        raise BadAnswer(text) from error
    wait = attempts.wait_before_next()
    if wait is None:
        raise Unreachable(text) from error
    return wait


def body_of(
    items: Mapping[str, Features] | None,
    features: Matrix | None,
    query: str | None,
    top_k: int | None,
    *,
    explain: bool,
) -> bytes:
    if (items is None) == (features is None):
        raise ValueError("give items by their ids, or rows of features, and not both")
    rows: Matrix = list(items.values()) if items is not None else cast("Matrix", features)
    ids = list(items) if items is not None else [str(place) for place in range(len(rows))]
    document = {"item_ids": ids, "features": _finite(rows), "id": query, "top_k": top_k, "explain": explain}
    # orjson writes NaN as null, which is missing, and a float32 by its own digits.
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def _finite(rows: Matrix) -> Any:
    """`rows` as orjson can write them; it would write an infinity as null, and nobody would notice."""
    if isinstance(rows, np.ndarray):
        if np.isinf(rows).any():
            raise ValueError("a feature is infinite")
        return np.ascontiguousarray(rows)
    for row in rows:
        values = row.values() if isinstance(row, Mapping) else row
        if np.isinf(values).any() if isinstance(values, np.ndarray) else any(value in _INFINITE for value in values):
            raise ValueError("a feature is infinite")
    return [np.ascontiguousarray(row) if isinstance(row, np.ndarray) else row for row in rows]


def ranked(answer: Answer) -> Ranked:
    document = answer.document()
    try:
        items = [RankedItem(**item) for item in document["items"]]
        model = document["model"]
        request_id = answer.headers.get("x-request-id", "")
        return Ranked(document["id"], items, model["name"], model["version"], document["took_ms"], request_id)
    except (KeyError, TypeError) as error:
        raise BadAnswer(f"no ranking: {answer.content[:100]!r}") from error


def readiness(answer: Answer) -> Readiness:
    document = answer.document(expected=(200, 503))
    if answer.status == 200:
        return Readiness(True, "ready")
    return Readiness(False, str(document.get("phase", "")), str(document.get("detail", "")))


def version_of(answer: Answer) -> Version:
    document = answer.document()
    try:
        model: dict[str, str | None] = document["model"] or {"name": None, "version": None, "digest": None}
        return Version(document["commit"], model["name"], model["version"], model["digest"])
    except (KeyError, TypeError) as error:
        raise BadAnswer(f"no version: {answer.content[:100]!r}") from error
