"""The VPC: nodes in private subnets, load balancers and NAT in public ones, and the way to AWS that is not NAT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra import endpoints
from infra.addresses import subnets
from infra.component import Component
from infra.iam import allow, role, service_trust
from infra.settings import NetworkSettings
from infra.site import Site

# By these, load balancers find their subnets (EKS user guide, "Tag subnets for EKS Auto Mode"). A tag of the cluster's
# name is for VPCs that clusters share.
FOR_INTERNET = {"kubernetes.io/role/elb": "1"}
FOR_INSIDE = {"kubernetes.io/role/internal-elb": "1"}
ANYWHERE = "0.0.0.0/0"


@dataclass(frozen=True)
class NetworkArgs:
    site: Site
    settings: NetworkSettings
    logs_key: aws.kms.Key


class Network(Component):
    """
    Outputs:
        vpc_id, cidr: the VPC and its addresses.
        private_subnet_ids, public_subnet_ids: one a zone, in the zones' order.
        endpoint_security_group_id: of the interface endpoints; None where there are none.
    """

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args.site, opts)
        self.settings = args.settings
        self.zones = [f"{self.site.region}{letter}" for letter in args.settings.zones]
        self.cidr = args.settings.cidr
        self.vpc = aws.ec2.Vpc(
            "vpc",
            cidr_block=self.cidr,
            # Private names of endpoints and of the cluster's API resolve only with both.
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags=self._tags("vpc"),
            opts=self.below(),
        )
        self.vpc_id = self.vpc.id
        # What forgets to name a security group gets this one, which lets nothing through.
        aws.ec2.DefaultSecurityGroup(
            "closed", vpc_id=self.vpc_id, ingress=[], egress=[], tags=self._tags("closed"), opts=self.below()
        )
        parts = subnets(self.cidr, len(self.zones))
        public = [self._subnet("public", *each, FOR_INTERNET) for each in zip(self.zones, parts.public, strict=True)]
        private = [self._subnet("private", *each, FOR_INSIDE) for each in zip(self.zones, parts.private, strict=True)]
        self.public_subnet_ids: list[pulumi.Output[str]] = [each.id for each in public]
        self.private_subnet_ids: list[pulumi.Output[str]] = []
        gateways = self._nat(public, self._public_routes(public))
        tables = self._private_routes(private, gateways)
        self.s3_prefix_list = self._gateway_endpoints(tables)
        self.endpoint_security_group_id = self._interface_endpoints()
        self._flow_logs(args.logs_key)
        self.register_outputs({"vpc_id": self.vpc_id})

    def _tags(self, what: str, also: Mapping[str, str] | None = None) -> dict[str, str]:
        return {"Name": self.site.name(what), **(also or {})}

    def _subnet(self, kind: str, zone: str, cidr: str, balancers: Mapping[str, str]) -> aws.ec2.Subnet:
        name = f"{kind}-{zone[-1]}"
        return aws.ec2.Subnet(
            name,
            vpc_id=self.vpc_id,
            availability_zone=zone,
            cidr_block=cidr,
            # Load balancers and NAT gateways bring their own; nothing else has one.
            map_public_ip_on_launch=False,
            tags=self._tags(name, balancers),
            opts=self.below(),
        )

    def _public_routes(self, public: Sequence[aws.ec2.Subnet]) -> aws.ec2.InternetGateway:
        internet = aws.ec2.InternetGateway(
            "internet", vpc_id=self.vpc_id, tags=self._tags("internet"), opts=self.below()
        )
        table = aws.ec2.RouteTable("public", vpc_id=self.vpc_id, tags=self._tags("public"), opts=self.below())
        aws.ec2.Route(
            "public",
            route_table_id=table.id,
            destination_cidr_block=ANYWHERE,
            gateway_id=internet.id,
            opts=self.below(),
        )
        for zone, subnet in zip(self.zones, public, strict=True):
            aws.ec2.RouteTableAssociation(
                f"public-{zone[-1]}", subnet_id=subnet.id, route_table_id=table.id, opts=self.below()
            )
        return internet

    def _nat(self, public: Sequence[aws.ec2.Subnet], internet: aws.ec2.InternetGateway) -> Sequence[aws.ec2.NatGateway]:
        """A NAT gateway for each zone, which may be the same."""
        made: list[aws.ec2.NatGateway] = []
        count = len(self.zones) if self.settings.nat == "zone" else 1
        for zone, subnet in list(zip(self.zones, public, strict=True))[:count]:
            name = f"nat-{zone[-1]}"
            address = aws.ec2.Eip(name, domain="vpc", tags=self._tags(name), opts=self.below())
            made.append(
                aws.ec2.NatGateway(
                    name,
                    subnet_id=subnet.id,
                    allocation_id=address.allocation_id,
                    tags=self._tags(name),
                    opts=self.below(internet),
                )
            )
        return made if count > 1 else made * len(self.zones)

    def _private_routes(
        self, private: Sequence[aws.ec2.Subnet], gateways: Sequence[aws.ec2.NatGateway]
    ) -> Sequence[aws.ec2.RouteTable]:
        tables: list[aws.ec2.RouteTable] = []
        for zone, subnet, gateway in zip(self.zones, private, gateways, strict=True):
            name = f"private-{zone[-1]}"
            table = aws.ec2.RouteTable(name, vpc_id=self.vpc_id, tags=self._tags(name), opts=self.below())
            out = aws.ec2.Route(
                name,
                route_table_id=table.id,
                destination_cidr_block=ANYWHERE,
                nat_gateway_id=gateway.id,
                opts=self.below(),
            )
            tied = aws.ec2.RouteTableAssociation(
                name, subnet_id=subnet.id, route_table_id=table.id, opts=self.below(out)
            )
            tables.append(table)
            # Whoever takes a subnet from here finds its way out there, and lets go before that is taken down.
            self.private_subnet_ids.append(tied.subnet_id.apply(lambda each: each or ""))
        return tables

    def _gateway_endpoints(self, tables: Sequence[aws.ec2.RouteTable]) -> pulumi.Output[str]:
        """S3 and DynamoDB without NAT. They are free, so there is no setting to leave them out."""
        policies = {"s3": endpoints.for_s3(self.site), "dynamodb": endpoints.for_dynamodb(self.site)}
        made = {
            service: aws.ec2.VpcEndpoint(
                service,
                vpc_id=self.vpc_id,
                service_name=self._service(service),
                vpc_endpoint_type="Gateway",
                route_table_ids=[each.id for each in tables],
                policy=policy,
                tags=self._tags(service),
                opts=self.below(),
            )
            for service, policy in policies.items()
        }
        return made["s3"].prefix_list_id

    def _interface_endpoints(self) -> pulumi.Output[str] | None:
        if not self.settings.endpoints:
            return None
        group = aws.ec2.SecurityGroup(
            "endpoints",
            name=self.site.name("endpoints"),
            description="The interface endpoints, for whatever is in the VPC",
            vpc_id=self.vpc_id,
            tags=self._tags("endpoints"),
            opts=self.below(),
        )
        aws.vpc.SecurityGroupIngressRule(
            "endpoints",
            security_group_id=group.id,
            description="HTTPS from the VPC",
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            cidr_ipv4=self.cidr,
            opts=self.below(),
        )
        for service in self.settings.endpoints:
            aws.ec2.VpcEndpoint(
                service,
                vpc_id=self.vpc_id,
                service_name=self._service(service),
                vpc_endpoint_type="Interface",
                private_dns_enabled=True,
                subnet_ids=self.private_subnet_ids,
                security_group_ids=[group.id],
                policy=endpoints.for_interface(self.site, service),
                tags=self._tags(service),
                opts=self.below(),
            )
        return group.id

    def _service(self, name: str) -> str:
        return f"com.amazonaws.{self.site.region}.{name}"

    def _flow_logs(self, key: aws.kms.Key) -> None:
        group = aws.cloudwatch.LogGroup(
            "flow-logs",
            name=self.site.name("flow-logs"),
            retention_in_days=self.settings.log_days,
            kms_key_id=key.arn,
            opts=self.below(),
        )
        # It may not make the group: one that somebody deletes would come back neither encrypted nor bounded.
        writer = role(
            self.site,
            "flow-logs",
            [service_trust(self.site, "vpc-flow-logs", self.site.arn("ec2", "vpc-flow-log/*"))],
            [
                allow(
                    "Write",
                    ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
                    [pulumi.Output.concat(group.arn, ":*")],
                ),
                # AWS's reference knows no narrower form of it.
                allow("Find", ["logs:DescribeLogGroups"], ["*"]),
            ],
            self.below(),
        )
        aws.ec2.FlowLog(
            "flow-logs",
            vpc_id=self.vpc_id,
            traffic_type="ALL",
            log_destination_type="cloud-watch-logs",
            log_destination=group.arn,
            iam_role_arn=writer.arn,
            max_aggregation_interval=600,
            tags=self._tags("flow-logs"),
            opts=self.below(),
        )
