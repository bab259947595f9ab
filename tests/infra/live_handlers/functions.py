"""Functions, and the HTTP API before one."""

from __future__ import annotations

from typing import Any

from tests.infra.live_handlers.asked import Asked, Made, upper


def function(asked: Asked) -> Made:
    client = asked.client("lambda")
    name = asked.called()
    request: dict[str, Any] = {}
    if "imageUri" in asked:
        request["Code"] = {"ImageUri": asked["imageUri"]}
    if image := asked.get("imageConfig"):
        pairs = {"EntryPoint": "entryPoints", "Command": "commands", "WorkingDirectory": "workingDirectory"}
        request["ImageConfig"] = {wire: image[key] for wire, key in pairs.items() if key in image}
    made = client.create_function(
        FunctionName=name,
        **request,
        **asked.some(
            "role", "packageType", "architectures", "memorySize", "timeout", "ephemeralStorage", "loggingConfig",
            "tracingConfig", "deadLetterConfig", "vpcConfig", "description", "handler", "runtime",
            KMSKeyArn="kmsKeyArn", Publish="publish",
        ),
        **_environment(asked),
        **({"Tags": asked.get("tags")} if asked.get("tags") else {}),
    )  # fmt: skip
    if "reservedConcurrentExecutions" in asked:
        client.put_function_concurrency(
            FunctionName=name, ReservedConcurrentExecutions=asked["reservedConcurrentExecutions"]
        )
    arn = asked.arn("lambda", f"function:{name}")
    version = made["Version"]
    return Made(
        name,
        {
            "arn": arn,
            "name": name,
            "version": version,
            "qualifiedArn": f"{arn}:{version}",
            "invokeArn": _invoke(asked, arn),
            "qualifiedInvokeArn": _invoke(asked, f"{arn}:{version}"),
        },
    )


def alias(asked: Asked) -> Made:
    name = asked.called()
    made = asked.client("lambda").create_alias(
        Name=name, **asked.some("functionName", "functionVersion", "description", "routingConfig")
    )
    return Made(
        made["AliasArn"], {"arn": made["AliasArn"], "name": name, "invokeArn": _invoke(asked, made["AliasArn"])}
    )


def provisioned(asked: Asked) -> Made:
    asked.client("lambda").put_provisioned_concurrency_config(
        **asked.some("functionName", "qualifier", "provisionedConcurrentExecutions")
    )
    return Made(f"{asked['functionName']},{asked['qualifier']}")


def permission(asked: Asked) -> Made:
    name = str(asked.get("statementId") or asked.name)
    asked.client("lambda").add_permission(
        StatementId=name,
        **asked.some("action", "principal", "sourceArn", "sourceAccount", "qualifier", FunctionName="function"),
    )
    return Made(name, {"statementId": name})


def mapping(asked: Asked) -> Made:
    client = asked.client("lambda")
    made = client.create_event_source_mapping(
        **asked.some(
            "eventSourceArn", "functionName", "batchSize", "functionResponseTypes", "scalingConfig", "enabled",
            "maximumBatchingWindowInSeconds", "filterCriteria", KMSKeyArn="kmsKeyArn",
        ),
        **({"Tags": asked.get("tags")} if asked.get("tags") else {}),
    )  # fmt: skip
    uuid = made["UUID"]
    # The emulator would take what is in the queue, and has no container to give it to.
    client.update_event_source_mapping(UUID=uuid, Enabled=False)
    return Made(uuid, {"uuid": uuid, "arn": asked.arn("lambda", f"event-source-mapping:{uuid}")})


def api(asked: Asked) -> Made:
    made = asked.client("apigatewayv2").create_api(
        Name=asked.called(),
        **asked.some("protocolType", "description", "disableExecuteApiEndpoint", "corsConfiguration", "version"),
        **({"Tags": asked.get("tags")} if asked.get("tags") else {}),
    )
    id_ = made["ApiId"]
    return Made(
        id_,
        {
            "arn": f"arn:aws:apigateway:{asked.region}::/apis/{id_}",
            "apiEndpoint": f"https://{id_}.execute-api.{asked.region}.amazonaws.com",
            "executionArn": asked.arn("execute-api", id_),
        },
    )


def integration(asked: Asked) -> Made:
    made = asked.client("apigatewayv2").create_integration(
        **asked.some(
            "apiId", "integrationType", "integrationUri", "integrationMethod", "payloadFormatVersion", "connectionType",
            "description", TimeoutInMillis="timeoutMilliseconds",
        )
    )  # fmt: skip
    return Made(made["IntegrationId"])


def route(asked: Asked) -> Made:
    made = asked.client("apigatewayv2").create_route(
        **asked.some(
            "apiId", "routeKey", "target", "authorizationType", "authorizerId", "authorizationScopes", "apiKeyRequired"
        )
    )
    return Made(made["RouteId"])


def authorizer(asked: Asked) -> Made:
    jwt = asked.get("jwtConfiguration")
    made = asked.client("apigatewayv2").create_authorizer(
        Name=asked.called(),
        **asked.some("apiId", "authorizerType", IdentitySource="identitySources"),
        **({"JwtConfiguration": {"Audience": jwt["audiences"], "Issuer": jwt["issuer"]}} if jwt else {}),
    )
    return Made(made["AuthorizerId"])


def stage(asked: Asked) -> Made:
    name = asked.called()
    # What is one block of the provider's is one of AWS's, by names of its own.
    renamed = {
        "detailedMetricsEnabled",
        "throttlingBurstLimit",
        "throttlingRateLimit",
        "loggingLevel",
        "dataTraceEnabled",
    }
    routes = asked.get("defaultRouteSettings") or {}
    settings = {key: value for key, value in routes.items() if key in renamed}
    if "throttlingRateLimit" in settings:
        # A number that the model knows as a double, and that Python writes without a point.
        settings["throttlingRateLimit"] = float(settings["throttlingRateLimit"])
    asked.client("apigatewayv2").create_stage(
        StageName=name,
        **({"DefaultRouteSettings": upper(settings)} if settings else {}),
        **asked.some("apiId", "autoDeploy", "accessLogSettings", "description", "stageVariables"),
        **({"Tags": asked.get("tags")} if asked.get("tags") else {}),
    )
    api_id = asked["apiId"]
    host = f"https://{api_id}.execute-api.{asked.region}.amazonaws.com"
    return Made(
        name,
        {
            "arn": f"arn:aws:apigateway:{asked.region}::/apis/{api_id}/stages/{name}",
            "invokeUrl": f"{host}/" if name == "$default" else f"{host}/{name}",
            "executionArn": asked.arn("execute-api", f"{api_id}/{name}"),
        },
    )


def _environment(asked: Asked) -> dict[str, Any]:
    given = asked.get("environment")
    return {"Environment": {"Variables": given["variables"]}} if given else {}


def _invoke(asked: Asked, arn: str) -> str:
    return f"arn:aws:apigateway:{asked.region}:lambda:path/2015-03-31/functions/{arn}/invocations"
