"""Keys of KMS: renewed, ours, and never gone at once."""

from __future__ import annotations

from collections.abc import Iterator

from pulumi_policy import ResourceValidationArgs, Severity

from infra.policies.documents import allowed
from infra.policies.rules import resource_rule

KEY = "aws:kms/key:Key"


@resource_rule(
    "key-rotated",
    KEY,
    "Keys are renewed every year.",
    fix="Set enable_key_rotation.",
)
def rotated(key: ResourceValidationArgs) -> Iterator[str]:
    if key.props.get("enableKeyRotation") is not True:
        yield "is never renewed"


@resource_rule(
    "key-policy-closed",
    KEY,
    "A key says who may use it, and that is not everyone.",
    fix="Name the account or a service in the key policy, or bind everyone by a condition.",
    severity=Severity.CRITICAL,
)
def policy_closed(key: ResourceValidationArgs) -> Iterator[str]:
    trusted = list(allowed(key.props.get("policy")))
    if not trusted:
        yield "has no policy of its own"
    for statement in trusted:
        if statement.anyone and not statement.conditions:
            yield f"{statement.sid} lets anyone use it"


@resource_rule(
    "key-deletion-waits",
    KEY,
    "A key that was deleted by mistake can be had back for a month.",
    fix="Set deletion_window_in_days to 30, or leave it out.",
)
def deletion_waits(key: ResourceValidationArgs) -> Iterator[str]:
    days = key.props.get("deletionWindowInDays", 30)
    if days < 30:
        yield f"is gone after {days:.0f} days"
