"""A machine in the VPC for the workflows that need a private cluster: CodeBuild's runner of GitHub Actions.

It is chosen before a runner on an instance because it is made anew for each job, is billed by the minute, and needs no
token of GitHub's to be kept: the owner authorises a CodeConnections connection once. A job takes it by
`runs-on: codebuild-podium-<environment>-runner-${{ github.run_id }}-${{ github.run_attempt }}`.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.cluster import Cluster
from infra.component import Component
from infra.iam import Statement, allow, document, role, service_trust
from infra.network import ANYWHERE, Network
from infra.settings import ClusterSettings, Github
from infra.site import Site

WORKFLOW = "infra"
IMAGE = "aws/codebuild/amazonlinux-x86_64-standard:5.0"


@dataclass(frozen=True)
class RunnerArgs:
    site: Site
    settings: ClusterSettings
    github: Github
    network: Network
    cluster: Cluster
    logs_key: aws.kms.Key


class Runner(Component):
    """
    Outputs:
        project: the project's name, which is in the label that a job asks for.
        security_group_id: of the machines.
    """

    def __init__(self, name: str, args: RunnerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args.site, opts)
        if args.settings.connection is None:
            raise ValueError("a runner needs the connection that tells it of queued jobs")
        self.connection = args.settings.connection
        self.args = args
        called = self.site.name("runner")
        logs = aws.cloudwatch.LogGroup(
            "runner",
            name=f"/aws/codebuild/{called}",
            retention_in_days=args.settings.log_days,
            kms_key_id=args.logs_key.arn,
            opts=self.below(),
        )
        self.security_group_id = self._security_group()
        # What a job may do on AWS, it may by the role that it takes by GitHub's token, not by this one.
        trust = service_trust(self.site, "codebuild", self.site.arn("codebuild", f"project/{called}"))
        runs = role(self.site, "runner", [trust], [], self.below())
        may = aws.iam.RolePolicy(
            "runner",
            name="runner",
            role=runs.name,
            policy=document(*self._may_log(logs), *self._may_connect(), *self._may_attach()),
            opts=self.below(),
        )
        project = self._project(called, runs, may, logs)
        self.project: pulumi.Output[str] = project.name
        aws.codebuild.Webhook(
            "runner",
            project_name=project.name,
            build_type="BUILD",
            # Other workflows do not get a machine inside, whatever label their jobs ask for. A pull request can name
            # its workflow as it likes, so the repository must be one whose pull requests come from people it trusts.
            filter_groups=[
                aws.codebuild.WebhookFilterGroupArgs(
                    filters=[
                        aws.codebuild.WebhookFilterGroupFilterArgs(type="EVENT", pattern="WORKFLOW_JOB_QUEUED"),
                        aws.codebuild.WebhookFilterGroupFilterArgs(type="WORKFLOW_NAME", pattern=f"^{WORKFLOW}$"),
                    ]
                )
            ],
            opts=self.below(),
        )
        self.register_outputs({"project": self.project})

    def _security_group(self) -> pulumi.Output[str]:
        """Lets a machine out by HTTPS, to GitHub, to AWS and to the cluster's API, and nothing in."""
        group = aws.ec2.SecurityGroup(
            "runner",
            name=self.site.name("runner"),
            description="The machines that run workflows in the VPC",
            vpc_id=self.args.network.vpc_id,
            tags={"Name": self.site.name("runner")},
            opts=self.below(),
        )
        aws.vpc.SecurityGroupEgressRule(
            "runner",
            security_group_id=group.id,
            description="HTTPS",
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            cidr_ipv4=ANYWHERE,
            opts=self.below(),
        )
        aws.vpc.SecurityGroupIngressRule(
            "runner-to-cluster",
            security_group_id=self.args.cluster.security_group_id,
            description="The API, for the runner",
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            referenced_security_group_id=group.id,
            opts=self.below(),
        )
        return group.id

    def _may_log(self, logs: aws.cloudwatch.LogGroup) -> list[Statement]:
        streams = pulumi.Output.concat(logs.arn, ":*")
        return [allow("Log", ["logs:CreateLogStream", "logs:PutLogEvents"], [streams])]

    def _may_connect(self) -> list[Statement]:
        """Gets a token of GitHub's for this repository (CodeBuild user guide, "GitHub App connections")."""
        service = self.connection.split(":")[2]
        actions = [f"{service}:GetConnection", f"{service}:GetConnectionToken"]
        return [allow("Connect", actions, [self.connection])]

    def _may_attach(self) -> list[Statement]:
        """Has a network interface in the private subnets (CodeBuild user guide, "Allow CodeBuild access to AWS
        services required to create a VPC network interface")."""
        interfaces = self.site.arn("ec2", "network-interface/*")
        subnets = [self._ec2("subnet", each) for each in self.args.network.private_subnet_ids]
        ours = {"ArnEquals": {"ec2:Subnet": subnets}}
        codebuild = {"StringEquals": {"ec2:AuthorizedService": "codebuild.amazonaws.com"}}
        group = self._ec2("security-group", self.security_group_id)
        return [
            allow("CreateInterface", ["ec2:CreateNetworkInterface"], [interfaces, *subnets, group]),
            allow("DeleteInterface", ["ec2:DeleteNetworkInterface"], [interfaces], ours),
            allow("LendInterface", ["ec2:CreateNetworkInterfacePermission"], [interfaces], {**ours, **codebuild}),
            allow(
                "FindPlace",
                [
                    "ec2:DescribeDhcpOptions",
                    "ec2:DescribeNetworkInterfaces",
                    "ec2:DescribeSecurityGroups",
                    "ec2:DescribeSubnets",
                    "ec2:DescribeVpcs",
                ],
                ["*"],
            ),
        ]

    def _ec2(self, kind: str, id_: pulumi.Output[str]) -> pulumi.Output[str]:
        return pulumi.Output.concat(self.site.arn("ec2", f"{kind}/"), id_)

    def _project(
        self, called: str, runs: aws.iam.Role, may: aws.iam.RolePolicy, logs: aws.cloudwatch.LogGroup
    ) -> aws.codebuild.Project:
        github, network = self.args.github, self.args.network
        return aws.codebuild.Project(
            "runner",
            name=called,
            description="Runs the jobs of the infra workflow inside the VPC",
            service_role=runs.arn,
            build_timeout=60,
            queued_timeout=60,
            # One applies and one looks: more would be somebody else's jobs.
            concurrent_build_limit=2,
            artifacts=aws.codebuild.ProjectArtifactsArgs(type="NO_ARTIFACTS"),
            environment=aws.codebuild.ProjectEnvironmentArgs(
                type="LINUX_CONTAINER",
                # The AWS provider of Pulumi alone takes 1 to 2 GB.
                compute_type="BUILD_GENERAL1_MEDIUM",
                image=IMAGE,
                image_pull_credentials_type="CODEBUILD",
                privileged_mode=False,
            ),
            source=aws.codebuild.ProjectSourceArgs(
                type="GITHUB",
                location=f"https://github.com/{github.owner}/{github.repository}.git",
                git_clone_depth=1,
                report_build_status=False,
                auth=aws.codebuild.ProjectSourceAuthArgs(type="CODECONNECTIONS", resource=self.connection),
            ),
            vpc_config=aws.codebuild.ProjectVpcConfigArgs(
                vpc_id=network.vpc_id,
                subnets=network.private_subnet_ids,
                security_group_ids=[self.security_group_id],
            ),
            logs_config=aws.codebuild.ProjectLogsConfigArgs(
                cloudwatch_logs=aws.codebuild.ProjectLogsConfigCloudwatchLogsArgs(
                    status="ENABLED", group_name=logs.name
                ),
                s3_logs=aws.codebuild.ProjectLogsConfigS3LogsArgs(status="DISABLED"),
            ),
            # CodeBuild tries the role's way into the subnets when the project is made, and refuses it without.
            opts=self.below(may),
        )
