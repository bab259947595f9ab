from functools import cache
from typing import Any

import pulumi
import pytest

from infra.delayed import HANDLER, INPUT, OUTPUT, SPILL, Delayed, DelayedArgs
from infra.release import Release
from infra.settings import DelayedSettings
from service import delayed as handler
from tests.infra import single
from tests.infra.answers import ACCOUNT, REGION
from tests.infra.graph import Graph
from tests.infra.single import BUCKET, DATA_KEY, LOGS_KEY, RELEASE, REPOSITORY, after, permissions, statements, trust

BUCKET_ARN = f"arn:aws:s3:::{BUCKET}"
QUEUE, TABLE = "aws:sqs/queue:Queue", "aws:dynamodb/table:Table"
FUNCTION, MAPPING = "aws:lambda/function:Function", "aws:lambda/eventSourceMapping:EventSourceMapping"
ALARM, TOPIC = "aws:cloudwatch/metricAlarm:MetricAlarm", "aws:sns/topic:Topic"
OUTPUTS = (
    "queue_url", "queue_arn", "dead_letter_url", "dead_letter_arn", "table", "table_arn", "function_arn",
    "function_role_arn", "topic_arn",
)  # fmt: skip


@cache
def graph(release: Release | None = RELEASE, stack: str = "staging", **settings: Any) -> Graph:
    def make(opts: pulumi.ResourceOptions) -> dict[str, Any]:
        args = DelayedArgs(
            settings=DelayedSettings(**settings),
            bucket=BUCKET,
            data_key=DATA_KEY,
            logs_key=LOGS_KEY,
            repository=REPOSITORY,
            release=release,
        )
        made = Delayed("delayed", single.site(stack), args, opts)
        return {name: getattr(made, name) for name in OUTPUTS}

    return single.record(make, stack)


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


def test_only_new_files_of_queries_in_this_bucket_are_told_to_the_queue() -> None:
    told = graph().one("aws:s3/bucketNotification:BucketNotification", "delayed-input")
    assert told.inputs["bucket"] == BUCKET
    assert told.inputs["queues"] == [
        {
            "id": f"delayed-input{suffix.replace('.', '-')}",
            "queueArn": arn("sqs", "podium-staging-work"),
            "events": ["s3:ObjectCreated:*"],
            "filterPrefix": "delayed/input/",
            "filterSuffix": suffix,
        }
        for suffix in (".ndjson", ".ndjson.gz")
    ]
    # S3 tries the queue when it is told.
    assert after(graph(), told, "aws:sqs/queuePolicy:QueuePolicy", "work")


def test_the_worker_is_the_image_by_digest_with_another_command() -> None:
    inputs = graph().one(FUNCTION, "worker").inputs
    assert inputs["name"] == "podium-staging-worker"
    assert inputs["packageType"] == "Image"
    assert inputs["imageUri"] == f"{REPOSITORY}@{RELEASE.serve_amd64}"
    assert inputs["architectures"] == ["x86_64"]
    assert inputs["imageConfig"] == {"entryPoints": ["python", "-m", "awslambdaric"], "commands": [HANDLER]}
    assert inputs["kmsKeyArn"] == DATA_KEY
    assert inputs["tracingConfig"] == {"mode": "Active"}
    assert inputs["environment"]["variables"] == {
        "PODIUM_MODEL": f"s3://{BUCKET}/models/mslr/20260102-0123456789ab",
        "PODIUM_MODEL_SHA256": RELEASE.model_sha256,
        "PODIUM_TABLE": "podium-staging-rankings",
        "PODIUM_RESULT_DAYS": "7",
    }


def test_the_handler_is_where_the_command_says_and_agrees_about_the_places() -> None:
    module, _, name = HANDLER.rpartition(".")
    assert module == handler.__name__
    assert name == "handler"
    assert (handler.OUTPUT, handler.SPILL) == (OUTPUT, SPILL)


def test_the_workers_log_group_is_there_before_it() -> None:
    group = graph().one("aws:cloudwatch/logGroup:LogGroup", "worker")
    assert group.inputs["name"] == "/aws/lambda/podium-staging-worker"
    assert group.inputs["kmsKeyId"] == LOGS_KEY
    assert group.inputs["retentionInDays"] == 90
    function = graph().one(FUNCTION, "worker")
    assert group.urn in graph().needs(function)
    assert function.inputs["loggingConfig"] == {"logFormat": "JSON", "logGroup": group.inputs["name"]}


@pytest.mark.parametrize("seconds", [10, 120, 900])
def test_messages_come_one_by_one_and_fail_one_by_one(seconds: int) -> None:
    found = graph(timeout_seconds=seconds, concurrency=2)
    mapping, function = found.one(MAPPING, "worker").inputs, found.one(FUNCTION, "worker").inputs
    assert mapping["eventSourceArn"] == arn("sqs", "podium-staging-work")
    assert mapping["functionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["batchSize"] == 1
    assert mapping["scalingConfig"] == {"maximumConcurrency": 2}
    assert function["reservedConcurrentExecutions"] == 2
    assert function["timeout"] == seconds
    # Lambda takes no mapping of a queue that shows a message again while it is worked on.
    assert found.one(QUEUE, "work").inputs["visibilityTimeoutSeconds"] == 6 * seconds
    # Nor one whose role may not read the queue yet.
    assert after(found, found.one(MAPPING, "worker"), "aws:iam/rolePolicy:RolePolicy", "worker")
    assert after(found, found.one(FUNCTION, "worker"), "aws:iam/rolePolicy:RolePolicy", "worker")


def test_the_table_keeps_what_it_holds_until_it_expires() -> None:
    table = graph().one(TABLE, "rankings")
    assert table.inputs["name"] == "podium-staging-rankings"
    assert table.inputs["billingMode"] == "PAY_PER_REQUEST"
    assert (table.inputs["hashKey"], table.inputs["rangeKey"]) == ("pk", "sk")
    assert table.inputs["attributes"] == [{"name": "pk", "type": "S"}, {"name": "sk", "type": "S"}]
    assert table.inputs["ttl"] == {"attributeName": "expires", "enabled": True}
    assert table.inputs["pointInTimeRecovery"] == {"enabled": True}
    assert table.inputs["serverSideEncryption"] == {"enabled": True, "kmsKeyArn": DATA_KEY}
    assert table.inputs["deletionProtectionEnabled"] is True
    assert table.protect
    assert not table.retain
    assert graph(stack="production").one(TABLE, "rankings").retain


def test_the_worker_may_do_what_it_does_and_nothing_else() -> None:
    assert permissions(graph(), "worker") == statements(
        {
            "Statement": [
                {
                    "Sid": "Receive",
                    "Effect": "Allow",
                    "Action": [
                        "sqs:ReceiveMessage",
                        "sqs:DeleteMessage",
                        "sqs:ChangeMessageVisibility",
                        "sqs:GetQueueAttributes",
                    ],
                    "Resource": [arn("sqs", "podium-staging-work")],
                },
                {
                    "Sid": "ReadInput",
                    "Effect": "Allow",
                    "Action": ["s3:GetObject", "s3:GetObjectVersion"],
                    "Resource": [f"{BUCKET_ARN}/{INPUT}*"],
                },
                {
                    "Sid": "WriteFiles",
                    "Effect": "Allow",
                    "Action": ["s3:PutObject"],
                    "Resource": [f"{BUCKET_ARN}/{OUTPUT}*", f"{BUCKET_ARN}/{SPILL}*"],
                },
                {
                    "Sid": "KeepRankings",
                    "Effect": "Allow",
                    "Action": ["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:ConditionCheckItem"],
                    "Resource": [arn("dynamodb", "table/podium-staging-rankings")],
                },
                {
                    "Sid": "UseKey",
                    "Effect": "Allow",
                    "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
                    "Resource": [DATA_KEY],
                    "Condition": {
                        "StringEquals": {
                            "kms:ViaService": [
                                f"{service}.{REGION}.amazonaws.com" for service in ("s3", "sqs", "dynamodb")
                            ]
                        }
                    },
                },
                {
                    "Sid": "ReadModel",
                    "Effect": "Allow",
                    "Action": ["s3:GetObject"],
                    "Resource": [f"{BUCKET_ARN}/models/mslr/20260102-0123456789ab/*"],
                },
                {
                    "Sid": "ListModel",
                    "Effect": "Allow",
                    "Action": ["s3:ListBucket"],
                    "Resource": [BUCKET_ARN],
                    "Condition": {"StringLike": {"s3:prefix": "models/mslr/20260102-0123456789ab/*"}},
                },
                {
                    "Sid": "Log",
                    "Effect": "Allow",
                    "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
                    "Resource": [arn("logs", "log-group:/aws/lambda/podium-staging-worker:*")],
                },
                {
                    "Sid": "Trace",
                    "Effect": "Allow",
                    "Action": ["xray:PutTelemetryRecords", "xray:PutTraceSegments"],
                    "Resource": ["*"],
                },
            ]
        }
    )


def test_lambda_alone_takes_the_role_and_for_this_account_alone() -> None:
    (assume,) = trust(graph(), "worker").values()
    assert assume["Principal"] == {"Service": "lambda.amazonaws.com"}
    assert assume["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
    assert graph().one("aws:iam/role:Role", "worker").inputs["permissionsBoundary"].endswith("workload-boundary")


def test_on_day_0_messages_wait_for_a_worker() -> None:
    first = graph(None)
    assert first.of(FUNCTION) == first.of(MAPPING) == first.of("aws:iam/role:Role") == []
    assert len(first.of(QUEUE)) == 2
    assert len(first.of(TABLE)) == 1
    assert {each.name for each in first.of(ALARM)} == {"queue-age", "dead-letters"}
    made = first.outputs["made"]
    assert (made.get("function_arn"), made.get("function_role_arn")) == (None, None)


def test_others_find_everything_by_its_name() -> None:
    assert graph().outputs["made"] == {
        "queue_url": f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/podium-staging-work",
        "queue_arn": arn("sqs", "podium-staging-work"),
        "dead_letter_url": f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/podium-staging-work-dead",
        "dead_letter_arn": arn("sqs", "podium-staging-work-dead"),
        "table": "podium-staging-rankings",
        "table_arn": arn("dynamodb", "table/podium-staging-rankings"),
        "function_arn": arn("lambda", "function:podium-staging-worker"),
        "function_role_arn": f"arn:aws:iam::{ACCOUNT}:role/podium-staging-worker",
        "topic_arn": arn("sns", "podium-staging-alarms"),
    }


def test_everything_lies_below_its_component() -> None:
    for each in graph().resources:
        if each.type.startswith("aws:"):
            above = [parent.type for parent in graph().above(each)]
            assert "podium:infra:Delayed" in above, each.name
