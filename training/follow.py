"""Watches a training job to its end: its states, its metrics, its lines. To stop watching does not stop the job."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from training.aws import Aws, explaining
from training.job_errors import AwsDenied, AwsUnavailable, JobError, JobFailed, JobStopped, NoInstances

GROUP = "/aws/sagemaker/TrainingJobs"
ENDED = ("Completed", "Failed", "Stopped")
POLL_SECONDS = 10.0
# A network that is down for so long is somebody's to mend; the job does not need it.
SILENCE_SECONDS = 600.0
LAST_LINES = 10

Say = Callable[[str], None]


@dataclass
class Logs:
    """The lines of a job, in the order of each host; every look gives those that came since the last."""

    aws: Aws
    job: str
    _tokens: dict[str, str] = field(default_factory=dict[str, str])

    def new(self) -> Iterator[tuple[str, str]]:
        """Host and line. Raises JobError."""
        with explaining(self.job):
            for stream in self._streams():
                for message in self._messages(stream):
                    yield stream.rpartition("/")[2], message

    def _streams(self) -> list[str]:
        try:
            pages = self.aws.logs.get_paginator("describe_log_streams").paginate(
                logGroupName=GROUP, logStreamNamePrefix=f"{self.job}/"
            )
            # By name and so, of one host, by time: an interrupted job has a stream for each instance it had.
            return sorted(each["logStreamName"] for page in pages for each in page["logStreams"])
        except self.aws.logs.exceptions.ResourceNotFoundException:
            # The group comes with the first line of the first job.
            return []

    def _messages(self, stream: str) -> Iterator[str]:
        while True:
            token = self._tokens.get(stream)
            more = {"nextToken": token} if token else {}
            page = self.aws.logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True, **more)
            self._tokens[stream] = page["nextForwardToken"]
            for event in page["events"]:
                yield event["message"]
            # A page may be empty and not the last: only the same token again says that there is no more.
            if page["nextForwardToken"] == token:
                return


@dataclass
class Follower:
    """Tells of a job what is new since it told last."""

    aws: Aws
    job: str
    say: Say
    told: int = 0
    metrics: dict[str, float] = field(default_factory=dict[str, float])
    last: list[str] = field(default_factory=list[str])
    _deaf: bool = False
    _begun: datetime | None = None

    def __post_init__(self) -> None:
        self._logs = Logs(self.aws, self.job)

    def look(self) -> dict[str, Any]:
        """What DescribeTrainingJob tells. Raises JobError."""
        with explaining(self.job):
            about: dict[str, Any] = self.aws.sagemaker.describe_training_job(TrainingJobName=self.job)
        self._transitions(about.get("SecondaryStatusTransitions", []))
        self._lines(about["AlgorithmSpecification"].get("MetricDefinitions", []))
        return about

    def _transitions(self, transitions: list[dict[str, Any]]) -> None:
        for each in transitions[self.told :]:
            begun = each["StartTime"]
            self._begun = self._begun or begun
            seconds = int((begun - self._begun).total_seconds())
            message = each.get("StatusMessage", "")
            self.say(f"{_clock(seconds)} {each['Status']}{f': {message}' if message else ''}")
        self.told = len(transitions)

    def _lines(self, definitions: list[dict[str, str]]) -> None:
        if self._deaf:
            return
        before = dict(self.metrics)
        try:
            for _, line in self._logs.new():
                self.last = [*self.last, line][-LAST_LINES:]
                self.metrics.update(measured(line, definitions))
        except JobError as error:
            # The job is what counts; who may not read its lines can still wait for it.
            self._deaf = isinstance(error, AwsDenied) or not isinstance(error, AwsUnavailable)
            if self._deaf:
                self.say(f"its log cannot be read, going on without metrics: {error}")
            return
        if self.metrics != before:
            # In the order of the definitions, which is the writer's.
            known = [each["Name"] for each in definitions if each["Name"] in self.metrics]
            self.say(f"      {'  '.join(f'{name} {self.metrics[name]:g}' for name in known)}")


def wait(aws: Aws, job: str, say: Say, poll: float = POLL_SECONDS) -> dict[str, Any]:
    """Follows a job until it has completed, and returns its last description.

    Raises:
        JobFailed, NoInstances, JobStopped: how else it ended, and why.
        NoSuchJob: as it says.
        AwsUnavailable: AWS denies it, or was out of reach for ten minutes.
    """
    follower = Follower(aws, job, say)
    heard = time.monotonic()
    while True:
        try:
            about = follower.look()
        except AwsDenied:
            raise
        except AwsUnavailable as error:
            if time.monotonic() - heard > SILENCE_SECONDS:
                raise
            say(f"{error}; asking again")
        else:
            heard = time.monotonic()
            if about["TrainingJobStatus"] in ENDED:
                return _judged(about, follower)
        time.sleep(poll)


def print_logs(aws: Aws, job: str, write: Say, *, follow: bool, poll: float = POLL_SECONDS) -> None:
    """Writes a job's lines, with `follow` until it has ended. Raises JobError."""
    logs = Logs(aws, job)
    while True:
        with explaining(job):
            status = aws.sagemaker.describe_training_job(TrainingJobName=job)["TrainingJobStatus"]
        # Read after the state was asked: at the end all lines that come before it are there.
        for host, line in logs.new():
            write(f"{host.rpartition('-')[0] or host} {line}")
        if not follow or status in ENDED:
            return
        time.sleep(poll)


def stop(aws: Aws, job: str) -> str:
    """Asks SageMaker to stop a job, and returns the state that it was in. One that has ended stays as it is."""
    with explaining(job):
        status = aws.sagemaker.describe_training_job(TrainingJobName=job)["TrainingJobStatus"]
        if status not in ("InProgress", "Stopping"):
            return status
        try:
            aws.sagemaker.stop_training_job(TrainingJobName=job)
        except ClientError:
            # It may have ended between the two calls.
            after = aws.sagemaker.describe_training_job(TrainingJobName=job)["TrainingJobStatus"]
            if after not in ENDED:
                raise
            return after
        return status


def measured(line: str, definitions: list[dict[str, str]]) -> dict[str, float]:
    """The metrics in a line, as SageMaker finds them."""
    found: dict[str, float] = {}
    for definition in definitions:
        match = re.search(definition["Regex"], line)
        try:
            if match:
                found[definition["Name"]] = float(match[1])
        except (ValueError, IndexError):
            # A regex that somebody else gave the job may match what is no number.
            continue
    return found


def require_completed(about: Mapping[str, Any]) -> None:
    """
    Raises:
        JobError: the job runs still, or ended otherwise.
    """
    job, status = about["TrainingJobName"], about["TrainingJobStatus"]
    reason = about.get("FailureReason", "")
    if status not in ENDED:
        raise JobError(f"{job} is {status}: wait for it by `python -m training sagemaker wait {job}`")
    if status == "Failed" and reason.startswith("CapacityError"):
        raise NoInstances(
            f"{job} got no instance: {reason} Start it again with --retry later, or with another --instance-type"
        )
    if status == "Failed":
        raise JobFailed(f"{job} failed: {reason or 'no reason given'}")
    if status == "Stopped":
        raise JobStopped(f"{job} {_stopped(about)}. Start it again with --retry: it goes on from its last checkpoint")


def duration(seconds: int) -> str:
    return (
        f"{seconds // 3600} h {seconds // 60 % 60} min" if seconds >= 3600 else f"{seconds // 60} min {seconds % 60} s"
    )


def _judged(about: dict[str, Any], follower: Follower) -> dict[str, Any]:
    try:
        require_completed(about)
    except JobFailed:
        for line in follower.last:
            follower.say(f"      | {line}")
        raise
    trained, billed = about.get("TrainingTimeInSeconds", 0), about.get("BillableTimeInSeconds", 0)
    follower.say(f"trained for {duration(trained)}, billed {duration(billed)}")
    return about


def _stopped(about: Mapping[str, Any]) -> str:
    conditions = about["StoppingCondition"]
    if about["SecondaryStatus"] == "MaxRuntimeExceeded":
        return f"was stopped after its {conditions.get('MaxRuntimeInSeconds')} s (raise --max-runtime-seconds)"
    if about["SecondaryStatus"] == "MaxWaitTimeExceeded":
        return (
            f"waited for spot instances longer than its {conditions.get('MaxWaitTimeInSeconds')} s "
            "(raise --max-wait-seconds, or give --spot off)"
        )
    return "was stopped by somebody"


def _clock(seconds: int) -> str:
    return f"{seconds // 60:3}:{seconds % 60:02}"
