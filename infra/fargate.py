"""The serve image as tasks of ECS on Fargate behind an internal load balancer. Off by default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.balancer import PORT, Balancer, BalancerArgs
from infra.component import Component
from infra.function import LOG_DAYS
from infra.iam import allow, role, service_trust
from infra.release import Release
from infra.serving import may_log, may_read_model, may_use_key, model_environment
from infra.settings import FargateSettings
from infra.site import Site

CONTAINER = "serve"
# The image's own, so that another image could not be another user.
USER = "10001:10001"

# The rest is for what comes while another task starts.
CPU_PERCENT = 60
# 200 requests a second, a third of the 610 of 100 documents that one core answered (tests/bench/results).
REQUESTS_PER_MINUTE = 12_000

# The service answers what is under way for 25 s after SIGTERM; then ECS kills.
STOP_SECONDS = 30
# The model is fetched and proven within seconds; until then /readyz says 503, which must not end a new task.
GRACE_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class FargateArgs:
    """
    Args:
        repository, repository_arn: address and ARN of the image's repository.
        cidr: of the VPC, from where the balancer is reached.
        domain, zone: the host name that the balancer gets in the zone, if both are given.
    """

    settings: FargateSettings
    bucket: pulumi.Input[str]
    data_key: pulumi.Input[str]
    logs_key: pulumi.Input[str]
    repository: pulumi.Input[str]
    repository_arn: pulumi.Input[str]
    release: Release
    vpc_id: pulumi.Input[str]
    cidr: str
    subnet_ids: Sequence[pulumi.Input[str]]
    certificate_arn: pulumi.Input[str]
    domain: str | None = None
    zone: str | None = None


class Fargate(Component):
    """
    Outputs:
        address: the balancer's host name.
        task_role_arn, execution_role_arn: what the service may, and what starts it.
    """

    def __init__(self, name: str, site: Site, args: FargateArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, site, opts)
        self._args = args
        balancer = Balancer(
            "fargate",
            site,
            BalancerArgs(
                vpc_id=args.vpc_id,
                cidr=args.cidr,
                subnet_ids=args.subnet_ids,
                certificate_arn=args.certificate_arn,
                domain=args.domain,
                zone=args.zone,
            ),
            self.below(),
        )
        cluster = aws.ecs.Cluster(
            "fargate",
            name=site.name("fargate"),
            settings=[aws.ecs.ClusterSettingArgs(name="containerInsights", value="enabled")],
            opts=self.below(),
        )
        self._log_group = aws.cloudwatch.LogGroup(
            "fargate",
            name=f"/ecs/{site.name('fargate')}",
            retention_in_days=LOG_DAYS,
            kms_key_id=args.logs_key,
            opts=self.below(),
        )
        task = self._task()
        service = self._service(cluster, task, balancer)
        self._scale(cluster, service, balancer)
        self.address = balancer.address
        self.register_outputs({"address": self.address})

    def _task(self) -> aws.ecs.TaskDefinition:
        args, site = self._args, self.site
        trust = [service_trust(site, "ecs-tasks", site.arn("ecs", "*"))]
        pull = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        starts = role(
            site,
            "fargate-start",
            trust,
            [
                allow("Pull", pull, [args.repository_arn]),
                # A token is for all of the registry, whose repositories then allow or refuse.
                allow("Token", ["ecr:GetAuthorizationToken"], ["*"]),
                may_log(self._log_group.arn),
            ],
            self.below(),
        )
        may = [*may_read_model(args.bucket, args.release), may_use_key(site, args.data_key, ["Decrypt"], ["s3"])]
        serves = role(site, "fargate", trust, may, self.below())
        self.execution_role_arn, self.task_role_arn = starts.arn, serves.arn
        return aws.ecs.TaskDefinition(
            "fargate",
            family=site.name("fargate"),
            requires_compatibilities=["FARGATE"],
            network_mode="awsvpc",
            cpu=str(args.settings.cpu),
            memory=str(args.settings.memory_mb),
            runtime_platform=aws.ecs.TaskDefinitionRuntimePlatformArgs(
                cpu_architecture="X86_64", operating_system_family="LINUX"
            ),
            execution_role_arn=starts.arn,
            task_role_arn=serves.arn,
            container_definitions=self._containers(),
            opts=self.below(),
        )

    def _containers(self) -> pulumi.Output[str]:
        args = self._args
        # A volume of Fargate is root's alone, and it knows no other tmpfs (ECS developer guide, "Use bind mounts"). Of
        # /dev/shm every container has 64 MB; a model has a few, and is gone from there once it is in memory.
        scratch = {"TMPDIR": "/dev/shm"}  # noqa: S108
        variables = {**model_environment(args.bucket, args.release), **scratch}
        container = {
            "name": CONTAINER,
            "image": pulumi.Output.concat(args.repository, "@", args.release.serve_amd64),
            "essential": True,
            "user": USER,
            "readonlyRootFilesystem": True,
            "linuxParameters": {"capabilities": {"drop": ["ALL"]}},
            "portMappings": [{"containerPort": PORT, "protocol": "tcp"}],
            "environment": [{"name": name, "value": value} for name, value in variables.items()],
            "stopTimeout": STOP_SECONDS,
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {
                    "awslogs-group": self._log_group.name,
                    "awslogs-region": self.site.region,
                    "awslogs-stream-prefix": CONTAINER,
                },
            },
        }
        return pulumi.Output.json_dumps([container])

    def _service(self, cluster: aws.ecs.Cluster, task: aws.ecs.TaskDefinition, balancer: Balancer) -> aws.ecs.Service:
        options = pulumi.ResourceOptions.merge(
            # A service is refused for a group that no listener has.
            self.below(balancer),
            # From the first deployment on, this number is scaling's.
            pulumi.ResourceOptions(ignore_changes=["desiredCount"]),
        )
        return aws.ecs.Service(
            "fargate",
            name=self.site.name("fargate"),
            cluster=cluster.arn,
            task_definition=task.arn,
            launch_type="FARGATE",
            desired_count=self._args.settings.least,
            # A new task is there before an old one goes.
            deployment_minimum_healthy_percent=100,
            deployment_maximum_percent=200,
            deployment_circuit_breaker=aws.ecs.ServiceDeploymentCircuitBreakerArgs(enable=True, rollback=True),
            health_check_grace_period_seconds=GRACE_SECONDS,
            enable_execute_command=False,
            propagate_tags="SERVICE",
            network_configuration=aws.ecs.ServiceNetworkConfigurationArgs(
                subnets=[*self._args.subnet_ids],
                security_groups=[balancer.tasks_security_group_id],
                assign_public_ip=False,
            ),
            load_balancers=[
                aws.ecs.ServiceLoadBalancerArgs(
                    target_group_arn=balancer.target_group_arn, container_name=CONTAINER, container_port=PORT
                )
            ],
            opts=options,
        )

    def _scale(self, cluster: aws.ecs.Cluster, service: aws.ecs.Service, balancer: Balancer) -> None:
        settings = self._args.settings
        target = aws.appautoscaling.Target(
            "fargate",
            service_namespace="ecs",
            scalable_dimension="ecs:service:DesiredCount",
            resource_id=pulumi.Output.concat("service/", cluster.name, "/", service.name),
            min_capacity=settings.least,
            max_capacity=settings.most,
            opts=self.below(),
        )
        self._track("cpu", target, CPU_PERCENT, "ECSServiceAverageCPUUtilization")
        self._track("requests", target, REQUESTS_PER_MINUTE, "ALBRequestCountPerTarget", balancer.resource_label)

    def _track(
        self,
        what: str,
        target: aws.appautoscaling.Target,
        value: int,
        metric: str,
        label: pulumi.Input[str] | None = None,
    ) -> None:
        aws.appautoscaling.Policy(
            f"fargate-{what}",
            name=self.site.name(f"fargate-{what}"),
            policy_type="TargetTrackingScaling",
            service_namespace=target.service_namespace,
            scalable_dimension=target.scalable_dimension,
            resource_id=target.resource_id,
            target_tracking_scaling_policy_configuration=aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationArgs(
                target_value=value,
                predefined_metric_specification=aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationPredefinedMetricSpecificationArgs(
                    predefined_metric_type=metric, resource_label=label
                ),
                # Tasks come at once and go slowly: a lull is often short, and a start takes most of a minute.
                scale_out_cooldown=30,
                scale_in_cooldown=300,
            ),
            opts=self.below(),
        )
