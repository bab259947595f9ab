"""What holds state: protected from a slip, and recoverable after one."""

from __future__ import annotations

from collections.abc import Iterator

from pulumi_policy import ResourceValidationArgs, Severity

from infra.policies.rules import at, resource_rule

TABLE = "aws:dynamodb/table:Table"
KEPT = ("aws:s3/bucket:Bucket", TABLE, "aws:kms/key:Key", "aws:ecr/repository:Repository", "aws:eks/cluster:Cluster")


@resource_rule(
    "state-protected",
    KEPT,
    "What holds state is not deleted by a change to the program.",
    fix="Register it with protect=True.",
    severity=Severity.CRITICAL,
)
def protected(resource: ResourceValidationArgs) -> Iterator[str]:
    if not resource.opts.protect:
        yield "is not protected"


@resource_rule(
    "state-not-forced",
    "aws:s3/bucket:Bucket",
    "A bucket with objects in it is not deleted.",
    fix="Leave force_destroy off.",
)
def not_forced(bucket: ResourceValidationArgs) -> Iterator[str]:
    if bucket.props.get("forceDestroy"):
        yield "is deleted with all its objects"


@resource_rule(
    "table-recoverable",
    TABLE,
    "A table can be restored to any second of the last weeks.",
    fix="Enable point_in_time_recovery.",
)
def recoverable(table: ResourceValidationArgs) -> Iterator[str]:
    if at(table.props, "pointInTimeRecovery", "enabled") is not True:
        yield "has no point-in-time recovery"


@resource_rule(
    "table-deletion-protected",
    TABLE,
    "A table is not deleted by one call.",
    fix="Set deletion_protection_enabled.",
)
def deletion_protected(table: ResourceValidationArgs) -> Iterator[str]:
    if table.props.get("deletionProtectionEnabled") is not True:
        yield "can be deleted"


@resource_rule(
    "table-expires",
    TABLE,
    "Rankings that nobody will read any more go away by themselves.",
    fix="Enable ttl with an attribute's name.",
    severity=Severity.MEDIUM,
)
def expires(table: ResourceValidationArgs) -> Iterator[str]:
    if at(table.props, "ttl", "enabled") is not True or not at(table.props, "ttl", "attributeName"):
        yield "keeps its items forever"


@resource_rule(
    "table-encrypted",
    TABLE,
    "A table is encrypted with our key.",
    fix="Enable server_side_encryption with kms_key_arn.",
)
def encrypted(table: ResourceValidationArgs) -> Iterator[str]:
    used = table.props.get("serverSideEncryption")
    if at(used, "enabled") is not True or not at(used, "kmsKeyArn"):
        yield "is encrypted without our key"


@resource_rule(
    "provider-account-pinned",
    "pulumi:providers:aws",
    "A stack reaches the account that it is meant for, and no other.",
    fix="Make an aws.Provider with allowed_account_ids and hand it to every resource.",
    severity=Severity.CRITICAL,
)
def account_pinned(provider: ResourceValidationArgs) -> Iterator[str]:
    if provider.props.get("allowedAccountIds") in (None, "", "[]"):
        yield "deploys into whichever account the credentials are for"
