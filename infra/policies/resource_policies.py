"""Policies that hang on a resource: they let nobody in whom nobody named."""

from __future__ import annotations

from collections.abc import Iterator

from pulumi_policy import ResourceValidationArgs, Severity

from infra.policies.documents import allowed
from infra.policies.rules import resource_rule

HELD = (
    "aws:s3/bucketPolicy:BucketPolicy", "aws:sqs/queuePolicy:QueuePolicy", "aws:sqs/queue:Queue",
    "aws:sns/topicPolicy:TopicPolicy", "aws:sns/topic:Topic", "aws:ecr/repositoryPolicy:RepositoryPolicy",
)  # fmt: skip


@resource_rule(
    "resource-policy-closed",
    HELD,
    "A resource's own policy lets in whom it names, and services for this account alone.",
    fix="Name the principal; bind services by aws:SourceAccount or aws:SourceArn, and everyone by a condition.",
    severity=Severity.CRITICAL,
)
def closed(resource: ResourceValidationArgs) -> Iterator[str]:
    for statement in allowed(resource.props.get("policy")):
        if statement.anyone and not statement.conditions:
            yield f"{statement.sid} lets anyone in"
        if "Service" in statement.principals and not (
            statement.requires("aws:SourceAccount") or statement.requires("aws:SourceArn")
        ):
            yield f"{statement.sid} lets a service in on behalf of any account"
