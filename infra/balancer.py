"""An internal load balancer with TLS, in front of tasks that nobody else reaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.component import Component
from infra.site import Site

PORT = 8000
TLS = 443
# TLS 1.2 with forward secrecy and TLS 1.3 (ELB user guide, "Security policies").
TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-2021-06"

# Requests that are under way get this long when a task leaves: a deadline of the service is 10 s.
DEREGISTRATION_SECONDS = 20


@dataclass(frozen=True, kw_only=True)
class BalancerArgs:
    vpc_id: pulumi.Input[str]
    cidr: str
    subnet_ids: Sequence[pulumi.Input[str]]
    certificate_arn: pulumi.Input[str]
    domain: str | None = None
    zone: str | None = None


class Balancer(Component):
    """
    Outputs:
        address: its host name.
        target_group_arn: where tasks register.
        resource_label: what its metric of requests a target is named by.
        tasks_security_group_id: for the tasks; only the balancer reaches them.
    """

    def __init__(self, name: str, site: Site, args: BalancerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(f"{name}-balancer", site, opts)
        front = self._group(f"{name}-balancer", "Takes TLS from inside the VPC", args.vpc_id)
        tasks = self._group(f"{name}-tasks", "Takes requests from the load balancer alone", args.vpc_id)
        self._rules(name, args.cidr, front, tasks)
        balancer = aws.lb.LoadBalancer(
            name,
            name=site.name(name),
            internal=True,
            load_balancer_type="application",
            security_groups=[front.id],
            subnets=[*args.subnet_ids],
            drop_invalid_header_fields=True,
            enable_deletion_protection=True,
            opts=self.below(),
        )
        group = self._target_group(name, args.vpc_id)
        aws.lb.Listener(
            name,
            load_balancer_arn=balancer.arn,
            port=TLS,
            protocol="HTTPS",
            ssl_policy=TLS_POLICY,
            certificate_arn=args.certificate_arn,
            default_actions=[aws.lb.ListenerDefaultActionArgs(type="forward", target_group_arn=group.arn)],
            opts=self.below(),
        )
        if args.domain is not None and args.zone is not None:
            alias = aws.route53.RecordAliasArgs(
                name=balancer.dns_name, zone_id=balancer.zone_id, evaluate_target_health=False
            )
            aws.route53.Record(name, zone_id=args.zone, name=args.domain, type="A", aliases=[alias], opts=self.below())
        self.address: pulumi.Output[str] = balancer.dns_name
        self.target_group_arn: pulumi.Output[str] = group.arn
        self.resource_label = pulumi.Output.concat(balancer.arn_suffix, "/", group.arn_suffix)
        self.tasks_security_group_id: pulumi.Output[str] = tasks.id
        self.register_outputs({"address": self.address})

    def _target_group(self, name: str, vpc_id: pulumi.Input[str]) -> aws.lb.TargetGroup:
        return aws.lb.TargetGroup(
            name,
            name=self.site.name(name),
            vpc_id=vpc_id,
            target_type="ip",
            port=PORT,
            protocol="HTTP",
            # Queries differ in length: who has the fewest under way is free first.
            load_balancing_algorithm_type="least_outstanding_requests",
            deregistration_delay=DEREGISTRATION_SECONDS,
            health_check=aws.lb.TargetGroupHealthCheckArgs(
                path="/readyz", matcher="200", interval=10, timeout=5, healthy_threshold=2, unhealthy_threshold=3
            ),
            opts=self.below(),
        )

    def _group(self, what: str, description: str, vpc_id: pulumi.Input[str]) -> aws.ec2.SecurityGroup:
        # Its rules are resources of their own, because the two groups name each other.
        return aws.ec2.SecurityGroup(
            what, name=self.site.name(what), description=description, vpc_id=vpc_id, opts=self.below()
        )

    def _rules(self, name: str, cidr: str, front: aws.ec2.SecurityGroup, tasks: aws.ec2.SecurityGroup) -> None:
        aws.vpc.SecurityGroupIngressRule(
            f"{name}-clients", description="TLS from the VPC", security_group_id=front.id,
            cidr_ipv4=cidr, ip_protocol="tcp", from_port=TLS, to_port=TLS, opts=self.below(),
        )  # fmt: skip
        aws.vpc.SecurityGroupEgressRule(
            f"{name}-to-tasks", description="Requests to the tasks", security_group_id=front.id,
            referenced_security_group_id=tasks.id, ip_protocol="tcp", from_port=PORT, to_port=PORT, opts=self.below(),
        )  # fmt: skip
        aws.vpc.SecurityGroupIngressRule(
            f"{name}-from-balancer", description="Requests from the balancer", security_group_id=tasks.id,
            referenced_security_group_id=front.id, ip_protocol="tcp", from_port=PORT, to_port=PORT, opts=self.below(),
        )  # fmt: skip
        # ECR and S3 have no fixed addresses.
        aws.vpc.SecurityGroupEgressRule(
            f"{name}-to-aws", description="TLS to AWS", security_group_id=tasks.id,
            cidr_ipv4="0.0.0.0/0", ip_protocol="tcp", from_port=TLS, to_port=TLS, opts=self.below(),
        )  # fmt: skip
