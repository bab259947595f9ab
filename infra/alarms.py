"""What wakes somebody up: a topic, and the alarms of the delayed path."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.component import Component
from infra.iam import allow, document, tls_only
from infra.site import Site


@dataclass(frozen=True, kw_only=True)
class AlarmsArgs:
    """
    Args:
        function: the worker, if there is one yet.
        oldest_seconds: how old a message may be that nobody is done with.
        email: an address that gets all alarms, once its owner has confirmed that.
    """

    data_key: pulumi.Input[str]
    queue: pulumi.Input[str]
    dead: pulumi.Input[str]
    oldest_seconds: int
    function: pulumi.Input[str] | None = None
    email: str | None = None


class Alarms(Component):
    """
    Outputs:
        topic_arn: where alarms go.
    """

    def __init__(self, name: str, site: Site, args: AlarmsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, site, opts)
        topic = aws.sns.Topic("alarms", name=site.name("alarms"), kms_master_key_id=args.data_key, opts=self.below())
        own = {
            "StringEquals": {"aws:SourceAccount": site.account},
            "ArnLike": {"aws:SourceArn": site.arn("cloudwatch", f"alarm:{site.name('*')}")},
        }
        policy = aws.sns.TopicPolicy(
            "alarms",
            arn=topic.arn,
            policy=document(
                # SNS has no sns:* in the policy of a topic (its API refuses actions that are not of topics).
                tls_only("TlsOnly", "sns:Publish", [topic.arn]),
                allow("FromAlarms", ["sns:Publish"], [topic.arn], own, {"Service": "cloudwatch.amazonaws.com"}),
            ),
            opts=self.below(),
        )
        if args.email is not None:
            aws.sns.TopicSubscription(
                "alarms-email", topic=topic.arn, protocol="email", endpoint=args.email, opts=self.below(policy)
            )
        self.topic_arn: pulumi.Output[str] = topic.arn
        self._queues(args)
        if args.function is not None:
            self._worker(args.function)
        self.register_outputs({"topic_arn": self.topic_arn})

    def _queues(self, args: AlarmsArgs) -> None:
        self._alarm(
            "queue-age", "Rankings wait longer than a failed try takes: workers do not keep up, or fail.",
            "AWS/SQS", "ApproximateAgeOfOldestMessage", "Maximum", {"QueueName": args.queue},
            above=args.oldest_seconds, minutes=5, periods=3,
        )  # fmt: skip
        self._alarm(
            "dead-letters", "A file was given up: look at the message and the worker's log, then redrive it.",
            "AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum", {"QueueName": args.dead},
            above=0, minutes=1, periods=1,
        )  # fmt: skip

    def _worker(self, function: pulumi.Input[str]) -> None:
        self._alarm(
            "worker-errors", "The worker fails as a whole: its start, its memory, or its time.",
            "AWS/Lambda", "Errors", "Sum", {"FunctionName": function}, above=0, minutes=5, periods=1,
        )  # fmt: skip
        # Now and then one is usual, because pollers begin before they know of the limit.
        self._alarm(
            "worker-throttles", "Workers are refused: the account's concurrency is less than what is reserved.",
            "AWS/Lambda", "Throttles", "Sum", {"FunctionName": function}, above=0, minutes=5, periods=3,
        )  # fmt: skip

    def _alarm(  # noqa: PLR0917
        self,
        what: str,
        description: str,
        namespace: str,
        metric: str,
        statistic: str,
        dimensions: dict[str, pulumi.Input[str]],
        *,
        above: int,
        minutes: int,
        periods: int,
    ) -> None:
        aws.cloudwatch.MetricAlarm(
            what,
            name=self.site.name(what),
            alarm_description=description,
            namespace=namespace,
            metric_name=metric,
            statistic=statistic,
            dimensions=dimensions,
            comparison_operator="GreaterThanThreshold",
            threshold=above,
            period=60 * minutes,
            evaluation_periods=periods,
            # A queue or function that nobody uses sends nothing.
            treat_missing_data="notBreaching",
            alarm_actions=[self.topic_arn],
            ok_actions=[self.topic_arn],
            opts=self.below(),
        )
