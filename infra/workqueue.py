"""The queue of the delayed path: what S3 says of new files, kept until a worker is done with it, or given up."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.component import Component
from infra.iam import Statement, allow, document, tls_only
from infra.serving import bucket_arn
from infra.site import Site

DAY = 86_400

# A message that comes back keeps its age, also as a dead letter: dead letters must be kept longer than it can live.
WORK_DAYS, DEAD_DAYS = 4, 14

# A data key serves this long: 300 s are the default, and each new one is a request to KMS.
KEY_REUSE_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class WorkQueueArgs:
    """
    Args:
        bucket: the one bucket whose events are taken.
        worker_timeout_seconds: the longest that a worker has a message.
        tries: receives before a message is a dead letter.
    """

    bucket: pulumi.Input[str]
    data_key: pulumi.Input[str]
    worker_timeout_seconds: int
    tries: int


class WorkQueue(Component):
    """
    Outputs:
        url, arn, name: of the queue.
        dead_url, dead_arn, dead_name: of its dead letters.
        visibility_seconds: what a message is hidden for while it is worked on.
        policy: after it S3 may send.
    """

    def __init__(self, name: str, site: Site, args: WorkQueueArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, site, opts)
        # Lambda asks for six times the time-out: throttled tries must not make a message visible while it is worked on
        # (Lambda developer guide, "Configuring a queue to use with Lambda").
        self.visibility_seconds = 6 * args.worker_timeout_seconds
        dead = self._queue("work-dead", args, message_retention_seconds=DEAD_DAYS * DAY)
        redrive = pulumi.Output.json_dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": args.tries})
        work = self._queue(
            "work",
            args,
            message_retention_seconds=WORK_DAYS * DAY,
            visibility_timeout_seconds=self.visibility_seconds,
            redrive_policy=redrive,
        )
        aws.sqs.RedriveAllowPolicy(
            "work-dead",
            queue_url=dead.url,
            redrive_allow_policy=pulumi.Output.json_dumps(
                {"redrivePermission": "byQueue", "sourceQueueArns": [work.arn]}
            ),
            opts=self.below(),
        )
        self._policy("work-dead", dead)
        self.policy: pulumi.Resource = self._policy("work", work, _from_bucket(site, args.bucket, work.arn))
        self.url: pulumi.Output[str] = work.url
        self.arn: pulumi.Output[str] = work.arn
        self.name: pulumi.Output[str] = work.name
        self.dead_url: pulumi.Output[str] = dead.url
        self.dead_arn: pulumi.Output[str] = dead.arn
        self.dead_name: pulumi.Output[str] = dead.name
        self.register_outputs({"url": self.url, "dead_url": self.dead_url})

    def _queue(
        self,
        what: str,
        args: WorkQueueArgs,
        *,
        message_retention_seconds: int,
        visibility_timeout_seconds: int | None = None,
        redrive_policy: pulumi.Input[str] | None = None,
    ) -> aws.sqs.Queue:
        return aws.sqs.Queue(
            what,
            name=self.site.name(what),
            kms_master_key_id=args.data_key,
            kms_data_key_reuse_period_seconds=KEY_REUSE_SECONDS,
            message_retention_seconds=message_retention_seconds,
            visibility_timeout_seconds=visibility_timeout_seconds,
            redrive_policy=redrive_policy,
            opts=self.below(),
        )

    def _policy(self, what: str, queue: aws.sqs.Queue, *statements: Statement) -> aws.sqs.QueuePolicy:
        policy = document(tls_only("TlsOnly", "sqs:*", [queue.arn]), *statements)
        return aws.sqs.QueuePolicy(what, queue_url=queue.url, policy=policy, opts=self.below())


def _from_bucket(site: Site, bucket: pulumi.Input[str], queue: pulumi.Input[str]) -> Statement:
    # The account as well: names of buckets are taken anew by others once they are given up.
    where = {"ArnEquals": {"aws:SourceArn": bucket_arn(bucket)}, "StringEquals": {"aws:SourceAccount": site.account}}
    return allow("FromBucket", ["sqs:SendMessage"], [queue], where, {"Service": "s3.amazonaws.com"})
