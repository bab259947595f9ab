"""The worker of the delayed path: files of queries that S3 announced through a queue, ranked into a table.

`handler` is what Lambda calls. It is made when Lambda's runtime asks for it, which is the function's initialisation, so
that the model is loaded and proven before the first event; importing this module does nothing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import orjson

from service import api
from service.download import ordered
from service.lines import BadStream, Line, lines
from service.loading import Loader, Model
from service.mistakes import Limits
from service.notifications import Dropped, dropped
from service.problems import Problem
from service.rankings import Outcome, Rankings, Table
from service.settings import Settings, SettingsError
from service.telemetry import Telemetry

# Where the files are, beside the bucket's models: infra/delayed.py gives the worker these and no others.
OUTPUT, SPILL = "delayed/output/", "delayed/spill/"

# Lambda gives a container's initialisation 10 s, and what was not done starts again in the first call's own time.
INIT_SECONDS = 60.0

# What is not begun with less than this left is left to another try: a kill would leave no word of why.
MARGIN_MS = 3000

# Writes under way at once: each waits some milliseconds for its answer, while the next queries are scored.
WRITES = 8


class Context(Protocol):
    """What Lambda tells of an invocation."""

    def get_remaining_time_in_millis(self) -> int: ...


class OutOfTime(Exception):
    """The invocation ends before the file does."""


@dataclass
class Counts:
    """Lines of a file, by what became of them; all of it follows from the file and the model alone."""

    ranked: int = 0
    failed: int = 0
    kept: int = field(default=0, compare=False)


class Worker:
    """
    Args:
        s3, dynamodb: clients.
    """

    def __init__(self, model: Model, settings: Settings, telemetry: Telemetry, s3: Any, dynamodb: Any) -> None:
        if settings.table is None:
            raise SettingsError("PODIUM_TABLE is not set, so there is nowhere to put rankings: name a DynamoDB table")
        self._model = model
        self._settings = settings
        self._telemetry = telemetry
        self._s3 = s3
        self._table = Table(dynamodb, settings.table, settings.result_days)
        self._limits = Limits(settings.max_items, settings.explain, settings.explain_max_items)

    def __call__(self, event: Mapping[str, Any], context: Context) -> dict[str, Any]:
        """Works on a batch of SQS, and names the messages that must come again."""
        failed = [record["messageId"] for record in event["Records"] if not self._done(record, context)]
        return {"batchItemFailures": [{"itemIdentifier": message} for message in failed]}

    def _done(self, record: Mapping[str, Any], context: Context) -> bool:
        try:
            for file in dropped(record["body"]):
                self._rank_file(file, context)
        except Exception as error:  # noqa: BLE001 - the other messages of the batch are not to come again for this one
            about = {"message": record["messageId"], "reason": f"{type(error).__name__}: {error}"}
            self._telemetry.event("message-failed", logging.ERROR, error=error, **about)
            return False
        return True

    def _rank_file(self, file: Dropped, context: Context) -> None:
        rankings = Rankings(self._table, file.job, self._model.manifest, partial(self._spill, file))
        counts = Counts()
        version = {} if file.version is None else {"VersionId": file.version}
        found = self._s3.get_object(Bucket=file.bucket, Key=file.key, **version)
        with closing(found["Body"]) as body:
            for outcome, kept in ordered(_keeping(rankings), self._outcomes(body, file.key, context), WRITES):
                counts.ranked += outcome.problem is None
                counts.failed += outcome.problem is not None
                counts.kept += kept
        self._summarise(file, counts)
        self._telemetry.event("file-ranked", job=file.job, key=file.key, **vars(counts))

    def _outcomes(self, body: Any, name: str, context: Context) -> Iterator[Outcome]:
        try:
            for line in lines(body, name, self._settings.max_body_bytes):
                if context.get_remaining_time_in_millis() < MARGIN_MS:
                    raise OutOfTime(f"no time left at line {line.number}")
                yield self._outcome(line)
        except BadStream as error:
            yield Outcome(error.line, None, problem=Problem("unsupported-media-type", str(error)))

    def _outcome(self, line: Line) -> Outcome:
        if line.text is None:
            most = self._settings.max_body_bytes
            return Outcome(line.number, None, problem=Problem("body-too-large", f"a line may have {most} bytes"))
        model, query = self._model, f"line-{line.number}"
        try:
            answer = api.answer(line.text, model.ranker, self._limits, model=model.about, query=query)
        except Problem as problem:
            return Outcome(line.number, None, problem=problem)
        return Outcome(line.number, orjson.loads(answer.body)["id"], answer.body)

    def _spill(self, file: Dropped, name: str, data: bytes) -> str:
        key = f"{SPILL}{file.job}/{name}"
        self._s3.put_object(Bucket=file.bucket, Key=key, Body=data, ContentType="application/json")
        return key

    def _summarise(self, file: Dropped, counts: Counts) -> None:
        # The same bytes at every delivery: nothing in it depends on when.
        summary = {
            "job": file.job,
            "input": {"key": file.key, "version": file.version},
            "model": {**self._model.about, "digest": self._model.manifest.digest},
            "ranked": counts.ranked,
            "failed": counts.failed,
        }
        key, body = f"{OUTPUT}{file.job}/summary.json", orjson.dumps(summary)
        self._s3.put_object(Bucket=file.bucket, Key=key, Body=body, ContentType="application/json")


def start(environ: Mapping[str, str] = os.environ) -> Worker:
    """A worker with its model in memory and proven, for a process that does nothing else.

    Raises:
        SettingsError: a setting is missing or not allowed.
        NotReady: there is no model.
    """
    from service import clients  # noqa: PLC0415 - beside the model's own imports
    from service.lean import forbid_unused  # noqa: PLC0415
    from service.telemetry import configure_logging  # noqa: PLC0415

    settings = Settings.from_env(environ)
    forbid_unused()
    # The image says it; there is no git to ask.
    telemetry = Telemetry(settings.commit or "unknown")
    configure_logging(settings.log_level, telemetry.identity)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    loader = Loader(settings, telemetry)
    loader.start()
    s3, dynamodb = clients.s3(settings), clients.dynamodb(settings)
    return Worker(loader.wait(INIT_SECONDS), settings, telemetry, s3, dynamodb)


def _keeping(rankings: Rankings) -> Callable[[Outcome], tuple[Outcome, bool]]:
    def keep(outcome: Outcome) -> tuple[Outcome, bool]:
        kept = rankings.keep(outcome)
        if kept != "taken":
            return outcome, kept == "kept"
        repeated = outcome.repeated()
        return repeated, rankings.keep(repeated) == "kept"

    return keep


def __getattr__(name: str) -> Any:
    if name != "handler":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()["handler"] = made = start()
    return made
