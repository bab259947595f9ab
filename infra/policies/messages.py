"""Queues and topics: encrypted, over TLS, and no message is lost silently."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pulumi_policy import PolicyResource, ResourceValidationArgs, Severity

from infra.policies.documents import statements
from infra.policies.rules import Stack, at, items, resource_rule, stack_rule

QUEUE, TOPIC = "aws:sqs/queue:Queue", "aws:sns/topic:Topic"
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"


def _is_dead_letter(queue: PolicyResource, stack: Stack) -> bool:
    return any(queue.props.get("name") == _dead_letters(each) for each in stack.of(QUEUE))


def _dead_letters(queue: PolicyResource) -> str | None:
    redrive = json.loads(queue.props.get("redrivePolicy") or "{}")
    return str(redrive.get("deadLetterTargetArn", "")).rpartition(":")[2] or None


@resource_rule(
    "message-encrypted",
    (QUEUE, TOPIC),
    "Messages are encrypted with our key.",
    fix="Set kms_master_key_id.",
)
def encrypted(resource: ResourceValidationArgs) -> Iterator[str]:
    if str(resource.props.get("kmsMasterKeyId", "alias/aws/")).startswith("alias/aws/"):
        yield "is encrypted without our key"


@stack_rule(
    "message-tls-only",
    (QUEUE, TOPIC),
    "Queues and topics refuse plain HTTP from everyone.",
    fix="Deny the service's actions to * where aws:SecureTransport is false.",
)
def tls_only(resource: PolicyResource, stack: Stack) -> Iterator[str]:
    policies = [
        *stack.naming(resource, "aws:sqs/queuePolicy:QueuePolicy", "queueUrl"),
        *stack.naming(resource, "aws:sns/topicPolicy:TopicPolicy", "arn"),
        resource,
    ]
    action = "sqs:SendMessage" if resource.resource_type == QUEUE else "sns:Publish"
    found = [each for policy in policies for each in statements(policy.props.get("policy"))]
    if not any(
        each.effect == "Deny"
        and each.anyone
        and each.covers(action)
        and each.conditions == [("Bool", "aws:SecureTransport", ["false"])]
        for each in found
    ):
        yield "takes requests without TLS"


@stack_rule(
    "queue-redrive",
    QUEUE,
    "A message that cannot be worked on is put aside after a few attempts.",
    fix="Set redrive_policy with a dead-letter queue and maxReceiveCount.",
)
def redrive(queue: PolicyResource, stack: Stack) -> Iterator[str]:
    if _is_dead_letter(queue, stack):
        return
    if not _dead_letters(queue) or not json.loads(queue.props["redrivePolicy"]).get("maxReceiveCount"):
        yield "tries a poisoned message forever"


@stack_rule(
    "queue-dead-letters-watched",
    QUEUE,
    "Somebody is told of dead letters, and of messages that wait too long.",
    fix="Add a MetricAlarm with actions on ApproximateNumberOfMessagesVisible or ApproximateAgeOfOldestMessage.",
)
def dead_letters_watched(queue: PolicyResource, stack: Stack) -> Iterator[str]:
    metric = "ApproximateNumberOfMessagesVisible" if _is_dead_letter(queue, stack) else "ApproximateAgeOfOldestMessage"
    watching = [
        alarm
        for alarm in stack.of(ALARM)
        if alarm.props.get("metricName") == metric
        and queue.props.get("name") in (alarm.props.get("dimensions") or {}).values()
    ]
    if not any(items(alarm.props.get("alarmActions")) for alarm in watching):
        yield f"nobody is told of its {metric}"


@stack_rule(
    "queue-visibility",
    "aws:lambda/eventSourceMapping:EventSourceMapping",
    "A message stays hidden for six times what working on it may take, as AWS advises.",
    fix="Raise the queue's visibility_timeout_seconds or lower the function's timeout.",
)
def visibility(mapping: PolicyResource, stack: Stack) -> Iterator[str]:
    functions = stack.named_by(mapping, "functionName", "aws:lambda/function:Function")
    for queue in stack.named_by(mapping, "eventSourceArn", QUEUE):
        hidden = queue.props.get("visibilityTimeoutSeconds", 30)
        for function in functions:
            timeout = function.props.get("timeout", 3)
            if hidden < 6 * timeout:
                yield f"{queue.name} hides for {hidden:.0f} s what {function.name} may work on for {timeout:.0f} s"


@resource_rule(
    "queue-workers",
    "aws:lambda/eventSourceMapping:EventSourceMapping",
    "Workers report which messages of a batch failed, and are bounded: AWS takes no bound below 2.",
    fix="Set function_response_types to ReportBatchItemFailures and scaling_config.maximum_concurrency to 2 or more.",
    severity=Severity.HIGH,
)
def workers(mapping: ResourceValidationArgs) -> Iterator[str]:
    if "ReportBatchItemFailures" not in items(mapping.props.get("functionResponseTypes")):
        yield "works on a whole batch again when one message failed"
    bound = at(mapping.props, "scalingConfig", "maximumConcurrency") or 0
    if bound < 2:
        yield f"maximum concurrency is {bound:.0f}"
