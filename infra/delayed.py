"""The delayed path: a file in the bucket, a message in the queue, a worker from the image, rankings in a table."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.alarms import Alarms, AlarmsArgs
from infra.component import Component
from infra.function import Function, FunctionArgs
from infra.iam import Statement, allow
from infra.release import Release
from infra.serving import bucket_arn, may_use_key
from infra.settings import DelayedSettings
from infra.site import Site
from infra.workqueue import WorkQueue, WorkQueueArgs

INPUT, OUTPUT, SPILL = "delayed/input/", "delayed/output/", "delayed/spill/"
SUFFIXES = (".ndjson", ".ndjson.gz")

HANDLER = "service.delayed.handler"

# A message is a whole file, and takes what time that takes: with several in a batch, the last would find none left and
# count as tried. Failures are reported for each message all the same, as messages may come to be smaller pieces.
BATCH = 1


@dataclass(frozen=True, kw_only=True)
class DelayedArgs:
    """
    Args:
        bucket: its name; what lies below `delayed/input/` is worked on.
        repository: the address of the serve image's repository.
        release: what runs; until there is one, messages wait in the queue.
    """

    settings: DelayedSettings
    bucket: pulumi.Input[str]
    data_key: pulumi.Input[str]
    logs_key: pulumi.Input[str]
    repository: pulumi.Input[str]
    release: Release | None


class Delayed(Component):
    """
    Outputs:
        queue_url, queue_arn, dead_letter_url, dead_letter_arn: of the work.
        table, table_arn: of the rankings.
        function_arn, function_role_arn: of the worker, None without a release.
        topic_arn: where alarms go.
    """

    def __init__(self, name: str, site: Site, args: DelayedArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, site, opts)
        settings = args.settings
        queue = WorkQueue(
            "work",
            site,
            WorkQueueArgs(
                bucket=args.bucket,
                data_key=args.data_key,
                worker_timeout_seconds=settings.timeout_seconds,
                tries=settings.tries,
            ),
            self.below(),
        )
        table = self._table(args.data_key)
        self._notify(args.bucket, queue)
        function = None if args.release is None else self._worker(args, args.release, queue, table)
        alarms = Alarms(
            "alarms",
            site,
            AlarmsArgs(
                data_key=args.data_key,
                queue=queue.name,
                dead=queue.dead_name,
                # A try that failed is seen again after once this time.
                oldest_seconds=2 * queue.visibility_seconds,
                function=None if function is None else function.name,
                email=settings.alarm_email,
            ),
            self.below(),
        )
        self.queue_url, self.queue_arn = queue.url, queue.arn
        self.dead_letter_url, self.dead_letter_arn = queue.dead_url, queue.dead_arn
        self.table: pulumi.Output[str] = table.name
        self.table_arn: pulumi.Output[str] = table.arn
        self.function_arn = None if function is None else function.arn
        self.function_role_arn = None if function is None else function.role_arn
        self.topic_arn = alarms.topic_arn
        self.register_outputs({"queue_url": self.queue_url, "table": self.table, "topic_arn": self.topic_arn})

    def _table(self, data_key: pulumi.Input[str]) -> aws.dynamodb.Table:
        # A job may have a million queries, and DynamoDB takes a thousand writes a second for one partition key: so `pk`
        # is a job and one of its shards, and `sk` a query of it. Both are strings whose meaning the writer has.
        return aws.dynamodb.Table(
            "rankings",
            name=self.site.name("rankings"),
            billing_mode="PAY_PER_REQUEST",
            hash_key="pk",
            range_key="sk",
            attributes=[aws.dynamodb.TableAttributeArgs(name=key, type="S") for key in ("pk", "sk")],
            ttl=aws.dynamodb.TableTtlArgs(attribute_name="expires", enabled=True),
            point_in_time_recovery=aws.dynamodb.TablePointInTimeRecoveryArgs(enabled=True),
            server_side_encryption=aws.dynamodb.TableServerSideEncryptionArgs(enabled=True, kms_key_arn=data_key),
            deletion_protection_enabled=True,
            opts=self.kept(),
        )

    def _notify(self, bucket: pulumi.Input[str], queue: WorkQueue) -> None:
        # A bucket has one such resource; S3 tries the queue when it is set, so its policy must be there.
        aws.s3.BucketNotification(
            "delayed-input",
            bucket=bucket,
            queues=[
                aws.s3.BucketNotificationQueueArgs(
                    id=f"delayed-input{suffix.replace('.', '-')}",
                    queue_arn=queue.arn,
                    events=["s3:ObjectCreated:*"],
                    filter_prefix=INPUT,
                    filter_suffix=suffix,
                )
                for suffix in SUFFIXES
            ],
            opts=self.below(queue.policy),
        )

    def _worker(self, args: DelayedArgs, release: Release, queue: WorkQueue, table: aws.dynamodb.Table) -> Function:
        settings = args.settings
        function = Function(
            "worker",
            self.site,
            FunctionArgs(
                handler=HANDLER,
                release=release,
                repository=args.repository,
                bucket=args.bucket,
                data_key=args.data_key,
                logs_key=args.logs_key,
                memory_mb=settings.memory_mb,
                timeout_seconds=settings.timeout_seconds,
                concurrency=settings.concurrency,
                environment={"PODIUM_TABLE": table.name, "PODIUM_RESULT_DAYS": str(settings.result_days)},
                may=_work(self.site, args, queue, table),
            ),
            self.below(),
        )
        aws.lambda_.EventSourceMapping(
            "worker",
            event_source_arn=queue.arn,
            function_name=function.arn,
            batch_size=BATCH,
            function_response_types=["ReportBatchItemFailures"],
            scaling_config=aws.lambda_.EventSourceMappingScalingConfigArgs(maximum_concurrency=settings.concurrency),
            opts=self.below(),
        )
        return function


def _work(site: Site, args: DelayedArgs, queue: WorkQueue, table: aws.dynamodb.Table) -> list[Statement]:
    receive = ["ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "GetQueueAttributes"]
    # A transaction is allowed by what is in it: a result, its job's counter, a look at the job's state.
    keep = ["PutItem", "UpdateItem", "ConditionCheckItem"]
    return [
        allow("Receive", [f"sqs:{action}" for action in receive], [queue.arn]),
        allow("ReadInput", ["s3:GetObject", "s3:GetObjectVersion"], [bucket_arn(args.bucket, f"/{INPUT}*")]),
        allow("WriteFiles", ["s3:PutObject"], [bucket_arn(args.bucket, f"/{prefix}*") for prefix in (OUTPUT, SPILL)]),
        allow("KeepRankings", [f"dynamodb:{action}" for action in keep], [table.arn]),
        may_use_key(site, args.data_key, ["Decrypt", "GenerateDataKey"], ["s3", "sqs", "dynamodb"]),
    ]
