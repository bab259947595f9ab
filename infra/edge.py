"""The serve image as a Lambda function behind an HTTP API: for little or uneven traffic. Off by default."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.component import Component
from infra.function import LOG_DAYS, Function, FunctionArgs
from infra.release import Release
from infra.serving import may_use_key
from infra.settings import HttpSettings
from infra.site import Site

HANDLER = "service.http_api.handler"

# An HTTP API gives up after 30 s, and a function that goes on is billed for an answer that nobody gets.
GATEWAY_SECONDS = 30
TIMEOUT_SECONDS = 29

# What callers may ask, and no more: metrics and probes are not for them.
ROUTES = ("POST /v1/rank", "POST /v2/models/{name}/infer", "GET /version", "GET /openapi.json")

# One line a request, as the service's own; the ids find the function's line for it.
ACCESS = {
    "time": "$context.requestTime",
    "request_id": "$context.requestId",
    "ip": "$context.identity.sourceIp",
    "caller": "$context.identity.userArn",
    "route": "$context.routeKey",
    "status": "$context.status",
    "bytes": "$context.responseLength",
    "latency_ms": "$context.responseLatency",
    "integration_latency_ms": "$context.integrationLatency",
    "error": "$context.error.message",
    "integration_error": "$context.integrationErrorMessage",
}


@dataclass(frozen=True, kw_only=True)
class HttpApiArgs:
    settings: HttpSettings
    bucket: pulumi.Input[str]
    data_key: pulumi.Input[str]
    logs_key: pulumi.Input[str]
    repository: pulumi.Input[str]
    release: Release


class HttpApi(Component):
    """
    Outputs:
        endpoint: the API's address.
        function_arn, function_role_arn: of the function behind it.
    """

    def __init__(self, name: str, site: Site, args: HttpApiArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, site, opts)
        settings = args.settings
        function = Function(
            "http",
            site,
            FunctionArgs(
                handler=HANDLER,
                release=args.release,
                repository=args.repository,
                bucket=args.bucket,
                data_key=args.data_key,
                logs_key=args.logs_key,
                memory_mb=settings.memory_mb,
                timeout_seconds=TIMEOUT_SECONDS,
                concurrency=settings.concurrency,
                environment={},
                may=[may_use_key(site, args.data_key, ["Decrypt"], ["s3"])],
                publish=True,
            ),
            self.below(),
        )
        alias = self._alias(function, settings.provisioned)
        api = aws.apigatewayv2.Api("http", name=site.name("http"), protocol_type="HTTP", opts=self.below())
        allowed = aws.lambda_.Permission(
            "http",
            action="lambda:InvokeFunction",
            function=function.name,
            qualifier=alias.name,
            principal="apigateway.amazonaws.com",
            source_arn=pulumi.Output.concat(api.execution_arn, "/*/*"),
            source_account=site.account,
            opts=self.below(),
        )
        self._routes(api, alias, settings)
        self._stage(api, allowed, args)
        self.endpoint: pulumi.Output[str] = api.api_endpoint
        self.function_arn = function.arn
        self.function_role_arn = function.role_arn
        self.register_outputs({"endpoint": self.endpoint})

    def _alias(self, function: Function, provisioned: int) -> aws.lambda_.Alias:
        # Kept warm is a version, which cannot change; callers ask the alias, which moves once the new one is there.
        alias = aws.lambda_.Alias(
            "http",
            name="live",
            function_name=function.name,
            function_version=function.version,
            opts=self.below(),
        )
        if provisioned:
            aws.lambda_.ProvisionedConcurrencyConfig(
                "http",
                function_name=function.name,
                qualifier=alias.name,
                provisioned_concurrent_executions=provisioned,
                opts=self.below(),
            )
        return alias

    def _routes(self, api: aws.apigatewayv2.Api, alias: aws.lambda_.Alias, settings: HttpSettings) -> None:
        integration = aws.apigatewayv2.Integration(
            "http",
            api_id=api.id,
            integration_type="AWS_PROXY",
            integration_method="POST",
            integration_uri=alias.invoke_arn,
            payload_format_version="2.0",
            timeout_milliseconds=1000 * GATEWAY_SECONDS,
            opts=self.below(),
        )
        authorizer = self._authorizer(api, settings)
        for route in ROUTES:
            aws.apigatewayv2.Route(
                f"http-{route.replace(' ', '')}",
                api_id=api.id,
                route_key=route,
                target=pulumi.Output.concat("integrations/", integration.id),
                authorization_type="AWS_IAM" if authorizer is None else "JWT",
                authorizer_id=None if authorizer is None else authorizer.id,
                opts=self.below(),
            )

    def _authorizer(self, api: aws.apigatewayv2.Api, settings: HttpSettings) -> aws.apigatewayv2.Authorizer | None:
        if settings.authorizer == "iam":
            return None
        return aws.apigatewayv2.Authorizer(
            "http",
            api_id=api.id,
            name="tokens",
            authorizer_type="JWT",
            identity_sources=["$request.header.Authorization"],
            jwt_configuration=aws.apigatewayv2.AuthorizerJwtConfigurationArgs(
                issuer=settings.issuer, audiences=[*settings.audience]
            ),
            opts=self.below(),
        )

    def _stage(self, api: aws.apigatewayv2.Api, allowed: pulumi.Resource, args: HttpApiArgs) -> None:
        log_group = aws.cloudwatch.LogGroup(
            "http-access",
            name=f"/aws/apigateway/{self.site.name('http')}",
            retention_in_days=LOG_DAYS,
            kms_key_id=args.logs_key,
            opts=self.below(),
        )
        aws.apigatewayv2.Stage(
            "http",
            api_id=api.id,
            name="$default",
            auto_deploy=True,
            access_log_settings=aws.apigatewayv2.StageAccessLogSettingsArgs(
                destination_arn=log_group.arn, format=json.dumps(ACCESS)
            ),
            default_route_settings=aws.apigatewayv2.StageDefaultRouteSettingsArgs(
                throttling_rate_limit=args.settings.rate,
                throttling_burst_limit=args.settings.burst,
                detailed_metrics_enabled=True,
            ),
            # A stage is open at once: not before the gateway may call.
            opts=self.below(allowed),
        )
