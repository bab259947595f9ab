from __future__ import annotations

from typing import Any

import pytest

from tests.infra.clean import made
from tests.infra.graph import Graph
from tests.infra.terraform import address, kind, plan, snake


@pytest.mark.parametrize(
    ("type_", "name"),
    [
        ("aws:s3/bucket:Bucket", "aws_s3_bucket"),
        ("aws:ec2/vpc:Vpc", "aws_vpc"),
        ("aws:ec2/securityGroup:SecurityGroup", "aws_security_group"),
        ("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", "aws_vpc_security_group_ingress_rule"),
        ("aws:iam/openIdConnectProvider:OpenIdConnectProvider", "aws_iam_openid_connect_provider"),
        ("aws:lb/loadBalancer:LoadBalancer", "aws_lb"),
        ("aws:lb/listener:Listener", "aws_lb_listener"),
        ("aws:cloudwatch/logGroup:LogGroup", "aws_cloudwatch_log_group"),
        ("aws:apigatewayv2/api:Api", "aws_apigatewayv2_api"),
    ],
)
def test_types(type_: str, name: str) -> None:
    assert kind(type_) == name


@pytest.mark.parametrize(
    ("camel", "name"),
    [("kmsMasterKeyId", "kms_master_key_id"), ("sseAlgorithm", "sse_algorithm"), ("cidrIpv4", "cidr_ipv4"),
     ("ipv6CidrBlocks", "ipv6_cidr_blocks"), ("restrictPublicBuckets", "restrict_public_buckets")],
)  # fmt: skip
def test_names(camel: str, name: str) -> None:
    assert snake(camel) == name


def values(type_: str, inputs: dict[str, Any]) -> dict[str, Any]:
    (found,) = plan(Graph("staging", (made(type_, "it", inputs),), {}))["planned_values"]["root_module"]["resources"]
    return found["values"]


def test_blocks_lie_in_lists_by_their_singular_name() -> None:
    inputs = {
        "encryptionConfigurations": [{"encryptionType": "KMS"}],
        "imageScanningConfiguration": {"scanOnPush": True},
        "subnetIds": ["subnet-0a"],
    }
    assert values("aws:ecr/repository:Repository", inputs) == {
        "encryption_configuration": [{"encryption_type": "KMS"}],
        "image_scanning_configuration": [{"scan_on_push": True}],
        "subnet_ids": ["subnet-0a"],
    }


def test_keys_of_the_users_own_stay() -> None:
    inputs = {"tags": {"camelCase": "x"}, "environment": {"variables": {"aB": "c"}}, "name": "it"}
    assert values("aws:lambda/function:Function", inputs) == {
        "tags": {"camelCase": "x"},
        "environment": [{"variables": {"aB": "c"}}],
        "function_name": "it",
    }


def test_references_come_from_dependencies_and_from_equal_names() -> None:
    bucket = made("aws:s3/bucket:Bucket", "data", {"bucket": "b"})
    named = made("aws:s3/bucketVersioning:BucketVersioning", "named", {"bucket": "b"})
    uses = {"bucket": "aws:s3/bucket:Bucket::data"}
    unknown = made("aws:s3/bucketVersioning:BucketVersioning", "unknown", {"bucket": "c"}, uses)
    written = plan(Graph("staging", (bucket, named, unknown), {}))["configuration"]["root_module"]["resources"]
    wanted = {"bucket": {"references": ["aws_s3_bucket.data.id", "aws_s3_bucket.data"]}}
    assert [each["expressions"] for each in written] == [{}, wanted, wanted]


def test_addresses_tell_components_apart() -> None:
    one, other = made("aws:kms/key:Key", "a/b", {}), made("aws:kms/key:Key", "a/b", {})
    below = "urn:pulumi:staging::podium::podium:infra:Keys$aws:kms/key:Key::a/b"
    object.__setattr__(other, "urn", below)
    assert [address(one), address(other)] == ["aws_kms_key.a_b", "aws_kms_key.Keys_a_b"]


def test_only_what_aws_has_is_planned() -> None:
    component = made("podium:infra:Keys", "keys", {})
    assert plan(Graph("staging", (component,), {}))["planned_values"]["root_module"]["resources"] == []
