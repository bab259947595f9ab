import os
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ParamValidationError

from training.aws import Aws, explain, missing
from training.job_errors import (
    AwsDenied,
    AwsUnavailable,
    JobClash,
    JobError,
    JobSettingsError,
    NoInstances,
    NoSuchJob,
)


def refusal(code: str, message: str = "words", status: int = 400) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "DescribeTrainingJob")


@pytest.mark.parametrize(
    ("error", "kind", "exit_code", "message"),
    [
        (refusal("ResourceLimitExceeded"), NoInstances, 8, "Service Quotas"),
        (refusal("CapacityError"), NoInstances, 8, "another --instance-type"),
        (refusal("ResourceInUse"), JobClash, 4, "job exists already"),
        (refusal("ResourceNotFound"), NoSuchJob, 3, "no training job job"),
        (refusal("ValidationException", "Requested resource not found."), NoSuchJob, 3, "no training job job"),
        (refusal("ValidationException", "Could not assume role x."), JobSettingsError, 2, "trust policy"),
        (refusal("ValidationException", "bad member"), JobSettingsError, 2, "bad member"),
        (refusal("AccessDeniedException"), AwsDenied, 5, "Check which credentials"),
        (refusal("AccessDeniedException", "no iam:PassRole"), AwsDenied, 5, "allowed iam:PassRole"),
        (refusal("UnrecognizedClientException"), AwsDenied, 5, "denies"),
        (refusal("ThrottlingException"), AwsUnavailable, 5, "in a minute"),
        (refusal("InternalFailure", status=500), AwsUnavailable, 5, "in a minute"),
        (refusal("Strange"), JobError, 3, "Strange: words"),
        (ParamValidationError(report="Invalid length"), JobSettingsError, 2, "Invalid length"),
        (EndpointConnectionError(endpoint_url="https://x"), AwsUnavailable, 5, "check the network"),
    ],
)
def test_every_error_says_what_to_do(error: ClientError, kind: type[JobError], exit_code: int, message: str) -> None:
    found = explain(error, "job")
    assert type(found) is kind
    assert found.exit_code == exit_code
    assert message in str(found)


def test_a_missing_job_is_told_from_other_refusals() -> None:
    assert missing(refusal("ValidationException", "Requested resource not found."))
    assert not missing(refusal("ValidationException", "bad member"))
    assert not missing(refusal("AccessDeniedException", "not found"))


def test_the_region_is_where_aws_tools_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    with pytest.raises(JobSettingsError, match="AWS_REGION"):
        Aws()
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert Aws().region == "eu-west-1"
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert Aws().sagemaker.meta.region_name == "eu-central-1"
