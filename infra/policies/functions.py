"""Functions: which image they are, what they are told, and where failures go."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pulumi_policy import PolicyResource, ResourceValidationArgs, Severity

from infra.policies.rules import Stack, at, items, resource_rule, stack_rule

FUNCTION = "aws:lambda/function:Function"
TASK = "aws:ecs/taskDefinition:TaskDefinition"
PROJECT = "aws:codebuild/project:Project"
BY_DIGEST = re.compile(r"[\w.-]+(:\d+)?/[\w./-]+@sha256:[0-9a-f]{64}")
NAMED_SECRET = re.compile(r"SECRET|PASSWORD|PASSWD|TOKEN|CREDENTIAL|API_?KEY|PRIVATE_?KEY|ACCESS_?KEY", re.IGNORECASE)
LOOKS_SECRET = re.compile(
    r"\b(AKIA|ASIA)[0-9A-Z]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY|\bgh[pousr]_\w{30,}|://[^/\s:]+:[^/\s@]+@"
)
# Says where a secret is, not what it is.
PLACE = re.compile(r"arn:aws:[\w-]+:\S*|/[\w./-]+")


@resource_rule(
    "function-by-digest",
    FUNCTION,
    "A function runs the image that git pins.",
    fix="Set package_type Image and image_uri to <repository>@sha256:<digest>.",
)
def by_digest(function: ResourceValidationArgs) -> Iterator[str]:
    if not BY_DIGEST.fullmatch(str(function.props.get("imageUri"))):
        yield f"runs {function.props.get('imageUri') or 'no image'}"


@resource_rule(
    "environment-no-secrets",
    (FUNCTION, TASK, PROJECT),
    "No secret is written into an environment, where whoever may describe the resource reads it.",
    fix="Put the secret into Secrets Manager and its ARN into the environment.",
    severity=Severity.CRITICAL,
)
def no_secrets(resource: ResourceValidationArgs) -> Iterator[str]:
    for name, value in _environment(resource.props):
        if LOOKS_SECRET.search(value) or (NAMED_SECRET.search(name) and value and not PLACE.fullmatch(value)):
            yield f"{name} holds a secret"


def _environment(props: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Of a function, of a task's containers, or of a build project."""
    variables: Mapping[str, object] = at(props, "environment", "variables") or {}
    yield from ((name, str(value)) for name, value in variables.items())
    listed = [*items(at(props, "environment", "environmentVariables"))]
    for container in json.loads(props.get("containerDefinitions") or "[]"):
        listed += container.get("environment", [])
    # Of the other types, the value is the secret's name.
    yield from ((each["name"], each["value"]) for each in listed if each.get("type", "PLAINTEXT") == "PLAINTEXT")


@stack_rule(
    "function-failures-kept",
    FUNCTION,
    "What a function failed on is kept: by the queue that feeds it, or by a destination of its own.",
    fix="Feed it from a queue with redrive_policy, or set dead_letter_config.",
)
def failures_kept(function: PolicyResource, stack: Stack) -> Iterator[str]:
    # Whoever waits for an answer sees the failure.
    callers = stack.naming(function, "aws:lambda/permission:Permission", "function")
    answered = any(each.props.get("principal") == "apigateway.amazonaws.com" for each in callers)
    fed = stack.naming(function, "aws:lambda/eventSourceMapping:EventSourceMapping", "functionName")
    told = stack.naming(function, "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig", "functionName")
    kept = at(function.props, "deadLetterConfig", "targetArn")
    if not (answered or fed or kept or any(at(each.props, "destinationConfig", "onFailure") for each in told)):
        yield "forgets what it failed on"


@resource_rule(
    "function-environment-encrypted",
    FUNCTION,
    "A function's environment is encrypted with our key.",
    fix="Set kms_key_arn.",
    severity=Severity.MEDIUM,
)
def environment_encrypted(function: ResourceValidationArgs) -> Iterator[str]:
    if at(function.props, "environment", "variables") and not function.props.get("kmsKeyArn"):
        yield "is encrypted without our key"


@stack_rule(
    "function-log-group",
    FUNCTION,
    "A function logs to a group that we made, or Lambda makes one that is kept forever and not encrypted.",
    fix="Make the log group and name it in logging_config, or call it /aws/lambda/<name>.",
)
def log_group(function: PolicyResource, stack: Stack) -> Iterator[str]:
    wanted = at(function.props, "loggingConfig", "logGroup") or f"/aws/lambda/{function.props.get('name')}"
    if wanted not in [group.props.get("name") for group in stack.of("aws:cloudwatch/logGroup:LogGroup")]:
        yield f"has no log group {wanted}"


@resource_rule(
    "function-caller-named",
    "aws:lambda/permission:Permission",
    "A service may call a function for one source alone.",
    fix="Set source_arn.",
)
def caller_named(permission: ResourceValidationArgs) -> Iterator[str]:
    if permission.props.get("principal") == "*" or not permission.props.get("sourceArn"):
        yield "lets the service call it for anyone"
