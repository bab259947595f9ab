"""What a role may do."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pulumi_policy import PolicyResource, ResourceValidationArgs, Severity

from infra.policies.documents import Statement, allowed
from infra.policies.rules import Stack, items, resource_rule, stack_rule
from infra.policies.trust import ROLE

MANAGED, INLINE = "aws:iam/policy:Policy", "aws:iam/rolePolicy:RolePolicy"
ATTACHMENT = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
# Whoever may do one of these could give itself anything.
MAKES_ROLES = ("iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:UpdateAssumeRolePolicy")
TOO_MUCH = re.compile(r"arn:aws:iam::aws:policy/(\S*/)?(AdministratorAccess|PowerUserAccess|IAM\w+|\w*FullAccess)")


def is_boundary(policy: PolicyResource, stack: Stack) -> bool:
    """Whether it bounds roles: then it grants nothing, and what it takes away is tried by acting as the role."""
    return bool(stack.naming(policy, ROLE, "permissionsBoundary"))


@stack_rule(
    "permissions-no-star",
    (MANAGED, INLINE),
    "No role may do everything, not even everything of one service to everything.",
    fix="Name the actions, and the resources for those that can be bound to one.",
    severity=Severity.CRITICAL,
)
def no_star(policy: PolicyResource, stack: Stack) -> Iterator[str]:
    if is_boundary(policy, stack):
        return
    for statement in allowed(policy.props.get("policy")):
        if statement.inverted:
            yield f"{statement.sid} allows all but what it names, by {' and '.join(statement.inverted)}"
        if "*" in statement.actions:
            yield f"{statement.sid} allows every action"
        elif "*" in statement.resources and not statement.conditions:
            wide = [action for action in statement.actions if action.endswith(":*")]
            yield from (f"{statement.sid} allows {action} on everything" for action in wide)


@stack_rule(
    "permissions-pass-role",
    (MANAGED, INLINE),
    "A role is passed on by name, to the one service that is to use it.",
    fix="Name the roles in Resource, and compare iam:PassedToService by StringEquals.",
    severity=Severity.CRITICAL,
)
def pass_role(policy: PolicyResource, stack: Stack) -> Iterator[str]:
    if is_boundary(policy, stack):
        return
    for statement in allowed(policy.props.get("policy")):
        if statement.covers("iam:PassRole"):
            yield from _passes(statement)


def _passes(statement: Statement) -> Iterator[str]:
    loose = [name for name in statement.resources if not re.search(r":role/[\w+=,.@/-]{3,}\*?$", name)]
    yield from (f"{statement.sid} passes {name}" for name in loose)
    services = statement.condition("StringEquals", "iam:PassedToService")
    if not services or any("*" in name for name in services):
        yield f"{statement.sid} passes roles to any service"


@stack_rule(
    "permissions-boundary",
    ROLE,
    "A role that can make roles is bounded, or it could make itself an administrator.",
    fix="Set permissions_boundary on the role.",
    severity=Severity.CRITICAL,
)
def boundary(role: PolicyResource, stack: Stack) -> Iterator[str]:
    attached = [
        policy
        for attachment in stack.naming(role, ATTACHMENT, "role")
        for policy in stack.named_by(attachment, "policyArn", MANAGED)
    ]
    policies = [*stack.naming(role, INLINE, "role"), *attached]
    granted = [each for policy in policies for each in allowed(policy.props.get("policy"))]
    makes = [action for action in MAKES_ROLES if any(each.covers(action) for each in granted)]
    if makes and not role.props.get("permissionsBoundary"):
        yield f"may {', '.join(makes)} without a boundary"


@resource_rule(
    "permissions-no-broad-attachment",
    (ATTACHMENT, ROLE),
    "No role gets AWS's own policies that allow a whole service.",
    fix="Write a policy with what the role needs.",
    severity=Severity.CRITICAL,
)
def no_broad_attachment(resource: ResourceValidationArgs) -> Iterator[str]:
    held = [*items(resource.props.get("policyArn")), *items(resource.props.get("managedPolicyArns"))]
    yield from (f"attaches {name}" for name in held if TOO_MUCH.fullmatch(name))


@stack_rule(
    "permissions-keys-named",
    (MANAGED, INLINE),
    "Data is decrypted with keys that are named.",
    fix="Put the key's ARN into Resource.",
)
def keys_named(policy: PolicyResource, stack: Stack) -> Iterator[str]:
    if is_boundary(policy, stack):
        return
    for statement in allowed(policy.props.get("policy")):
        opens = statement.covers("kms:Decrypt")
        if opens and not statement.conditions and any(name.endswith("*") for name in statement.resources):
            yield f"{statement.sid} decrypts with any key"


@resource_rule(
    "permissions-no-users",
    ("aws:iam/user:User", "aws:iam/accessKey:AccessKey", "aws:iam/userLoginProfile:UserLoginProfile"),
    "Nobody has credentials that last.",
    fix="Let workflows assume a role by OIDC, pods by Pod Identity, and people by single sign-on.",
)
def no_users(resource: ResourceValidationArgs) -> Iterator[str]:
    yield "is or holds a credential that lasts"


@stack_rule(
    "permissions-bare-nodes",
    ROLE,
    "What a node may do, every pod on it may: nodes start pods and pull images, nothing else.",
    fix="Give the permission to the pod's own role by Pod Identity.",
)
def bare_nodes(role: PolicyResource, stack: Stack) -> Iterator[str]:
    trusted = {
        name for each in allowed(role.props.get("assumeRolePolicy")) for name in each.principals.get("Service", [])
    }
    if "ec2.amazonaws.com" not in trusted:
        return
    yield from (f"holds {policy.name}" for policy in stack.naming(role, INLINE, "role"))
    for attachment in stack.naming(role, ATTACHMENT, "role"):
        arn = str(attachment.props.get("policyArn"))
        if not re.fullmatch(r"arn:aws:iam::aws:policy/(AmazonEKS\w+|AmazonEC2ContainerRegistryPull\w+)", arn):
            yield f"attaches {arn}"
