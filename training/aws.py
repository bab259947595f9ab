"""SageMaker and CloudWatch Logs by boto3, and what goes wrong there in words that say what to do.

Only what talks to AWS imports this module: boto3 takes half a second to import.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, cast

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
)

from training.job_errors import AwsDenied, AwsUnavailable, JobClash, JobError, JobSettingsError, NoInstances, NoSuchJob

TRIES = 5
SECONDS = 20

_NO_CREDENTIALS = (
    CredentialRetrievalError, NoCredentialsError, PartialCredentialsError, ProfileNotFound, TokenRetrievalError
)  # fmt: skip
_DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationTokenException",
        "NotAuthorized",
        "OptInRequired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_THROTTLED = frozenset({"Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException"})


class Aws:
    """The clients of one region.

    Raises:
        JobSettingsError: no region is set.
        AwsUnavailable: the settings of AWS cannot be read.
    """

    def __init__(self) -> None:
        with explaining():
            # boto3 alone among AWS's tools does not read AWS_REGION.
            self._session: Any = boto3.session.Session(region_name=os.environ.get("AWS_REGION") or None)
            self.region: str = self._session.region_name
            self.sagemaker: Any = self._client("sagemaker")

    @cached_property
    def logs(self) -> Any:
        return self._client("logs")

    def _client(self, service: str) -> Any:
        config = Config(
            connect_timeout=SECONDS, read_timeout=SECONDS, retries={"total_max_attempts": TRIES, "mode": "standard"}
        )
        return self._session.client(service, config=config)


@contextmanager
def explaining(job: str | None = None) -> Generator[None]:
    """Turns the errors of boto3 into JobErrors.

    Args:
        job: the name of the job that the block is about.
    """
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise explain(error, job) from error


def explain(error: ClientError | BotoCoreError, job: str | None = None) -> JobError:
    """The error to raise, with what to do."""
    if isinstance(error, NoRegionError):
        return JobSettingsError("no region is set: set AWS_REGION, or a region in the AWS profile")
    if isinstance(error, ParamValidationError):
        return JobSettingsError(f"AWS would refuse the request: {' '.join(str(error).split())}")
    if isinstance(error, _NO_CREDENTIALS):
        return AwsDenied(f"no credentials for AWS: {error}; set AWS_PROFILE or AWS_ACCESS_KEY_ID, or sign in")
    if not isinstance(error, ClientError):
        return AwsUnavailable(f"SageMaker cannot be reached: {error}; check the network and AWS_REGION")
    return _explain_answer(error, job)


def code(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "")


def missing(error: ClientError) -> bool:
    """Whether there is no job of that name. SageMaker says so in a validation error, not by the code of its model."""
    return code(error) == "ResourceNotFound" or (code(error) == "ValidationException" and "not found" in _said(error))


def _explain_answer(error: ClientError, job: str | None) -> JobError:
    found, said = code(error), _said(error)
    if found in _DENIED:
        return AwsDenied(f"AWS denies it: {found}: {said}{_permission(said)}")
    if missing(error):
        return NoSuchJob(f"there is no training job {job} in this account and region ({said})")
    if found == "ResourceInUse":
        return JobClash(f"a training job {job} exists already")
    if found in _THROTTLED or _status(error) >= 500:
        return AwsUnavailable(f"SageMaker cannot answer now ({found}: {said}): try again in a minute")
    return _explain_refusal(found, said)


def _explain_refusal(found: str, said: str) -> JobError:
    if found == "ResourceLimitExceeded":
        return NoInstances(
            f"the account may not use as many of these instances: {said} "
            "Ask for more under Service Quotas, SageMaker, or take another --instance-type"
        )
    if found == "CapacityError":
        return NoInstances(f"no instance is free: {said} Try later, or take another --instance-type")
    if found == "ValidationException" and "assume role" in said:
        return JobSettingsError(
            f"SageMaker cannot run the job as that role: {said} Check --role, and that its trust policy names "
            "sagemaker.amazonaws.com"
        )
    if found == "ValidationException":
        return JobSettingsError(f"SageMaker refuses the request: {said}")
    return JobError(f"SageMaker refuses: {found}: {said}")


def _permission(said: str) -> str:
    if "iam:PassRole" in said:
        return ". Whoever starts a job must be allowed iam:PassRole on the job's role"
    return ". Check which credentials are in use, and what they allow"


def _said(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Message", "no reason given")


def _status(error: ClientError) -> int:
    about = cast(dict[str, Any], error.response.get("ResponseMetadata", {}))
    return about.get("HTTPStatusCode", 0)
