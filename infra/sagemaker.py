"""What a training job has: a role that reads its input and writes its results, and a network without a way out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.component import Component
from infra.iam import Statement, allow, role, service_trust
from infra.keys import WRITE, use_objects
from infra.site import Site

# As training/inputs.py and training/job_request.py lay them out below s3://<bucket>/training.
INPUTS = "training/inputs/"
JOBS = "training/jobs/"
CHECKPOINTS = "training/checkpoints/"
GROUP = "/aws/sagemaker/TrainingJobs"
PULL = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")


@dataclass(frozen=True, kw_only=True)
class SagemakerArgs:
    """
    Attributes:
        s3_prefix_list: the addresses of S3, as the gateway endpoint routes them.
    """

    vpc_id: pulumi.Input[str]
    subnet_ids: Sequence[pulumi.Input[str]]
    s3_prefix_list: pulumi.Input[str]
    bucket_arn: pulumi.Input[str]
    data_key: pulumi.Input[str]
    repository_arn: pulumi.Input[str]


class Sagemaker(Component):
    """
    Outputs:
        role_arn: that jobs run as.
        security_group_id: that jobs run in.
    """

    def __init__(self, name: str, site: Site, args: SagemakerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, site, opts)
        self._args = args
        made = role(site, "job", [service_trust(site, "sagemaker")], self._may(), self.below())
        self.role_arn = made.arn
        self.security_group_id = self._group().id
        self.register_outputs({"role_arn": self.role_arn, "security_group_id": self.security_group_id})

    def _group(self) -> aws.ec2.SecurityGroup:
        group = aws.ec2.SecurityGroup(
            "job",
            name=self.site.name("job"),
            description="Training jobs: one another and S3, nothing else",
            vpc_id=self._args.vpc_id,
            opts=self.below(),
        )
        # The hosts of one job train together (training/peers.py), on ports of their choice.
        for direction in (aws.vpc.SecurityGroupIngressRule, aws.vpc.SecurityGroupEgressRule):
            direction(
                "job-peers",
                description="Hosts of one job",
                security_group_id=group.id,
                referenced_security_group_id=group.id,
                ip_protocol="-1",
                opts=self.below(),
            )
        aws.vpc.SecurityGroupEgressRule(
            "job-s3",
            description="Input, checkpoints and results",
            security_group_id=group.id,
            prefix_list_id=self._args.s3_prefix_list,
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            opts=self.below(),
        )
        return group

    def _may(self) -> list[Statement]:
        """What SageMaker does in the job's name (developer guide, "CreateTrainingJob API: Execution Role
        Permissions", with a private VPC and KMS)."""
        bucket, key = self._args.bucket_arn, self._args.data_key
        written = [JOBS, CHECKPOINTS]
        return [
            allow(
                "Find",
                ["s3:ListBucket"],
                [bucket],
                {"StringLike": {"s3:prefix": [f"{INPUTS}*", *(f"{each}*" for each in written)]}},
            ),
            allow("Read", ["s3:GetObject"], [_below(bucket, each) for each in (INPUTS, CHECKPOINTS)]),
            allow("Write", ["s3:PutObject", "s3:AbortMultipartUpload"], [_below(bucket, each) for each in written]),
            use_objects("Encrypted", self.site, key, bucket, [INPUTS, *written], actions=WRITE),
            # The disks: EC2 uses the key as long as an instance runs, and this role cannot pass it on to anybody else.
            allow("Disks", ["kms:CreateGrant"], [key], {"Bool": {"kms:GrantIsForAWSResource": "true"}}),
            allow("Login", ["ecr:GetAuthorizationToken"], ["*"]),
            allow("Pull", PULL, [self._args.repository_arn]),
            *self._tell(),
            *self._interfaces(),
        ]

    def _tell(self) -> list[Statement]:
        group = self.site.arn("logs", f"log-group:{GROUP}")
        # SageMaker's own namespace, in which a job's metrics are shown beside it.
        metrics = {"StringEquals": {"cloudwatch:namespace": GROUP}}
        return [
            allow("Group", ["logs:CreateLogGroup", "logs:DescribeLogStreams"], [group, f"{group}:log-stream:*"]),
            allow("Lines", ["logs:CreateLogStream", "logs:PutLogEvents"], [f"{group}:log-stream:*"]),
            allow("Metrics", ["cloudwatch:PutMetricData"], ["*"], metrics),
        ]

    def _interfaces(self) -> list[Statement]:
        """SageMaker puts a network interface of each host into our subnets, and takes it away again."""
        interfaces = self.site.arn("ec2", "network-interface/*")
        vpc = {"ArnEquals": {"ec2:Vpc": pulumi.Output.concat(self.site.arn("ec2", "vpc/"), self._args.vpc_id)}}
        places = [pulumi.Output.concat(self.site.arn("ec2", "subnet/"), each) for each in self._args.subnet_ids]
        groups = self.site.arn("ec2", "security-group/*")
        remove = [
            "ec2:DeleteNetworkInterface",
            "ec2:CreateNetworkInterfacePermission",
            "ec2:DeleteNetworkInterfacePermission",
        ]
        look = ["DhcpOptions", "NetworkInterfaces", "SecurityGroups", "Subnets", "Vpcs"]
        return [
            allow("Interfaces", ["ec2:CreateNetworkInterface"], [interfaces, *places]),
            allow("InterfacesInGroups", ["ec2:CreateNetworkInterface"], [groups], vpc),
            allow("InterfacesOfVpc", remove, [interfaces], vpc),
            # EC2 knows no narrower right to look.
            allow("Look", [f"ec2:Describe{each}" for each in look], ["*"]),
        ]


def _below(bucket: pulumi.Input[str], prefix: str) -> pulumi.Output[str]:
    return pulumi.Output.concat(bucket, f"/{prefix}*")
