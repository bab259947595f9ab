"""What holds every role of a stack: however its own policies read, it gets no further than this.

There are two boundaries. Roles that work have one in which no service makes identities. The roles that apply and
preview the stack have a wider one, which hands out nothing but the first; so whatever the applying role makes, it can
reach neither the state, nor the other environment, nor more than it had.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from infra.iam import Statement, allow, deny, document
from infra.settings import ENVIRONMENTS, StateSettings
from infra.site import PARTITION, name

# What the platform's parts work with. No service that makes identities is among them; nor STS, by which a role would
# become any other that trusts the account; nor S3, which is by bucket.
SERVICES = (
    "acm", "application-autoscaling", "autoscaling", "cloudwatch", "codebuild", "codeconnections",
    "codestar-connections", "dynamodb", "ec2", "ecr", "ecs", "eks", "eks-auth", "elasticloadbalancing", "kms", "lambda",
    "logs", "sagemaker", "shield", "sns", "sqs", "tag", "wafv2", "xray",
)  # fmt: skip
# What only the stack itself is made of.
BUILT = ("apigateway", "route53")
# EKS Auto Mode starts its nodes with instance profiles that the cluster's role makes (AWS managed policy
# AmazonEKSComputePolicy), and its load balancers need that service's own role.
INSTANCE_PROFILES = (
    "iam:AddRoleToInstanceProfile", "iam:CreateInstanceProfile", "iam:DeleteInstanceProfile", "iam:GetInstanceProfile",
    "iam:RemoveRoleFromInstanceProfile", "iam:TagInstanceProfile",
)  # fmt: skip
# Each of these AWS decides by the boundary that the role has, or is to get.
HELD = (
    "iam:AttachRolePolicy", "iam:CreateRole", "iam:DeleteRolePolicy", "iam:DetachRolePolicy",
    "iam:PutRolePermissionsBoundary", "iam:PutRolePolicy", "iam:UpdateAssumeRolePolicy",
)  # fmt: skip
FREE = ("iam:DeleteRole", "iam:PassRole", "iam:TagRole", "iam:UntagRole", "iam:UpdateRole", "iam:UpdateRoleDescription")
CLUSTER_LINKED = ("elasticloadbalancing.amazonaws.com", "spot.amazonaws.com")
LINKED = (
    "ecs.amazonaws.com", "ecs.application-autoscaling.amazonaws.com", "eks.amazonaws.com",
    "elasticloadbalancing.amazonaws.com", "ops.apigateway.amazonaws.com",
)  # fmt: skip
# What is lost for good. Teardown is an administrator's, step by step.
LOSSES = (
    "dynamodb:DeleteTable", "ecr:BatchDeleteImage", "ecr:DeleteRepository", "eks:DeleteCluster", "kms:DisableKey",
    "kms:ScheduleKeyDeletion", "s3:DeleteBucket", "s3:DeleteObjectVersion",
)  # fmt: skip
REWRITE = (
    "iam:CreatePolicy", "iam:CreatePolicyVersion", "iam:DeletePolicy", "iam:DeletePolicyVersion",
    "iam:DeleteRolePermissionsBoundary", "iam:SetDefaultPolicyVersion",
)  # fmt: skip
REKEY = (
    "kms:CreateAlias", "kms:CreateGrant", "kms:DisableKeyRotation", "kms:PutKeyPolicy", "kms:RevokeGrant",
    "kms:TagResource", "kms:UntagResource", "kms:UpdateAlias", "kms:UpdateKeyDescription",
)  # fmt: skip
TAG = "aws:ResourceTag/podium:environment"


@dataclass(frozen=True, kw_only=True)
class BoundaryArgs:
    environment: str
    account: str
    state: StateSettings


class Boundary(pulumi.ComponentResource):
    """
    Outputs:
        arn: of the policy that holds all roles but two.
        apply_arn: of the one that holds those that apply and preview the stack.
    """

    def __init__(self, name_: str, args: BoundaryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("podium:infra:Boundary", name_, None, opts)
        self._args = args
        self._iam = f"arn:{PARTITION}:iam::{args.account}"
        self.arn = self._policy("workload-boundary", "No role of the stack gets further than this", self._workloads())
        self.apply_arn = self._policy("apply-boundary", "What may apply or preview the stack", self._applying())
        self.register_outputs({"arn": self.arn, "apply_arn": self.apply_arn})

    def _policy(self, what: str, description: str, statements: Sequence[Statement]) -> pulumi.Output[str]:
        return aws.iam.Policy(
            what,
            name=name(self._args.environment, what),
            description=description,
            policy=document(*statements),
            opts=pulumi.ResourceOptions(parent=self),
        ).arn

    def _workloads(self) -> list[Statement]:
        # What the cluster's role makes by itself: load balancers' own role and, once in an account, spot instances'.
        linked = {"StringEquals": {"iam:AWSServiceName": list(CLUSTER_LINKED)}}
        return [
            *self._everybody(SERVICES),
            # Who may pass which is said in their own policies.
            allow("PassOwnRoles", ["iam:PassRole"], [self._own_roles]),
            allow("NodeProfiles", INSTANCE_PROFILES, [f"{self._iam}:instance-profile/eks*"]),
            allow("ServiceRoles", ["iam:CreateServiceLinkedRole"], [f"{self._iam}:role/aws-service-role/*"], linked),
            deny("State", ["kms:*"], [self._args.state.key]),
        ]

    def _applying(self) -> list[Statement]:
        state = self._args.state
        held = {"StringEquals": {"iam:PermissionsBoundary": f"{self._iam}:policy/{self._called('workload-boundary')}"}}
        linked = {"StringEquals": {"iam:AWSServiceName": list(LINKED)}}
        themselves = [f"{self._iam}:role/{self._called(each)}" for each in ("apply", "preview")]
        change = [
            f"iam:{verb}*" for verb in ("Attach", "Create", "Delete", "Detach", "Pass", "Put", "Tag", "Untag", "Update")
        ]
        return [
            *self._everybody((*SERVICES, *BUILT)),
            allow(
                "StateObjects",
                ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"],
                state_objects(state, self._args.environment),
            ),
            allow("StateList", ["s3:GetBucketLocation", "s3:ListBucket"], [f"arn:{PARTITION}:s3:::{state.bucket}"]),
            allow("LookAtRoles", ["iam:Get*", "iam:List*"], ["*"]),
            allow("HeldRoles", HELD, [self._own_roles], held),
            allow("OwnRoles", FREE, [self._own_roles]),
            allow("LinkedRoles", ["iam:CreateServiceLinkedRole"], [f"{self._iam}:role/aws-service-role/*"], linked),
            deny("NotItself", change, themselves),
            deny("NoWayOut", REWRITE, ["*"]),
            deny("StateKey", REKEY, [state.key]),
            deny("Losses", LOSSES, ["*"]),
        ]

    def _everybody(self, services: Sequence[str]) -> list[Statement]:
        environment = self._args.environment
        others = [each for each in ENVIRONMENTS if each != environment]
        where: dict[str, Any] = {"StringNotEquals": {TAG: environment}, "Null": {TAG: "false"}}
        buckets = f"arn:{PARTITION}:s3:::{self._called('*')}"
        return [
            allow("Services", [f"{service}:*" for service in services], ["*"]),
            allow("OwnBuckets", ["s3:*"], [buckets]),
            # By tag what has them, by name what is asked for before its tags are known.
            deny("OthersByTag", ["*"], ["*"], where),
            deny("OthersByName", ["*"], [arn for other in others for arn in self._of(other)]),
        ]

    def _of(self, environment: str) -> list[str]:
        """What another environment in the same account is called."""
        named = name(environment, "*")
        here = f"arn:{PARTITION}:{{}}:*:{self._args.account}:{{}}"
        kinds = [
            ("dynamodb", f"table/{named}"),
            ("ecr", f"repository/podium-{environment}/*"),
            ("eks", f"*/{named}"),
            ("lambda", f"function:{named}"),
            ("logs", f"log-group:*{named}"),
            ("sns", named),
            ("sqs", named),
            ("kms", f"alias/{named}"),
            ("sagemaker", f"training-job/{named}"),
        ]
        return [here.format(*kind) for kind in kinds] + [f"{self._iam}:role/{named}", f"{self._iam}:policy/{named}"]

    @property
    def _own_roles(self) -> str:
        return f"{self._iam}:role/{self._called('*')}"

    def _called(self, what: str) -> str:
        return name(self._args.environment, what)


def state_objects(state: StateSettings, environment: str) -> list[str]:
    """Where Pulumi keeps one environment's state in a bucket: of this project and of the cluster's."""
    bucket = f"arn:{PARTITION}:s3:::{state.bucket}"
    folder = f"{bucket}/.pulumi"
    return [
        f"{folder}/meta.yaml",
        f"{folder}/stacks/podium*/{environment}.*",
        *(f"{folder}/{kind}/podium*/{environment}/*" for kind in ("backups", "history")),
        f"{folder}/locks/*/podium*/{environment}/*",
    ]
