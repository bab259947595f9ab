"""What AWS would refuse is found, where the emulator, and botocore alone, would take it."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ParamValidationError
from botocore.stub import Stubber

from tests.infra.strict import problems, watch

TRUST = '{"Version": "2012-10-17", "Statement": []}'
DIGEST = f"111122223333.dkr.ecr.eu-central-1.amazonaws.com/podium@sha256:{'0' * 64}"

# (service, operation, parameters, what is wrong with them)
CASES: list[tuple[str, str, dict[str, Any], str]] = [
    ("ecr", "CreateRepository", {"repositoryName": "a/b", "imageTagMutability": "IMMUTABEL"}, "none of those allowed"),
    ("ecr", "CreateRepository", {"repositoryName": "A B"}, "does not match"),
    ("ecr", "CreateRepository", {}, ".repositoryName is required"),
    ("ecr", "CreateRepository", {"repositoryName": "a/b", "scanOnPush": True}, ".scanOnPush is unknown"),
    ("lambda", "CreateFunction", {"FunctionName": "f", "Role": "r", "Code": {}}, ".Role 'r' does not match"),
    (
        "lambda", "CreateFunction",
        {"FunctionName": "f", "Role": "arn:aws:iam::111122223333:role/r", "Code": {}, "Runtime": "python2.9"},
        ".Runtime 'python2.9' is none",
    ),
    ("kms", "CreateKey", {"Description": "x" * 9000}, "length 9000 is above 8192"),
    ("iam", "CreateRole", {"RoleName": "r", "AssumeRolePolicyDocument": TRUST, "MaxSessionDuration": 60}, "below 3600"),
    ("iam", "CreateRole", {"RoleName": "r", "AssumeRolePolicyDocument": "{nonsense"}, "is no JSON"),
    ("sqs", "CreateQueue", {"QueueName": "q", "Attributes": {"VisibilityTimeOut": "1"}}, "none of those allowed"),
    ("sqs", "CreateQueue", {"QueueName": "q", "Attributes": {"VisibilityTimeout": 1}}, "is not a string"),
    ("ec2", "CreateVpc", {"CidrBlock": "10.0.0.0/16", "EnableDnsSupport": True}, ".EnableDnsSupport is unknown"),
    ("ec2", "CreateSubnet", {"CidrBlock": "10.0.0.0/24"}, ".VpcId is required"),
    ("cloudwatch", "PutMetricAlarm",
     {"AlarmName": "a", "ComparisonOperator": "Above", "EvaluationPeriods": 0}, ".EvaluationPeriods 0 is below 1"),
    ("eks", "CreateAccessEntry", {"clusterName": "c"}, ".principalArn is required"),
    ("application-autoscaling", "PutScalingPolicy",
     {"PolicyName": "p", "ServiceNamespace": "ecs", "ResourceId": "service/a/b",
      "ScalableDimension": "ecs:service:DesiredCapacity"}, "none of those allowed"),
]  # fmt: skip


def operation(service: str, name: str) -> Any:
    return client(service).meta.service_model.operation_model(name)


def client(service: str) -> Any:
    session: Any = boto3.session.Session("test", "test", region_name="eu-central-1")
    return session.client(service)


@pytest.mark.parametrize(("service", "name", "params", "wrong"), CASES)
def test_what_aws_would_refuse_is_found(service: str, name: str, params: dict[str, Any], wrong: str) -> None:
    assert any(wrong in each for each in problems(operation(service, name), params))


@pytest.mark.parametrize(
    ("service", "name", "params"),
    [
        ("ecr", "CreateRepository", {"repositoryName": "podium/serve", "imageTagMutability": "IMMUTABLE"}),
        ("lambda", "CreateFunction", {
            "FunctionName": "f", "Role": "arn:aws:iam::111122223333:role/r", "PackageType": "Image",
            "Code": {"ImageUri": DIGEST},
        }),
        ("sqs", "CreateQueue", {"QueueName": "q", "Attributes": {"VisibilityTimeout": "720"}}),
        ("kms", "CreateKey", {"Description": "Data"}),
        ("s3", "PutObject", {"Bucket": "bucket", "Key": "key", "Body": b"bytes"}),
    ],
)  # fmt: skip
def test_what_aws_takes_is_not_found(service: str, name: str, params: dict[str, Any]) -> None:
    assert problems(operation(service, name), params) == []


@pytest.mark.parametrize(
    ("call", "finds"),
    [
        (lambda ecr: ecr.create_repository(repositoryName="a/b", imageTagMutability="IMMUTABEL"), "IMMUTABEL"),
        (lambda ecr: ecr.create_repository(repositoryName="a/b", typo=1), ".typo is unknown"),
    ],
)
def test_a_watched_client_tells_whatever_becomes_of_the_request(call: Callable[[Any], Any], finds: str) -> None:
    asking, found = client("ecr"), []
    watch(asking, found)
    with Stubber(asking) as stubbed:
        stubbed.add_response("create_repository", {})
        try:
            call(asking)
        except ParamValidationError:
            assert "unknown" in finds
    assert len(found) == 1
    assert found[0].startswith("ecr CreateRepository: ")
    assert finds in found[0]
