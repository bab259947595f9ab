"""What S3 says of new objects, as it arrives in a queue: which objects, and which job each of them is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import unquote_plus

import orjson

CREATED = "ObjectCreated:"


class BadNotification(ValueError):
    """A message that is no notification of S3."""


@dataclass(frozen=True)
class Dropped:
    """An object as it was when S3 spoke of it. `version` is None in a bucket that keeps none."""

    bucket: str
    key: str
    version: str | None
    etag: str

    @property
    def job(self) -> str:
        """Names this very content at this place: delivered twice it is one job, put again it is another."""
        identity = "\0".join((self.bucket, self.key, self.version or self.etag))
        return hashlib.sha256(identity.encode()).hexdigest()[:32]


def dropped(body: str) -> list[Dropped]:
    """The new objects that a message speaks of; none in the test message that S3 sends when it is connected.

    Raises:
        BadNotification: the message is something else.
    """
    try:
        document: Any = orjson.loads(body)
        if type(document) is not dict:
            raise BadNotification(f"the message is no object but {type(document).__name__}")
        message = cast(dict[str, Any], document)
        if message.get("Event") == "s3:TestEvent":
            return []
        return [_of(record["s3"]) for record in message["Records"] if _is_creation(record["eventName"])]
    except orjson.JSONDecodeError as error:
        raise BadNotification(f"the message is not JSON: {error}") from None
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
        raise BadNotification(f"the message is no notification of S3: {error!r}") from error


def _is_creation(name: str) -> bool:
    return name.removeprefix("s3:").startswith(CREATED)


def _of(about: dict[str, Any]) -> Dropped:
    found = about["object"]
    # S3 writes keys as forms do: a blank is a plus, and all but ASCII is escaped.
    key = unquote_plus(found["key"], errors="strict")
    return Dropped(about["bucket"]["name"], key, found.get("versionId"), found.get("eTag", ""))
