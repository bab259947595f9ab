"""CloudWatch Logs' two calls that tell what a training job printed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.engines.aws_requests import Refused
from tests.engines.sagemaker_jobs import Event, Job

GROUP = "/aws/sagemaker/TrainingJobs"
# Of GetLogEvents, where AWS takes up to 10,000: few enough for a test to see more than one page.
PAGE = 1000


def streams(jobs: Mapping[str, Job], body: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to DescribeLogStreams: the streams of a prefix, by name."""
    names = sorted(_streams(jobs, body))
    prefix = body.get("logStreamNamePrefix", "")
    found = [{"logStreamName": name} for name in names if name.startswith(prefix)]
    first, count = int(body.get("nextToken", 0)), body.get("limit", 50)
    rest = {"nextToken": str(first + count)} if first + count < len(found) else {}
    return {"logStreams": found[first : first + count], **rest}


def events(jobs: Mapping[str, Job], body: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to GetLogEvents: at the end the token is the one that was given."""
    if not body.get("startFromHead"):
        raise Refused("InvalidParameterException", "this fake reads from the head on")
    found = _streams(jobs, body).get(body["logStreamName"])
    if found is None:
        raise _missing("The specified log stream does not exist.")
    first = int(body.get("nextToken", "f/0").removeprefix("f/"))
    page = found[first : first + min(PAGE, body.get("limit", PAGE))]
    told = [{"timestamp": each.timestamp, "message": each.message, "ingestionTime": each.timestamp} for each in page]
    return {"events": told, "nextForwardToken": f"f/{first + len(page)}", "nextBackwardToken": f"b/{first}"}


def _streams(jobs: Mapping[str, Job], body: Mapping[str, Any]) -> dict[str, list[Event]]:
    if body.get("logGroupName") != GROUP or not any(job.streams for job in jobs.values()):
        raise _missing("The specified log group does not exist.")
    # Copies: the jobs' threads write on.
    return {name: list(lines) for job in list(jobs.values()) for name, lines in list(job.streams.items())}


def _missing(message: str) -> Refused:
    return Refused("ResourceNotFoundException", message)
