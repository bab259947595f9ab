import json
from functools import cache
from typing import Any

import pulumi

from infra.workqueue import WorkQueue, WorkQueueArgs
from tests.infra import single
from tests.infra.answers import ACCOUNT, REGION
from tests.infra.graph import Graph
from tests.infra.single import BUCKET, DATA_KEY, statements

WORK, DEAD = (f"arn:aws:sqs:{REGION}:{ACCOUNT}:podium-staging-{name}" for name in ("work", "work-dead"))
DAY = 86_400


@cache
def graph() -> Graph:
    def make(opts: pulumi.ResourceOptions) -> int:
        args = WorkQueueArgs(bucket=BUCKET, data_key=DATA_KEY, worker_timeout_seconds=100, tries=5)
        return WorkQueue("work", single.site(), args, opts).visibility_seconds

    return single.record(make)


def queue(name: str) -> dict[str, Any]:
    return graph().one("aws:sqs/queue:Queue", name).inputs


def policy(name: str) -> dict[str, dict[str, Any]]:
    return statements(graph().one("aws:sqs/queuePolicy:QueuePolicy", name).inputs["policy"])


def test_messages_are_encrypted_by_our_key() -> None:
    assert {queue(name)["kmsMasterKeyId"] for name in ("work", "work-dead")} == {DATA_KEY}


def test_a_message_that_fails_each_time_becomes_a_dead_letter_of_this_queue_alone() -> None:
    assert json.loads(queue("work")["redrivePolicy"]) == {"deadLetterTargetArn": DEAD, "maxReceiveCount": 5}
    allowed = graph().one("aws:sqs/redriveAllowPolicy:RedriveAllowPolicy", "work-dead").inputs
    assert json.loads(allowed["redriveAllowPolicy"]) == {"redrivePermission": "byQueue", "sourceQueueArns": [WORK]}
    assert "redrivePolicy" not in queue("work-dead")


def test_a_dead_letter_is_kept_longer_than_a_message_can_live() -> None:
    # Its age goes on counting from when it was sent.
    assert queue("work")["messageRetentionSeconds"] == 4 * DAY
    assert queue("work-dead")["messageRetentionSeconds"] == 14 * DAY
    assert graph().outputs["made"] == 600 == queue("work")["visibilityTimeoutSeconds"]
    assert 4 * DAY > 600 * 5


def test_this_bucket_alone_may_send_and_nobody_without_tls() -> None:
    work = policy("work")
    assert set(work) == {"FromBucket", "TlsOnly"}
    assert work["FromBucket"] == {
        "Sid": "FromBucket",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": ["sqs:SendMessage"],
        "Resource": [WORK],
        "Condition": {
            "ArnEquals": {"aws:SourceArn": f"arn:aws:s3:::{BUCKET}"},
            "StringEquals": {"aws:SourceAccount": ACCOUNT},
        },
    }
    for name, arn in (("work", WORK), ("work-dead", DEAD)):
        assert policy(name)["TlsOnly"] == {
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": {"AWS": "*"},
            "Action": ["sqs:*"],
            "Resource": [arn],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    assert set(policy("work-dead")) == {"TlsOnly"}
