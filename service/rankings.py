"""Rankings kept in DynamoDB: one item a query, written once, however often its message is delivered.

Keys: `pk` is `<job>#<shard>`, because DynamoDB takes a thousand writes a second for one partition key, and a job may
have a million queries; the shard follows from the query, so that one item is one read. `sk` is `<version>#query#<id>`,
or `<version>#line#<number>` for a line that holds no query.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from botocore.exceptions import ClientError

from service.manifest import Manifest
from service.problems import Problem

SHARDS = 16

# An item may have 400 KB, its names and keys included; one that is longer is put into the bucket.
MOST_BYTES = 350_000

# A sort key may have 1024 bytes, an id 256 characters of up to four: a longer one is there by its digest.
MOST_ID_BYTES = 512

DAY = 86_400

Spill = Callable[[str, bytes], str]
"""Puts bytes under a name into the bucket and returns the key."""

Kept = Literal["kept", "there", "taken"]
"""kept now; there, because this line was kept before; taken, because another line of the job has the query's id."""


@dataclass(frozen=True)
class Outcome:
    """What became of a line: an answer, as /v1/rank gives it, or what is wrong. `query` is None if it has none."""

    line: int
    query: str | None
    answer: bytes | None = None
    problem: Problem | None = None

    def repeated(self) -> Outcome:
        """This line as one whose id another line of the same job has."""
        problem = Problem(
            "invalid-request", f"another line of this job has the id {self.query!r}: an id names one query"
        )
        return Outcome(self.line, None, problem=problem)


@dataclass(frozen=True)
class Table:
    """
    Args:
        client: of DynamoDB.
        days: after which an item may go.
    """

    client: Any
    name: str
    days: int


class Rankings:
    """The rankings of one job by one model. Safe to call from several threads.

    Args:
        table: of this process's DynamoDB.
        spill: for what is too long for an item.
    """

    def __init__(self, table: Table, job: str, manifest: Manifest, spill: Spill) -> None:
        self._table = table
        self._job = job
        self._manifest = manifest
        self._spill = spill
        self._expires = int(time.time()) + table.days * DAY

    def keep(self, outcome: Outcome) -> Kept:
        """
        Raises:
            ClientError, BotoCoreError: it could not be kept; trying again does no harm.
        """
        try:
            self._table.client.put_item(
                TableName=self._table.name,
                Item=self._item(outcome),
                ConditionExpression="attribute_not_exists(pk)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "ConditionalCheckFailedException":
                raise
            there: dict[str, Any] = error.response.get("Item", {})
            return "there" if there.get("line") == {"N": str(outcome.line)} else "taken"
        return "kept"

    def _item(self, outcome: Outcome) -> dict[str, Any]:
        version = self._manifest.version
        item: dict[str, Any] = {
            **key(self._job, version, f"line#{outcome.line}" if outcome.query is None else query_name(outcome.query)),
            "job": {"S": self._job},
            "line": {"N": str(outcome.line)},
            "model": {"S": self._manifest.name},
            "version": {"S": version},
            "expires": {"N": str(self._expires)},
        }
        if outcome.query is not None:
            item["query"] = {"S": outcome.query}
        if outcome.problem is not None:
            problem = outcome.problem
            return {**item, "status": {"S": "failed"}, "problem": {"S": problem.slug}, "reason": {"S": problem.detail}}
        answer = outcome.answer or b""
        if len(answer) <= MOST_BYTES:
            return {**item, "status": {"S": "done"}, "answer": {"S": answer.decode()}}
        return {
            **item,
            "status": {"S": "done"},
            "spilled": {"S": self._spill(f"{version}/{outcome.line}.json", answer)},
        }


def query_name(query: str) -> str:
    encoded = query.encode()
    if len(encoded) <= MOST_ID_BYTES:
        return f"query#{query}"
    return f"sha256#{hashlib.sha256(encoded).hexdigest()}"


def key(job: str, version: str, name: str) -> dict[str, Any]:
    """Where an item is. `name` is `line#<number>` or the `query_name` of an id."""
    shard = hashlib.sha256(name.encode()).digest()[0] % SHARDS
    return {"pk": {"S": f"{job}#{shard:02d}"}, "sk": {"S": f"{version}#{name}"}}
