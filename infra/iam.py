"""Policy documents as Python writes them best, and roles that only their service or caller can assume.

The language is IAM's (IAM user guide, "IAM JSON policy reference"), version 2012-10-17.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_aws as aws

from infra.site import Site

Statement = Mapping[str, Any]
"""May hold Outputs wherever a value is."""

Where = Mapping[str, Mapping[str, Any]]
"""Conditions: operator -> key -> value or values, all of which must hold."""

ANYBODY: Mapping[str, str] = {"AWS": "*"}


def allow(
    sid: str,
    actions: Sequence[str],
    resources: Sequence[pulumi.Input[str]] = (),
    where: Where | None = None,
    principals: Mapping[str, Any] | None = None,
) -> Statement:
    """A statement. Without `resources` it is one of a trust policy; with `principals` one of a resource's policy."""
    return _statement("Allow", sid, actions, resources, where, principals)


def deny(
    sid: str,
    actions: Sequence[str],
    resources: Sequence[pulumi.Input[str]] = (),
    where: Where | None = None,
    principals: Mapping[str, Any] | None = None,
) -> Statement:
    return _statement("Deny", sid, actions, resources, where, principals)


def document(*statements: Statement) -> pulumi.Output[str]:
    """The JSON of a policy."""
    return pulumi.Output.json_dumps({"Version": "2012-10-17", "Statement": list(statements)})


def service_trust(
    site: Site,
    service: str,
    source: pulumi.Input[str] | None = None,
    actions: Sequence[str] = ("sts:AssumeRole",),
) -> Statement:
    """Lets an AWS service assume a role for this account alone, and so for nobody who names our role in theirs (IAM
    user guide, "The confused deputy problem").

    Args:
        source: the ARN of the resource for which, a pattern.
    """
    where: dict[str, Mapping[str, Any]] = {"StringEquals": {"aws:SourceAccount": site.account}}
    if source is not None:
        where["ArnLike"] = {"aws:SourceArn": source}
    return allow("Assume", actions, where=where, principals={"Service": f"{service}.amazonaws.com"})


def tls_only(sid: str, action: str, resources: Sequence[pulumi.Input[str]]) -> Statement:
    """What refuses a resource to whoever asks without TLS."""
    return deny(sid, [action], resources, {"Bool": {"aws:SecureTransport": "false"}}, ANYBODY)


def role(
    site: Site,
    what: str,
    trust: Sequence[Statement],
    may: Sequence[Statement],
    opts: pulumi.ResourceOptions,
    *,
    boundary: pulumi.Input[str] | None = None,
    session_seconds: int = 3600,
) -> aws.iam.Role:
    """A role by the name of `what`, and its permissions as the one policy in it. It is held by the stack's boundary.

    Args:
        opts: its parent.
        boundary: another one than the stack's.
    """
    made = aws.iam.Role(
        what,
        name=site.name(what),
        assume_role_policy=document(*trust),
        permissions_boundary=boundary or site.boundary,
        max_session_duration=session_seconds,
        opts=opts,
    )
    if may:
        aws.iam.RolePolicy(what, name=what, role=made.name, policy=document(*may), opts=opts)
    return made


def _statement(  # noqa: PLR0917 - as its two callers have them
    effect: str,
    sid: str,
    actions: Sequence[str],
    resources: Sequence[pulumi.Input[str]],
    where: Where | None,
    principals: Mapping[str, Any] | None,
) -> Statement:
    made: dict[str, Any] = {"Sid": sid, "Effect": effect, "Action": list(actions)}
    if resources:
        made["Resource"] = list(resources)
    if principals:
        made["Principal"] = dict(principals)
    if where:
        made["Condition"] = where
    return made
