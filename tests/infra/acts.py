"""The calls that principals are tried with: what a row of the table does."""

from __future__ import annotations

import json
from typing import Any

from tests.infra.behaviour import Call
from tests.infra.scene import LAYER, OF_LAYER, Scene, manifest

TRUST = json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"},
]})  # fmt: skip
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


def state(operation: str, *, of_other: bool = False) -> Call:
    """Reads or writes what Pulumi keeps of a stack."""

    def acts(scene: Scene, of: Any) -> None:
        stack = scene.other_environment if of_other else scene.stack
        more = {"Body": b"{}"} if operation == "put_object" else {}
        getattr(of("s3"), operation)(Bucket=scene.state_bucket, Key=f".pulumi/stacks/podium/{stack}.json", **more)

    return acts


def other_queue(operation: str, **more: Any) -> Call:
    """The queue of the other environment in the same account."""

    def acts(scene: Scene, of: Any) -> None:
        url = scene.queue.replace(scene.name("work"), f"podium-{scene.other_environment}-work")
        getattr(of("sqs"), operation)(QueueUrl=url, **more)

    return acts


def bucket(operation: str, name: str = "", **more: Any) -> Call:
    """The data bucket, or one of another name in the same environment."""

    def acts(scene: Scene, of: Any) -> None:
        called = f"{scene.name(name)}-{scene.account}" if name else scene.bucket
        getattr(of("s3"), operation)(Bucket=called, **more)

    return acts


def version(policy: str) -> Call:
    """Changes a policy of the stack's, as its account's policies are changed."""
    arn = f"arn:aws:iam::{{account}}:policy/{{}}-{policy}"
    return call("iam", "create_policy_version", PolicyArn=arn, PolicyDocument=TRUST, SetAsDefault=True)


def assume(role: str) -> Call:
    arn = f"arn:aws:iam::{{account}}:role/{{}}-{role}"
    return call("sts", "assume_role", RoleArn=arn, RoleSessionName="another")


KEY: Args = {"Key": {"pk": {"S": "job#0"}, "sk": {"S": "q"}}}
ITEM: Args = {"Item": {"pk": {"S": "job#0"}, "sk": {"S": "q"}}}
UPDATE: Args = {
    **KEY, "UpdateExpression": "SET n = :n", "ExpressionAttributeValues": {":n": {"N": "1"}},
}  # fmt: skip
IMAGES: Args = {"repositoryName": "{}/serve"}
NEW: Args = {"IfNoneMatch": "*"}
ROLE: Args = {"RoleName": "{}-mine", "AssumeRolePolicyDocument": TRUST}
SLOWER: Args = {"FunctionName": "{}-worker", "Timeout": 900}
IN_REGION: Args = {"CreateBucketConfiguration": {"LocationConstraint": "eu-central-1"}}
GROUP: Args = {"GroupName": "mine", "Description": "mine", "VpcId": "vpc-0123456789abcdef0"}
MORE: Args = {"RoleName": "{}-apply", "PolicyName": "more", "PolicyDocument": TRUST}
ADMINISTER: Args = {"RoleName": "{}-apply", "PolicyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}
TRUSTED: Args = {"RoleName": "{}-apply", "PolicyDocument": TRUST}
EXPIRE = '{"rules": []}'.ljust(100)
TAG: Args = {"imageTag": "commit"}
MUTABLE: Args = {"imageTagMutability": "MUTABLE"}
