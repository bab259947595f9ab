"""The table of eks:index:Cluster's children, and the transform that the platform gives to it.

Both are unproven on a real provider: here the callback is run on the arguments that the table says it would get.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_eks as eks
import pytest

from infra import cluster as platform_cluster
from tests.infra import eks_children
from tests.infra.answers import UnknownType
from tests.infra.conftest import Graphs
from tests.infra.eks_children import CLUSTER, COMPONENT
from tests.infra.graph import Graph, GraphError, record, run_program
from tests.infra.stacks import STACKS

KEY = "arn:aws:kms:eu-central-1:111122223333:key/8f2b7e58-6c6d-4c37-a1c5-1d0f3b1f9c22"
ARGUMENTS: dict[str, Any] = {
    "name": "podium-test-cluster",
    "vpc_id": "vpc-1",
    "private_subnet_ids": ["subnet-1", "subnet-2"],
    "authentication_mode": eks.AuthenticationMode.API,
    "auto_mode": {"enabled": True},
    "create_instance_role": False,
    "encryption_config_key_arn": KEY,
}


def made(opts: pulumi.ResourceOptions | None = None, **arguments: Any) -> Graph:
    def program() -> None:
        provider = aws.Provider("aws", region="eu-central-1")
        parent = pulumi.ComponentResource(
            "podium:infra:Cluster", "outer", None, pulumi.ResourceOptions(provider=provider)
        )
        chosen = pulumi.ResourceOptions.merge(pulumi.ResourceOptions(parent=parent), opts)
        cluster = eks.Cluster("it", **{**ARGUMENTS, **arguments}, opts=chosen)
        pulumi.export("name", cluster.eks_cluster.name)
        pulumi.export("endpoint", cluster.eks_cluster.endpoint)

    return run_program(program, stack="test")


def kinds(graph: Graph) -> list[str]:
    component = graph.of(COMPONENT)[0]
    return sorted(each.type for each in graph.resources if component in graph.above(each))


def test_the_children_are_those_that_the_provider_was_seen_to_make() -> None:
    assert kinds(made()) == sorted(
        [
            "aws:eks/addon:Addon",
            CLUSTER,
            *["aws:iam/role:Role"] * 2,
            *["aws:iam/rolePolicyAttachment:RolePolicyAttachment"] * 7,
            *["eks:index:ServiceRole"] * 2,
            "pulumi:providers:kubernetes",
        ]
    )


def test_children_lie_below_the_component_with_its_provider_protection_and_arguments() -> None:
    graph = made(pulumi.ResourceOptions(protect=True))
    cluster = graph.one(CLUSTER, "it-eksCluster")
    assert [each.name for each in graph.above(cluster)] == ["it", "outer"]
    assert f"podium:infra:Cluster${COMPONENT}${CLUSTER}::" in cluster.urn
    assert cluster.provider == graph.one("pulumi:providers:aws", "aws").urn
    assert cluster.protect
    assert cluster.inputs["vpcConfig"]["subnetIds"] == ["subnet-1", "subnet-2"]
    assert cluster.inputs["encryptionConfig"] == {"provider": {"keyArn": KEY}, "resources": ["secrets"]}
    # The control plane is made when its role may do all that it needs.
    attached = graph.of("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
    assert {each.urn for each in attached} <= set(cluster.dependencies)


def test_the_cluster_is_answered_as_a_reference() -> None:
    graph = made()
    assert graph.outputs["name"] == "podium-test-cluster"
    assert graph.outputs["endpoint"].startswith("https://")

    def as_a_map() -> None:
        cluster: Any = eks.Cluster("it", **ARGUMENTS).eks_cluster
        pulumi.export("name", cluster["name"])

    with pytest.raises(TypeError, match="not subscriptable"):
        run_program(as_a_map, stack="test")


def test_a_role_that_is_given_is_taken_by_its_arn() -> None:
    def program() -> None:
        role = aws.iam.Role("own", name="podium-test-own", assume_role_policy="{}")
        ready = role.arn.apply(lambda _: role)
        arguments: dict[str, Any] = {**ARGUMENTS, "service_role": ready}
        eks.Cluster("it", **arguments)

    graph = run_program(program, stack="test")
    role = graph.one("aws:iam/role:Role", "own")
    cluster = graph.one(CLUSTER, "it-eksCluster")
    assert cluster.inputs["roleArn"] == "arn:aws:iam::111122223333:role/podium-test-own"
    assert cluster.property_dependencies["roleArn"] == (role.urn,)
    assert kinds(graph).count("eks:index:ServiceRole") == 1


def test_needless_instance_roles_show() -> None:
    graph = made(create_instance_role=None)
    assert "it-instanceRole-role" in {each.name for each in graph.of("aws:iam/role:Role")}


def test_access_entries_are_children_too() -> None:
    policy = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
    who = "arn:aws:iam::111122223333:role/admin"
    graph = made(
        access_entries={
            "admin": {
                "principal_arn": who,
                "access_policies": {"admin": {"policy_arn": policy, "access_scope": {"type": "cluster"}}},
            }
        }
    )
    (entry,) = graph.of("aws:eks/accessEntry:AccessEntry")
    (association,) = graph.of("aws:eks/accessPolicyAssociation:AccessPolicyAssociation")
    assert entry.inputs == {"clusterName": "podium-test-cluster", "principalArn": who}
    assert association.parent == entry.urn
    assert association.inputs["policyArn"] == policy


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"endpoint_public_access": False, "public_access_cidrs": ["203.0.113.0/24"]}, "can only be set when"),
        ({"subnet_ids": ["subnet-3"]}, "mutually exclusive"),
        ({"auto_mode": {"enabled": False}}, "Auto Mode"),
        ({"authentication_mode": eks.AuthenticationMode.API_AND_CONFIG_MAP}, "API alone"),
        ({"vpc_id": None}, "default VPC"),
        ({"create_oidc_provider": True}, "OIDC"),
        ({"proxy": "http://127.0.0.1:1"}, "does not know the argument proxy"),
    ],
)
def test_what_the_component_refuses_or_the_table_does_not_know_fails(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(GraphError, match=says):
        made(**arguments)


def _renamed(args: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult | None:
    if args.type_ != CLUSTER:
        return None
    return pulumi.ResourceTransformResult({**args.props, "name": "from-the-transform"}, args.opts)


def _unprotected(args: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult:
    return pulumi.ResourceTransformResult(args.props, pulumi.ResourceOptions())


def test_transforms_reach_the_children() -> None:
    graph = made(pulumi.ResourceOptions(transforms=[_renamed]))
    assert graph.of(CLUSTER)[0].inputs["name"] == "from-the-transform"
    assert graph.outputs["name"] == "from-the-transform"
    assert not made(pulumi.ResourceOptions(protect=True, transforms=[_unprotected])).of(CLUSTER)[0].protect


@pytest.mark.parametrize("stack", STACKS)
def test_who_creates_the_cluster_does_not_stay_its_administrator(graphs: Graphs, stack: str) -> None:
    (cluster,) = graphs(stack).of(CLUSTER)
    assert cluster.inputs["accessConfig"] == {
        "authenticationMode": "API",
        "bootstrapClusterCreatorAdminPermissions": False,
    }


@pytest.mark.parametrize("fault", ["no callback", "a callback for another type"])
def test_without_the_callback_the_creator_would_stay(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the test above sees it if the callback goes, or if the component's child and the callback part company."""
    if fault == "no callback":
        monkeypatch.setattr(platform_cluster, "without_creator", lambda args: None)
    else:
        monkeypatch.setattr(platform_cluster, "CLUSTER_TYPE", "aws:eks/otherCluster:OtherCluster")
    (cluster,) = record("staging").of(CLUSTER)
    assert cluster.inputs["accessConfig"]["bootstrapClusterCreatorAdminPermissions"] is True


def test_a_child_of_another_type_is_no_cluster_to_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    another = "aws:eks/otherCluster:OtherCluster"
    rows = eks_children.table

    def renamed(name: str, args: eks_children.Args) -> Iterator[eks_children.Child]:
        for row in rows(name, args):
            yield dataclasses.replace(row, type=another) if row.type == CLUSTER else row

    monkeypatch.setattr(eks_children, "table", renamed)
    with pytest.raises(UnknownType, match=another):
        record("staging")
