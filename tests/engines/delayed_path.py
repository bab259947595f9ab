"""The delayed path in an emulator, made by hand as infra/ makes it: a bucket that tells a queue, and a table."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from typing import Any

import boto3

from tests.engines.emulator import KEY, SECRET, client

ACCOUNT = "000000000000"


@dataclass(frozen=True)
class Path:
    """`s3`, `sqs` and `dynamodb` are clients of the emulator's owner."""

    endpoint: str
    bucket: str
    queue: str
    table: str
    s3: Any
    sqs: Any
    dynamodb: Any

    def drop(self, name: str, data: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=f"delayed/input/{name}", Body=data)

    def messages(self, count: int) -> list[dict[str, Any]]:
        """As SQS hands them to a function, S3's test message left out."""
        found: list[dict[str, Any]] = []
        until = time.monotonic() + 20
        while len(found) < count:
            assert time.monotonic() < until, f"{len(found)} of {count} messages came"
            answer = self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            found += [
                {"messageId": message["MessageId"], "body": message["Body"]}
                for message in answer.get("Messages", [])
                if "s3:TestEvent" not in message["Body"]
            ]
        return found

    def batch(self, count: int = 1) -> dict[str, Any]:
        return {"Records": self.messages(count)}

    def items(self) -> list[dict[str, Any]]:
        """The table's items as plain values, by line."""
        found: list[dict[str, Any]] = []
        for page in self.dynamodb.get_paginator("scan").paginate(TableName=self.table, ConsistentRead=True):
            found += [{name: _plain(value) for name, value in item.items()} for item in page["Items"]]
        return sorted(found, key=lambda item: item["line"])

    def read(self, key: str) -> bytes:
        return self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def keys(self, prefix: str) -> list[str]:
        found = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])
        return [each["Key"] for each in found]

    def close(self) -> None:
        for each in (self.s3, self.sqs, self.dynamodb):
            each.close()


def make(endpoint: str) -> Path:
    session: Any = boto3.session.Session(KEY, SECRET, region_name="us-east-1")
    s3, sqs, dynamodb = (
        client(endpoint),
        session.client("sqs", endpoint_url=endpoint),
        session.client("dynamodb", endpoint_url=endpoint),
    )
    name = f"podium-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"
    where = {"ArnEquals": {"aws:SourceArn": f"arn:aws:s3:::{name}"}, "StringEquals": {"aws:SourceAccount": ACCOUNT}}
    statement = {"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = {"Version": "2012-10-17", "Statement": [{**statement, "Resource": arn, "Condition": where}]}
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps(policy)})
    rules = [{"Name": "prefix", "Value": "delayed/input/"}]
    told = {"QueueArn": arn, "Events": ["s3:ObjectCreated:*"], "Filter": {"Key": {"FilterRules": rules}}}
    s3.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration={"QueueConfigurations": [told]})
    keys = ("pk", "sk")
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=True)],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
    )
    return Path(endpoint, name, queue, name, s3, sqs, dynamodb)


def _plain(value: dict[str, Any]) -> Any:
    (kind, text), *_ = value.items()
    return int(text) if kind == "N" else text
