import json
from functools import cache
from typing import Any

import pulumi
import pytest

from infra.edge import GATEWAY_SECONDS, HANDLER, ROUTES, HttpApi, HttpApiArgs
from infra.settings import HttpSettings
from service import http_api
from service.openapi import ROUTES as SERVED
from tests.infra import single
from tests.infra.answers import ACCOUNT, REGION
from tests.infra.graph import Graph
from tests.infra.single import BUCKET, DATA_KEY, LOGS_KEY, RELEASE, REPOSITORY, after, permissions

FUNCTION, ROUTE = "aws:lambda/function:Function", "aws:apigatewayv2/route:Route"
ALIAS, WARM = "aws:lambda/alias:Alias", "aws:lambda/provisionedConcurrencyConfig:ProvisionedConcurrencyConfig"
STAGE = "aws:apigatewayv2/stage:Stage"


@cache
def graph(**settings: Any) -> Graph:
    def make(opts: pulumi.ResourceOptions) -> dict[str, Any]:
        args = HttpApiArgs(
            settings=HttpSettings(enabled=True, **settings),
            bucket=BUCKET,
            data_key=DATA_KEY,
            logs_key=LOGS_KEY,
            repository=REPOSITORY,
            release=RELEASE,
        )
        made = HttpApi("http-api", single.site(), args, opts)
        return {"endpoint": made.endpoint, "function_arn": made.function_arn, "role_arn": made.function_role_arn}

    return single.record(make)


def test_the_function_is_the_image_by_digest_and_cannot_outlive_its_caller() -> None:
    inputs = graph().one(FUNCTION, "http").inputs
    assert inputs["name"] == "podium-staging-http"
    assert inputs["imageUri"] == f"{REPOSITORY}@{RELEASE.serve_amd64}"
    assert inputs["imageConfig"]["commands"] == [HANDLER]
    assert f"{http_api.__name__}.handler" == HANDLER
    assert inputs["timeout"] < GATEWAY_SECONDS <= 30
    assert inputs["reservedConcurrentExecutions"] == 20
    assert inputs["publish"] is True


def test_callers_ask_an_alias_of_a_version_that_is_kept_warm() -> None:
    alias, warm = graph().one(ALIAS, "http"), graph(provisioned=3).one(WARM, "http")
    assert alias.inputs["functionName"] == "podium-staging-http"
    assert alias.inputs["functionVersion"] == graph().one(FUNCTION, "http").outputs["version"]
    assert (warm.inputs["qualifier"], warm.inputs["provisionedConcurrentExecutions"]) == ("live", 3)
    integration = graph().one("aws:apigatewayv2/integration:Integration", "http").inputs
    assert integration["integrationUri"] == alias.outputs["invokeArn"]
    assert integration["payloadFormatVersion"] == "2.0"
    assert integration["integrationType"] == "AWS_PROXY"
    assert graph(provisioned=0).of(WARM) == []


def test_only_this_api_may_call_the_function() -> None:
    allowed = graph().one("aws:lambda/permission:Permission", "http").inputs
    api = graph().one("aws:apigatewayv2/api:Api", "http")
    assert allowed["principal"] == "apigateway.amazonaws.com"
    assert allowed["action"] == "lambda:InvokeFunction"
    assert allowed["qualifier"] == "live"
    assert allowed["sourceArn"] == f"{api.outputs['executionArn']}/*/*"
    assert allowed["sourceAccount"] == ACCOUNT


@pytest.mark.parametrize("authorizer", ["iam", "jwt"])
def test_no_route_is_open(authorizer: str) -> None:
    settings: dict[str, Any] = {"authorizer": authorizer}
    if authorizer == "jwt":
        settings |= {"issuer": "https://login.example.org", "audience": ("podium",)}
    found = graph(**settings)
    authorizers = found.of("aws:apigatewayv2/authorizer:Authorizer")
    for route in found.of(ROUTE):
        if authorizer == "iam":
            assert route.inputs["authorizationType"] == "AWS_IAM"
        else:
            assert route.inputs["authorizationType"] == "JWT"
            assert route.inputs["authorizerId"] == authorizers[0].id
    if authorizer == "jwt":
        assert authorizers[0].inputs["jwtConfiguration"] == {
            "issuer": "https://login.example.org",
            "audiences": ["podium"],
        }
    else:
        assert authorizers == []


def test_the_routes_are_the_services() -> None:
    assert {route.inputs["routeKey"] for route in graph().of(ROUTE)} == set(ROUTES)
    served = {f"{route.method} {path}" for path, route in SERVED.items()}
    assert set(ROUTES) <= served
    assert not {"GET /metrics", "GET /livez", "$default"} & set(ROUTES)


def test_requests_are_limited_and_logged() -> None:
    stage = graph(rate=7, burst=9).one(STAGE, "http")
    limits = stage.inputs["defaultRouteSettings"]
    assert (limits["throttlingRateLimit"], limits["throttlingBurstLimit"]) == (7, 9)
    group = graph().one("aws:cloudwatch/logGroup:LogGroup", "http-access")
    assert group.inputs["name"] == "/aws/apigateway/podium-staging-http"
    assert group.inputs["kmsKeyId"] == LOGS_KEY
    logs = stage.inputs["accessLogSettings"]
    assert logs["destinationArn"] == group.outputs["arn"]
    assert {"status", "caller", "route", "request_id"} <= set(json.loads(logs["format"]))
    assert after(graph(), graph().one(STAGE, "http"), "aws:lambda/permission:Permission", "http")


def test_the_function_reads_its_model_and_nothing_else() -> None:
    may = permissions(graph(), "http")
    assert set(may) == {"UseKey", "ReadModel", "ListModel", "Log", "Trace"}
    assert may["UseKey"]["Action"] == ["kms:Decrypt"]
    assert may["UseKey"]["Condition"] == {"StringEquals": {"kms:ViaService": [f"s3.{REGION}.amazonaws.com"]}}
    assert may["ReadModel"]["Resource"] == [f"arn:aws:s3:::{BUCKET}/models/mslr/20260102-0123456789ab/*"]
