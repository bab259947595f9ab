"""The bucket's policy judged request by request, above all the one that keeps models; and what expires and what not.

No emulator sets s3:if-none-match, so what is here is the only proof of it but AWS itself.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.storage import MODELS
from tests.infra.evaluate import Decision, Principal, Request, decide
from tests.infra.rights import Rights, committed
from tests.infra.stacks import STACKS, values

MODEL = f"{MODELS}mslr/1/model.ubj"
INPUT = "training/inputs/0/data.txt"
HEADER = {"s3:if-none-match": "*"}
# As S3 sets it: true where an object comes to be, false for what only prepares one (S3 user guide, "Enforce
# conditional writes").
WHOLE, PART = {"s3:ObjectCreationOperation": "true"}, {"s3:ObjectCreationOperation": "false"}
SSE, SSE_KEY = "s3:x-amz-server-side-encryption", "s3:x-amz-server-side-encryption-aws-kms-key-id"


@pytest.fixture(params=STACKS)
def rights(request: pytest.FixtureRequest) -> Rights:
    return Rights(committed(request.param))


def put(rights: Rights, key: str, context: dict[str, str]) -> Decision:
    return rights.may("train", "s3:PutObject", f"{rights.bucket}/{key}", context)


@pytest.mark.parametrize(
    ("what", "context", "allowed"),
    [
        ("PutObject with the header", {**WHOLE, **HEADER}, True),
        ("PutObject without", WHOLE, False),
        ("PutObject that replaces what it has seen", {**WHOLE, "s3:if-match": "etag"}, False),
        ("CreateMultipartUpload", PART, True),
        ("UploadPart", PART, True),
        ("CompleteMultipartUpload with the header", {**WHOLE, **HEADER}, True),
        ("CompleteMultipartUpload without", WHOLE, False),
        ("CopyObject without", {**WHOLE, "s3:x-amz-copy-source": "b/k"}, False),
        ("with the header, but in plain HTTP", {**WHOLE, **HEADER, "aws:SecureTransport": "false"}, False),
    ],
)
def test_a_model_is_put_only_where_none_is(rights: Rights, what: str, context: dict[str, str], allowed: bool) -> None:
    found = put(rights, MODEL, context)
    assert found.allowed is allowed, (what, found)
    if not allowed and context.get("aws:SecureTransport") != "false":
        assert found.why == "explicit deny: ModelsOnlyWhereNoneIs"


def test_elsewhere_puts_need_no_condition(rights: Rights) -> None:
    assert put(rights, INPUT, WHOLE)


@pytest.mark.parametrize("action", ["s3:DeleteObject", "s3:DeleteObjectVersion"])
def test_nobody_deletes_a_model_not_even_who_may_everything(rights: Rights, action: str) -> None:
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    policy = rights.graph.one("aws:s3/bucketPolicy:BucketPolicy", "data").inputs["policy"]
    administrator = Principal(f"arn:aws:iam::{rights.account}:role/administrator")
    model = Request(action, f"{rights.bucket}/{MODEL}", {}, administrator)
    assert decide(model, [everything], policy).why == "explicit deny: ModelsStay"
    assert decide(Request(action, f"{rights.bucket}/{INPUT}", {}, administrator), [everything], policy)


@pytest.mark.parametrize(
    ("context", "allowed"),
    [
        ({}, True),
        ({SSE: "aws:kms", SSE_KEY: "ours"}, True),
        ({SSE: "aws:kms"}, False),
        ({SSE: "aws:kms", SSE_KEY: "arn:aws:kms:eu-central-1:999999999999:key/theirs"}, False),
        ({SSE: "AES256"}, False),
        ({"s3:x-amz-server-side-encryption-customer-algorithm": "AES256"}, False),
    ],
)
def test_what_is_put_is_encrypted_by_our_key(rights: Rights, context: dict[str, str], allowed: bool) -> None:
    given = {key: rights.data_key if value == "ours" else value for key, value in context.items()}
    assert put(rights, INPUT, {**WHOLE, **given}).allowed is allowed


def test_models_never_expire_and_the_rest_does_by_setting(rights: Rights) -> None:
    stack = rights.environment
    rules = _rules(rights, "data")
    days = values(stack).get("storage", {})
    training, delayed = (90, 30) if stack == "production" else (days["trainingDays"], days["delayedDays"])
    expiring = {rule["filter"]["prefix"]: rule["expiration"]["days"] for rule in rules if "expiration" in rule}
    assert expiring == {"training/": training, "delayed/": delayed}
    assert not [prefix for prefix in expiring if MODELS.startswith(prefix)]


@pytest.mark.parametrize("bucket", ["data", "logs"])
def test_remains_go(rights: Rights, bucket: str) -> None:
    (rule,) = (each for each in _rules(rights, bucket) if each["id"] == "remains")
    assert rule["filter"]["prefix"] == ""
    assert rule["abortIncompleteMultipartUpload"]["daysAfterInitiation"] == 7
    assert rule["noncurrentVersionExpiration"]["noncurrentDays"] == (30 if rights.environment == "production" else 7)


@pytest.mark.parametrize("bucket", ["data", "logs"])
def test_a_bucket_is_closed_kept_and_versioned(rights: Rights, bucket: str) -> None:
    graph = rights.graph
    made = graph.one("aws:s3/bucket:Bucket", bucket)
    assert made.protect
    assert made.retain == (rights.environment == "production")
    assert made.inputs["bucket"] == rights.name(f"{bucket}-{rights.account}")
    closed = graph.one("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", bucket).inputs
    assert {key: value for key, value in closed.items() if value is True} == dict.fromkeys(
        ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"), True
    )
    versioning = graph.one("aws:s3/bucketVersioning:BucketVersioning", bucket).inputs
    assert versioning["versioningConfiguration"]["status"] == "Enabled"
    owned = graph.one("aws:s3/bucketOwnershipControls:BucketOwnershipControls", bucket).inputs
    assert owned["rule"]["objectOwnership"] == "BucketOwnerEnforced"


def test_the_data_is_encrypted_by_our_key_and_its_logs_are_where_s3_delivers(rights: Rights) -> None:
    kind = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
    (data,) = rights.graph.one(kind, "data").inputs["rules"]
    assert data["bucketKeyEnabled"] is True
    assert data["applyServerSideEncryptionByDefault"] == {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": rights.data_key}
    (logs,) = rights.graph.one(kind, "logs").inputs["rules"]
    assert logs["applyServerSideEncryptionByDefault"] == {"sseAlgorithm": "AES256"}
    logging = rights.graph.one("aws:s3/bucketLogging:BucketLogging", "data").inputs
    assert logging["targetBucket"] == rights.name(f"logs-{rights.account}")


@pytest.mark.parametrize("what", ["serve", "train"])
def test_images_are_immutable_scanned_and_ours(rights: Rights, what: str) -> None:
    made = rights.graph.one("aws:ecr/repository:Repository", what)
    assert made.protect
    assert made.inputs["name"] == f"podium-{rights.environment}/{what}"
    assert made.inputs["imageTagMutability"] == "IMMUTABLE"
    assert made.inputs["imageScanningConfiguration"] == {"scanOnPush": True}
    (encrypted,) = made.inputs["encryptionConfigurations"]
    assert encrypted == {"encryptionType": "KMS", "kmsKey": rights.key("images")}


@pytest.mark.parametrize("what", ["serve", "train"])
def test_no_image_that_a_release_can_name_expires(rights: Rights, what: str) -> None:
    """A release's images have a commit as tag. A rule that counts, or that looks at other tags, could take them."""
    policy = rights.graph.one("aws:ecr/lifecyclePolicy:LifecyclePolicy", what).inputs["policy"]
    rules: list[dict[str, Any]] = json.loads(policy)["rules"]
    assert rules
    for rule in rules:
        selection = rule["selection"]
        assert selection["countType"] == "sinceImagePushed"
        if selection["tagStatus"] != "untagged":
            assert selection["tagStatus"] == "tagged"
            # No hexadecimal commit begins so.
            assert all(not set(prefix) <= set("0123456789abcdef") for prefix in selection["tagPrefixList"])


def test_functions_pull_images_and_only_those_that_serve(rights: Rights) -> None:
    (pulled,) = rights.graph.of("aws:ecr/repositoryPolicy:RepositoryPolicy")
    assert pulled.name == "serve"
    (statement,) = json.loads(pulled.inputs["policy"])["Statement"]
    assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}
    source = statement["Condition"]["ArnLike"]["aws:SourceArn"]
    assert source == rights.arn("lambda", f"function:{rights.name('*')}")


def _rules(rights: Rights, bucket: str) -> list[dict[str, Any]]:
    kind = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
    return rights.graph.one(kind, bucket).inputs["rules"]
