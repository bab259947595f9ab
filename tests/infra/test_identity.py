"""Who of GitHub's jobs gets which role, and what each may do with it: pushing, training, looking."""

from __future__ import annotations

from typing import Any

import pytest

from infra import github
from tests.infra import stacks
from tests.infra.evaluate import Decision, Principal
from tests.infra.graph import Graph, record
from tests.infra.rights import REGION, Rights, committed
from tests.infra.stacks import STACKS

ASSUME = "sts:AssumeRoleWithWebIdentity"
HOST = github.ISSUER
IMMUTABLE, NAMES = "repo:octo-org@123456/podium@456789", "repo:octo-org/podium"
WORKFLOW = "octo-org/podium/.github/workflows/push.yml@refs/heads/main"
PROVIDER = "aws:iam/openIdConnectProvider:OpenIdConnectProvider"


@pytest.fixture(params=STACKS)
def rights(request: pytest.FixtureRequest) -> Rights:
    return Rights(committed(request.param))


def with_github(stack: str, **changes: Any) -> Graph:
    values = stacks.values(stack)
    given: dict[str, Any] = {**values["github"], **changes}
    values["github"] = {key: value for key, value in given.items() if value is not None}
    return record(stack, values=values)


def asks(rights: Rights, role: str, environment: str, repository: str = IMMUTABLE, /, **claims: str | None) -> Decision:
    """A job of an environment, on main and of the push workflow, but for `claims`; None for one that is not there."""
    token: dict[str, str | None] = {
        "aud": "sts.amazonaws.com",
        "sub": f"{repository}:environment:{environment}",
        "ref": "refs/heads/main",
        "repository_id": "456789",
        "job_workflow_ref": WORKFLOW,
        **claims,
    }
    context = {f"{HOST}:{name}": value for name, value in token.items() if value is not None}
    bearer = Principal(federated=f"arn:aws:iam::{rights.account}:oidc-provider/{HOST}")
    return rights.trusts(role, ASSUME, context, bearer)


ENVIRONMENTS = {"push": "images", "train": "training", "preview": "preview"}


@pytest.mark.parametrize("role", ["push", "train", "preview", "apply"])
def test_a_role_is_for_one_environment(rights: Rights, role: str) -> None:
    for environment in ("images", "training", "preview", "staging", "production", "other"):
        mine = ENVIRONMENTS.get(role, rights.environment)
        assert asks(rights, role, environment).allowed is (environment == mine), environment


@pytest.mark.parametrize("role", ["push", "train", "preview", "apply"])
@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "https://github.com/octo-org"},
        {"aud": None},
        {"sub": None},
        {"sub": f"{IMMUTABLE}:pull_request"},
        {"sub": f"{IMMUTABLE}:ref:refs/heads/main"},
        {"sub": "repo:evil@1/podium@2:environment:images"},
        {"sub": "repo:octo-org@999/podium@456789:environment:images"},
        {"repository_id": "2"},
    ],
)
def test_others_are_refused(rights: Rights, role: str, claims: dict[str, str | None]) -> None:
    environment = ENVIRONMENTS.get(role, rights.environment)
    assert asks(rights, role, environment)
    assert not asks(rights, role, environment, **claims)


def test_branches_and_workflows(rights: Rights) -> None:
    branch, other = "refs/heads/branch", WORKFLOW.replace("push.yml", "test.yml")
    cases: list[tuple[str, dict[str, str | None], bool]] = [
        ("push", {"ref": branch}, False),
        ("train", {"ref": branch}, False),
        ("apply", {"ref": branch}, False),
        ("preview", {"ref": "refs/pull/1/merge"}, True),
        ("push", {"job_workflow_ref": other}, False),
        ("push", {"job_workflow_ref": WORKFLOW.replace("main", "branch")}, False),
        ("train", {"job_workflow_ref": other}, True),
        # AWS does not know the claim where it has not begun to read it: audience and subject have decided by then.
        ("push", {"job_workflow_ref": None, "ref": None, "repository_id": None}, True),
    ]
    for role, claims, allowed in cases:
        found = asks(rights, role, ENVIRONMENTS.get(role, rights.environment), **claims)
        assert found.allowed is allowed, (role, claims)


def test_subjects_by_name_only_while_migrating() -> None:
    both = Rights(with_github("staging", acceptNames=True))
    assert asks(both, "push", "images")
    assert asks(both, "push", "images", NAMES)
    assert not asks(Rights(committed("staging")), "push", "images", NAMES)
    old = Rights(with_github("staging", acceptNames=True, ownerId=None, repositoryId=None))
    assert asks(old, "push", "images", NAMES)
    assert not asks(old, "push", "images", "repo:evil/podium")
    assert not asks(old, "push", "images")


def test_only_the_provider_of_this_account_is_believed(rights: Rights) -> None:
    context = {f"{HOST}:aud": "sts.amazonaws.com", f"{HOST}:sub": f"{IMMUTABLE}:environment:images"}
    for bearer in (Principal(federated="accounts.google.com"), Principal(rights.role_arn("train"))):
        assert not rights.trusts("push", ASSUME, context, bearer)


def test_the_provider_is_made_or_found() -> None:
    (made,) = committed("staging").of(PROVIDER)
    assert (made.inputs["url"], made.inputs["clientIdLists"]) == (f"https://{HOST}", ["sts.amazonaws.com"])
    found = with_github("staging", provider="existing")
    assert found.of(PROVIDER) == []
    assert asks(Rights(found), "push", "images")


def test_sessions_are_as_long_as_the_work(rights: Rights) -> None:
    roles = rights.graph.of("aws:iam/role:Role")
    found = {each.name: each.inputs["maxSessionDuration"] for each in roles}
    # A job's three hours and a quarter, by training/job_settings.py.
    assert 3 * 3600 + 900 <= found["train"] <= 6 * 3600
    assert (found["push"], found["preview"]) == (3600, 3600)


def test_the_push_role_pushes_and_neither_deletes_nor_replaces(rights: Rights) -> None:
    mine = rights.arn("ecr", f"repository/podium-{rights.environment}/serve")
    other = rights.arn("ecr", "repository/somebody-elses")
    for action in ("InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload", "PutImage"):
        assert rights.may("push", f"ecr:{action}", mine)
        assert not rights.may("push", f"ecr:{action}", other)
    assert rights.may("push", "ecr:GetAuthorizationToken", "*")
    for action in (
        "BatchDeleteImage", "DeleteRepository", "PutImageTagMutability", "SetRepositoryPolicy", "PutLifecyclePolicy"
    ):  # fmt: skip
        assert not rights.may("push", f"ecr:{action}", mine)


def started(rights: Rights) -> dict[str, Any]:
    """What training/job_request.py asks for, with this stack's settings."""
    outputs = rights.graph.outputs
    return {
        "sagemaker:NetworkIsolation": "true",
        "sagemaker:InterContainerTrafficEncryption": "true",
        "sagemaker:VolumeKmsKey": rights.data_key,
        "sagemaker:OutputKmsKey": rights.data_key,
        "sagemaker:VpcSubnets": outputs["job-subnets"],
        "sagemaker:VpcSecurityGroupIds": [outputs["job-security-group"]],
    }


@pytest.mark.parametrize(
    ("change", "allowed"),
    [
        ({}, True),
        ({"sagemaker:EnableRemoteDebug": "false"}, True),
        ({"sagemaker:EnableRemoteDebug": "true"}, False),
        ({"sagemaker:NetworkIsolation": "false"}, False),
        ({"sagemaker:NetworkIsolation": None}, False),
        ({"sagemaker:InterContainerTrafficEncryption": None}, False),
        ({"sagemaker:VolumeKmsKey": None}, False),
        ({"sagemaker:OutputKmsKey": None}, False),
        ({"sagemaker:OutputKmsKey": "arn:aws:kms:eu-central-1:999999999999:key/theirs"}, False),
        ({"sagemaker:VpcSubnets": None}, False),
        ({"sagemaker:VpcSubnets": ["subnet-theirs"]}, False),
        ({"sagemaker:VpcSecurityGroupIds": None}, False),
        ({"sagemaker:VpcSecurityGroupIds": ["sg-theirs"]}, False),
    ],
)
def test_a_job_starts_closed_or_not_at_all(rights: Rights, change: dict[str, Any], allowed: bool) -> None:
    context = {key: value for key, value in {**started(rights), **change}.items() if value is not None}
    job = rights.arn("sagemaker", f"training-job/{rights.name('mslr-0')}")
    assert rights.may("train", "sagemaker:CreateTrainingJob", job, context).allowed is allowed


def test_one_subnet_more_is_one_too_many(rights: Rights) -> None:
    context = started(rights)
    context["sagemaker:VpcSubnets"] = [*context["sagemaker:VpcSubnets"], "subnet-theirs"]
    job = rights.arn("sagemaker", f"training-job/{rights.name('mslr-0')}")
    assert not rights.may("train", "sagemaker:CreateTrainingJob", job, context)


def test_the_train_role_does_its_work_and_no_other(rights: Rights) -> None:
    bucket, job = rights.bucket, rights.arn("sagemaker", f"training-job/{rights.name('mslr-0')}")
    whole = {"s3:ObjectCreationOperation": "true", "s3:if-none-match": "*"}
    lines = rights.arn("logs", "log-group:/aws/sagemaker/TrainingJobs:log-stream:")
    through = {"kms:ViaService": f"s3.{REGION}.amazonaws.com", "kms:EncryptionContext:aws:s3:arn": bucket}
    to_sagemaker = {"iam:PassedToService": "sagemaker.amazonaws.com"}
    for action, resource, context, allowed in [
        ("sagemaker:DescribeTrainingJob", job, {}, True),
        ("sagemaker:StopTrainingJob", job, {}, True),
        ("sagemaker:StopTrainingJob", rights.arn("sagemaker", "training-job/theirs"), {}, False),
        ("sagemaker:CreateTrainingJob", rights.arn("sagemaker", "training-job/theirs"), started(rights), False),
        ("sagemaker:AddTags", job, {"sagemaker:TaggingAction": "CreateTrainingJob"}, True),
        ("sagemaker:AddTags", job, {}, False),
        ("sagemaker:CreateEndpoint", rights.arn("sagemaker", "endpoint/x"), {}, False),
        ("iam:PassRole", rights.role_arn("job"), to_sagemaker, True),
        ("iam:PassRole", rights.role_arn("job"), {"iam:PassedToService": "lambda.amazonaws.com"}, False),
        ("iam:PassRole", rights.role_arn("apply"), to_sagemaker, False),
        ("logs:DescribeLogStreams", lines, {}, True),
        ("logs:GetLogEvents", f"{lines}{rights.name('mslr-0')}/algo-1", {}, True),
        ("logs:GetLogEvents", f"{lines}theirs/algo-1", {}, False),
        ("s3:PutObject", f"{bucket}/training/inputs/0/data.txt", whole, True),
        ("s3:PutObject", f"{bucket}/training/jobs/j/output/model.tar.gz", whole, False),
        ("s3:GetObject", f"{bucket}/training/jobs/j/output/model.tar.gz", {}, True),
        ("s3:PutObject", f"{bucket}/models/mslr/1/model.ubj", whole, True),
        ("s3:GetObject", f"{bucket}/models/mslr/1/manifest.json", {}, True),
        ("s3:DeleteObject", f"{bucket}/training/inputs/0/data.txt", {}, False),
        ("s3:GetObject", f"{bucket}/delayed/input/1.json", {}, False),
        ("s3:ListBucket", bucket, {"s3:prefix": "models/mslr/1/"}, True),
        ("s3:ListBucket", bucket, {"s3:prefix": "delayed/"}, False),
        # HeadObject of what is not there: S3 asks for this, with no prefix.
        ("s3:ListBucket", bucket, {}, True),
        ("kms:GenerateDataKey", rights.data_key, through, True),
        ("kms:Decrypt", rights.data_key, {}, False),
    ]:
        assert rights.may("train", action, resource, context).allowed is allowed, (action, resource, context)


def test_a_preview_looks_and_touches_nothing(rights: Rights) -> None:
    stack, state = rights.environment, stacks.owners(rights.environment)["state"]
    assert isinstance(state, dict)
    stored = f"arn:aws:s3:::{state['bucket']}"
    other = "production" if stack == "staging" else "staging"
    through = {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}
    for action, resource, context, allowed in [
        ("ec2:DescribeVpcs", "*", {}, True),
        ("eks:DescribeCluster", rights.arn("eks", f"cluster/{rights.name('cluster')}"), {}, True),
        ("s3:GetBucketPolicy", rights.bucket, {}, True),
        ("s3:GetObject", f"{stored}/.pulumi/stacks/podium/{stack}.json", {}, True),
        ("s3:GetObject", f"{stored}/.pulumi/stacks/podium/{other}.json", {}, False),
        ("s3:PutObject", f"{stored}/.pulumi/stacks/podium/{stack}.json", {}, False),
        ("s3:ListBucket", stored, {"s3:prefix": ".pulumi/"}, True),
        ("kms:Decrypt", state["key"], through, True),
        ("kms:Decrypt", state["key"], {}, True),
        ("kms:Encrypt", state["key"], {}, False),
        ("kms:Decrypt", rights.data_key, {}, False),
        ("s3:GetObject", f"{rights.bucket}/models/mslr/1/model.ubj", {}, False),
        ("dynamodb:GetItem", rights.arn("dynamodb", f"table/{rights.name('rankings')}"), {}, False),
        ("sqs:ReceiveMessage", rights.arn("sqs", rights.name("work")), {}, False),
        ("secretsmanager:GetSecretValue", rights.arn("secretsmanager", "secret:x"), {}, False),
        ("ssm:GetParameter", rights.arn("ssm", "parameter/x"), {}, False),
        ("iam:CreateRole", rights.role_arn("x"), {}, False),
        ("ec2:CreateVpc", rights.arn("ec2", "vpc/*"), {}, False),
    ]:
        given = {"kms:CallerAccount": rights.account, **context}
        found = rights.may("preview", action, resource, given, guarded=resource != state["key"])
        assert found.allowed is allowed, (action, resource, found)
