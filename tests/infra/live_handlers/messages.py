"""Queues, topics and the table."""

from __future__ import annotations

from typing import Any

from tests.infra.live_handlers.asked import Asked, Made, upper

# What the provider says in a word of its own.
_QUEUE = {
    "VisibilityTimeout": "visibilityTimeoutSeconds",
    "MessageRetentionPeriod": "messageRetentionSeconds",
    "MaximumMessageSize": "maxMessageSize",
    "DelaySeconds": "delaySeconds",
    "ReceiveMessageWaitTimeSeconds": "receiveWaitTimeSeconds",
    "KmsMasterKeyId": "kmsMasterKeyId",
    "KmsDataKeyReusePeriodSeconds": "kmsDataKeyReusePeriodSeconds",
    "SqsManagedSseEnabled": "sqsManagedSseEnabled",
    "Policy": "policy",
    "RedrivePolicy": "redrivePolicy",
    "RedriveAllowPolicy": "redriveAllowPolicy",
}


def queue(asked: Asked) -> Made:
    name = asked.called()
    attributes = {wire: _text(asked[key]) for wire, key in _QUEUE.items() if key in asked}
    url = asked.client("sqs").create_queue(QueueName=name, Attributes=attributes, **asked.same("tags"))["QueueUrl"]
    # As on AWS; the emulator's own is an address of this machine.
    real = f"https://sqs.{asked.region}.amazonaws.com/{asked.account}/{url.rpartition('/')[2]}"
    return Made(real, {"arn": asked.arn("sqs", name), "name": name, "url": real})


def queue_policy(asked: Asked) -> Made:
    return _attribute(asked, "Policy", "policy")


def redrive_allow_policy(asked: Asked) -> Made:
    return _attribute(asked, "RedriveAllowPolicy", "redriveAllowPolicy")


def topic(asked: Asked) -> Made:
    name = asked.called()
    attributes = asked.some("kmsMasterKeyId", "policy", "displayName", "deliveryPolicy", "tracingConfig")
    texts = {key: _text(each) for key, each in attributes.items()}
    tags = {"Tags": asked.tags()} if asked.tags() else {}
    arn = asked.client("sns").create_topic(Name=name, Attributes=texts, **tags)["TopicArn"]
    return Made(arn, {"arn": arn, "name": name})


def topic_policy(asked: Asked) -> Made:
    asked.client("sns").set_topic_attributes(
        TopicArn=asked["arn"], AttributeName="Policy", AttributeValue=asked["policy"]
    )
    return Made(asked["arn"])


def subscription(asked: Asked) -> Made:
    made = asked.client("sns").subscribe(
        TopicArn=asked["topic"], ReturnSubscriptionArn=True, **asked.some("protocol", "endpoint")
    )
    return Made(made["SubscriptionArn"], {"arn": made["SubscriptionArn"]})


def table(asked: Asked) -> Made:
    dynamodb = asked.client("dynamodb")
    name = asked.called()
    keys = [("hashKey", "HASH"), ("rangeKey", "RANGE")]
    encryption: dict[str, Any] = {}
    if given := asked.get("serverSideEncryption"):
        encryption = {"SSESpecification": {"Enabled": given["enabled"]}}
        if "kmsKeyArn" in given:
            encryption["SSESpecification"] |= {"SSEType": "KMS", "KMSMasterKeyId": given["kmsKeyArn"]}
    made = dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": asked[key], "KeyType": kind} for key, kind in keys if key in asked],
        AttributeDefinitions=[
            {"AttributeName": each["name"], "AttributeType": each["type"]} for each in asked["attributes"]
        ],
        **encryption,
        **asked.some("billingMode", "deletionProtectionEnabled", "tableClass"),
        **({"Tags": tags} if (tags := asked.tags()) else {}),
    )["TableDescription"]
    if ttl := asked.get("ttl"):
        dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=upper(ttl))
    if recovery := asked.get("pointInTimeRecovery"):
        specification = {"PointInTimeRecoveryEnabled": recovery["enabled"]}
        dynamodb.update_continuous_backups(TableName=name, PointInTimeRecoverySpecification=specification)
    return Made(name, {"arn": made["TableArn"], "name": name})


def _attribute(asked: Asked, wire: str, key: str) -> Made:
    asked.client("sqs").set_queue_attributes(QueueUrl=asked["queueUrl"], Attributes={wire: asked[key]})
    return Made(asked["queueUrl"])


def _text(value: Any) -> str:
    """Attributes are texts, whatever they mean."""
    return str(value).lower() if isinstance(value, bool) else str(value)
