"""Training jobs: whoever may start one may start it closed off and encrypted, and not otherwise."""

from __future__ import annotations

from collections.abc import Iterator

from pulumi_policy import PolicyResource, Severity

from infra.policies.documents import allowed
from infra.policies.permissions import INLINE, MANAGED, is_boundary
from infra.policies.rules import Stack, stack_rule

REQUIRED = ("sagemaker:VpcSubnets", "sagemaker:VpcSecurityGroupIds",
            "sagemaker:VolumeKmsKey", "sagemaker:OutputKmsKey")  # fmt: skip


@stack_rule(
    "training-closed-off",
    (MANAGED, INLINE),
    "A training job that is started runs without a network, in our subnets, and is encrypted with our key.",
    fix="Condition sagemaker:CreateTrainingJob on sagemaker:NetworkIsolation, VpcSubnets, VpcSecurityGroupIds, "
    "VolumeKmsKey and OutputKmsKey, so that a request without them is refused.",
    severity=Severity.CRITICAL,
)
def closed_off(policy: PolicyResource, stack: Stack) -> Iterator[str]:
    if is_boundary(policy, stack):
        return
    for statement in allowed(policy.props.get("policy")):
        if not statement.covers("sagemaker:CreateTrainingJob"):
            continue
        if statement.condition("Bool", "sagemaker:NetworkIsolation") != ["true"]:
            yield f"{statement.sid} starts jobs with a network"
        loose = [key for key in REQUIRED if not statement.requires(key)]
        yield from (f"{statement.sid} starts jobs without {key}" for key in loose)
