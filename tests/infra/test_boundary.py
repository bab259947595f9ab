"""The boundaries tried from inside: whatever policies a role is given, it cannot get out."""

from __future__ import annotations

from typing import Any

import pytest

from infra.boundary import REWRITE
from tests.infra import stacks
from tests.infra.evaluate import Decision, Principal, Request
from tests.infra.rights import Rights, committed
from tests.infra.stacks import ACCOUNTS, STACKS

# The most that a role could ever be given.
EVERYTHING = [{"Sid": "All", "Effect": "Allow", "Action": "*", "Resource": "*"}]
OTHER = {"staging": "production", "production": "staging"}
TAG = "aws:ResourceTag/podium:environment"


@pytest.fixture(params=STACKS)
def rights(request: pytest.FixtureRequest) -> Rights:
    return Rights(committed(request.param))


def could(rights: Rights, role: str, action: str, resource: str, context: dict[str, str] | None = None) -> Decision:
    """Whether a role could do something with any policies of its own."""
    request = Request(
        action, resource, {"aws:SecureTransport": "true", **(context or {})}, Principal(rights.role_arn(role))
    )
    return rights.held(role, EVERYTHING, request)


def iam(rights: Rights, resource: str) -> str:
    return f"arn:aws:iam::{rights.account}:{resource}"


def state(rights: Rights) -> dict[str, Any]:
    found = stacks.owners(rights.environment)["state"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    "action",
    [
        "iam:CreateRole",
        "iam:PutRolePolicy",
        "iam:AttachRolePolicy",
        "iam:PutRolePermissionsBoundary",
        "iam:UpdateAssumeRolePolicy",
    ],
)
def test_what_applies_makes_roles_that_are_held_and_no_others(rights: Rights, action: str) -> None:
    mine, boundary = rights.role_arn("new"), iam(rights, f"policy/{rights.name('workload-boundary')}")
    for context, allowed in [
        ({"iam:PermissionsBoundary": boundary}, True),
        ({}, False),
        ({"iam:PermissionsBoundary": "arn:aws:iam::aws:policy/AdministratorAccess"}, False),
        ({"iam:PermissionsBoundary": iam(rights, f"policy/{rights.name('apply-boundary')}")}, False),
    ]:
        assert could(rights, "apply", action, mine, context).allowed is allowed
        assert not could(rights, "apply", action, iam(rights, "role/administrator"), context)


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("iam:DeleteRolePermissionsBoundary", "role/podium-{}-rank"),
        ("iam:DeleteRolePermissionsBoundary", "role/podium-{}-apply"),
        ("iam:CreatePolicyVersion", "policy/podium-{}-workload-boundary"),
        ("iam:SetDefaultPolicyVersion", "policy/podium-{}-apply-boundary"),
        ("iam:DeletePolicy", "policy/podium-{}-workload-boundary"),
        ("iam:CreatePolicy", "policy/podium-{}-new"),
        ("iam:CreateUser", "user/x"),
        ("iam:CreateAccessKey", "user/x"),
        ("iam:CreateLoginProfile", "user/x"),
        ("iam:PutUserPolicy", "user/x"),
        ("iam:AddUserToGroup", "group/x"),
        ("iam:CreateSAMLProvider", "saml-provider/x"),
        ("iam:CreateOpenIDConnectProvider", "oidc-provider/x"),
        ("iam:UpdateOpenIDConnectProviderThumbprint", "oidc-provider/token.actions.githubusercontent.com"),
        ("iam:AddClientIDToOpenIDConnectProvider", "oidc-provider/token.actions.githubusercontent.com"),
        ("iam:CreateInstanceProfile", "instance-profile/x"),
        ("sts:AssumeRole", "role/administrator"),
        ("organizations:LeaveOrganization", "*"),
        ("secretsmanager:GetSecretValue", "*"),
    ],
)
def test_ways_out_are_shut(rights: Rights, action: str, resource: str) -> None:
    where = iam(rights, resource.format(rights.environment)) if resource != "*" else "*"
    held = {"iam:PermissionsBoundary": iam(rights, f"policy/{rights.name('workload-boundary')}")}
    for role in ("apply", "preview"):
        found = could(rights, role, action, where, held)
        assert not found
        # Said twice: no later Allow of the boundary gives these away.
        assert action not in REWRITE or found.why.startswith("explicit deny: No")
    if action != "iam:CreateInstanceProfile":
        assert not could(rights, "rank", action, where, held)


@pytest.mark.parametrize("role", ["apply", "preview"])
def test_what_applies_changes_neither_itself_nor_the_preview(rights: Rights, role: str) -> None:
    held = {"iam:PermissionsBoundary": iam(rights, f"policy/{rights.name('workload-boundary')}")}
    for action in (
        "AttachRolePolicy",
        "PutRolePolicy",
        "UpdateAssumeRolePolicy",
        "DeleteRole",
        "PassRole",
        "PutRolePermissionsBoundary",
    ):
        assert could(rights, "apply", f"iam:{action}", rights.role_arn(role), held).why == "explicit deny: NotItself"
        assert could(rights, "apply", f"iam:{action}", rights.role_arn("rank"), held)
    assert could(rights, "apply", "iam:GetRole", rights.role_arn(role))


@pytest.mark.parametrize("role", ["rank", "job", "jobs", "train", "push"])
def test_a_working_role_makes_no_roles_and_sees_no_state(rights: Rights, role: str) -> None:
    held = {"iam:PermissionsBoundary": iam(rights, f"policy/{rights.name('workload-boundary')}")}
    for action in ("iam:CreateRole", "iam:PutRolePolicy", "iam:UpdateAssumeRolePolicy", "iam:CreateUser"):
        assert not could(rights, role, action, rights.role_arn("new"), held)
    stored = f"arn:aws:s3:::{state(rights)['bucket']}"
    assert not could(rights, role, "s3:GetObject", f"{stored}/.pulumi/stacks/podium/{rights.environment}.json")
    assert not could(rights, role, "s3:ListBucket", stored)
    assert not could(rights, role, "kms:Decrypt", state(rights)["key"])
    assert could(rights, role, "s3:GetObject", f"{rights.bucket}/models/mslr/1/model.ubj")


def test_of_the_state_only_this_stacks_is_written(rights: Rights) -> None:
    bucket, key, mine = f"arn:aws:s3:::{state(rights)['bucket']}", state(rights)["key"], rights.environment
    other = OTHER[mine]
    for action, resource, allowed in [
        ("s3:PutObject", f"{bucket}/.pulumi/stacks/podium/{mine}.json", True),
        ("s3:PutObject", f"{bucket}/.pulumi/stacks/podium-cluster/{mine}.json", True),
        ("s3:DeleteObject", f"{bucket}/.pulumi/locks/organization/podium/{mine}/1.json", True),
        ("s3:PutObject", f"{bucket}/.pulumi/history/podium/{mine}/podium-1.history.json", True),
        ("s3:PutObject", f"{bucket}/.pulumi/backups/podium/{mine}/podium-1.json", True),
        ("s3:GetObject", f"{bucket}/.pulumi/stacks/podium/{other}.json", False),
        ("s3:PutObject", f"{bucket}/.pulumi/stacks/podium/{other}.json", False),
        ("s3:DeleteObject", f"{bucket}/.pulumi/locks/organization/podium/{other}/1.json", False),
        ("s3:PutObject", f"{bucket}/other", False),
        ("s3:DeleteObjectVersion", f"{bucket}/.pulumi/stacks/podium/{mine}.json", False),
        ("s3:PutBucketPolicy", bucket, False),
        ("s3:PutLifecycleConfiguration", bucket, False),
        ("s3:PutBucketVersioning", bucket, False),
        ("s3:DeleteBucket", bucket, False),
        ("kms:Decrypt", key, True),
        ("kms:Encrypt", key, True),
        ("kms:DescribeKey", key, True),
        ("kms:PutKeyPolicy", key, False),
        ("kms:ScheduleKeyDeletion", key, False),
        ("kms:DisableKey", key, False),
        ("kms:CreateGrant", key, False),
        ("kms:TagResource", key, False),
    ]:
        assert could(rights, "apply", action, resource).allowed is allowed, (action, resource)


@pytest.mark.parametrize("role", ["apply", "preview", "rank", "job", "jobs", "train", "push"])
def test_the_other_environment_is_out_of_reach(rights: Rights, role: str) -> None:
    """Though it may be in the same account."""
    other = f"podium-{OTHER[rights.environment]}"
    for action, resource in [
        ("s3:GetObject", f"arn:aws:s3:::{other}-data-{ACCOUNTS[OTHER[rights.environment]]}/models/mslr/1/model.ubj"),
        ("s3:PutBucketPolicy", f"arn:aws:s3:::{other}-data-{rights.account}"),
        ("sqs:SendMessage", rights.arn("sqs", f"{other}-work")),
        ("dynamodb:GetItem", rights.arn("dynamodb", f"table/{other}-rankings")),
        ("ecr:PutImage", rights.arn("ecr", f"repository/{other}/serve")),
        ("eks:DescribeCluster", rights.arn("eks", f"cluster/{other}-cluster")),
        ("lambda:InvokeFunction", rights.arn("lambda", f"function:{other}-worker")),
        ("sagemaker:StopTrainingJob", rights.arn("sagemaker", f"training-job/{other}-mslr-0")),
        ("iam:PassRole", iam(rights, f"role/{other}-rank")),
        ("sns:Publish", rights.arn("sns", f"{other}-alarms")),
    ]:
        assert not could(rights, role, action, resource), (action, resource)
    key, vpc = rights.arn("kms", "key/theirs"), rights.arn("ec2", "vpc/vpc-theirs")
    tagged = {TAG: OTHER[rights.environment]}
    assert could(rights, role, "kms:Decrypt", key, tagged).why == "explicit deny: OthersByTag"
    assert could(rights, role, "ec2:DeleteVpc", vpc, tagged).why == "explicit deny: OthersByTag"
    assert could(rights, role, "ec2:DeleteVpc", vpc, {TAG: rights.environment})
    assert could(rights, role, "ec2:DescribeVpcs", "*")


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("s3:DeleteBucket", "arn:aws:s3:::podium-{}-data-1"),
        ("dynamodb:DeleteTable", "arn:aws:dynamodb:eu-central-1:1:table/podium-{}-rankings"),
        ("kms:ScheduleKeyDeletion", "arn:aws:kms:eu-central-1:1:key/k"),
        ("ecr:DeleteRepository", "arn:aws:ecr:eu-central-1:1:repository/podium-{}/serve"),
        ("eks:DeleteCluster", "arn:aws:eks:eu-central-1:1:cluster/podium-{}-cluster"),
    ],
)
def test_what_is_lost_for_good_is_an_administrators(rights: Rights, action: str, resource: str) -> None:
    assert could(rights, "apply", action, resource.format(rights.environment)).why == "explicit deny: Losses"
