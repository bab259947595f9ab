"""Tasks on Fargate, and what balances the load between them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from pulumi_policy import ResourceValidationArgs, Severity

from infra.policies.functions import BY_DIGEST, TASK
from infra.policies.rules import at, items, resource_rule

SERVICE = "aws:ecs/service:Service"
BALANCER, LISTENER = "aws:lb/loadBalancer:LoadBalancer", "aws:lb/listener:Listener"


@resource_rule(
    "task-hardened",
    TASK,
    "A task runs the image that git pins, as the image says, writes nothing to its root and logs.",
    fix="Set image by digest, readonlyRootFilesystem, logConfiguration; leave privileged off, and user to the image.",
)
def hardened(task: ResourceValidationArgs) -> Iterator[str]:
    for container in json.loads(task.props["containerDefinitions"]):
        name = container.get("name")
        if not BY_DIGEST.fullmatch(container.get("image", "")):
            yield f"{name} runs {container.get('image')}"
        if container.get("readonlyRootFilesystem") is not True:
            yield f"{name} can write to its root"
        if container.get("privileged"):
            yield f"{name} is privileged"
        # Who it runs as is said by the image. One that is not essential ends before the others serve.
        if container.get("essential", True) and str(container.get("user")).partition(":")[0] in ("root", "0"):
            yield f"{name} runs as root"
        if not container.get("logConfiguration"):
            yield f"{name} logs nothing"


@resource_rule(
    "task-roles-apart",
    TASK,
    "What starts a task may not do what the task may, nor the other way round.",
    fix="Give task_role_arn and execution_role_arn different roles.",
)
def roles_apart(task: ResourceValidationArgs) -> Iterator[str]:
    roles = [task.props.get("taskRoleArn"), task.props.get("executionRoleArn")]
    if not all(roles) or roles[0] == roles[1]:
        yield f"roles are {roles}"


@resource_rule(
    "task-rolled-back",
    SERVICE,
    "A deployment that does not come up is rolled back, and at least one task runs all the time.",
    fix="Enable deployment_circuit_breaker with rollback; set desired_count to 1 or more.",
)
def rolled_back(service: ResourceValidationArgs) -> Iterator[str]:
    breaker = service.props.get("deploymentCircuitBreaker")
    if at(breaker, "enable") is not True or at(breaker, "rollback") is not True:
        yield "a bad deployment stays"
    if (service.props.get("desiredCount") or 0) < 1:
        yield "may run no task"


@resource_rule(
    "task-private",
    SERVICE,
    "Tasks have no address on the internet.",
    fix="Leave assign_public_ip off.",
)
def private(service: ResourceValidationArgs) -> Iterator[str]:
    if at(service.props, "networkConfiguration", "assignPublicIp") is True:
        yield "tasks get public addresses"


@resource_rule(
    "balancer-internal",
    BALANCER,
    "A load balancer is reached from our networks, and drops what is not HTTP.",
    fix="Set internal and drop_invalid_header_fields.",
)
def internal(balancer: ResourceValidationArgs) -> Iterator[str]:
    if balancer.props.get("internal") is not True:
        yield "is open to the internet"
    if balancer.props.get("dropInvalidHeaderFields") is not True:
        yield "passes on headers that are not valid"


@resource_rule(
    "balancer-tls",
    LISTENER,
    "A load balancer speaks TLS 1.2 or later, or sends callers to where it does.",
    fix="Set protocol HTTPS, certificate_arn and an ssl_policy of ELBSecurityPolicy-TLS13-1-2.",
    severity=Severity.CRITICAL,
)
def tls(listener: ResourceValidationArgs) -> Iterator[str]:
    if listener.props.get("protocol") != "HTTPS":
        actions = [at(action, "type") for action in items(listener.props.get("defaultActions"))]
        if actions != ["redirect"]:
            yield f"speaks {listener.props.get('protocol')}"
    elif not re.match(r"ELBSecurityPolicy-TLS13-1-[23]-", str(listener.props.get("sslPolicy"))):
        yield f"TLS policy is {listener.props.get('sslPolicy')}"
