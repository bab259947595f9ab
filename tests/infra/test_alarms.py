from functools import cache
from typing import Any

import pulumi

from infra.alarms import Alarms, AlarmsArgs
from tests.infra import single
from tests.infra.answers import ACCOUNT, REGION
from tests.infra.graph import Graph
from tests.infra.single import DATA_KEY, statements

TOPIC_ARN = f"arn:aws:sns:{REGION}:{ACCOUNT}:podium-staging-alarms"
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"


@cache
def graph(function: str | None = "podium-staging-worker", email: str | None = None) -> Graph:
    def make(opts: pulumi.ResourceOptions) -> pulumi.Output[str]:
        args = AlarmsArgs(
            data_key=DATA_KEY, queue="work", dead="work-dead", oldest_seconds=1440, function=function, email=email
        )
        return Alarms("alarms", single.site(), args, opts).topic_arn

    return single.record(make)


def alarm(name: str) -> dict[str, Any]:
    return graph().one(ALARM, name).inputs


def test_each_alarm_watches_what_it_says() -> None:
    watched = {
        each.inputs["name"]: (
            each.inputs["namespace"], each.inputs["metricName"], each.inputs["statistic"], each.inputs["dimensions"],
            each.inputs["threshold"], each.inputs["period"] * each.inputs["evaluationPeriods"],
        )
        for each in graph().of(ALARM)
    }  # fmt: skip
    worker = {"FunctionName": "podium-staging-worker"}
    assert watched == {
        "podium-staging-queue-age": (
            "AWS/SQS", "ApproximateAgeOfOldestMessage", "Maximum", {"QueueName": "work"}, 1440, 900,
        ),
        "podium-staging-dead-letters": (
            "AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum", {"QueueName": "work-dead"}, 0, 60,
        ),
        "podium-staging-worker-errors": ("AWS/Lambda", "Errors", "Sum", worker, 0, 300),
        "podium-staging-worker-throttles": ("AWS/Lambda", "Throttles", "Sum", worker, 0, 900),
    }  # fmt: skip


def test_every_alarm_tells_the_topic_and_is_quiet_about_what_nobody_uses() -> None:
    for each in graph().of(ALARM):
        assert each.inputs["alarmActions"] == each.inputs["okActions"] == [TOPIC_ARN]
        assert each.inputs["comparisonOperator"] == "GreaterThanThreshold"
        assert each.inputs["treatMissingData"] == "notBreaching"
        assert len(each.inputs["alarmDescription"]) > 40


def test_only_this_environments_alarms_may_publish_and_nobody_without_tls() -> None:
    assert graph().one("aws:sns/topic:Topic", "alarms").inputs["kmsMasterKeyId"] == DATA_KEY
    found = statements(graph().one("aws:sns/topicPolicy:TopicPolicy", "alarms").inputs["policy"])
    assert set(found) == {"TlsOnly", "FromAlarms"}
    assert found["TlsOnly"]["Effect"] == "Deny"
    assert found["TlsOnly"]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert found["FromAlarms"]["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert found["FromAlarms"]["Action"] == ["sns:Publish"]
    assert found["FromAlarms"]["Condition"] == {
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
        "ArnLike": {"aws:SourceArn": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:podium-staging-*"},
    }


def test_without_a_worker_nothing_of_it_is_watched() -> None:
    assert {each.name for each in graph(None).of(ALARM)} == {"queue-age", "dead-letters"}


def test_alarms_go_to_an_address_only_where_one_is_named() -> None:
    subscription = "aws:sns/topicSubscription:TopicSubscription"
    assert graph().of(subscription) == []
    (made,) = graph(email="on-call@example.org").of(subscription)
    assert (made.inputs["protocol"], made.inputs["endpoint"]) == ("email", "on-call@example.org")
    assert made.inputs["topic"] == TOPIC_ARN
