"""Made-up answers are of the real shape, or what reads them later would prove nothing."""

import re

import pytest

from tests.infra.answers import RESOURCES
from tests.infra.conftest import Graphs, Variant
from tests.infra.stacks import ACCOUNTS, STACKS

ARN = re.compile(r"arn:aws:[a-z0-9-]+:([a-z]{2}-[a-z]+-\d)?:(\d{12})?:[\w+=,.@*/:${}-]+")
EC2 = re.compile(r"(vpc|subnet|rtb|rtbassoc|igw|nat|eipalloc|sg|sgr|vpce|fl|acl)-0[0-9a-f]{16}")


@pytest.mark.parametrize("variant", ["released", "everything"])
@pytest.mark.parametrize("stack", STACKS)
def test_ids_and_arns_are_of_the_real_shape(graphs: Graphs, stack: str, variant: Variant) -> None:
    seen: set[str] = set()
    for each in graphs(stack, variant).resources:
        if (arn := each.outputs.get("arn")) is not None and each.custom:
            assert (found := ARN.fullmatch(arn)), each.urn
            # Buckets are in no account, and an API in no account by its ARN.
            assert found[2] in (ACCOUNTS[stack], None), each.urn
        kind = re.match(r"aws:(ec2|vpc)/", each.type)
        if kind and not each.type.endswith((":Route", ":VpcEndpointRouteTableAssociation")):
            assert EC2.fullmatch(each.id), each.urn
            assert each.id not in seen, "two resources of the same id"
            seen.add(each.id)


def test_types_are_as_pulumi_aws_writes_them() -> None:
    """aws:s3/bucketPolicy:BucketPolicy: a misspelt one would never be asked for."""
    for each in RESOURCES:
        package, module, name = each.split(":")
        if package == "aws":
            assert module.partition("/")[2] == name[0].lower() + name[1:]
