"""Keys, buckets and repositories of images."""

from __future__ import annotations

from typing import Any

from tests.infra.live_handlers.asked import Asked, Made, upper


def key(asked: Asked) -> Made:
    kms = asked.client("kms")
    # Two that the key is given later, the second only when it is deleted.
    asked.get("deletionWindowInDays")
    made = kms.create_key(
        **asked.some("description", "policy", "keyUsage", "multiRegion", KeySpec="customerMasterKeySpec"),
        **_kms_tags(asked),
    )["KeyMetadata"]
    if asked.get("enableKeyRotation"):
        kms.enable_key_rotation(KeyId=made["KeyId"], **asked.some("rotationPeriodInDays"))
    return Made(made["KeyId"], {"arn": made["Arn"], "keyId": made["KeyId"]})


def alias(asked: Asked) -> Made:
    asked.client("kms").create_alias(**asked.some(AliasName="name", TargetKeyId="targetKeyId"))
    return Made(asked["name"], {"arn": asked.arn("kms", asked["name"])})


def bucket(asked: Asked) -> Made:
    name = asked.called("bucket")
    asked.client("s3").create_bucket(
        Bucket=name,
        CreateBucketConfiguration={"LocationConstraint": asked.region},
        **asked.some(ObjectLockEnabledForBucket="objectLockEnabled"),
    )
    if tags := asked.tags():
        asked.client("s3").put_bucket_tagging(Bucket=name, Tagging={"TagSet": tags})
    return Made(
        name,
        {
            "bucket": name,
            "arn": f"arn:aws:s3:::{name}",
            "bucketDomainName": f"{name}.s3.amazonaws.com",
            "bucketRegionalDomainName": f"{name}.s3.{asked.region}.amazonaws.com",
            "region": asked.region,
        },
    )


def versioning(asked: Asked) -> Made:
    asked.client("s3").put_bucket_versioning(Bucket=asked["bucket"], **asked.some("versioningConfiguration"))
    return Made(asked["bucket"])


def encryption(asked: Asked) -> Made:
    rules: list[dict[str, Any]] = []
    for rule in asked["rules"]:
        default = rule["applyServerSideEncryptionByDefault"]
        made: dict[str, Any] = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": default["sseAlgorithm"]}}
        if "kmsMasterKeyId" in default:
            made["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"] = default["kmsMasterKeyId"]
        if "bucketKeyEnabled" in rule:
            made["BucketKeyEnabled"] = rule["bucketKeyEnabled"]
        if "blockedEncryptionTypes" in rule:
            made["BlockedEncryptionTypes"] = {"EncryptionType": rule["blockedEncryptionTypes"]}
        rules.append(made)
    asked.client("s3").put_bucket_encryption(Bucket=asked["bucket"], ServerSideEncryptionConfiguration={"Rules": rules})
    return Made(asked["bucket"])


def ownership(asked: Asked) -> Made:
    asked.client("s3").put_bucket_ownership_controls(
        Bucket=asked["bucket"], OwnershipControls={"Rules": [upper(asked["rule"])]}
    )
    return Made(asked["bucket"])


def public_access(asked: Asked) -> Made:
    asked.client("s3").put_public_access_block(
        Bucket=asked["bucket"],
        PublicAccessBlockConfiguration=asked.some(
            "blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"
        ),
    )
    return Made(asked["bucket"])


def lifecycle(asked: Asked) -> Made:
    asked.client("s3").put_bucket_lifecycle_configuration(
        Bucket=asked["bucket"], LifecycleConfiguration={"Rules": [_rule(rule) for rule in asked["rules"]]}
    )
    return Made(asked["bucket"])


def policy(asked: Asked) -> Made:
    asked.client("s3").put_bucket_policy(**asked.some("bucket", "policy"))
    return Made(asked["bucket"])


def logging(asked: Asked) -> Made:
    asked.client("s3").put_bucket_logging(
        Bucket=asked["bucket"],
        BucketLoggingStatus={
            "LoggingEnabled": asked.some("targetBucket", "targetPrefix", TargetObjectKeyFormat="targetObjectKeyFormat")
        },
    )
    return Made(asked["bucket"])


def notification(asked: Asked) -> Made:
    queues: list[dict[str, Any]] = []
    for queue in asked["queues"]:
        filters = [
            {"Name": name, "Value": queue[key]}
            for name, key in (("prefix", "filterPrefix"), ("suffix", "filterSuffix"))
            if queue.get(key)
        ]
        made: dict[str, Any] = {"QueueArn": queue["queueArn"], "Events": queue["events"]}
        if "id" in queue:
            made["Id"] = queue["id"]
        if filters:
            made["Filter"] = {"Key": {"FilterRules": filters}}
        queues.append(made)
    asked.client("s3").put_bucket_notification_configuration(
        Bucket=asked["bucket"], NotificationConfiguration={"QueueConfigurations": queues}
    )
    return Made(asked["bucket"])


def repository(asked: Asked) -> Made:
    request: dict[str, Any] = {}
    if encryptions := asked.get("encryptionConfigurations"):
        request["encryptionConfiguration"] = encryptions[0]
    made = asked.client("ecr").create_repository(
        **request,
        **asked.same("imageTagMutability", "imageScanningConfiguration", "imageTagMutabilityExclusionFilters",
                     repositoryName="name"),
        **({"tags": tags} if (tags := asked.tags()) else {}),
    )["repository"]  # fmt: skip
    # As on AWS; the emulator's own address is this machine's.
    url = f"{asked.account}.dkr.ecr.{asked.region}.amazonaws.com/{made['repositoryName']}"
    outputs = {"arn": made["repositoryArn"], "registryId": made["registryId"], "repositoryUrl": url}
    return Made(made["repositoryName"], outputs)


def image_lifecycle(asked: Asked) -> Made:
    asked.client("ecr").put_lifecycle_policy(repositoryName=asked["repository"], lifecyclePolicyText=asked["policy"])
    return Made(asked["repository"])


def repository_policy(asked: Asked) -> Made:
    asked.client("ecr").set_repository_policy(repositoryName=asked["repository"], policyText=asked["policy"])
    return Made(asked["repository"])


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    """As S3 spells it: one transition is `Transitions` there, a day is a number."""
    made = {key: value for key, value in upper(rule).items() if key not in ("Id", "Filter")}
    made |= {"ID": rule["id"]} if "id" in rule else {}
    made["Filter"] = upper(rule.get("filter") or {"prefix": ""})
    return made


def _kms_tags(asked: Asked) -> dict[str, Any]:
    tags = [{"TagKey": each["Key"], "TagValue": each["Value"]} for each in asked.tags()]
    return {"Tags": tags} if tags else {}
