"""The EKS cluster, in Auto Mode: AWS runs nodes, pod networking, storage and load balancers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_eks as eks

from infra.component import Component
from infra.iam import Statement, allow, role, service_trust
from infra.network import Network
from infra.settings import ClusterSettings
from infra.site import Site

CLUSTER_POLICIES = (
    "AmazonEKSClusterPolicy",
    "AmazonEKSComputePolicy",
    "AmazonEKSBlockStoragePolicy",
    "AmazonEKSLoadBalancingPolicy",
    "AmazonEKSNetworkingPolicy",
)
NODE_POLICIES = ("AmazonEKSWorkerNodeMinimalPolicy", "AmazonEC2ContainerRegistryPullOnly")
MANAGED = "arn:aws:iam::aws:policy"
ADMIN = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
LOG_TYPES = ("api", "audit", "authenticator", "controllerManager", "scheduler")
CLUSTER_TYPE = "aws:eks/cluster:Cluster"


@dataclass(frozen=True)
class ClusterArgs:
    """
    Args:
        cluster_key: encrypts the secrets in the cluster.
        apply_role_arn: who applies the stack, and with it the second project, which is inside the cluster.
    """

    site: Site
    settings: ClusterSettings
    network: Network
    cluster_key: aws.kms.Key
    logs_key: aws.kms.Key
    apply_role_arn: pulumi.Input[str]


class Cluster(Component):
    """
    Outputs:
        name, arn, endpoint: of the cluster.
        certificate_authority: of its API, base64.
        security_group_id: the one that EKS gives to the API and to all nodes.
    """

    def __init__(self, name: str, args: ClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args.site, opts)
        self.args = args
        called = self.site.name("cluster")
        # EKS would make it itself, neither encrypted nor bounded. Its name is EKS's choice.
        logs = aws.cloudwatch.LogGroup(
            "control-plane",
            name=f"/aws/eks/{called}/cluster",
            retention_in_days=args.settings.log_days,
            kms_key_id=args.logs_key.arn,
            opts=self.below(),
        )
        itself = self._role(
            "cluster",
            CLUSTER_POLICIES,
            service_trust(
                self.site,
                "eks",
                self.site.arn("eks", f"cluster/{called}"),
                ("sts:AssumeRole", "sts:TagSession"),
            ),
        )
        # EC2 names no account as the source when it takes a node's role.
        nodes = self._role(
            "node", NODE_POLICIES, allow("Assume", ["sts:AssumeRole"], principals={"Service": "ec2.amazonaws.com"})
        )
        cluster = self._cluster(logs, itself, nodes).eks_cluster
        self.name: pulumi.Output[str] = cluster.apply(lambda each: each.name)
        self.arn: pulumi.Output[str] = cluster.apply(lambda each: each.arn)
        self.endpoint: pulumi.Output[str] = cluster.apply(lambda each: each.endpoint)
        authority = cluster.apply(lambda each: each.certificate_authority)
        self.certificate_authority: pulumi.Output[str] = authority.apply(lambda each: each.data or "")
        place = cluster.apply(lambda each: each.vpc_config)
        self.security_group_id: pulumi.Output[str] = place.apply(lambda each: each.cluster_security_group_id or "")
        self._access(self.name)
        self.register_outputs({"name": self.name, "arn": self.arn, "endpoint": self.endpoint})

    def _role(self, what: str, policies: Sequence[str], trust: Statement) -> pulumi.Output[aws.iam.Role]:
        """A role with what AWS manages for it, and which is there only when it has all of that: the cluster would be
        made without, and could not be unmade after."""
        made = role(self.site, what, [trust], [], self.below())
        attached = [
            aws.iam.RolePolicyAttachment(
                f"{what}-{policy}", role=made.name, policy_arn=f"{MANAGED}/{policy}", opts=self.below()
            ).id
            for policy in policies
        ]
        return pulumi.Output.all(*attached).apply(lambda _: made)

    def _cluster(
        self, logs: aws.cloudwatch.LogGroup, itself: pulumi.Output[aws.iam.Role], nodes: pulumi.Output[aws.iam.Role]
    ) -> eks.Cluster:
        settings, network = self.args.settings, self.args.network
        public = settings.endpoint == "public"
        return eks.Cluster(
            "cluster",
            # Out of the group's, so that the group is made before the cluster and outlives it.
            name=logs.name.apply(lambda path: path.split("/")[3]),
            version=settings.version,
            vpc_id=network.vpc_id,
            # The control plane's interfaces; a public endpoint needs no public subnet.
            private_subnet_ids=network.private_subnet_ids,
            endpoint_private_access=True,
            endpoint_public_access=public,
            # The component refuses networks beside a private endpoint.
            public_access_cidrs=list(settings.cidrs) if public else None,
            authentication_mode=eks.AuthenticationMode.API,
            auto_mode=eks.AutoModeOptionsArgs(
                enabled=True,
                create_node_role=False,
                compute_config=eks.ClusterComputeConfigArgs(
                    node_pools=["general-purpose", "system"],
                    node_role_arn=nodes.apply(lambda each: each.arn),
                ),
            ),
            service_role=itself,
            # Auto Mode needs neither a role of EC2 instances, nor a provider of identities beside Pod Identity, nor
            # CoreDNS as an add-on: it runs on every node.
            create_instance_role=False,
            create_oidc_provider=False,
            skip_default_node_group=True,
            coredns_addon_options=eks.CoreDnsAddonOptionsArgs(enabled=False),
            enabled_cluster_log_types=list(LOG_TYPES),
            encryption_config_key_arn=self.args.cluster_key.arn,
            deletion_protection=True,
            # When a version's standard support ends, EKS upgrades it instead of charging for the extended one.
            upgrade_policy=aws.eks.ClusterUpgradePolicyArgs(support_type="STANDARD"),
            opts=pulumi.ResourceOptions.merge(self.kept(), pulumi.ResourceOptions(transforms=[without_creator])),
        )

    def _access(self, cluster: pulumi.Output[str]) -> None:
        """Who administers the cluster: people by the roles that the settings name, and whoever applies the stack."""
        admins: dict[str, pulumi.Input[str]] = {
            each.partition(":role/")[2].replace("/", "-"): each for each in self.args.settings.admins
        }
        for who, arn in {**admins, "apply": self.args.apply_role_arn}.items():
            entry = aws.eks.AccessEntry(
                f"access-{who}", cluster_name=cluster, principal_arn=arn, type="STANDARD", opts=self.below()
            )
            aws.eks.AccessPolicyAssociation(
                f"access-{who}",
                cluster_name=cluster,
                principal_arn=entry.principal_arn,
                policy_arn=ADMIN,
                access_scope=aws.eks.AccessPolicyAssociationAccessScopeArgs(type="cluster"),
                opts=self.below(),
            )


def without_creator(args: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult | None:
    """Mends what eks.Cluster gives to its cluster and takes no argument for.

    It would make whoever first runs `up` an administrator of the cluster for good, in no list of access entries. EKS
    reads that once, at the creation, and the component ignores later changes: it has to be right at the first `up`.
    A zone that fails can be shifted away from only where the cluster was told so; that costs nothing.
    """
    if args.type_ != CLUSTER_TYPE:
        return None
    mended = {
        **args.props,
        "accessConfig": {"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": False},
        "zonalShiftConfig": {"enabled": True},
    }
    return pulumi.ResourceTransformResult(mended, args.opts)
