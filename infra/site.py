"""Where a stack's resources are: names and ARNs of one environment in one account and region."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

PARTITION = "aws"


@dataclass(frozen=True)
class Site:
    """
    Args:
        account: 12 digits.
        boundary: the ARN of the policy that every role of the stack is held by. An Output, so that no role is made
            before it.
    """

    environment: str
    account: str
    region: str
    boundary: pulumi.Input[str]

    @property
    def production(self) -> bool:
        return self.environment == "production"

    def name(self, what: str) -> str:
        """The physical name of something. Policies, manifests and people find it by this name, so it never changes."""
        return name(self.environment, what)

    def arn(self, service: str, resource: str) -> str:
        """The ARN of something in this account and region, as `arn("sqs", "podium-staging-work")`."""
        return f"arn:{PARTITION}:{service}:{self.region}:{self.account}:{resource}"

    def iam_arn(self, resource: str) -> str:
        """The ARN of a role or policy, as `iam_arn("role/podium-staging-rank")`: IAM has no regions."""
        return f"arn:{PARTITION}:iam::{self.account}:{resource}"

    def endpoint(self, service: str) -> str:
        """How `kms:ViaService` names a service, as `s3.eu-central-1.amazonaws.com`."""
        return f"{service}.{self.region}.amazonaws.com"


def name(environment: str, what: str) -> str:
    return f"podium-{environment}-{what}"
