"""Networks: nothing comes in by itself, and what goes through is logged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pulumi_policy import PolicyResource, ResourceValidationArgs, Severity

from infra.policies.containers import BALANCER
from infra.policies.documents import allowed
from infra.policies.rules import Stack, at, items, resource_rule, stack_rule

VPC, GROUP = "aws:ec2/vpc:Vpc", "aws:ec2/securityGroup:SecurityGroup"
INGRESS, RULE = (
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
    "aws:ec2/securityGroupRule:SecurityGroupRule",
)
CIDRS = ("cidrBlocks", "ipv6CidrBlocks", "cidrIpv4", "cidrIpv6")


@stack_rule(
    "network-no-open-ingress",
    (GROUP, INGRESS, RULE),
    "Nothing is open to every address but a load balancer's port 443.",
    fix="Name networks or security groups instead of 0.0.0.0/0 and ::/0.",
    severity=Severity.CRITICAL,
)
def no_open_ingress(resource: PolicyResource, stack: Stack) -> Iterator[str]:
    if resource.resource_type == GROUP:
        groups, rules = [resource], items(resource.props.get("ingress"))
    elif resource.props.get("type", "ingress") == "ingress":
        groups, rules = stack.named_by(resource, "securityGroupId", GROUP), [resource.props]
    else:
        return
    balances = any(stack.naming(group, BALANCER, "securityGroups") for group in groups)
    for rule in rules:
        ports = (rule.get("fromPort"), rule.get("toPort"))
        if _from_anywhere(rule) and not (balances and ports == (443, 443)):
            yield f"port {ports[0]} is open to every address"


def _from_anywhere(rule: Mapping[str, Any]) -> bool:
    return any(str(cidr).endswith("/0") for key in CIDRS for cidr in items(rule.get(key)))


@stack_rule(
    "network-default-group-closed",
    VPC,
    "What was given no security group talks to nobody.",
    fix="Add a DefaultSecurityGroup without rules.",
)
def default_group_closed(vpc: PolicyResource, stack: Stack) -> Iterator[str]:
    groups = stack.naming(vpc, "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup", "vpcId")
    if not groups:
        yield "its default security group lets its members talk"
    for group in groups:
        if items(group.props.get("ingress")) or items(group.props.get("egress")):
            yield "its default security group has rules"


@stack_rule(
    "network-flow-logs",
    VPC,
    "All that goes through a network is logged.",
    fix="Add a FlowLog with traffic_type ALL.",
)
def flow_logs(vpc: PolicyResource, stack: Stack) -> Iterator[str]:
    logs = stack.naming(vpc, "aws:ec2/flowLog:FlowLog", "vpcId")
    if not any(log.props.get("trafficType") == "ALL" for log in logs):
        yield "has no flow log of all traffic"


@resource_rule(
    "network-no-public-addresses",
    "aws:ec2/subnet:Subnet",
    "Nothing gets an address on the internet by itself.",
    fix="Leave map_public_ip_on_launch off.",
)
def no_public_addresses(subnet: ResourceValidationArgs) -> Iterator[str]:
    if subnet.props.get("mapPublicIpOnLaunch") is True:
        yield "gives out public addresses"


@resource_rule(
    "network-endpoint-policy",
    "aws:ec2/vpcEndpoint:VpcEndpoint",
    "What goes through a gateway endpoint goes to what is ours: nobody carries data into a bucket of their own.",
    fix="Set policy on gateway endpoints, and name resources or an account in each statement.",
)
def endpoint_policy(endpoint: ResourceValidationArgs) -> Iterator[str]:
    policy = endpoint.props.get("policy")
    if policy is None and endpoint.props.get("vpcEndpointType", "Gateway") == "Gateway":
        yield "lets anything through"
    for statement in allowed(policy):
        if "*" in statement.resources and not statement.conditions:
            yield f"{statement.sid} lets anything through"


@resource_rule(
    "log-group-kept",
    "aws:cloudwatch/logGroup:LogGroup",
    "Logs are encrypted with our key, and kept as long as somebody decided.",
    fix="Set retention_in_days and kms_key_id.",
)
def log_group_kept(group: ResourceValidationArgs) -> Iterator[str]:
    if not group.props.get("retentionInDays"):
        yield "is kept forever"
    if not group.props.get("kmsKeyId"):
        yield "is encrypted without our key"


@resource_rule(
    "node-metadata",
    ("aws:ec2/launchTemplate:LaunchTemplate", "aws:ec2/instance:Instance"),
    "Pods do not reach their node's credentials.",
    fix="Set metadata_options: http_tokens required, http_put_response_hop_limit 1.",
)
def node_metadata(node: ResourceValidationArgs) -> Iterator[str]:
    options = node.props.get("metadataOptions")
    if at(options, "httpTokens") != "required" or at(options, "httpPutResponseHopLimit") != 1:
        yield "lets pods have its credentials"
