"""What `eks:index:Cluster` of pulumi-eks 4 makes of its arguments in Auto Mode, as a table.

The component is made by a provider that is in no package registry, so no test here can run it. The table says what it
was seen to register, once, by a run of that provider without a cloud (14 children), and what its source says of access
entries. It is unproven on a real provider, and so is whatever transforms do to these children.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.infra import wire
from tests.infra.monitor import GraphError, Request, Resource

COMPONENT = "eks:index:Cluster"
SERVICE_ROLE = "eks:index:ServiceRole"
CLUSTER = "aws:eks/cluster:Cluster"
MANAGED = "arn:aws:iam::aws:policy/"
OF_CLUSTER = (
    "AmazonEKSClusterPolicy", "AmazonEKSComputePolicy", "AmazonEKSBlockStoragePolicy", "AmazonEKSLoadBalancingPolicy",
    "AmazonEKSNetworkingPolicy",
)  # fmt: skip
OF_NODES = ("AmazonEKSWorkerNodeMinimalPolicy", "AmazonEC2ContainerRegistryPullOnly")
OF_INSTANCES = ("AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryReadOnly")
COREDNS_VERSION = "v1.12.4-eksbuild.1"
# The arguments that the table accounts for: with any other, the children would be others.
KNOWN = {
    "accessEntries", "authenticationMode", "autoMode", "clusterTags", "corednsAddonOptions",
    "createInstanceRole", "createOidcProvider", "deletionProtection", "enabledClusterLogTypes",
    "encryptionConfigKeyArn", "endpointPrivateAccess", "endpointPublicAccess", "ipFamily",
    "kubernetesServiceIpAddressRange", "name", "privateSubnetIds", "publicAccessCidrs", "publicSubnetIds",
    "serviceRole", "skipDefaultNodeGroup", "skipDefaultSecurityGroups", "subnetIds", "tags", "upgradePolicy",
    "version", "vpcId",
}  # fmt: skip

Args = Mapping[str, Any]
Made = Mapping[str, Resource]
"""The children that are made already, by their keys in the table."""


@dataclass(frozen=True)
class Child:
    """A row: what is registered, below which other row, after which others.

    Args:
        properties: the arguments of the component that each of its inputs is made of.
    """

    key: str
    type: str
    name: str
    inputs: Callable[[Args, Made], dict[str, Any]]
    below: str = ""
    after: tuple[str, ...] = ()
    ignores: tuple[str, ...] = ()
    properties: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])


def made(
    component: Request, urn: str, register: Callable[[Request], Resource], known: Mapping[str, Resource]
) -> dict[str, Any]:
    """Registers the component's children, and returns its outputs.

    Raises:
        GraphError: if the component refuses the arguments, or the table does not know them.
    """
    args = {**component.inputs}
    if (role := component.references.get("serviceRole")) is not None:
        # The component takes roles whole.
        args["serviceRole"] = known[role].outputs
    for problem in problems(args):
        raise GraphError(f"{COMPONENT} {component.name}: {problem}")
    children: dict[str, Resource] = {}
    for child in table(component.name, args):
        is_component = child.type == SERVICE_ROLE
        after = [children[key].urn for key in child.after]
        children[child.key] = register(
            Request(
                type=child.type,
                name=child.name,
                parent=children[child.below].urn if child.below else urn,
                inputs=child.inputs(args, children),
                custom=not is_component,
                # Children inherit these from the component.
                protect=component.protect,
                retain=component.retain,
                dependencies=tuple(sorted({*component.dependencies, *after})),
                property_dependencies=_dependencies(component, child),
                # A component has none, and another provider needs none.
                provider=component.providers.get("aws", "") if child.type.startswith("aws:") else "",
                ignore_changes=child.ignores,
            )
        )
    return _outputs(children)


def _dependencies(component: Request, child: Child) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, arguments in child.properties.items():
        urns = {urn for each in arguments for urn in component.property_dependencies.get(each, ())}
        urns |= {component.references[each] for each in arguments if each in component.references}
        if urns:
            found[name] = tuple(sorted(urns))
    return found


def problems(args: Args) -> Iterator[str]:
    """Why the component, or the table, would not take the arguments."""
    for name in sorted(args.keys() - KNOWN):
        yield f"the table of its children does not know the argument {name}"
    if not args.get("autoMode", {}).get("enabled"):
        yield "the table knows Auto Mode alone"
    if args.get("authenticationMode") != "API":
        # With CONFIG_MAP the component refuses Auto Mode; with both it makes a ConfigMap too.
        yield "the table knows the authentication mode API alone"
    if args.get("publicAccessCidrs") is not None and not args.get("endpointPublicAccess", True):
        yield "`publicAccessCidrs` can only be set when `endpointPublicAccess` is true"
    if args.get("subnetIds") is not None and (args.get("publicSubnetIds") or args.get("privateSubnetIds")):
        yield "subnetIds, and the use of publicSubnetIds and/or privateSubnetIds are mutually exclusive"
    if args.get("createOidcProvider"):
        yield "the table knows no cluster with an OIDC provider of its own"
    if not args.get("vpcId"):
        yield "without vpcId it takes the default VPC"


def table(name: str, args: Args) -> Iterator[Child]:
    """The rows for a component of this name."""
    if "serviceRole" not in args:
        description = "Allows EKS to manage clusters on your behalf."
        trust = ("eks.amazonaws.com", "sts:AssumeRole", "sts:TagSession")
        yield from _service_role(f"{name}-eksRole", "eksRole", OF_CLUSTER, trust, description)
    own_nodes = args["autoMode"].get("createNodeRole") is not False
    if own_nodes:
        yield from _service_role(f"{name}-nodeRole", "nodeRole", OF_NODES, ("ec2.amazonaws.com", "sts:AssumeRole"))
    roles = (["eksRole"] if "serviceRole" not in args else []) + (["nodeRole"] if own_nodes else [])
    attached = [f"{role}-{policy}" for role in roles for policy in (OF_CLUSTER if role == "eksRole" else OF_NODES)]
    yield Child(
        "cluster",
        CLUSTER,
        f"{name}-eksCluster",
        lambda args, made: _cluster(name, args, made),
        after=tuple([f"{role}-role" for role in roles] + attached),
        ignores=("accessConfig.bootstrapClusterCreatorAdminPermissions", "bootstrapSelfManagedAddons"),
        properties={
            "name": ("name",),
            "roleArn": ("serviceRole",),
            "computeConfig": ("autoMode",),
            "vpcConfig": ("privateSubnetIds", "publicSubnetIds", "subnetIds"),
            "encryptionConfig": ("encryptionConfigKeyArn",),
        },
    )
    yield Child("kubernetes", "pulumi:providers:kubernetes", f"{name}-eks-k8s", _kubernetes, after=("cluster",))
    if args.get("createInstanceRole", not args.get("skipDefaultNodeGroup")):
        yield from _instances(name)
    for entry, spec in sorted(args.get("accessEntries", {}).items()):
        yield from _access(name, entry, spec)
    if args.get("corednsAddonOptions", {}).get("enabled", True):
        yield Child("coredns", "aws:eks/addon:Addon", f"{name}-coredns", _coredns, after=("cluster",))


def _service_role(
    name: str, key: str, policies: tuple[str, ...], trust: tuple[str, ...], description: str | None = None
) -> Iterator[Child]:
    service, *actions = trust
    statement = {"Action": actions, "Effect": "Allow", "Principal": {"Service": [service]}}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]}, separators=(",", ":"))
    yield Child(key, SERVICE_ROLE, name, lambda args, made: {})
    yield Child(
        f"{key}-role",
        "aws:iam/role:Role",
        f"{name}-role",
        lambda args, made: _given(assumeRolePolicy=document, description=description, tags=args.get("tags")),
        below=key,
    )
    for policy in policies:
        digest = hashlib.sha1(f"{MANAGED}{policy}".encode(), usedforsecurity=False).hexdigest()[:8]
        yield Child(
            f"{key}-{policy}",
            "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
            f"{name}-{digest}",
            lambda args, made, policy=policy: {"policyArn": f"{MANAGED}{policy}", "role": made[f"{key}-role"].id},
            below=key,
            after=(f"{key}-role",),
        )


def _instances(name: str) -> Iterator[Child]:
    """What `createInstanceRole=False` is for: with Auto Mode nothing uses these."""
    trust = ("ec2.amazonaws.com", "sts:AssumeRole")
    yield from _service_role(f"{name}-instanceRole", "instanceRole", OF_INSTANCES, trust)
    yield Child(
        "profile",
        "aws:iam/instanceProfile:InstanceProfile",
        f"{name}-instanceProfile",
        lambda args, made: {"role": made["instanceRole-role"].id},
        after=("instanceRole-role",),
    )
    yield Child(
        "profile-entry",
        "aws:eks/accessEntry:AccessEntry",
        f"{name}-defaultNodeGroupInstanceRole",
        lambda args, made: {
            "clusterName": made["cluster"].outputs["name"],
            "principalArn": made["instanceRole-role"].outputs["arn"],
            "type": "EC2_LINUX",
        },
        after=("cluster", "instanceRole-role"),
    )


def _access(name: str, entry: str, spec: Mapping[str, Any]) -> Iterator[Child]:
    yield Child(
        f"entry-{entry}",
        "aws:eks/accessEntry:AccessEntry",
        f"{name}-{entry}",
        lambda args, made: _given(
            clusterName=made["cluster"].outputs["name"],
            principalArn=spec["principalArn"],
            kubernetesGroups=spec.get("kubernetesGroups"),
            type=spec.get("type"),
            userName=spec.get("username"),
            tags=spec.get("tags"),
        ),
        after=("cluster",),
    )
    for association, policy in sorted(spec.get("accessPolicies", {}).items()):
        yield Child(
            f"entry-{entry}-{association}",
            "aws:eks/accessPolicyAssociation:AccessPolicyAssociation",
            f"{name}-{entry}-{association}",
            lambda args, made, policy=policy: {
                "clusterName": made["cluster"].outputs["name"],
                "principalArn": spec["principalArn"],
                "policyArn": policy["policyArn"],
                "accessScope": policy["accessScope"],
            },
            below=f"entry-{entry}",
            after=(f"entry-{entry}",),
        )


def _cluster(name: str, args: Args, made: Made) -> dict[str, Any]:
    key = args.get("encryptionConfigKeyArn")
    nodes = made["nodeRole-role"].outputs["arn"] if "nodeRole-role" in made else None
    family = args.get("ipFamily", "ipv4")
    return _given(
        name=args.get("name"),
        roleArn=(made["eksRole-role"].outputs if "eksRole-role" in made else args["serviceRole"])["arn"],
        computeConfig={
            **_given(enabled=True, nodeRoleArn=nodes, nodePools=["general-purpose", "system"]),
            **args["autoMode"].get("computeConfig", {}),
        },
        storageConfig={"blockStorage": {"enabled": True}},
        kubernetesNetworkConfig=_given(
            serviceIpv4Cidr=args.get("kubernetesServiceIpAddressRange") if family == "ipv4" else None,
            ipFamily=family,
            elasticLoadBalancing={"enabled": True},
        ),
        bootstrapSelfManagedAddons=False,
        vpcConfig=_given(
            # Public ones too, where they are given.
            subnetIds=args.get("subnetIds") or [*args.get("publicSubnetIds", []), *args.get("privateSubnetIds", [])],
            endpointPrivateAccess=args.get("endpointPrivateAccess"),
            endpointPublicAccess=args.get("endpointPublicAccess"),
            publicAccessCidrs=args.get("publicAccessCidrs"),
        ),
        version=args.get("version"),
        enabledClusterLogTypes=args.get("enabledClusterLogTypes"),
        tags={"Name": f"{name}-eksCluster", **args.get("clusterTags", {}), **args.get("tags", {})},
        encryptionConfig={"provider": {"keyArn": key}, "resources": ["secrets"]} if key else None,
        # No argument changes it: who creates the cluster stays its administrator, unless a transform sees to it.
        accessConfig={
            "authenticationMode": args["authenticationMode"],
            "bootstrapClusterCreatorAdminPermissions": True,
        },
        upgradePolicy=args.get("upgradePolicy"),
        deletionProtection=args.get("deletionProtection"),
    )


def _kubernetes(args: Args, made: Made) -> dict[str, Any]:
    return {"kubeconfig": json.dumps(_kubeconfig(made["cluster"]), separators=(",", ":"))}


def _coredns(args: Args, made: Made) -> dict[str, Any]:
    options = args.get("corednsAddonOptions", {})
    return _given(
        clusterName=made["cluster"].outputs["name"],
        addonName="coredns",
        addonVersion=options.get("version", COREDNS_VERSION),
        preserve=True,
        resolveConflictsOnCreate=options.get("resolveConflictsOnCreate", "OVERWRITE"),
        resolveConflictsOnUpdate=options.get("resolveConflictsOnUpdate", "OVERWRITE"),
        tags=args.get("tags"),
    )


def _kubeconfig(cluster: Resource) -> dict[str, Any]:
    outputs = cluster.outputs
    command = {"command": "aws", "args": ["eks", "get-token", "--cluster-name", outputs["name"], "--output", "json"]}
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1beta1", **command}}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "kubernetes",
                "cluster": {
                    "server": outputs["endpoint"],
                    "certificate-authority-data": outputs["certificateAuthority"]["data"],
                },
            }
        ],
        "contexts": [{"name": "aws", "context": {"cluster": "kubernetes", "user": "aws"}}],
        "current-context": "aws",
        "users": [{"name": "aws", "user": user}],
    }


def _outputs(children: Made) -> dict[str, Any]:
    cluster = children["cluster"]
    node_role = children.get("nodeRole-role")
    return {
        # A reference, as the real one gives: a program that takes it for a map fails here too.
        "eksCluster": wire.reference(cluster.urn, cluster.id),
        "kubeconfig": _kubeconfig(cluster),
        "kubeconfigJson": json.dumps(_kubeconfig(cluster)),
        "autoModeNodeRoleName": node_role.outputs["name"] if node_role else "",
        "oidcIssuer": cluster.outputs["identities"][0]["oidcs"][0]["issuer"],
    }


def _given(**inputs: Any) -> dict[str, Any]:
    return {key: value for key, value in inputs.items() if value is not None}
