"""The evaluator beside an emulator that enforces: the same policies and requests, once judged and once acted.

Where both judge alike, what the evaluator says of keys that the emulator never sets is worth more.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Generator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.engines.emulator import KEY, SECRET
from tests.infra.evaluate import Principal, Request, decide

ACCOUNT, REGION, BUCKET = "000000000000", "us-east-1", "agreement"
ARN = f"arn:aws:s3:::{BUCKET}"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/agreement"
SSE = "s3:x-amz-server-side-encryption"

Act = Callable[[Any], object]
ACTS: list[tuple[Request, Act]] = [
    (Request("s3:GetObject", f"{ARN}/a/x"), lambda s3: s3.get_object(Bucket=BUCKET, Key="a/x")),
    (Request("s3:GetObject", f"{ARN}/b/x"), lambda s3: s3.get_object(Bucket=BUCKET, Key="b/x")),
    (Request("s3:PutObject", f"{ARN}/a/y"), lambda s3: s3.put_object(Bucket=BUCKET, Key="a/y", Body=b"")),
    (
        Request("s3:PutObject", f"{ARN}/b/y", {SSE: "AES256"}),
        lambda s3: s3.put_object(Bucket=BUCKET, Key="b/y", Body=b"", ServerSideEncryption="AES256"),
    ),
    (Request("s3:DeleteObject", f"{ARN}/a/z"), lambda s3: s3.delete_object(Bucket=BUCKET, Key="a/z")),
    (
        Request("s3:ListBucket", ARN, {"s3:prefix": "a/"}),
        lambda s3: s3.list_objects_v2(Bucket=BUCKET, Prefix="a/"),
    ),
    (
        Request("s3:ListBucket", ARN, {"s3:prefix": "b/"}),
        lambda s3: s3.list_objects_v2(Bucket=BUCKET, Prefix="b/"),
    ),
]
# Without two that the emulator is known to judge otherwise than AWS: it fills in no policy variables, and calls a
# session aws:PrincipalArn where AWS calls its role.
CONDITIONS: list[dict[str, Any]] = [
    {}, {}, {},
    {"Bool": {"aws:SecureTransport": "false"}},
    {"Bool": {"aws:SecureTransport": "true"}},
    {"StringLike": {"s3:prefix": "a/*"}},
    {"StringLikeIfExists": {"s3:prefix": ["a/*", "c/*"]}},
    {"StringNotEquals": {SSE: "aws:kms"}},
    {"StringNotEqualsIfExists": {SSE: "AES256"}},
    {"Null": {SSE: "true"}},
    {"Null": {SSE: "false"}, "StringEquals": {SSE: "AES256"}},
    {"StringEquals": {"aws:PrincipalAccount": "999999999999"}},
    {"ForAllValues:StringEquals": {"aws:TagKeys": ["x"]}},
    {"ForAnyValue:StringEquals": {"aws:TagKeys": ["x"]}},
]  # fmt: skip
ACTIONS = ["s3:*", "s3:Get*", "s3:PutObject", ["s3:PutObject", "s3:DeleteObject"], "s3:ListBucket", "*", "s3:?etObject"]
RESOURCES = ["*", f"{ARN}/*", f"{ARN}/a/*", [ARN, f"{ARN}/b/*"], ARN, f"{ARN}/?/x"]


def _statement(draw: random.Random) -> dict[str, Any]:
    made: dict[str, Any] = {"Effect": draw.choice(["Allow", "Allow", "Allow", "Deny"])}
    made["NotAction" if draw.random() < 0.1 else "Action"] = draw.choice(ACTIONS)
    made["NotResource" if draw.random() < 0.1 else "Resource"] = draw.choice(RESOURCES)
    if condition := draw.choice(CONDITIONS):
        made["Condition"] = condition
    return made


def _policy(draw: random.Random) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [_statement(draw) for _ in range(draw.randint(1, 4))]}


@pytest.fixture(scope="module")
def owner(s3_endpoint: str) -> Generator[Callable[[str], Any]]:
    session: Any = boto3.session.Session(KEY, SECRET, region_name=REGION)
    clients: dict[str, Any] = {}

    def get(service: str) -> Any:
        if service not in clients:
            clients[service] = session.client(service, endpoint_url=s3_endpoint)
        return clients[service]

    get("s3").create_bucket(Bucket=BUCKET)
    # Some of the policies that are tried here name everybody.
    get("s3").delete_public_access_block(Bucket=BUCKET)
    for key in ("a/x", "b/x"):
        get("s3").put_object(Bucket=BUCKET, Key=key, Body=b"")
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    get("iam").create_role(RoleName="agreement", AssumeRolePolicyDocument=document)
    yield get
    for each in clients.values():
        each.close()


@pytest.fixture(scope="module")
def caller(owner: Callable[[str], Any], s3_endpoint: str) -> Generator[Any]:
    given = owner("sts").assume_role(RoleArn=ROLE, RoleSessionName="agreement")["Credentials"]
    session: Any = boto3.session.Session(
        given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], region_name=REGION
    )
    config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
    client = session.client("s3", endpoint_url=s3_endpoint, config=config)
    yield client
    client.close()


def allowed(act: Act, client: Any) -> bool:
    try:
        act(client)
    except ClientError as error:
        assert error.response.get("Error", {}).get("Code") in ("AccessDenied", "AccessDeniedException", "403"), error
        return False
    return True


def judged(request: Request, *policies: Any, **more: Any) -> bool:
    context = {"aws:SecureTransport": "false", **request.context}
    return decide(Request(request.action, request.resource, context, Principal(ROLE)), policies, **more).allowed


def test_a_caller_without_policies_is_refused(caller: Any) -> None:
    assert [allowed(act, caller) for _, act in ACTS] == [False] * len(ACTS)


def test_both_judge_a_roles_policies_alike(owner: Callable[[str], Any], caller: Any) -> None:
    draw, seen = random.Random(5), set[bool]()
    for _ in range(40):
        policy = _policy(draw)
        owner("iam").put_role_policy(RoleName="agreement", PolicyName="p", PolicyDocument=json.dumps(policy))
        for request, act in ACTS:
            expected = judged(request, policy)
            seen.add(expected)
            assert allowed(act, caller) is expected, (policy, request)
    assert seen == {True, False}


def test_both_judge_a_buckets_policy_alike(owner: Callable[[str], Any], caller: Any) -> None:
    draw, mine = (
        random.Random(6),
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}]},
    )
    owner("iam").put_role_policy(RoleName="agreement", PolicyName="p", PolicyDocument=json.dumps(mine))
    principals = itertools.cycle(
        ["*", {"AWS": ROLE}, {"AWS": f"arn:aws:iam::{ACCOUNT}:role/other"}, {"Service": "ec2.amazonaws.com"}]
    )
    try:
        for _ in range(30):
            policy = _policy(draw)
            for statement in policy["Statement"]:
                statement["Principal"] = next(principals)
                # A bucket's policy is of this bucket: AWS takes no other resources in it.
                statement.pop("NotResource", None)
                statement["Resource"] = draw.choice([each for each in RESOURCES if each != "*"])
            owner("s3").put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))
            for request, act in ACTS:
                assert allowed(act, caller) is judged(request, mine, resource=policy), (policy, request)
    finally:
        owner("s3").delete_bucket_policy(Bucket=BUCKET)


def test_both_judge_a_boundary_alike(owner: Callable[[str], Any], caller: Any) -> None:
    draw, everything = (
        random.Random(7),
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]},
    )
    iam = owner("iam")
    iam.put_role_policy(RoleName="agreement", PolicyName="p", PolicyDocument=json.dumps(everything))
    try:
        for number in range(20):
            boundary = _policy(draw)
            made = iam.create_policy(PolicyName=f"boundary-{number}", PolicyDocument=json.dumps(boundary))
            iam.put_role_permissions_boundary(RoleName="agreement", PermissionsBoundary=made["Policy"]["Arn"])
            for request, act in ACTS:
                assert allowed(act, caller) is judged(request, everything, boundary=boundary), (boundary, request)
    finally:
        iam.delete_role_permissions_boundary(RoleName="agreement")
