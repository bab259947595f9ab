"""What applies a stack may make all of it, and nothing of anybody else's."""

from __future__ import annotations

from typing import Any

import pytest

from tests.infra.evaluate import Decision
from tests.infra.rights import REGION, Rights, committed
from tests.infra.stacks import STACKS

TAGGED = "aws:RequestTag/podium:environment"
OWNED = "aws:ResourceTag/podium:environment"


@pytest.fixture(params=STACKS)
def rights(request: pytest.FixtureRequest) -> Rights:
    return Rights(committed(request.param))


def may(rights: Rights, action: str, resource: str, context: dict[str, str] | None = None) -> Decision:
    # Keys that are still to be made are in no graph.
    return rights.may("apply", action, resource, context, guarded=False)


def test_it_makes_what_a_stack_is_made_of(rights: Rights) -> None:
    name, env = rights.name, rights.environment
    held = {"iam:PermissionsBoundary": f"arn:aws:iam::{rights.account}:policy/{name('workload-boundary')}"}
    eks = {**held, "iam:PolicyARN": "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"}
    linked = {"iam:AWSServiceName": "eks.amazonaws.com"}
    cases: list[tuple[str, str, dict[str, str]]] = [
        ("sqs:CreateQueue", rights.arn("sqs", name("work")), {}),
        ("sns:CreateTopic", rights.arn("sns", name("alarms")), {}),
        ("dynamodb:CreateTable", rights.arn("dynamodb", f"table/{name('rankings')}"), {}),
        ("dynamodb:UpdateContinuousBackups", rights.arn("dynamodb", f"table/{name('rankings')}"), {}),
        ("lambda:CreateFunction", rights.arn("lambda", f"function:{name('worker')}"), {}),
        (
            "lambda:CreateEventSourceMapping",
            "*",
            {"lambda:FunctionArn": rights.arn("lambda", f"function:{name('worker')}")},
        ),
        ("logs:CreateLogGroup", rights.arn("logs", f"log-group:/aws/eks/{name('cluster')}/cluster"), {}),
        ("cloudwatch:PutMetricAlarm", rights.arn("cloudwatch", f"alarm:{name('dead-letters')}"), {}),
        ("eks:CreateCluster", rights.arn("eks", f"cluster/{name('cluster')}"), {}),
        ("eks:CreateAccessEntry", rights.arn("eks", f"cluster/{name('cluster')}"), {}),
        ("eks:CreatePodIdentityAssociation", rights.arn("eks", f"cluster/{name('cluster')}"), {}),
        ("ecr:CreateRepository", rights.arn("ecr", f"repository/podium-{env}/serve"), {}),
        ("s3:CreateBucket", rights.bucket, {}),
        ("s3:PutBucketPolicy", rights.bucket, {}),
        ("s3:PutLifecycleConfiguration", rights.bucket, {}),
        ("kms:CreateKey", "*", {TAGGED: env}),
        ("kms:TagResource", rights.arn("kms", "key/new"), {TAGGED: env}),
        ("kms:PutKeyPolicy", rights.arn("kms", "key/new"), {OWNED: env}),
        ("kms:CreateGrant", rights.arn("kms", "key/new"), {OWNED: env}),
        ("kms:CreateAlias", rights.arn("kms", f"alias/{name('data')}"), {}),
        ("ec2:CreateVpc", rights.arn("ec2", "vpc/*"), {}),
        ("ec2:CreateNatGateway", rights.arn("ec2", "natgateway/*"), {}),
        ("ec2:CreateTags", rights.arn("ec2", "vpc/vpc-1"), {}),
        ("iam:CreateRole", rights.role_arn("rank"), held),
        ("iam:PutRolePolicy", rights.role_arn("rank"), held),
        ("iam:AttachRolePolicy", rights.role_arn("cluster"), eks),
        ("iam:PassRole", rights.role_arn("worker"), {"iam:PassedToService": "lambda.amazonaws.com"}),
        ("iam:PassRole", rights.role_arn("rank"), {"iam:PassedToService": "pods.eks.amazonaws.com"}),
        (
            "iam:CreateServiceLinkedRole",
            f"arn:aws:iam::{rights.account}:role/aws-service-role/eks.amazonaws.com/x",
            linked,
        ),
        ("iam:GetRole", rights.role_arn("apply"), {}),
    ]
    for action, resource, context in cases:
        found = may(rights, action, resource, context)
        assert found, (action, resource, context, found)


def test_it_touches_nothing_of_others(rights: Rights) -> None:
    held: dict[str, Any] = {
        "iam:PermissionsBoundary": f"arn:aws:iam::{rights.account}:policy/{rights.name('workload-boundary')}"
    }
    administrator = {**held, "iam:PolicyARN": "arn:aws:iam::aws:policy/AdministratorAccess"}
    worker = rights.arn("lambda", "function:theirs")
    cases: list[tuple[str, str, dict[str, str]]] = [
        ("sqs:DeleteQueue", rights.arn("sqs", "theirs"), {}),
        ("dynamodb:UpdateTable", rights.arn("dynamodb", "table/theirs"), {}),
        ("lambda:UpdateFunctionCode", worker, {}),
        ("lambda:CreateEventSourceMapping", "*", {"lambda:FunctionArn": worker}),
        ("s3:PutBucketPolicy", "arn:aws:s3:::theirs", {}),
        ("ecr:PutImage", rights.arn("ecr", f"repository/podium-{rights.environment}/serve"), {}),
        ("kms:CreateKey", "*", {}),
        ("kms:PutKeyPolicy", rights.arn("kms", "key/theirs"), {}),
        ("kms:Decrypt", rights.data_key, {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}),
        ("ec2:RunInstances", rights.arn("ec2", "instance/*"), {}),
        ("ec2:CreateVpc", f"arn:aws:ec2:us-east-1:{rights.account}:vpc/*", {}),
        ("iam:CreateRole", rights.role_arn("rank"), {}),
        ("iam:CreateRole", f"arn:aws:iam::{rights.account}:role/theirs", held),
        ("iam:AttachRolePolicy", rights.role_arn("cluster"), administrator),
        ("iam:PassRole", rights.role_arn("job"), {"iam:PassedToService": "sagemaker.amazonaws.com"}),
        ("iam:PassRole", f"arn:aws:iam::{rights.account}:role/theirs", {"iam:PassedToService": "lambda.amazonaws.com"}),
        ("sagemaker:CreateTrainingJob", rights.arn("sagemaker", f"training-job/{rights.name('x')}"), {}),
        ("sts:AssumeRole", f"arn:aws:iam::{rights.account}:role/administrator", {}),
    ]
    for action, resource, context in cases:
        assert not may(rights, action, resource, context), (action, resource, context)


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        ("dynamodb:GetItem", "table"),
        ("dynamodb:Scan", "table"),
        ("sqs:ReceiveMessage", "queue"),
        ("s3:GetObject", "object"),
        ("lambda:InvokeFunction", "function"),
        ("logs:GetLogEvents", "log"),
    ],
)
def test_it_has_no_business_with_what_is_in_them(rights: Rights, action: str, kind: str) -> None:
    place = {
        "table": rights.arn("dynamodb", f"table/{rights.name('rankings')}"),
        "queue": rights.arn("sqs", rights.name("work")),
        "object": f"{rights.bucket}/models/mslr/1/model.ubj",
        "function": rights.arn("lambda", f"function:{rights.name('worker')}"),
        "log": rights.arn("logs", f"log-group:/aws/lambda/{rights.name('worker')}:log-stream:x"),
    }[kind]
    assert may(rights, action, place).why in ("explicit deny: NoContent", "explicit deny: NoObjects")
