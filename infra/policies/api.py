"""The HTTP API before the function."""

from __future__ import annotations

from collections.abc import Iterator

from pulumi_policy import ResourceValidationArgs, Severity

from infra.policies.rules import at, resource_rule


@resource_rule(
    "api-authorised",
    "aws:apigatewayv2/route:Route",
    "Every route asks who is calling.",
    fix="Set authorization_type to JWT or AWS_IAM.",
    severity=Severity.CRITICAL,
)
def authorised(route: ResourceValidationArgs) -> Iterator[str]:
    if route.props.get("authorizationType") not in ("JWT", "AWS_IAM", "CUSTOM"):
        yield f"{route.props.get('routeKey')} answers anyone"


@resource_rule(
    "api-throttled",
    "aws:apigatewayv2/stage:Stage",
    "Nobody can spend without bound, and calls are logged.",
    fix="Set default_route_settings' throttling limits, and access_log_settings.",
)
def throttled(stage: ResourceValidationArgs) -> Iterator[str]:
    limits = stage.props.get("defaultRouteSettings")
    if not at(limits, "throttlingBurstLimit") or not at(limits, "throttlingRateLimit"):
        yield "takes any number of calls"
    if not at(stage.props, "accessLogSettings", "destinationArn"):
        yield "logs no calls"
