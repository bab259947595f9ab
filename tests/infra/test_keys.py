"""The keys: kept, rotated, and used by services for this account's own things alone."""

from __future__ import annotations

import pytest

from tests.infra.evaluate import Principal, Request, decide
from tests.infra.rights import REGION, Rights, committed
from tests.infra.stacks import STACKS

KEYS = ("data", "cluster", "images", "logs")


@pytest.fixture(params=STACKS)
def rights(request: pytest.FixtureRequest) -> Rights:
    return Rights(committed(request.param))


@pytest.mark.parametrize("what", KEYS)
def test_a_key_is_kept_rotated_and_found_by_its_alias(rights: Rights, what: str) -> None:
    made = rights.graph.one("aws:kms/key:Key", f"{what}-key")
    assert made.protect
    assert made.retain == (rights.environment == "production")
    assert made.inputs["enableKeyRotation"] is True
    assert made.inputs["deletionWindowInDays"] == 30
    alias = rights.graph.one("aws:kms/alias:Alias", what).inputs
    assert alias["name"] == f"alias/{rights.name(what)}"


def asks(rights: Rights, what: str, service: str, context: dict[str, str], action: str = "kms:GenerateDataKey") -> bool:
    policy = rights.graph.one("aws:kms/key:Key", f"{what}-key").inputs["policy"]
    return decide(Request(action, rights.key(what), context, Principal(service=service)), [], policy).allowed


def test_s3_and_cloudwatch_notify_by_the_data_key_of_ours_alone(rights: Rights) -> None:
    account, theirs = {"aws:SourceAccount": rights.account}, {"aws:SourceAccount": "999999999999"}
    bucket = {"aws:SourceArn": rights.bucket}
    alarm = {"aws:SourceArn": rights.arn("cloudwatch", f"alarm:{rights.name('dead-letters')}")}
    for service, context, allowed in [
        ("s3.amazonaws.com", {**account, **bucket}, True),
        ("s3.amazonaws.com", {**theirs, **bucket}, False),
        ("s3.amazonaws.com", {**account, "aws:SourceArn": "arn:aws:s3:::theirs"}, False),
        ("s3.amazonaws.com", bucket, False),
        ("cloudwatch.amazonaws.com", {**account, **alarm}, True),
        ("cloudwatch.amazonaws.com", {**account, **bucket}, False),
        ("cloudwatch.amazonaws.com", {}, False),
        ("lambda.amazonaws.com", {**account, **bucket}, False),
    ]:
        assert asks(rights, "data", service, context) is allowed, (service, context)
    assert not asks(rights, "data", "s3.amazonaws.com", {**account, **bucket}, "kms:ScheduleKeyDeletion")
    assert not asks(rights, "cluster", "s3.amazonaws.com", {**account, **bucket})


def test_logs_are_encrypted_for_this_accounts_groups(rights: Rights) -> None:
    service, name = f"logs.{REGION}.amazonaws.com", "kms:EncryptionContext:aws:logs:arn"
    ours = rights.arn("logs", f"log-group:/aws/lambda/{rights.name('worker')}")
    assert asks(rights, "logs", service, {name: ours})
    assert not asks(rights, "logs", service, {name: ours.replace(rights.account, "999999999999")})
    assert not asks(rights, "logs", service, {})
    assert not asks(rights, "logs", "logs.us-east-1.amazonaws.com", {name: ours})
    assert not asks(rights, "data", service, {name: ours})


@pytest.mark.parametrize("what", KEYS)
def test_a_key_hands_over_to_this_accounts_iam_and_gives_nobody_anything_itself(rights: Rights, what: str) -> None:
    policy = rights.graph.one("aws:kms/key:Key", f"{what}-key").inputs["policy"]
    may = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "kms:*", "Resource": "*"}]}
    ours = Principal(f"arn:aws:iam::{rights.account}:role/x")
    for principal, identity, allowed in [
        (ours, [may], True),
        (ours, [], False),
        (Principal("arn:aws:iam::999999999999:role/x"), [may], False),
    ]:
        request = Request("kms:Decrypt", rights.key(what), {}, principal)
        assert decide(request, identity, policy, guarded=True).allowed is allowed
