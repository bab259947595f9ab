"""The cluster: reached by few, owned by nobody in particular, logged, and in support."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pulumi_policy import PolicyResource, ResourceValidationArgs, Severity

from infra.policies.rules import Stack, at, items, names, resource_rule, stack_rule

CLUSTER = "aws:eks/cluster:Cluster"
LOGS = {"api", "audit", "authenticator", "controllerManager", "scheduler"}
# Standard support of 1.34 ends on 2026-12-02.
OLDEST = (1, 35)


@resource_rule(
    "cluster-endpoint",
    CLUSTER,
    "The cluster's API is private, or open to named networks besides.",
    fix="Set endpoint_private_access; leave endpoint_public_access off or name public_access_cidrs.",
    severity=Severity.CRITICAL,
)
def endpoint(cluster: ResourceValidationArgs) -> Iterator[str]:
    config = cluster.props.get("vpcConfig")
    if at(config, "endpointPrivateAccess") is not True:
        yield "nodes reach it over the internet"
    if at(config, "endpointPublicAccess") is False:
        return
    cidrs = items(at(config, "publicAccessCidrs"))
    if not cidrs or any(cidr.endswith("/0") for cidr in cidrs):
        yield "is open to the internet"


@resource_rule(
    "cluster-secrets-key",
    CLUSTER,
    "Kubernetes' secrets are encrypted with our key.",
    fix="Set encryption_config with our key and the resource secrets.",
)
def secrets_key(cluster: ResourceValidationArgs) -> Iterator[str]:
    config = cluster.props.get("encryptionConfig")
    if not at(config, "provider", "keyArn") or "secrets" not in items(at(config, "resources")):
        yield "secrets are encrypted without our key"


@resource_rule(
    "cluster-logs",
    CLUSTER,
    "The control plane writes all five of its logs.",
    fix="Name all five in enabled_cluster_log_types.",
)
def logs(cluster: ResourceValidationArgs) -> Iterator[str]:
    missing = LOGS.difference(items(cluster.props.get("enabledClusterLogTypes")))
    if missing:
        yield f"does not log {', '.join(sorted(missing))}"


@stack_rule(
    "cluster-log-group",
    CLUSTER,
    "The control plane's logs go to a group that we made, or EKS makes one that is kept forever and not encrypted.",
    fix="Make the log group /aws/eks/<name>/cluster before the cluster.",
)
def log_group(cluster: PolicyResource, stack: Stack) -> Iterator[str]:
    wanted = f"/aws/eks/{cluster.props.get('name')}/cluster"
    if wanted not in [group.props.get("name") for group in stack.of("aws:cloudwatch/logGroup:LogGroup")]:
        yield f"has no log group {wanted}"


@resource_rule(
    "cluster-api-authentication",
    CLUSTER,
    "Who may do what in the cluster is said by access entries; whoever made it is nobody in it.",
    fix="Set authentication_mode to API and bootstrap_cluster_creator_admin_permissions to False.",
    severity=Severity.CRITICAL,
)
def api_authentication(cluster: ResourceValidationArgs) -> Iterator[str]:
    access = cluster.props.get("accessConfig")
    if at(access, "authenticationMode") != "API":
        yield f"authenticates by {at(access, 'authenticationMode')}"
    if at(access, "bootstrapClusterCreatorAdminPermissions") is not False:
        yield "whoever made it stays its administrator"


@stack_rule(
    "cluster-administrators",
    CLUSTER,
    "Somebody can get in: at least one access entry is associated with a policy.",
    fix="Add an AccessEntry and an AccessPolicyAssociation.",
)
def administrators(cluster: PolicyResource, stack: Stack) -> Iterator[str]:
    entries = stack.naming(cluster, "aws:eks/accessEntry:AccessEntry", "clusterName")
    policies = stack.naming(cluster, "aws:eks/accessPolicyAssociation:AccessPolicyAssociation", "clusterName")
    entered = {entry.props.get("principalArn") for entry in entries}
    if not any(policy.props.get("principalArn") in entered for policy in policies):
        yield "nobody can get in"


@resource_rule(
    "cluster-auto-mode",
    CLUSTER,
    "Auto Mode's three switches agree, or AWS refuses the cluster.",
    fix="Enable compute_config, kubernetes_network_config.elastic_load_balancing and storage_config.block_storage.",
)
def auto_mode(cluster: ResourceValidationArgs) -> Iterator[str]:
    switches = {
        "nodes": at(cluster.props, "computeConfig", "enabled"),
        "load balancers": at(cluster.props, "kubernetesNetworkConfig", "elasticLoadBalancing", "enabled"),
        "volumes": at(cluster.props, "storageConfig", "blockStorage", "enabled"),
    }
    off = [name for name, enabled in switches.items() if enabled is not True]
    if off:
        yield f"Auto Mode is off for {', '.join(off)}"


@resource_rule(
    "cluster-supported",
    CLUSTER,
    f"The cluster's version is in standard support ({OLDEST[0]}.{OLDEST[1]} or later) and is upgraded when that ends.",
    fix="Raise version, and set upgrade_policy's support_type to STANDARD.",
)
def supported(cluster: ResourceValidationArgs) -> Iterator[str]:
    version = str(cluster.props.get("version"))
    if not re.fullmatch(r"\d+\.\d+", version) or tuple(int(part) for part in version.split(".")) < OLDEST:
        yield f"version is {version}"
    if at(cluster.props, "upgradePolicy", "supportType") != "STANDARD":
        yield "pays for extended support"


@resource_rule(
    "cluster-deletion-protected",
    CLUSTER,
    "The cluster is not deleted by one call.",
    fix="Set deletion_protection.",
)
def deletion_protected(cluster: ResourceValidationArgs) -> Iterator[str]:
    if cluster.props.get("deletionProtection") is not True:
        yield "can be deleted"


@stack_rule(
    "cluster-private-subnets",
    CLUSTER,
    "Nodes get no way in from the internet: Auto Mode starts them in the cluster's subnets.",
    fix="Leave subnets whose route table leads to an internet gateway out of vpc_config.",
)
def private_subnets(cluster: PolicyResource, stack: Stack) -> Iterator[str]:
    gateways = stack.of("aws:ec2/internetGateway:InternetGateway")
    open_tables = [
        table
        for route in stack.of("aws:ec2/route:Route")
        if any(names(route, "gatewayId", gateway) for gateway in gateways)
        for table in stack.named_by(route, "routeTableId", "aws:ec2/routeTable:RouteTable")
    ]
    used = set(items(at(cluster.props, "vpcConfig", "subnetIds")))
    for association in stack.of("aws:ec2/routeTableAssociation:RouteTableAssociation"):
        if any(names(association, "routeTableId", table) for table in open_tables) and (
            association.props.get("subnetId") in used
        ):
            yield f"puts nodes into {association.props['subnetId']}"
