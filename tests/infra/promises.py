"""What the policies of a graph must allow and refuse, by IAM's own logic: for what no rule reads off one resource."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from infra import github
from tests.infra.conditions import Context
from tests.infra.evaluate import Principal, Request, decide
from tests.infra.graph import Graph
from tests.infra.rights import Rights

EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
WHOLE = {"s3:ObjectCreationOperation": "true"}
MODEL = "{bucket}/models/mslr/1/model.ubj"


@dataclass(frozen=True)
class Promise:
    """
    Args:
        role: whose; None for an administrator, whom nothing but the resource's own policy refuses.
    """

    role: str | None
    action: str
    resource: str
    allowed: bool
    context: Context = field(default_factory=dict[str, str])


PROMISES = (
    Promise(None, "s3:PutObject", MODEL, False, WHOLE),
    Promise(None, "s3:PutObject", MODEL, True, {**WHOLE, "s3:if-none-match": "*"}),
    Promise(None, "s3:DeleteObject", MODEL, False),
    Promise(None, "s3:DeleteObjectVersion", MODEL, False),
    Promise(None, "s3:GetObject", MODEL, False, {"aws:SecureTransport": "false"}),
    Promise("rank", "s3:GetObject", MODEL, True),
    Promise("rank", "s3:GetObject", "{bucket}/models/other/1/model.ubj", False),
    Promise("rank", "s3:GetObject", "{bucket}/training/inputs/0/data.txt", False),
    Promise("rank", "s3:PutObject", MODEL, False, {**WHOLE, "s3:if-none-match": "*"}),
    Promise("jobs", "s3:GetObject", MODEL, False),
    Promise("train", "iam:PassRole", "{job}", True, {"iam:PassedToService": "sagemaker.amazonaws.com"}),
    Promise("train", "iam:PassRole", "{apply}", False, {"iam:PassedToService": "sagemaker.amazonaws.com"}),
    Promise("train", "iam:PassRole", "{job}", False, {"iam:PassedToService": "lambda.amazonaws.com"}),
)

# Repository and environment of a job -> whether it gets the push role.
SUBJECTS = {
    "repo:octo-org@123456/podium@456789:environment:images": True,
    "repo:octo-org@123456/podium@456789:environment:training": False,
    "repo:octo-org@123456/podium@456789:pull_request": False,
    "repo:octo-org@777/podium@456789:environment:images": False,
    "repo:evil@9/podium@8:environment:images": False,
}


def findings(graph: Graph) -> list[str]:
    """What is not as promised."""
    return [*_acts(Rights(graph)), *_tokens(Rights(graph))]


def _acts(rights: Rights) -> Iterator[str]:
    for each in PROMISES:
        resource = each.resource.format(
            bucket=rights.bucket, job=rights.role_arn("job"), apply=rights.role_arn("apply")
        )
        if _may(rights, each, resource) is not each.allowed:
            said = "may not" if each.allowed else "may"
            yield f"{each.role or 'an administrator'} {said} {each.action} {resource} with {dict(each.context)}"


def _may(rights: Rights, promise: Promise, resource: str) -> bool:
    if promise.role is not None:
        return rights.may(promise.role, promise.action, resource, promise.context).allowed
    administrator = Principal(f"arn:aws:iam::{rights.account}:role/administrator")
    context: Context = {"aws:SecureTransport": "true", **promise.context}
    policies = rights.graph.of("aws:s3/bucketPolicy:BucketPolicy")
    policy = next((each.inputs["policy"] for each in policies if each.name == "data"), None)
    return decide(Request(promise.action, resource, context, administrator), [EVERYTHING], policy).allowed


def _tokens(rights: Rights) -> Iterator[str]:
    bearer = Principal(federated=f"arn:aws:iam::{rights.account}:oidc-provider/{github.ISSUER}")
    for subject, allowed in SUBJECTS.items():
        claims = {
            "aud": "sts.amazonaws.com",
            "sub": subject,
            "ref": "refs/heads/main",
            "repository_id": "456789",
            "job_workflow_ref": "octo-org/podium/.github/workflows/push.yml@refs/heads/main",
        }
        context: Context = {f"{github.ISSUER}:{name}": value for name, value in claims.items()}
        if rights.trusts("push", "sts:AssumeRoleWithWebIdentity", context, bearer).allowed is not allowed:
            yield f"{subject} {'does not get' if allowed else 'gets'} the push role"
