"""Who may become a role."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pulumi_policy import PolicyResource, ResourceValidationArgs, Severity

from infra.policies.documents import Statement, allowed
from infra.policies.rules import Stack, items, resource_rule, stack_rule

ROLE = "aws:iam/role:Role"
GITHUB = "token.actions.githubusercontent.com"
# Owner and repository with or without GitHub's numbers for them, and one environment; nothing that matches more.
SUBJECT = re.compile(r"repo:[\w.-]+(@\d+)?/[\w.-]+(@\d+)?:environment:[\w.-]+")
# Services that say on whose behalf they come.
ON_BEHALF = ("sagemaker.amazonaws.com", "pods.eks.amazonaws.com", "ecs-tasks.amazonaws.com",
             "codebuild.amazonaws.com", "vpc-flow-logs.amazonaws.com")  # fmt: skip


def _by_github(statement: Statement) -> bool:
    return any(GITHUB in name for name in statement.principals.get("Federated", []))


@resource_rule(
    "trust-github-exact",
    ROLE,
    "A role that GitHub's workflows assume names its audience, and each repository and environment in full.",
    fix=f"Compare {GITHUB}:aud and :sub by StringEquals; write each subject as repo:<owner>/<repo>:environment:<name>.",
    severity=Severity.CRITICAL,
)
def github_exact(role: ResourceValidationArgs) -> Iterator[str]:
    for statement in filter(_by_github, allowed(role.props.get("assumeRolePolicy"))):
        if statement.condition("StringEquals", f"{GITHUB}:aud") != ["sts.amazonaws.com"]:
            yield f"{statement.sid} takes tokens that were made for others"
        subjects = statement.condition("StringEquals", f"{GITHUB}:sub")
        if not subjects:
            yield f"{statement.sid} takes any repository's token"
        yield from (
            f"{statement.sid} takes {subject!r}" for subject in subjects if not SUBJECT.fullmatch(subject)
        )  # fmt: skip


@resource_rule(
    "trust-principal-named",
    ROLE,
    "A role names who may assume it.",
    fix="Put a service, a role or an identity provider into Principal, never *.",
    severity=Severity.CRITICAL,
)
def principal_named(role: ResourceValidationArgs) -> Iterator[str]:
    for statement in allowed(role.props.get("assumeRolePolicy")):
        if statement.anyone or "NotPrincipal" in statement.inverted or not statement.principals:
            yield f"{statement.sid} lets anyone in"


@resource_rule(
    "trust-source-account",
    ROLE,
    "A service that acts for many accounts may assume a role for this one alone.",
    fix="Compare aws:SourceAccount (StringEquals) or aws:SourceArn in the trust policy.",
)
def source_account(role: ResourceValidationArgs) -> Iterator[str]:
    for statement in allowed(role.props.get("assumeRolePolicy")):
        if not set(ON_BEHALF).intersection(statement.principals.get("Service", [])):
            continue
        if not statement.requires("aws:SourceAccount") and not statement.requires("aws:SourceArn"):
            yield f"{statement.sid} lets the service in on behalf of any account"


@resource_rule(
    "trust-no-service-account-tokens",
    ROLE,
    "Pods get their roles by Pod Identity, whose trust policy is the same for every cluster.",
    fix="Trust pods.eks.amazonaws.com and make a PodIdentityAssociation instead of trusting the cluster's issuer.",
)
def no_service_account_tokens(role: ResourceValidationArgs) -> Iterator[str]:
    for statement in allowed(role.props.get("assumeRolePolicy")):
        issuers = [name for name in statement.principals.get("Federated", []) if "oidc.eks." in name]
        yield from (f"{statement.sid} trusts {name}" for name in issuers)


@stack_rule(
    "trust-pod-identity",
    "aws:eks/podIdentityAssociation:PodIdentityAssociation",
    "A role that pods get can be assumed by Pod Identity, with session tags, and by nothing else.",
    fix="Trust pods.eks.amazonaws.com alone, with sts:AssumeRole and sts:TagSession.",
)
def pod_identity(association: PolicyResource, stack: Stack) -> Iterator[str]:
    for role in stack.named_by(association, "roleArn", ROLE):
        trusted = list(allowed(role.props.get("assumeRolePolicy")))
        if any(each.principals != {"Service": ["pods.eks.amazonaws.com"]} for each in trusted):
            yield f"{role.name} can be assumed by others than pods"
        granted = {action for each in trusted for action in each.actions}
        yield from (
            f"{role.name} does not allow {action}" for action in ("sts:AssumeRole", "sts:TagSession")
            if action not in granted
        )  # fmt: skip


@resource_rule(
    "trust-provider-audience",
    "aws:iam/openIdConnectProvider:OpenIdConnectProvider",
    "The identity provider takes tokens that were made for AWS alone.",
    fix="Set client_id_lists to sts.amazonaws.com.",
)
def provider_audience(provider: ResourceValidationArgs) -> Iterator[str]:
    audiences = items(provider.props.get("clientIdLists"))
    if audiences != ["sts.amazonaws.com"]:
        yield f"audiences are {audiences}"
