"""Each pod's role: what it must be able to do, and that everything near by is refused."""

from __future__ import annotations

import pytest

from tests.infra.evaluate import Principal
from tests.infra.rights import REGION, Rights, committed
from tests.infra.stacks import STACKS

PODS = Principal(service="pods.eks.amazonaws.com")
ASSUME = ("sts:AssumeRole", "sts:TagSession")


@pytest.fixture(params=STACKS)
def rights(request: pytest.FixtureRequest) -> Rights:
    return Rights(committed(request.param))


def via(rights: Rights, service: str, context: str | None = None) -> dict[str, str]:
    given = {"kms:ViaService": f"{service}.{REGION}.amazonaws.com"}
    return given if context is None else {**given, "kms:EncryptionContext:aws:s3:arn": context}


def test_a_rank_pod_reads_its_model_and_nothing_else(rights: Rights) -> None:
    bucket = rights.bucket
    for action, resource, context, allowed in [
        ("s3:GetObject", f"{bucket}/models/mslr/1/model.ubj", {}, True),
        ("s3:GetObject", f"{bucket}/models/mslr2/1/model.ubj", {}, False),
        ("s3:GetObject", f"{bucket}/models/other/1/model.ubj", {}, False),
        ("s3:GetObject", f"{bucket}/delayed/output/1", {}, False),
        ("s3:GetObject", f"{bucket}/training/inputs/1", {}, False),
        ("s3:GetObject", f"{bucket}-other/models/mslr/1/model.ubj", {}, False),
        ("s3:ListBucket", bucket, {"s3:prefix": "models/mslr/1/"}, True),
        ("s3:ListBucket", bucket, {"s3:prefix": "models/"}, False),
        ("s3:ListBucket", bucket, {}, False),
        ("s3:PutObject", f"{bucket}/models/mslr/2/model.ubj", {"s3:if-none-match": "*"}, False),
        ("s3:DeleteObject", f"{bucket}/models/mslr/1/model.ubj", {}, False),
        ("sqs:SendMessage", rights.arn("sqs", rights.name("work")), {}, False),
        ("dynamodb:GetItem", rights.arn("dynamodb", f"table/{rights.name('rankings')}"), {}, False),
        ("kms:Decrypt", rights.data_key, via(rights, "s3", bucket), True),
        ("kms:Decrypt", rights.data_key, via(rights, "s3", f"{bucket}/models/mslr/1/x"), True),
        ("kms:Decrypt", rights.data_key, via(rights, "s3", f"{bucket}/delayed/output/1"), False),
        ("kms:Decrypt", rights.data_key, via(rights, "sqs"), False),
        ("kms:Decrypt", rights.data_key, {}, False),
        ("kms:GenerateDataKey", rights.data_key, via(rights, "s3", bucket), False),
        ("kms:Decrypt", rights.key("images"), via(rights, "s3", bucket), False),
    ]:
        assert rights.may("rank", action, resource, context).allowed is allowed, (action, resource, context)


def test_a_rank_pod_is_refused_over_plain_http(rights: Rights) -> None:
    found = rights.may("rank", "s3:GetObject", f"{rights.bucket}/models/mslr/1/x", {"aws:SecureTransport": "false"})
    assert found.why == "explicit deny: TlsOnly"


def test_the_jobs_pods_submit_and_read_results(rights: Rights) -> None:
    bucket, queue = rights.bucket, rights.arn("sqs", rights.name("work"))
    table = rights.arn("dynamodb", f"table/{rights.name('rankings')}")
    for action, resource, context, allowed in [
        ("s3:PutObject", f"{bucket}/delayed/input/1.json", {}, True),
        ("s3:PutObject", f"{bucket}/delayed/output/1.json", {}, False),
        ("s3:PutObject", f"{bucket}/models/mslr/1/x", {"s3:if-none-match": "*"}, False),
        ("s3:GetObject", f"{bucket}/delayed/output/1.json", {}, True),
        ("s3:GetObject", f"{bucket}/delayed/input/1.json", {}, False),
        ("s3:GetObject", f"{bucket}/models/mslr/1/x", {}, False),
        ("s3:ListBucket", bucket, {"s3:prefix": "delayed/output/1"}, True),
        ("s3:ListBucket", bucket, {}, True),
        ("s3:ListBucket", bucket, {"s3:prefix": "models/"}, False),
        ("s3:DeleteObject", f"{bucket}/delayed/output/1.json", {}, False),
        ("sqs:SendMessage", queue, {}, True),
        ("sqs:ReceiveMessage", queue, {}, False),
        ("sqs:PurgeQueue", queue, {}, False),
        ("sqs:SendMessage", f"{queue}-other", {}, False),
        ("dynamodb:GetItem", table, {}, True),
        ("dynamodb:PutItem", table, {}, True),
        ("dynamodb:UpdateItem", table, {}, True),
        ("dynamodb:DeleteItem", table, {}, False),
        ("dynamodb:Scan", table, {}, False),
        ("dynamodb:GetItem", f"{table}-other", {}, False),
        ("kms:GenerateDataKey", rights.data_key, via(rights, "s3", bucket), True),
        ("kms:GenerateDataKey", rights.data_key, via(rights, "sqs"), True),
        ("kms:Decrypt", rights.data_key, via(rights, "dynamodb"), True),
        ("kms:Decrypt", rights.data_key, {}, False),
    ]:
        assert rights.may("jobs", action, resource, context).allowed is allowed, (action, resource, context)


@pytest.mark.parametrize("account", ["rank", "jobs"])
@pytest.mark.parametrize(
    ("change", "trusted"),
    [
        ({}, True),
        ({"aws:SourceAccount": "999999999999"}, False),
        ({"aws:SourceArn": "arn:aws:eks:eu-central-1:111122223333:cluster/somebody-elses"}, False),
        ({"aws:RequestTag/kubernetes-namespace": "default"}, False),
        ({"aws:RequestTag/kubernetes-service-account": "default"}, False),
    ],
)
def test_only_their_own_pods_have_the_roles(account: str, change: dict[str, str], trusted: bool) -> None:
    rights = Rights(committed("staging"))
    context = {
        "aws:SourceAccount": rights.account,
        "aws:SourceArn": rights.arn("eks", f"cluster/{rights.name('cluster')}"),
        "aws:RequestTag/kubernetes-namespace": "podium",
        "aws:RequestTag/kubernetes-service-account": account,
        **change,
    }
    for action in ASSUME:
        assert rights.trusts(account, action, context, PODS).allowed is trusted
    assert not rights.trusts(account, "sts:AssumeRole", context, Principal(service="ec2.amazonaws.com"))
    assert not rights.trusts(account, "sts:AssumeRole", context, Principal(rights.role_arn("train")))


@pytest.mark.parametrize("account", ["rank", "jobs"])
def test_each_service_account_is_associated(rights: Rights, account: str) -> None:
    made = rights.graph.one("aws:eks/podIdentityAssociation:PodIdentityAssociation", account).inputs
    assert (made["namespace"], made["serviceAccount"]) == ("podium", account)
    assert made["roleArn"] == rights.role_arn(account)
