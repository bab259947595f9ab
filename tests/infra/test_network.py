from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

from tests.infra.graph import Graph, Resource
from tests.infra.inside_vpc import made
from tests.infra.stacks import ACCOUNTS, STACKS

ENDPOINT = "aws:ec2/vpcEndpoint:VpcEndpoint"
NAT = "aws:ec2/natGateway:NatGateway"
ROUTE = "aws:ec2/route:Route"
SUBNET = "aws:ec2/subnet:Subnet"
LOG_GROUP = "aws:cloudwatch/logGroup:LogGroup"
recorded = cache(made)


def subnets(graph: Graph, kind: str) -> list[Resource]:
    return [each for each in graph.of(SUBNET) if each.name.startswith(kind)]


def statements(policy: str) -> dict[str, Any]:
    return {each["Sid"]: each for each in json.loads(policy)["Statement"]}


@pytest.mark.parametrize("stack", STACKS)
def test_three_zones_have_a_subnet_for_nodes_and_one_for_balancers(stack: str) -> None:
    graph = recorded(stack)
    for kind, tag in (("private", "kubernetes.io/role/internal-elb"), ("public", "kubernetes.io/role/elb")):
        found = subnets(graph, kind)
        assert [each.inputs["availabilityZone"][-1] for each in found] == ["a", "b", "c"]
        assert all(each.inputs["tags"][tag] == "1" for each in found)
        assert all(each.inputs["mapPublicIpOnLaunch"] is False for each in found)
        assert all(each.inputs["tags"]["Name"] == f"podium-{stack}-{each.name}" for each in found)
    assert len({each.inputs["cidrBlock"] for each in graph.of(SUBNET)}) == 6


def test_the_zones_are_those_that_the_settings_name() -> None:
    zones = {each.inputs["availabilityZone"] for each in made("staging", network={"zones": ["a", "c", "d"]}).of(SUBNET)}
    assert zones == {"eu-central-1a", "eu-central-1c", "eu-central-1d"}


def test_private_subnets_reach_out_by_a_nat_gateway_of_their_zone_only() -> None:
    graph = recorded("production")
    tables = {each.inputs["subnetId"]: each.inputs["routeTableId"] for each in associations(graph)}
    routes = {each.inputs["routeTableId"]: each.inputs for each in graph.of(ROUTE)}
    zone = {each.id: each.inputs["availabilityZone"] for each in graph.of(SUBNET)}
    gateways = {each.id: zone[each.inputs["subnetId"]] for each in graph.of(NAT)}
    assert len(gateways) == 3
    for subnet in subnets(graph, "private"):
        route = routes[tables[subnet.id]]
        assert "gatewayId" not in route
        assert gateways[route["natGatewayId"]] == subnet.inputs["availabilityZone"]
    for subnet in subnets(graph, "public"):
        assert routes[tables[subnet.id]]["gatewayId"].startswith("igw-")


def associations(graph: Graph) -> list[Resource]:
    return graph.of("aws:ec2/routeTableAssociation:RouteTableAssociation")


def test_one_nat_gateway_serves_all_zones_where_the_settings_say_so() -> None:
    graph = recorded("staging")
    (gateway,) = graph.of(NAT)
    assert [each.inputs["natGatewayId"] for each in graph.of(ROUTE) if "natGatewayId" in each.inputs] == [
        gateway.id
    ] * 3
    assert len(graph.of("aws:ec2/eip:Eip")) == 1
    # Its way out has to be there before it, and after it when both go.
    assert graph.one("aws:ec2/internetGateway:InternetGateway", "internet").urn in gateway.dependencies


@pytest.mark.parametrize("stack", STACKS)
def test_the_default_security_group_is_closed(stack: str) -> None:
    (group,) = recorded(stack).of("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup")
    assert group.inputs["ingress"] == group.inputs["egress"] == []


@pytest.mark.parametrize("stack", STACKS)
def test_gateway_endpoints_serve_every_private_subnet_and_pass_only_what_is_ours(stack: str) -> None:
    graph = recorded(stack)
    tables = {each.id for each in graph.of("aws:ec2/routeTable:RouteTable") if each.name.startswith("private")}
    for service in ("s3", "dynamodb"):
        endpoint = graph.one(ENDPOINT, service).inputs
        assert endpoint["vpcEndpointType"] == "Gateway"
        assert endpoint["serviceName"] == f"com.amazonaws.eu-central-1.{service}"
        assert set(endpoint["routeTableIds"]) == tables
    bucket = statements(graph.one(ENDPOINT, "s3").inputs["policy"])
    assert bucket["OwnBuckets"]["Condition"] == {"StringEquals": {"aws:ResourceAccount": ACCOUNTS[stack]}}
    table = statements(graph.one(ENDPOINT, "dynamodb").inputs["policy"])
    assert set(table) == {"OwnTables"}
    assert all(f":{ACCOUNTS[stack]}:table/podium-{stack}-" in each for each in table["OwnTables"]["Resource"])


def test_no_interface_endpoint_without_a_setting() -> None:
    graph = recorded("staging")
    assert [each.name for each in graph.of(ENDPOINT)] == ["dynamodb", "s3"]
    assert [each for each in graph.of("aws:ec2/securityGroup:SecurityGroup") if each.name == "endpoints"] == []


def test_interface_endpoints_answer_the_vpc_alone_by_their_usual_names() -> None:
    graph = recorded("production")
    group = graph.one("aws:ec2/securityGroup:SecurityGroup", "endpoints")
    rule = graph.one("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", "endpoints").inputs
    assert (rule["cidrIpv4"], rule["fromPort"], rule["toPort"], rule["ipProtocol"]) == ("10.40.0.0/16", 443, 443, "tcp")
    assert rule["securityGroupId"] == group.id
    private = [each.id for each in subnets(graph, "private")]
    found = [each for each in graph.of(ENDPOINT) if each.inputs["vpcEndpointType"] == "Interface"]
    assert {each.name for each in found} == {"ecr.api", "ecr.dkr", "sts", "logs", "sqs", "eks-auth"}
    for each in found:
        assert each.inputs["privateDnsEnabled"] is True
        assert each.inputs["subnetIds"] == private
        assert each.inputs["securityGroupIds"] == [group.id]
        own = statements(each.inputs["policy"])["OwnPrincipals"]
        assert own["Condition"] == {"StringEquals": {"aws:PrincipalAccount": ACCOUNTS["production"]}}


@pytest.mark.parametrize("stack", STACKS)
def test_all_traffic_is_logged_where_it_is_encrypted_and_bounded(stack: str) -> None:
    graph = recorded(stack)
    group = graph.one(LOG_GROUP, "flow-logs")
    assert group.inputs["retentionInDays"] == 90
    assert group.inputs["kmsKeyId"] == graph.one("aws:kms/key:Key", "logs-key").outputs["arn"]
    (log,) = graph.of("aws:ec2/flowLog:FlowLog")
    role = graph.one("aws:iam/role:Role", "flow-logs")
    assert log.inputs["trafficType"] == "ALL"
    assert log.inputs["vpcId"] == graph.one("aws:ec2/vpc:Vpc", "vpc").id
    assert (log.inputs["logDestination"], log.inputs["iamRoleArn"]) == (group.outputs["arn"], role.outputs["arn"])


def test_the_flow_logs_role_writes_to_its_group_and_makes_none() -> None:
    graph = recorded("staging")
    role = graph.one("aws:iam/role:Role", "flow-logs")
    trust = statements(role.inputs["assumeRolePolicy"])["Assume"]
    assert trust["Principal"] == {"Service": "vpc-flow-logs.amazonaws.com"}
    assert trust["Condition"]["StringEquals"] == {"aws:SourceAccount": ACCOUNTS["staging"]}
    assert role.inputs["permissionsBoundary"].endswith(":policy/podium-staging-workload-boundary")
    may = statements(graph.one("aws:iam/rolePolicy:RolePolicy", "flow-logs").inputs["policy"])
    assert may["Write"]["Resource"] == [f"{graph.one(LOG_GROUP, 'flow-logs').outputs['arn']}:*"]
    assert not any("Create" in action and "Stream" not in action for each in may.values() for action in each["Action"])
