from __future__ import annotations

import asyncio
import contextvars
import json
from functools import cache
from typing import Any

import pulumi
import pytest
from google.protobuf import json_format, struct_pb2
from pulumi.runtime import mocks as runtime
from pulumi.runtime._callbacks import _CallbackServicer
from pulumi.runtime.proto import resource_pb2

from infra.cluster import ADMIN, CLUSTER_POLICIES, CLUSTER_TYPE, LOG_TYPES, NODE_POLICIES, without_creator
from tests.infra.graph import Graph, Resource
from tests.infra.inside_vpc import APPLY, made
from tests.infra.stacks import ACCOUNTS, STACKS
from tests.infra.wire import UNKNOWN

LOG_GROUP = "aws:cloudwatch/logGroup:LogGroup"
ATTACHMENT = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
ENTRY = "aws:eks/accessEntry:AccessEntry"
ASSOCIATION = "aws:eks/accessPolicyAssociation:AccessPolicyAssociation"
recorded = cache(made)


def cluster(graph: Graph) -> Resource:
    (found,) = graph.of(CLUSTER_TYPE)
    return found


@pytest.mark.parametrize("stack", STACKS)
def test_nobody_becomes_an_administrator_by_creating_it(stack: str) -> None:
    access = cluster(recorded(stack)).inputs["accessConfig"]
    assert access == {"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": False}


@pytest.mark.parametrize("stack", STACKS)
def test_administrators_are_those_of_the_settings_and_who_applies(stack: str) -> None:
    graph = recorded(stack)
    people = f"arn:aws:iam::{ACCOUNTS[stack]}:role/platform-admin"
    assert {each.inputs["principalArn"] for each in graph.of(ENTRY)} == {people, APPLY}
    assert {each.inputs["principalArn"] for each in graph.of(ASSOCIATION)} == {people, APPLY}
    for each in graph.of(ASSOCIATION):
        assert each.inputs["policyArn"] == ADMIN
        assert each.inputs["accessScope"] == {"type": "cluster"}
        assert each.inputs["clusterName"] == f"podium-{stack}-cluster"


def test_an_entry_keeps_its_name_when_another_goes() -> None:
    roles = [f"arn:aws:iam::111122223333:role/{name}" for name in ("a", "aws-reserved/sso/b", "c")]
    both = {each.name for each in made("staging", cluster={"admins": roles}).of(ENTRY)}
    assert both == {"access-a", "access-aws-reserved-sso-b", "access-c", "access-apply"}
    assert {each.name for each in made("staging", cluster={"admins": roles[1:]}).of(ENTRY)} == both - {"access-a"}


@pytest.mark.parametrize("stack", STACKS)
def test_auto_mode_is_whole(stack: str) -> None:
    """All three of its switches, or AWS refuses the cluster."""
    graph = recorded(stack)
    inputs = cluster(graph).inputs
    assert inputs["computeConfig"] == {
        "enabled": True,
        "nodePools": ["general-purpose", "system"],
        "nodeRoleArn": f"arn:aws:iam::{ACCOUNTS[stack]}:role/podium-{stack}-node",
    }
    assert inputs["kubernetesNetworkConfig"]["elasticLoadBalancing"] == {"enabled": True}
    assert inputs["storageConfig"] == {"blockStorage": {"enabled": True}}
    assert inputs["bootstrapSelfManagedAddons"] is False


@pytest.mark.parametrize("stack", STACKS)
def test_nothing_needless_is_made_with_it(stack: str) -> None:
    graph = recorded(stack)
    component = graph.of("eks:index:Cluster")[0]
    below = sorted(each.type for each in graph.resources if component in graph.above(each))
    assert below == [CLUSTER_TYPE, "pulumi:providers:kubernetes"]


@pytest.mark.parametrize("stack", STACKS)
def test_the_control_plane_is_encrypted_logged_kept_and_up_to_date(stack: str) -> None:
    graph = recorded(stack)
    it = cluster(graph)
    key = graph.one("aws:kms/key:Key", "cluster-key").outputs["arn"]
    assert it.inputs["encryptionConfig"] == {"provider": {"keyArn": key}, "resources": ["secrets"]}
    assert it.inputs["enabledClusterLogTypes"] == list(LOG_TYPES)
    assert it.inputs["version"] == "1.35"
    assert it.inputs["upgradePolicy"] == {"supportType": "STANDARD"}
    assert it.inputs["deletionProtection"] is True
    assert it.inputs["zonalShiftConfig"] == {"enabled": True}
    assert it.protect
    assert it.retain is (stack == "production")


@pytest.mark.parametrize("stack", STACKS)
def test_its_log_group_is_there_before_it_and_still_when_it_goes(stack: str) -> None:
    graph = recorded(stack)
    it, group = cluster(graph), graph.one(LOG_GROUP, "control-plane")
    assert group.inputs["name"] == f"/aws/eks/{it.inputs['name']}/cluster"
    assert group.inputs["retentionInDays"] == 90
    assert group.inputs["kmsKeyId"] == graph.one("aws:kms/key:Key", "logs-key").outputs["arn"]
    # Of the child itself: what depends on its component alone is made and unmade in no order.
    assert group.urn in it.property_dependencies["name"]


@pytest.mark.parametrize("stack", STACKS)
def test_its_roles_are_complete_before_it_and_still_when_it_goes(stack: str) -> None:
    graph = recorded(stack)
    it = cluster(graph)
    for role, policies, input_ in (("cluster", CLUSTER_POLICIES, "roleArn"), ("node", NODE_POLICIES, "computeConfig")):
        attached = [each for each in graph.of(ATTACHMENT) if each.inputs["role"] == f"podium-{stack}-{role}"]
        assert {each.inputs["policyArn"] for each in attached} == {
            f"arn:aws:iam::aws:policy/{each}" for each in policies
        }
        assert {each.urn for each in attached} <= set(it.property_dependencies[input_])
        made_role = graph.one("aws:iam/role:Role", role).inputs
        assert made_role["permissionsBoundary"].endswith(f":policy/podium-{stack}-workload-boundary")


def test_its_role_is_for_this_cluster_alone() -> None:
    (trust,) = json.loads(recorded("staging").one("aws:iam/role:Role", "cluster").inputs["assumeRolePolicy"])[
        "Statement"
    ]
    assert trust["Principal"] == {"Service": "eks.amazonaws.com"}
    assert trust["Action"] == ["sts:AssumeRole", "sts:TagSession"]
    assert trust["Condition"] == {
        "StringEquals": {"aws:SourceAccount": ACCOUNTS["staging"]},
        "ArnLike": {"aws:SourceArn": f"arn:aws:eks:eu-central-1:{ACCOUNTS['staging']}:cluster/podium-staging-cluster"},
    }


@pytest.mark.parametrize("stack", STACKS)
def test_it_is_in_private_subnets(stack: str) -> None:
    graph = recorded(stack)
    private = [each.id for each in graph.of("aws:ec2/subnet:Subnet") if each.name.startswith("private")]
    assert cluster(graph).inputs["vpcConfig"]["subnetIds"] == private


def test_staging_answers_the_networks_of_its_owner_and_production_the_vpc() -> None:
    staging = cluster(recorded("staging")).inputs["vpcConfig"]
    assert (staging["endpointPublicAccess"], staging["publicAccessCidrs"]) == (True, ["203.0.113.0/24"])
    production = cluster(recorded("production")).inputs["vpcConfig"]
    assert production["endpointPublicAccess"] is False
    assert "publicAccessCidrs" not in production
    assert staging["endpointPrivateAccess"] is production["endpointPrivateAccess"] is True


def test_what_others_need_of_it_is_given() -> None:
    given = recorded("staging").outputs
    assert given["name"] == "podium-staging-cluster"
    assert given["arn"].endswith(":cluster/podium-staging-cluster")
    assert given["endpoint"].startswith("https://")
    assert given["certificate_authority"]
    assert given["security_group_id"].startswith("sg-")


def transformed(type_: str, **props: Any) -> pulumi.ResourceTransformResult | None:
    opts = pulumi.ResourceOptions(ignore_changes=["accessConfig.bootstrapClusterCreatorAdminPermissions"])
    return without_creator(pulumi.ResourceTransformArgs(True, type_, "cluster-eksCluster", props, opts))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"accessConfig": {"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": True}},
        {"accessConfig": {"authenticationMode": "API_AND_CONFIG_MAP"}, "zonalShiftConfig": {"enabled": False}},
    ],
)
def test_the_transform_mends_whatever_the_component_gives(given: dict[str, Any]) -> None:
    result = transformed(CLUSTER_TYPE, name="it", vpcConfig={"subnetIds": ["subnet-1"]}, **given)
    assert result is not None
    assert result.props == {
        "name": "it",
        "vpcConfig": {"subnetIds": ["subnet-1"]},
        "accessConfig": {"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": False},
        "zonalShiftConfig": {"enabled": True},
    }
    assert result.opts.ignore_changes == ["accessConfig.bootstrapClusterCreatorAdminPermissions"]


@pytest.mark.parametrize("type_", ["aws:eks/addon:Addon", "aws:iam/role:Role", "pulumi:providers:kubernetes"])
def test_the_transform_leaves_the_other_children_alone(type_: str) -> None:
    assert transformed(type_, accessConfig={}) is None


def called_back(inputs: dict[str, Any]) -> dict[str, Any]:
    """What the engine gets for a child when it calls the transform back in a preview, by Pulumi's own machinery."""

    async def call() -> dict[str, Any]:
        runtime.set_mocks(Nothing(), preview=True)
        monitor: Any = None
        servicer = _CallbackServicer(monitor)
        token = servicer.register_transform(without_creator).token
        child = struct_pb2.Struct()
        child.update(inputs)
        options = resource_pb2.TransformResourceOptions(protect=True, ignore_changes=["bootstrapSelfManagedAddons"])
        request = resource_pb2.TransformRequest(
            custom=True, type=CLUSTER_TYPE, name="cluster-eksCluster", properties=child, options=options
        )
        answer = await servicer._callbacks[token](request.SerializeToString())
        await _CallbackServicer.shutdown()
        return json_format.MessageToDict(answer)

    return contextvars.Context().run(lambda: asyncio.run(call()))


class Nothing(runtime.Mocks):
    def new_resource(self, args: runtime.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        raise AssertionError(args.typ)

    def call(self, args: runtime.MockCallArgs) -> tuple[dict[Any, Any], None]:
        raise AssertionError(args.token)


def test_what_a_preview_does_not_know_yet_is_not_lost_in_the_transform() -> None:
    """Before the first `up` the roles have no ARN and the subnets no id."""
    answer = called_back({"name": "it", "roleArn": UNKNOWN, "vpcConfig": {"subnetIds": [UNKNOWN, "subnet-2"]}})
    assert answer["properties"] == {
        "name": "it",
        "roleArn": UNKNOWN,
        "vpcConfig": {"subnetIds": [UNKNOWN, "subnet-2"]},
        "accessConfig": {"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": False},
        "zonalShiftConfig": {"enabled": True},
    }
    assert answer["options"]["protect"] is True
    assert answer["options"]["ignoreChanges"] == ["bootstrapSelfManagedAddons"]
