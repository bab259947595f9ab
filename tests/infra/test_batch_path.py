"""The delayed path end to end on a deployed stack, by its real handler: a file that the jobs pod's role puts, S3's
event in the queue, the worker's role that ranks it into the table, and the jobs pod's role that reads the result."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from service.delayed import Worker
from service.loading import Loader
from service.settings import Settings
from service.telemetry import Telemetry
from tests.engines.aws import Aws
from tests.infra.conftest import Deployments
from tests.infra.scene import Scene
from tests.service.bundles import make_bundle

QUERY = {"id": "q1", "items": [{"id": "a", "features": [1, 2, 3, 4]}, {"id": "b", "features": [0, 0, 0, 0]}]}


class Time:
    def get_remaining_time_in_millis(self) -> int:
        return 60_000


@pytest.fixture
def scene(deployed: Deployments) -> Scene:
    return Scene(deployed("staging"), "staging")


def test_a_file_becomes_rankings(scene: Scene, aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = as_function(scene, aws, tmp_path, monkeypatch)
    scene.client("jobs", "s3").put_object(
        Bucket=scene.bucket, Key="delayed/input/today/a.ndjson", Body=json.dumps(QUERY).encode() + b"\n"
    )
    record = received(scene, "today/a.ndjson")
    # S3 tells of these alone.
    scene.client("jobs", "s3").put_object(Bucket=scene.bucket, Key="delayed/input/today/a.txt", Body=b"{}")
    assert worker({"Records": [record]}, Time()) == {"batchItemFailures": []}
    scene.client("worker", "sqs").delete_message(QueueUrl=scene.queue, ReceiptHandle=record["receiptHandle"])
    job = json.loads(next(each for each in results(scene) if b"today" in each))
    assert (job["ranked"], job["failed"]) == (1, 0)
    items = [each for each in scene.root("dynamodb").scan(TableName=scene.name("rankings"))["Items"]
             if each["pk"]["S"].startswith(job["job"])]  # fmt: skip
    assert len(items) >= 1
    assert received(scene, "today/a.txt", seconds=0) is None


def test_a_worker_that_may_not_write_says_so(
    scene: Scene, aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the handler needs, it needs: without one of its permissions the message comes again."""
    worker = as_function(scene, aws, tmp_path, monkeypatch)
    iam, name = scene.root("iam"), scene.name("worker")
    policy = iam.get_role_policy(RoleName=name, PolicyName="worker")["PolicyDocument"]
    less = {**policy, "Statement": [each for each in policy["Statement"] if each["Sid"] != "KeepRankings"]}
    assert len(less["Statement"]) == len(policy["Statement"]) - 1
    scene.client("jobs", "s3").put_object(
        Bucket=scene.bucket, Key="delayed/input/tomorrow/b.ndjson", Body=json.dumps(QUERY).encode() + b"\n"
    )
    record = received(scene, "tomorrow/b.ndjson")
    iam.put_role_policy(RoleName=name, PolicyName="worker", PolicyDocument=json.dumps(less))
    try:
        failed = worker({"Records": [record]}, Time())
    finally:
        iam.put_role_policy(RoleName=name, PolicyName="worker", PolicyDocument=json.dumps(policy))
    assert failed == {"batchItemFailures": [{"itemIdentifier": record["messageId"]}]}
    assert worker({"Records": [record]}, Time()) == {"batchItemFailures": []}


def test_a_bucket_of_somebody_else_tells_the_queue_nothing(scene: Scene) -> None:
    s3, other = scene.root("s3"), f"elsewhere-{scene.account}"
    s3.create_bucket(Bucket=other, CreateBucketConfiguration={"LocationConstraint": scene.region})
    configuration = {"QueueArn": scene.arn("sqs", scene.name("work")), "Events": ["s3:ObjectCreated:*"]}
    s3.put_bucket_notification_configuration(
        Bucket=other, NotificationConfiguration={"QueueConfigurations": [configuration]},
        SkipDestinationValidation=True,
    )  # fmt: skip
    s3.put_object(Bucket=other, Key="delayed/input/foreign/a.ndjson", Body=b"{}")
    # Time enough: with a policy that lets it, the message is there at once.
    assert received(scene, "foreign/a.ndjson", seconds=1) is None


def as_function(scene: Scene, aws: Aws, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Worker:
    """The handler with its model from the bucket, as the function's environment and role have it."""
    function = scene.root("lambda").get_function_configuration(FunctionName=scene.name("worker"))
    environment: Mapping[str, str] = function["Environment"]["Variables"]
    pinned, bundle = environment["PODIUM_MODEL"], folder / "bundle"
    manifest = make_bundle(bundle, pinned.split("/")[-2])
    # A version is made of what is in it, so the made-up one that the stack pins is none: this one is released instead.
    uri = f"{pinned.rpartition('/')[0]}/{manifest.version}"
    release(scene, pinned.rpartition("/")[2], manifest.version)
    for file in sorted(each for each in bundle.rglob("*") if each.is_file()):
        key = f"{uri.partition(f'{scene.bucket}/')[2]}/{file.relative_to(bundle)}"
        scene.root("s3").put_object(Bucket=scene.bucket, Key=key, Body=file.read_bytes())
    who = scene.credentials("worker")
    for variable, value in {
        "AWS_ACCESS_KEY_ID": who.key, "AWS_SECRET_ACCESS_KEY": who.secret, "AWS_SESSION_TOKEN": who.token or "",
        "AWS_REGION": scene.region, "AWS_CA_BUNDLE": str(aws.certificate), "AWS_ENDPOINT_URL_DYNAMODB": aws.https,
    }.items():  # fmt: skip
        monkeypatch.setenv(variable, value)
    given = {
        **environment,
        "PODIUM_MODEL": uri,
        "PODIUM_MODEL_SHA256": manifest.digest,
        "PODIUM_S3_ENDPOINT": aws.https,
    }
    settings = Settings.from_env(given)
    loader = Loader(settings, Telemetry("test"))
    loader.start()
    s3, dynamodb = scene.client("worker", "s3"), scene.client("worker", "dynamodb")
    return Worker(loader.wait(60), settings, Telemetry("test"), s3, dynamodb)


def release(scene: Scene, old: str, new: str) -> None:
    """What a release changes of the worker's role: the version that it may read."""
    iam, name = scene.root("iam"), scene.name("worker")
    policy = json.dumps(iam.get_role_policy(RoleName=name, PolicyName="worker")["PolicyDocument"])
    iam.put_role_policy(RoleName=name, PolicyName="worker", PolicyDocument=policy.replace(old, new))


def received(scene: Scene, key: str, seconds: float = 10) -> Any:
    """The message of one file, as SQS gives it to a function; None where there is none."""
    until = time.monotonic() + seconds
    while True:
        answer = scene.client("worker", "sqs").receive_message(QueueUrl=scene.queue, MaxNumberOfMessages=10)
        for each in answer.get("Messages", []):
            if key in each["Body"]:
                return {"messageId": each["MessageId"], "body": each["Body"], "receiptHandle": each["ReceiptHandle"]}
        if time.monotonic() >= until:
            return None
        time.sleep(0.05)


def results(scene: Scene) -> list[bytes]:
    """As the jobs pod reads them."""
    s3 = scene.client("jobs", "s3")
    found = s3.list_objects_v2(Bucket=scene.bucket, Prefix="delayed/output/").get("Contents", [])
    return [s3.get_object(Bucket=scene.bucket, Key=each["Key"])["Body"].read() for each in found]
