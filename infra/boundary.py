"""What holds every role of a stack: however its own policies read, it gets no further than this."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from infra.iam import allow, document
from infra.site import PARTITION, name

# What the platform's parts work with. No service that makes identities is among them.
SERVICES = (
    "acm", "application-autoscaling", "autoscaling", "cloudwatch", "codebuild", "codeconnections",
    "codestar-connections", "dynamodb", "ec2", "ecr", "ecs", "eks", "eks-auth", "elasticloadbalancing", "kms", "lambda",
    "logs", "s3", "sagemaker", "shield", "sns", "sqs", "sts", "tag", "wafv2", "xray",
)  # fmt: skip
# EKS Auto Mode starts its nodes with instance profiles that the cluster's role makes (AWS managed policy
# AmazonEKSComputePolicy), and its load balancers need that service's own role.
INSTANCE_PROFILES = (
    "iam:AddRoleToInstanceProfile", "iam:CreateInstanceProfile", "iam:DeleteInstanceProfile", "iam:GetInstanceProfile",
    "iam:RemoveRoleFromInstanceProfile", "iam:TagInstanceProfile",
)  # fmt: skip


class Boundary(pulumi.ComponentResource):
    """The permissions boundary of all roles but that which applies the stack, which has a wider one of its own.

    Outputs:
        arn: of the policy.
    """

    def __init__(self, name_: str, environment: str, account: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("podium:infra:Boundary", name_, None, opts)
        iam = f"arn:{PARTITION}:iam::{account}"
        balancing = {"StringEquals": {"iam:AWSServiceName": "elasticloadbalancing.amazonaws.com"}}
        policy = aws.iam.Policy(
            "workload-boundary",
            name=name(environment, "workload-boundary"),
            description="No role of the stack gets further than this",
            policy=document(
                allow("Services", [f"{service}:*" for service in SERVICES], ["*"]),
                # Who may pass which is said in their own policies.
                allow("PassOwnRoles", ["iam:PassRole"], [f"{iam}:role/{name(environment, '*')}"]),
                allow("NodeProfiles", INSTANCE_PROFILES, [f"{iam}:instance-profile/eks*"]),
                allow("Balancers", ["iam:CreateServiceLinkedRole"], [f"{iam}:role/aws-service-role/*"], balancing),
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.arn: pulumi.Output[str] = policy.arn
        self.register_outputs({"arn": self.arn})
