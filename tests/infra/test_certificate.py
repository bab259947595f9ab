from typing import Any

import pulumi
import pulumi_aws as aws
import pytest

from infra.certificate import Certificate
from infra.settings import DomainSettings
from tests.infra import single
from tests.infra.answers import ACCOUNT, REGION
from tests.infra.graph import Graph

GIVEN = f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/8f2b7e58-6c6d-4c37-a1c5-1d0f3b1f9c22"


def graph(**domain: Any) -> Graph:
    def make(opts: pulumi.ResourceOptions) -> Any:
        arn = Certificate("certificate", single.site(), DomainSettings(**domain), opts).arn
        if arn is not None:
            # Stands for what listens with it.
            aws.cloudwatch.LogGroup("user", name=arn.apply(lambda arn: arn.rpartition("/")[2]), opts=opts)
        return arn

    return single.record(make)


def test_a_certificate_is_proven_by_the_zone_before_it_is_used() -> None:
    made = graph(name="rank.example.org", zone="Z0123456789ABCDEFGHIJ")
    certificate = made.one("aws:acm/certificate:Certificate", "domain")
    assert certificate.inputs["domainName"] == "rank.example.org"
    assert certificate.inputs["validationMethod"] == "DNS"
    record = made.one("aws:route53/record:Record", "domain-proof")
    (asked,) = certificate.outputs["domainValidationOptions"]
    assert record.inputs["zoneId"] == "Z0123456789ABCDEFGHIJ"
    assert (record.inputs["name"], record.inputs["type"], record.inputs["records"]) == (
        asked["resourceRecordName"], "CNAME", [asked["resourceRecordValue"]],
    )  # fmt: skip
    valid = made.one("aws:acm/certificateValidation:CertificateValidation", "domain")
    assert record.urn in made.needs(valid)
    assert valid.urn in made.needs(made.one("aws:cloudwatch/logGroup:LogGroup", "user"))
    assert made.outputs["made"] == certificate.outputs["arn"]


@pytest.mark.parametrize("zone", [None, "Z0123456789ABCDEFGHIJ"])
def test_a_certificate_that_is_there_is_taken_as_it_is(zone: str | None) -> None:
    made = graph(name="rank.example.org", zone=zone, certificate=GIVEN)
    assert made.of("aws:acm/certificate:Certificate") == made.of("aws:route53/record:Record") == []
    assert made.outputs["made"] == GIVEN


def test_without_a_domain_there_is_none() -> None:
    made = graph()
    assert [each for each in made.resources if each.type.startswith("aws:")] == []
    assert made.outputs.get("made") is None
