"""Who does what, and what comes of it: acted on the emulator. Beside each thing that a role is for stands what is next
to it, and must not be within reach."""

from __future__ import annotations

import json
from typing import Any

from tests.infra.behaviour import ALLOWED, REFUSED, Call, Row
from tests.infra.scene import LAYER, OF_LAYER, Scene, manifest

TRUST = json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"},
]})  # fmt: skip
ADMIN = "arn:aws:iam::aws:policy/AdministratorAccess"
# What an operation is called with beside its name.
Args = dict[str, Any]


def get(key: str, bucket: str = "") -> Call:
    return lambda scene, of: of("s3").get_object(Bucket=bucket.format(scene.account) or scene.bucket, Key=key)


def put(key: str, bucket: str = "", **more: Any) -> Call:
    return lambda scene, of: of("s3").put_object(
        Bucket=bucket.format(scene.account) or scene.bucket, Key=key, Body=b"{}", **more
    )


def delete(key: str) -> Call:
    return lambda scene, of: of("s3").delete_object(Bucket=scene.bucket, Key=key)


def find(prefix: str) -> Call:
    return lambda scene, of: of("s3").list_objects_v2(Bucket=scene.bucket, Prefix=prefix)


def item(operation: str, table: str = "", **more: Any) -> Call:
    return lambda scene, of: getattr(of("dynamodb"), operation)(TableName=table or scene.name("rankings"), **more)


def call(service: str, operation: str, **args: Any) -> Call:
    """`{}` in a text is the environment's prefix, and `{account}` the account."""

    def filled(value: Any, scene: Scene) -> Any:
        if isinstance(value, str) and not value.startswith('{"'):
            return value.replace("{}", f"podium-{scene.stack}").replace("{account}", scene.account)
        return value

    return lambda scene, of: getattr(of(service), operation)(**{key: filled(each, scene) for key, each in args.items()})


def message(operation: str, **more: Any) -> Call:
    return lambda scene, of: getattr(of("sqs"), operation)(QueueUrl=scene.queue, **more)


def push(tag: str, other: str = "") -> Call:
    """An image as docker pushes it: a layer in parts, its configuration, the manifest."""

    def pushes(scene: Scene, of: Any) -> None:
        ecr = of("ecr")
        name = f"podium-{other or scene.stack}/serve".replace("podium-other", f"podium-{scene.other_environment}")
        upload = ecr.initiate_layer_upload(repositoryName=name)["uploadId"]
        ecr.upload_layer_part(
            repositoryName=name, uploadId=upload, partFirstByte=0, partLastByte=len(LAYER) - 1, layerPartBlob=LAYER
        )
        ecr.complete_layer_upload(repositoryName=name, uploadId=upload, layerDigests=[OF_LAYER])
        ecr.put_image(repositoryName=name, imageTag=tag, imageManifest=manifest(OF_LAYER, OF_LAYER))

    return pushes


def overwrite(scene: Scene, of: Any) -> None:
    push("once")(scene, of)
    other = f"sha256:{'0' * 64}"
    of("ecr").put_image(
        repositoryName=f"podium-{scene.stack}/serve", imageTag="once", imageManifest=manifest(OF_LAYER, other)
    )


KEY: Args = {"Key": {"pk": {"S": "job#0"}, "sk": {"S": "q"}}}
ITEM: Args = {"Item": {"pk": {"S": "job#0"}, "sk": {"S": "q"}}}
UPDATE: Args = {
    **KEY, "UpdateExpression": "SET n = :n", "ExpressionAttributeValues": {":n": {"N": "1"}},
}  # fmt: skip
IMAGES: Args = {"repositoryName": "{}/serve"}
NEW: Args = {"IfNoneMatch": "*"}

ROWS: tuple[Row, ...] = tuple(
    Row(role, *row)
    for role, rows in {
        "push": [
            ("logs in to the registry", ALLOWED, call("ecr", "get_authorization_token")),
            ("pushes an image", ALLOWED, push("commit")),
            ("pushes to the other environment", REFUSED, push("commit", other="other")),
            ("puts another image under a tag", "ImageTagAlreadyExistsException", overwrite),
            ("deletes an image", REFUSED, call("ecr", "batch_delete_image", **IMAGES, imageIds=[{"imageTag": "commit"}])),
            ("deletes the repository", REFUSED, call("ecr", "delete_repository", **IMAGES, force=True)),
            ("lets tags be overwritten", REFUSED, call("ecr", "put_image_tag_mutability", **IMAGES, imageTagMutability="MUTABLE")),
            ("lets images expire", REFUSED, call("ecr", "put_lifecycle_policy", **IMAGES, lifecyclePolicyText='{"rules": []}'.ljust(100))),
            ("opens the repository", REFUSED, call("ecr", "set_repository_policy", **IMAGES, policyText=TRUST)),
            ("makes a repository", REFUSED, call("ecr", "create_repository", repositoryName="{}/mine")),
            ("reads a model", REFUSED, get("models/mslr/1/manifest.json")),
        ],
        "train": [
            ("stages input", ALLOWED, put("training/inputs/b")),
            ("looks for input that is not there yet", "404", lambda scene, of: of("s3").head_object(Bucket=scene.bucket, Key="training/inputs/none")),
            ("reads what a job made", ALLOWED, get("training/jobs/j/model.tar.gz")),
            ("publishes a model", ALLOWED, put("models/mslr/2/manifest.json", **NEW)),
            ("reads the champion", ALLOWED, get("models/mslr/1/manifest.json")),
            ("lists models", ALLOWED, find("models/mslr/")),
            ("lists delayed work", REFUSED, find("delayed/input/")),
            ("replaces what a job made", REFUSED, put("training/jobs/j/model.tar.gz")),
            ("reads delayed work", REFUSED, get("delayed/input/old/a.txt")),
            ("writes a ranking", REFUSED, item("put_item", **ITEM)),
            ("pushes an image", REFUSED, push("trained")),
            ("makes a role", REFUSED, call("iam", "create_role", RoleName="{}-mine", AssumeRolePolicyDocument=TRUST)),
        ],
        "job": [
            ("reads its input", ALLOWED, get("training/inputs/a")),
            ("writes what it made", ALLOWED, put("training/jobs/k/model.tar.gz")),
            ("goes on from a checkpoint", ALLOWED, get("training/checkpoints/c")),
            ("logs in to the registry", ALLOWED, call("ecr", "get_authorization_token")),
            ("publishes a model itself", REFUSED, put("models/mslr/3/manifest.json", **NEW)),
            ("changes its input", REFUSED, put("training/inputs/a")),
            ("reads delayed work", REFUSED, get("delayed/input/old/a.txt")),
            ("pushes an image", REFUSED, push("jobs")),
            ("writes to a bucket of somebody else", REFUSED, put("x", "somebody-{}")),
        ],
        "rank": [
            ("reads its model", ALLOWED, get("models/mslr/1/manifest.json")),
            ("lists its model", ALLOWED, find("models/mslr/1/")),
            ("reads another model", REFUSED, get("models/other/1/manifest.json")),
            ("lists all models", REFUSED, find("models/")),
            ("lists the bucket", REFUSED, find("")),
            ("changes its model", REFUSED, put("models/mslr/1/manifest.json", **NEW)),
            ("publishes a model", REFUSED, put("models/mslr/4/manifest.json", **NEW)),
            ("reads training data", REFUSED, get("training/inputs/a")),
            ("reads delayed work", REFUSED, get("delayed/input/old/a.txt")),
            ("reads the same model of somebody else", REFUSED, get("models/mslr/1/manifest.json", "somebody-{}")),
            ("submits work", REFUSED, message("send_message", MessageBody="{}")),
            ("reads rankings", REFUSED, item("get_item", **KEY)),
            ("reads who it is and no more", REFUSED, call("iam", "get_role", RoleName="{}-rank")),
        ],
        "jobs": [
            ("submits a file", ALLOWED, put("delayed/input/new/a.txt")),
            ("reads a result", ALLOWED, get("delayed/output/old/summary.json")),
            ("asks for a result that is not there yet", "NoSuchKey", get("delayed/output/none/summary.json")),
            ("sends a message", ALLOWED, message("send_message", MessageBody="{}")),
            ("keeps a job", ALLOWED, item("put_item", **ITEM)),
            ("looks up a job", ALLOWED, item("get_item", **KEY)),
            ("takes work", REFUSED, message("receive_message")),
            ("empties the queue", REFUSED, message("purge_queue")),
            ("writes a result", REFUSED, put("delayed/output/new/summary.json")),
            ("reads somebody's file", REFUSED, get("delayed/input/old/a.txt")),
            ("reads a model", REFUSED, get("models/mslr/1/manifest.json")),
            ("deletes a job", REFUSED, item("delete_item", **KEY)),
            ("reads all jobs", REFUSED, item("scan")),
            ("writes into another table", REFUSED, item("put_item", "somebodys", **ITEM)),
            ("sends to another queue", REFUSED, lambda scene, of: of("sqs").send_message(
                QueueUrl=scene.queue.replace(scene.name("work"), f"podium-{scene.other_environment}-work"), MessageBody="{}")),
        ],
        "worker": [
            ("takes work", ALLOWED, message("receive_message")),
            ("asks how much there is", ALLOWED, message("get_queue_attributes", AttributeNames=["All"])),
            ("reads a file", ALLOWED, get("delayed/input/old/a.txt")),
            ("writes a result", ALLOWED, put("delayed/output/made/summary.json")),
            ("writes what is too large for the table", ALLOWED, put("delayed/spill/made")),
            ("keeps a ranking", ALLOWED, item("put_item", **ITEM)),
            ("counts", ALLOWED, item("update_item", **UPDATE)),
            ("reads another model", REFUSED, get("models/other/1/manifest.json")),
            ("reads a result", REFUSED, get("delayed/output/old/summary.json")),
            ("deletes a file", REFUSED, delete("delayed/input/old/a.txt")),
            ("submits a file", REFUSED, put("delayed/input/mine/a.txt")),
            ("submits work", REFUSED, message("send_message", MessageBody="{}")),
            ("deletes the queue", REFUSED, message("delete_queue")),
            ("deletes a ranking", REFUSED, item("delete_item", **KEY)),
            ("reads all rankings", REFUSED, item("scan")),
            ("writes into another table", REFUSED, item("put_item", "somebodys", **ITEM)),
            ("changes itself", REFUSED, call("lambda", "update_function_configuration", FunctionName="{}-worker", Timeout=900)),
            ("makes a log group", REFUSED, call("logs", "create_log_group", logGroupName="{}-mine")),
        ],
        "preview": [
            ("looks at the network", ALLOWED, call("ec2", "describe_vpcs")),
            ("looks at a role", ALLOWED, call("iam", "get_role", RoleName="{}-rank")),
            ("looks at the bucket's policy", ALLOWED, lambda scene, of: of("s3").get_bucket_policy(Bucket=scene.bucket)),
            ("looks at the table", ALLOWED, item("describe_table")),
            ("looks at the cluster", ALLOWED, call("eks", "describe_cluster", name="{}-cluster")),
            ("reads its state", ALLOWED, lambda scene, of: get(f".pulumi/stacks/podium/{scene.stack}.json", scene.state_bucket)(scene, of)),
            ("reads the other environment's state", REFUSED, lambda scene, of: get(f".pulumi/stacks/podium/{scene.other_environment}.json", scene.state_bucket)(scene, of)),
            ("changes its state", REFUSED, lambda scene, of: put(f".pulumi/stacks/podium/{scene.stack}.json", scene.state_bucket)(scene, of)),
            ("reads a model", REFUSED, get("models/mslr/1/manifest.json")),
            ("reads delayed work", REFUSED, get("delayed/input/old/a.txt")),
            ("reads rankings", REFUSED, item("get_item", **KEY)),
            ("takes work", REFUSED, message("receive_message")),
            ("makes a bucket", REFUSED, lambda scene, of: of("s3").create_bucket(Bucket=f"podium-{scene.stack}-x-{scene.account}", CreateBucketConfiguration={"LocationConstraint": scene.region})),
            ("changes the bucket's policy", REFUSED, lambda scene, of: of("s3").delete_bucket_policy(Bucket=scene.bucket)),
            ("makes a queue", REFUSED, call("sqs", "create_queue", QueueName="{}-mine")),
            ("makes a role", REFUSED, call("iam", "create_role", RoleName="{}-mine", AssumeRolePolicyDocument=TRUST)),
            ("opens a security group", REFUSED, call("ec2", "create_security_group", GroupName="x", Description="x", VpcId="vpc-0123456789abcdef0")),
            ("changes a function", REFUSED, call("lambda", "update_function_configuration", FunctionName="{}-worker", Timeout=900)),
        ],
        "apply": [
            ("makes a queue", ALLOWED, call("sqs", "create_queue", QueueName="{}-another")),
            ("looks at a role", ALLOWED, call("iam", "get_role", RoleName="{}-rank")),
            ("writes its state", ALLOWED, lambda scene, of: put(f".pulumi/stacks/podium/{scene.stack}.json", scene.state_bucket)(scene, of)),
            ("writes the other environment's state", REFUSED, lambda scene, of: put(f".pulumi/stacks/podium/{scene.other_environment}.json", scene.state_bucket)(scene, of)),
            ("makes a queue of another name", REFUSED, call("sqs", "create_queue", QueueName="mine")),
            ("deletes the other environment's queue", REFUSED, lambda scene, of: of("sqs").delete_queue(
                QueueUrl=scene.queue.replace(scene.name("work"), f"podium-{scene.other_environment}-work"))),
            ("makes an administrator", REFUSED, call("iam", "create_user", UserName="{}-admin")),
            ("makes a role without the boundary", REFUSED, call("iam", "create_role", RoleName="{}-mine", AssumeRolePolicyDocument=TRUST)),
            ("makes itself administrator", REFUSED, call("iam", "attach_role_policy", RoleName="{}-apply", PolicyArn=ADMIN)),
            ("gives itself more", REFUSED, call("iam", "put_role_policy", RoleName="{}-apply", PolicyName="more", PolicyDocument=TRUST)),
            ("takes off its boundary", REFUSED, call("iam", "delete_role_permissions_boundary", RoleName="{}-apply")),
            ("changes its boundary", REFUSED, call("iam", "create_policy_version", PolicyArn="arn:aws:iam::{account}:policy/{}-apply-boundary", PolicyDocument=TRUST, SetAsDefault=True)),
            ("changes everybody's boundary", REFUSED, call("iam", "create_policy_version", PolicyArn="arn:aws:iam::{account}:policy/{}-workload-boundary", PolicyDocument=TRUST, SetAsDefault=True)),
            ("lets itself be assumed", REFUSED, call("iam", "update_assume_role_policy", RoleName="{}-apply", PolicyDocument=TRUST)),
            ("deletes the table", REFUSED, item("delete_table")),
            ("deletes the cluster", REFUSED, call("eks", "delete_cluster", name="{}-cluster")),
            ("reads a bucket of somebody else", REFUSED, get("models/mslr/1/manifest.json", "somebody-{}")),
        ],
    }.items()
    for row in rows
)  # fmt: skip

# What not even all permissions would allow: somebody else refuses it.
REFUSED_BY_OTHERS: tuple[Row, ...] = tuple(
    Row(role, *row)
    for role in ("push", "train", "job", "rank", "jobs", "worker", "preview", "apply")
    for row in [
        ("deletes a model", REFUSED, delete("models/mslr/1/manifest.json")),
        ("takes the role of another", REFUSED, call(
            "sts", "assume_role", RoleArn="arn:aws:iam::{account}:role/{}-flow-logs", RoleSessionName="another")),
    ]
)  # fmt: skip

# The same that is allowed above: what makes the difference is TLS alone.
PLAIN: tuple[Row, ...] = (
    Row("rank", "reads its model", REFUSED, get("models/mslr/1/manifest.json"), tls=False),
    Row("train", "publishes a model", REFUSED, put("models/mslr/5/manifest.json", **NEW), tls=False),
    Row("jobs", "sends a message", REFUSED, message("send_message", MessageBody="{}"), tls=False),
    Row("worker", "takes work", REFUSED, message("receive_message"), tls=False),
)
