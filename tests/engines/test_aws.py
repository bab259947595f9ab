"""The emulated account refuses for real: what it allows would prove nothing otherwise."""

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.engines import aws as engine
from tests.engines.aws import Aws, Credentials, NotEnforced, believe, running

REGION = "eu-central-1"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with running(tmp_path_factory.mktemp("aws")) as emulated:
        yield emulated


def test_an_emulator_that_lets_everybody_in_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_to_all = engine._START.replace("import sys", 'import os, sys; os.environ["AUTH"] = "false"')
    assert open_to_all != engine._START
    monkeypatch.setattr(engine, "_START", open_to_all)
    with pytest.raises(NotEnforced, match="AUTH"), running(tmp_path):
        pass


def test_an_emulator_that_enforces_is_believed_again(aws: Aws) -> None:
    believe(aws)


def test_a_wrong_secret_is_refused(aws: Aws) -> None:
    iam = aws.client("iam", aws.root("200000000001"), REGION)
    iam.create_user(UserName="somebody")
    iam.put_user_policy(UserName="somebody", PolicyName="all", PolicyDocument=policy("s3:*"))
    made = iam.create_access_key(UserName="somebody")["AccessKey"]
    right = aws.client("s3", Credentials(made["AccessKeyId"], made["SecretAccessKey"]), REGION)
    wrong = aws.client("s3", Credentials(made["AccessKeyId"], "x" * 40), REGION)
    right.list_buckets()
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        wrong.list_buckets()


def test_accounts_are_apart(aws: Aws) -> None:
    first, second = (aws.client("sqs", aws.root(account), REGION) for account in ("200000000002", "200000000003"))
    first.create_queue(QueueName="work")
    assert first.list_queues()["QueueUrls"]
    assert not second.list_queues().get("QueueUrls")


def test_a_request_without_tls_is_told_apart(aws: Aws) -> None:
    owner = "200000000004"
    iam, s3 = (aws.client(each, aws.root(owner), REGION) for each in ("iam", "s3"))
    s3.create_bucket(Bucket="closed", CreateBucketConfiguration={"LocationConstraint": REGION})
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": ["arn:aws:s3:::closed"]}
    condition = {"Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement | condition]})
    s3.put_bucket_policy(Bucket="closed", Policy=document)
    iam.create_user(UserName="reader")
    iam.put_user_policy(UserName="reader", PolicyName="all", PolicyDocument=policy("s3:*"))
    made = iam.create_access_key(UserName="reader")["AccessKey"]
    reader = Credentials(made["AccessKeyId"], made["SecretAccessKey"])
    aws.client("s3", reader, REGION).list_objects_v2(Bucket="closed")
    with pytest.raises(ClientError, match="AccessDenied"):
        aws.client("s3", reader, REGION, tls=False).list_objects_v2(Bucket="closed")


def policy(action: str) -> str:
    statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
