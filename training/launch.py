"""Starts a training job, or finds the one that the same inputs started before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from training.aws import Aws, code, explaining, missing
from training.job_errors import JobClash, JobError
from training.job_request import MOST_ATTEMPTS, JobSpec, request
from training.job_settings import JobSettings

ENDED_BADLY = ("Failed", "Stopped")


@dataclass(frozen=True)
class Launched:
    """`created`: the job is new; else it was found, in the state of `status`."""

    name: str
    status: str
    created: bool


def launch(
    aws: Aws,
    spec: JobSpec,
    settings: JobSettings,
    *,
    retry: bool,
    metrics: Sequence[Mapping[str, str]],
    tags: Mapping[str, str],
) -> Launched:
    """The job of this spec: attached to where it runs or has completed, created where there is none.

    One that failed or was stopped is not run again unasked. The same inputs mostly fail the same way, and a workflow
    that is repeated would pay each time; with `retry` the next in number starts, from the checkpoints that are there.

    Raises:
        JobError: the last one failed, was stopped, or is being stopped; or SageMaker refuses.
        JobClash: a job of this name is of another spec.
    """
    for attempt in range(1, MOST_ATTEMPTS + 1):
        name = spec.name(settings.prefix, attempt)
        about = described(aws, name)
        if about is None:
            return _create(aws, spec, request(spec, settings, name, metrics, tags))
        if attempt < MOST_ATTEMPTS and described(aws, spec.name(settings.prefix, attempt + 1)) is not None:
            continue
        if about["TrainingJobStatus"] not in ENDED_BADLY or not retry:
            return _attach(spec, name, about)
    raise JobError(f"{spec.name(settings.prefix)} was tried {MOST_ATTEMPTS} times: change what it is given")


def described(aws: Aws, name: str) -> dict[str, Any] | None:
    """What DescribeTrainingJob tells, None where there is no such job."""
    with explaining(name):
        try:
            return aws.sagemaker.describe_training_job(TrainingJobName=name)
        except ClientError as error:
            if missing(error):
                return None
            raise


def _create(aws: Aws, spec: JobSpec, body: dict[str, Any]) -> Launched:
    name = body["TrainingJobName"]
    with explaining(name):
        try:
            aws.sagemaker.create_training_job(**body)
        except ClientError as error:
            if code(error) != "ResourceInUse":
                raise
        else:
            return Launched(name, "InProgress", created=True)
    # Another process was faster, or the answer to our own first try was lost: either way there is one job.
    about = described(aws, name)
    if about is None:
        raise JobClash(f"{name} is taken and not to be seen: it is being deleted. Start again in a minute")
    return _attach(spec, name, about)


def _attach(spec: JobSpec, name: str, about: Mapping[str, Any]) -> Launched:
    if not spec.same_as(about):
        raise JobClash(
            f"a training job {name} exists and was given something else (image, hyperparameters, input or hosts): it "
            "was not started from here. Set another --prefix"
        )
    status = about["TrainingJobStatus"]
    if status in ENDED_BADLY:
        why = about.get("FailureReason") or about["SecondaryStatus"]
        raise JobError(
            f"{name}, of the same inputs, is {status} ({why}): give --retry to run it again from its last checkpoint"
        )
    if status not in ("InProgress", "Completed"):
        raise JobError(f"{name}, of the same inputs, is {status}: wait until it has ended, then give --retry")
    return Launched(name, status, created=False)
