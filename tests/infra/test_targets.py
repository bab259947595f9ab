from typing import Any

import pulumi
import pytest

from infra.release import Release
from infra.settings import read
from infra.targets import Targets, TargetsArgs
from tests.infra import single, stacks
from tests.infra.graph import Graph
from tests.infra.single import BUCKET, DATA_KEY, LOGS_KEY, RELEASE, REPOSITORY, REPOSITORY_ARN

FUNCTION, SERVICE = "aws:lambda/function:Function", "aws:ecs/service:Service"


def graph(release: Release | None, **values: Any) -> Graph:
    settings = read({**stacks.values("staging"), **values}, "staging")

    def make(opts: pulumi.ResourceOptions) -> dict[str, Any]:
        args = TargetsArgs(
            settings=settings,
            release=release,
            bucket=BUCKET,
            data_key=DATA_KEY,
            logs_key=LOGS_KEY,
            repository=REPOSITORY,
            repository_arn=REPOSITORY_ARN,
            vpc_id="vpc-0123456789abcdef0",
            cidr="10.40.0.0/16",
            subnet_ids=["subnet-0a", "subnet-0b", "subnet-0c"],
        )
        made = Targets("targets", single.site(), args, opts)
        return {"certificate": made.certificate_arn, "http": made.http_endpoint, "fargate": made.fargate_address}

    return single.record(make)


DOMAIN = {"domain": {"name": "rank.example.org", "zone": "Z0123456789ABCDEFGHIJ"}}


@pytest.mark.parametrize(
    ("release", "values", "functions", "services", "certificates"),
    [
        (RELEASE, {}, 0, 0, 0),
        (RELEASE, {"http": {"enabled": True}}, 1, 0, 0),
        (RELEASE, {"fargate": {"enabled": True}, **DOMAIN}, 0, 1, 1),
        (RELEASE, {"http": {"enabled": True}, "fargate": {"enabled": True}, **DOMAIN}, 1, 1, 1),
        (None, {"http": {"enabled": True}, "fargate": {"enabled": True}, **DOMAIN}, 0, 0, 1),
        (RELEASE, DOMAIN, 0, 0, 1),
    ],
)
def test_each_target_is_there_where_it_is_asked_for_and_an_image_is_pinned(
    release: Release | None, values: dict[str, Any], functions: int, services: int, certificates: int
) -> None:
    made = graph(release, **values)
    found = [len(made.of(kind)) for kind in (FUNCTION, SERVICE, "aws:acm/certificate:Certificate")]
    assert found == [functions, services, certificates]
    outputs = made.outputs["made"]
    assert [outputs.get(name) is not None for name in ("http", "fargate", "certificate")] == [
        bool(functions), bool(services), bool(certificates),
    ]  # fmt: skip
