"""Buckets: closed, owned, encrypted, versioned, and forgotten in time."""

from __future__ import annotations

from collections.abc import Iterator

from pulumi_policy import PolicyResource, ResourceValidationArgs, Severity

from infra.policies.documents import Statement, statements
from infra.policies.rules import Stack, at, items, resource_rule, stack_rule

BUCKET = "aws:s3/bucket:Bucket"
POLICY = "aws:s3/bucketPolicy:BucketPolicy"
BLOCKS = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")


def _gathers_logs(bucket: PolicyResource, stack: Stack) -> bool:
    return bool(stack.naming(bucket, "aws:s3/bucketLogging:BucketLogging", "targetBucket"))


@stack_rule(
    "bucket-public-access-block",
    BUCKET,
    "Nothing can make a bucket public.",
    fix="Add a BucketPublicAccessBlock with all four switches on.",
    severity=Severity.CRITICAL,
)
def public_access_block(bucket: PolicyResource, stack: Stack) -> Iterator[str]:
    blocks = stack.naming(bucket, "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", "bucket")
    if not blocks:
        yield "has no public access block"
    for block in blocks:
        yield from (f"leaves {name} off" for name in BLOCKS if block.props.get(name) is not True)


@stack_rule(
    "bucket-owner-enforced",
    BUCKET,
    "Access control lists do nothing: the bucket's owner owns what is in it.",
    fix="Add BucketOwnershipControls with BucketOwnerEnforced.",
)
def owner_enforced(bucket: PolicyResource, stack: Stack) -> Iterator[str]:
    controls = stack.naming(bucket, "aws:s3/bucketOwnershipControls:BucketOwnershipControls", "bucket")
    found = [at(each.props, "rule", "objectOwnership") for each in controls]
    if found != ["BucketOwnerEnforced"]:
        yield f"ownership is {found or 'not controlled'}"


@stack_rule(
    "bucket-tls-only",
    BUCKET,
    "A bucket refuses plain HTTP from everyone.",
    fix="Deny s3:* to * on the bucket and its objects where aws:SecureTransport is false.",
)
def tls_only(bucket: PolicyResource, stack: Stack) -> Iterator[str]:
    found = [
        each for policy in stack.naming(bucket, POLICY, "bucket") for each in statements(policy.props.get("policy"))
    ]
    if not any(_refuses_plain(each, "s3:*") and _whole_bucket(each) for each in found):
        yield "takes requests without TLS"


def _whole_bucket(statement: Statement) -> bool:
    return "*" in statement.resources or {name.endswith("/*") for name in statement.resources} == {True, False}


def _refuses_plain(statement: Statement, action: str) -> bool:
    return (
        statement.effect == "Deny"
        and statement.anyone
        and statement.actions in ([action], ["*"])
        and statement.conditions == [("Bool", "aws:SecureTransport", ["false"])]
    )


@stack_rule(
    "bucket-encrypted",
    BUCKET,
    "Objects are encrypted with our key, but for access logs, which S3 cannot deliver so.",
    fix="Add a BucketServerSideEncryptionConfiguration with aws:kms, our key and the bucket key.",
)
def encrypted(bucket: PolicyResource, stack: Stack) -> Iterator[str]:
    kind = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
    rules = [rule for each in stack.naming(bucket, kind, "bucket") for rule in items(each.props.get("rules"))]
    if not rules:
        yield "has no encryption configuration"
    for rule in rules:
        algorithm = at(rule, "applyServerSideEncryptionByDefault", "sseAlgorithm")
        if algorithm == "AES256" and _gathers_logs(bucket, stack):
            continue
        if algorithm != "aws:kms" or not at(rule, "applyServerSideEncryptionByDefault", "kmsMasterKeyId"):
            yield f"is encrypted by {algorithm} without our key"
        elif rule.get("bucketKeyEnabled") is not True:
            yield "asks KMS for every object"


@stack_rule(
    "bucket-versioned",
    BUCKET,
    "What is overwritten or deleted can be had back.",
    fix="Add a BucketVersioning with status Enabled.",
)
def versioned(bucket: PolicyResource, stack: Stack) -> Iterator[str]:
    found = stack.naming(bucket, "aws:s3/bucketVersioning:BucketVersioning", "bucket")
    if [at(each.props, "versioningConfiguration", "status") for each in found] != ["Enabled"]:
        yield "keeps no versions"


@stack_rule(
    "bucket-lifecycle",
    BUCKET,
    "Old versions and uploads that were given up are not paid for forever.",
    fix="Expire noncurrent versions and abort incomplete uploads by an enabled lifecycle rule.",
    severity=Severity.MEDIUM,
)
def lifecycle(bucket: PolicyResource, stack: Stack) -> Iterator[str]:
    kind = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
    rules = [rule for each in stack.naming(bucket, kind, "bucket") for rule in items(each.props.get("rules"))]
    enabled = [rule for rule in rules if rule.get("status") == "Enabled"]
    if not any("noncurrentVersionExpiration" in rule for rule in enabled):
        yield "keeps old versions forever"
    if not any("abortIncompleteMultipartUpload" in rule for rule in enabled):
        yield "keeps unfinished uploads forever"


@stack_rule(
    "bucket-access-logs",
    BUCKET,
    "Who read and wrote what is logged.",
    fix="Add a BucketLogging to the log bucket.",
    severity=Severity.MEDIUM,
)
def access_logs(bucket: PolicyResource, stack: Stack) -> Iterator[str]:
    if _gathers_logs(bucket, stack):
        return
    if not stack.naming(bucket, "aws:s3/bucketLogging:BucketLogging", "bucket"):
        yield "logs nothing"


@resource_rule(
    "bucket-models-immutable",
    POLICY,
    "A model that was published is neither replaced nor deleted.",
    fix="Deny s3:PutObject under models/ where s3:if-none-match is absent, and s3:DeleteObject there.",
)
def models_immutable(policy: ResourceValidationArgs) -> Iterator[str]:
    denied = [each for each in statements(policy.props.get("policy")) if each.effect == "Deny" and each.anyone]
    models = [each for each in denied if any("/models/" in name for name in each.resources)]
    if "-data-" not in str(policy.props.get("bucket")):
        return
    if not any(
        each.covers("s3:PutObject") and each.condition("Null", "s3:if-none-match") == ["true"] for each in models
    ):
        yield "lets a published model be overwritten"
    for action in ("s3:DeleteObject", "s3:DeleteObjectVersion"):
        if not any(each.covers(action) for each in models):
            yield f"lets a published model be deleted, by {action}"
