"""EC2's networks."""

from __future__ import annotations

import json
from typing import Any

from tests.infra.live_handlers.asked import Asked, Made


def vpc(asked: Asked) -> Made:
    ec2 = asked.client("ec2")
    made = ec2.create_vpc(**asked.some("cidrBlock", "instanceTenancy"), **_tagged(asked, "vpc"))["Vpc"]["VpcId"]
    for attribute in ("enableDnsSupport", "enableDnsHostnames"):
        if attribute in asked:
            name = attribute[0].upper() + attribute[1:]
            ec2.modify_vpc_attribute(VpcId=made, **{name: {"Value": asked[attribute]}})
    return Made(made, {"arn": asked.arn("ec2", f"vpc/{made}"), **_defaults(ec2, made)})


def _defaults(ec2: Any, vpc_id: str) -> dict[str, str]:
    of_vpc = {"Name": "vpc-id", "Values": [vpc_id]}
    group = {"Name": "group-name", "Values": ["default"]}
    main = {"Name": "association.main", "Values": ["true"]}
    default = {"Name": "default", "Values": ["true"]}
    return {
        "defaultSecurityGroupId": ec2.describe_security_groups(Filters=[of_vpc, group])["SecurityGroups"][0]["GroupId"],
        "mainRouteTableId": ec2.describe_route_tables(Filters=[of_vpc, main])["RouteTables"][0]["RouteTableId"],
        "defaultNetworkAclId": ec2.describe_network_acls(Filters=[of_vpc, default])["NetworkAcls"][0]["NetworkAclId"],
    }


def default_security_group(asked: Asked) -> Made:
    """Of the default group nothing is made: the provider takes it over, and takes its rules away."""
    ec2 = asked.client("ec2")
    found = ec2.describe_security_groups(
        Filters=[{"Name": "vpc-id", "Values": [asked["vpcId"]]}, {"Name": "group-name", "Values": ["default"]}]
    )["SecurityGroups"][0]
    ec2.create_tags(Resources=[found["GroupId"]], Tags=asked.tags() or [{"Key": "Name", "Value": asked.name}])
    for old, revoke in (
        ("IpPermissions", ec2.revoke_security_group_ingress), ("IpPermissionsEgress", ec2.revoke_security_group_egress)
    ):  # fmt: skip
        if found.get(old):
            # EC2 describes a rule with more than it is revoked by.
            rules = [{key: rule[key] for key in rule if rule[key] or key == "IpProtocol"} for rule in found[old]]
            revoke(GroupId=found["GroupId"], IpPermissions=rules)
    for kind, authorize in (
        ("ingress", ec2.authorize_security_group_ingress), ("egress", ec2.authorize_security_group_egress)
    ):  # fmt: skip
        if rules := asked.get(kind):
            authorize(GroupId=found["GroupId"], IpPermissions=[_inline(rule) for rule in rules])
    return Made(found["GroupId"], {"arn": asked.arn("ec2", f"security-group/{found['GroupId']}")})


def subnet(asked: Asked) -> Made:
    ec2 = asked.client("ec2")
    made = ec2.create_subnet(**asked.some("vpcId", "cidrBlock", "availabilityZone"), **_tagged(asked, "subnet"))
    id_ = made["Subnet"]["SubnetId"]
    if "mapPublicIpOnLaunch" in asked:
        ec2.modify_subnet_attribute(SubnetId=id_, MapPublicIpOnLaunch={"Value": asked["mapPublicIpOnLaunch"]})
    return Made(id_, {"arn": asked.arn("ec2", f"subnet/{id_}")})


def internet_gateway(asked: Asked) -> Made:
    ec2 = asked.client("ec2")
    made = ec2.create_internet_gateway(**_tagged(asked, "internet-gateway"))["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=made, VpcId=asked["vpcId"])
    return Made(made, {"arn": asked.arn("ec2", f"internet-gateway/{made}")})


def address(asked: Asked) -> Made:
    made = asked.client("ec2").allocate_address(**asked.some("domain"), **_tagged(asked, "elastic-ip"))
    return Made(made["AllocationId"], {"allocationId": made["AllocationId"], "publicIp": made["PublicIp"]})


def nat_gateway(asked: Asked) -> Made:
    made = asked.client("ec2").create_nat_gateway(
        **asked.some("subnetId", "allocationId", "connectivityType"), **_tagged(asked, "natgateway")
    )
    return Made(made["NatGateway"]["NatGatewayId"])


def route_table(asked: Asked) -> Made:
    made = asked.client("ec2").create_route_table(**asked.some("vpcId"), **_tagged(asked, "route-table"))["RouteTable"]
    return Made(made["RouteTableId"], {"arn": asked.arn("ec2", f"route-table/{made['RouteTableId']}")})


def route(asked: Asked) -> Made:
    asked.client("ec2").create_route(
        **asked.some("routeTableId", "destinationCidrBlock", "gatewayId", "natGatewayId", "vpcEndpointId")
    )
    return Made(f"r-{asked['routeTableId']}-{asked['destinationCidrBlock']}")


def association(asked: Asked) -> Made:
    made = asked.client("ec2").associate_route_table(**asked.some("routeTableId", "subnetId"))
    return Made(made["AssociationId"])


def endpoint(asked: Asked) -> Made:
    made = asked.client("ec2").create_vpc_endpoint(
        **asked.some(
            "vpcId", "serviceName", "vpcEndpointType", "routeTableIds", "subnetIds", "securityGroupIds",
            "privateDnsEnabled", PolicyDocument="policy",
        ),
        **_tagged(asked, "vpc-endpoint"),
    )["VpcEndpoint"]  # fmt: skip
    service = asked["serviceName"]
    outputs = {"arn": asked.arn("ec2", f"vpc-endpoint/{made['VpcEndpointId']}")}
    if asked.get("vpcEndpointType", "Gateway") == "Gateway":
        lists = asked.client("ec2").describe_prefix_lists(
            Filters=[{"Name": "prefix-list-name", "Values": [service]}]
        )["PrefixLists"]  # fmt: skip
        outputs["prefixListId"] = lists[0]["PrefixListId"]
    return Made(made["VpcEndpointId"], outputs)


def security_group(asked: Asked) -> Made:
    ec2 = asked.client("ec2")
    name = asked.called()
    made = ec2.create_security_group(
        GroupName=name, **asked.some("description", "vpcId"), **_tagged(asked, "security-group")
    )["GroupId"]
    # EC2 lets a new group out to everywhere; the provider takes that away.
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.revoke_security_group_egress(GroupId=made, IpPermissions=[everything])
    if rules := asked.get("ingress"):
        ec2.authorize_security_group_ingress(GroupId=made, IpPermissions=[_inline(rule) for rule in rules])
    if rules := asked.get("egress"):
        ec2.authorize_security_group_egress(GroupId=made, IpPermissions=[_inline(rule) for rule in rules])
    return Made(made, {"arn": asked.arn("ec2", f"security-group/{made}"), "name": name})


def ingress_rule(asked: Asked) -> Made:
    return _rule(asked, asked.client("ec2").authorize_security_group_ingress)


def egress_rule(asked: Asked) -> Made:
    return _rule(asked, asked.client("ec2").authorize_security_group_egress)


def flow_log(asked: Asked) -> Made:
    made = asked.client("ec2").create_flow_logs(
        ResourceIds=[asked["vpcId"]],
        ResourceType="VPC",
        **asked.some(
            "trafficType", "logDestinationType", "logDestination", "maxAggregationInterval", "logFormat",
            DeliverLogsPermissionArn="iamRoleArn",
        ),
        **_tagged(asked, "vpc-flow-log"),
    )  # fmt: skip
    for refused in made.get("Unsuccessful", []):
        raise KeyError(json.dumps(refused))
    return Made(made["FlowLogIds"][0], {"arn": asked.arn("ec2", f"vpc-flow-log/{made['FlowLogIds'][0]}")})


def _rule(asked: Asked, authorize: Any) -> Made:
    one = asked.some("ipProtocol", "fromPort", "toPort")
    about = asked.some("description")
    if "cidrIpv4" in asked:
        one["IpRanges"] = [{"CidrIp": asked["cidrIpv4"], **about}]
    if "cidrIpv6" in asked:
        one["Ipv6Ranges"] = [{"CidrIpv6": asked["cidrIpv6"], **about}]
    if "prefixListId" in asked:
        one["PrefixListIds"] = [{"PrefixListId": asked["prefixListId"], **about}]
    if "referencedSecurityGroupId" in asked:
        one["UserIdGroupPairs"] = [{"GroupId": asked["referencedSecurityGroupId"], **about}]
    made = authorize(GroupId=asked["securityGroupId"], IpPermissions=[one], **_tagged(asked, "security-group-rule"))
    rules = made.get("SecurityGroupRules") or [{}]
    id_ = rules[0].get("SecurityGroupRuleId") or f"sgr-{asked['securityGroupId']}-{asked.name}"
    return Made(id_, {"arn": asked.arn("ec2", f"security-group-rule/{id_}"), "securityGroupRuleId": id_})


def _inline(rule: dict[str, Any]) -> dict[str, Any]:
    about = {"Description": rule["description"]} if rule.get("description") else {}
    made: dict[str, Any] = {"IpProtocol": rule["protocol"], "FromPort": rule["fromPort"], "ToPort": rule["toPort"]}
    if rule.get("cidrBlocks"):
        made["IpRanges"] = [{"CidrIp": each, **about} for each in rule["cidrBlocks"]]
    if rule.get("securityGroups"):
        made["UserIdGroupPairs"] = [{"GroupId": each, **about} for each in rule["securityGroups"]]
    if rule.get("prefixListIds"):
        made["PrefixListIds"] = [{"PrefixListId": each, **about} for each in rule["prefixListIds"]]
    return made


def _tagged(asked: Asked, kind: str) -> dict[str, Any]:
    tags = asked.tags()
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": tags}]} if tags else {}
