"""Errors on the wire: RFC 9457 problem documents, one kind a row of `KINDS`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:podium:problem:"


@dataclass(frozen=True)
class Kind:
    """What `type` stands for; `meaning` is for the documentation."""

    status: int
    title: str
    meaning: str


KINDS: Mapping[str, Kind] = {
    "not-json": Kind(
        400, "The body is not JSON", "The body is not JSON in UTF-8; `detail` says where it stops being it."
    ),
    "invalid-header": Kind(400, "A header is not valid", "`detail` names the header and what it may hold."),
    "not-found": Kind(404, "No such route", "No route has this path."),
    "model-not-found": Kind(404, "No such model", "The service has one model, of another name or version."),
    "method-not-allowed": Kind(405, "Method not allowed", "The route has other methods: see `Allow`."),
    "body-too-large": Kind(413, "The body is too large", "The body has more bytes than the service takes."),
    "unsupported-media-type": Kind(
        415,
        "The body is of another kind",
        "Content-Type or Content-Encoding is none that the route takes, or the body is not what it says.",
    ),
    "invalid-request": Kind(
        422, "The request is not valid", "`errors` names up to 10 mistakes by field, or by item and feature."
    ),
    "internal-error": Kind(500, "Internal error", "A fault of the service; its log has the request id."),
    "not-ready": Kind(
        503, "No model is ready", "The model is loading, or failed to: see `phase` and `reason`, and `Retry-After`."
    ),
    "overloaded": Kind(
        503, "Too much work is waiting", "Refused before any work was done: ask again after `Retry-After`."
    ),
    "deadline-exceeded": Kind(
        504, "The deadline has passed", "The time that the caller gave was over before scoring began."
    ),
}


class Problem(Exception):
    """Raised anywhere below the telemetry middleware, which answers with it.

    Args:
        slug: a key of `KINDS`.
        members: extension members of the document, such as `errors` or `phase`.
    """

    def __init__(
        self,
        slug: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.slug = slug
        self.kind = KINDS[slug]
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = dict(members or {})

    @property
    def status(self) -> int:
        return self.kind.status

    def document(self, request_id: str) -> dict[str, Any]:
        return {
            "type": TYPE_PREFIX + self.slug,
            "title": self.kind.title,
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id,
            **self.members,
        }

    def body(self, request_id: str) -> bytes:
        return orjson.dumps(self.document(request_id))


class InvalidRequest(Problem):
    """422. `errors` are the first mistakes, `total` is how many there are."""

    def __init__(self, errors: list[dict[str, Any]], total: int) -> None:
        first = describe(errors[0])
        detail = first if total == 1 else f"{total} mistakes, the first: {first}"
        super().__init__("invalid-request", detail, members={"errors": errors, "total_errors": total})


def describe(error: Mapping[str, Any]) -> str:
    """A mistake as a sentence: `item 4 ("doc-4"), feature "bm25": true is not a number`."""
    where: list[str] = []
    if "field" in error:
        where.append(f"field {error['field']!r}")
    if "item" in error:
        where.append(f"item {error['item']}" + (f' ("{error["id"]}")' if "id" in error else ""))
    if "feature" in error:
        where.append(f'feature "{error["feature"]}"')
    return ": ".join([", ".join(where), error["reason"]] if where else [error["reason"]])
