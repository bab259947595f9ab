"""A deployed stack with something in it, and those who act on it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tests.engines.aws import Credentials
from tests.infra.live import Deployed
from tests.infra.stacks import values

ISSUER = "https://token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"
NAMES = "repo:octo-org/podium"
IDS = "repo:octo-org@123456/podium@456789"
LAYER = b"layer"
OF_LAYER = f"sha256:{hashlib.sha256(LAYER).hexdigest()}"


@dataclass
class Scene:
    """Roles go by their short names, and act as with what their service gave them."""

    deployed: Deployed
    stack: str
    _sessions: dict[str, Credentials] = field(default_factory=dict[str, Credentials])

    def name(self, what: str) -> str:
        return f"podium-{self.stack}-{what}"

    def arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"

    @property
    def account(self) -> str:
        return self.deployed.account

    @property
    def region(self) -> str:
        return self.deployed.region

    @cached_property
    def bucket(self) -> str:
        return f"{self.name('data')}-{self.account}"

    @cached_property
    def state_bucket(self) -> str:
        return f"octo-org-pulumi-{self.account}"

    @cached_property
    def queue(self) -> str:
        return self.root("sqs").get_queue_url(QueueName=self.name("work"))["QueueUrl"]

    @cached_property
    def other_environment(self) -> str:
        return "production" if self.stack == "staging" else "staging"

    def root(self, service: str) -> Any:
        return self.deployed.root(service)

    def credentials(self, role: str) -> Credentials:
        if role not in self._sessions:
            self._sessions[role] = self.deployed.held(self.name(role))
        return self._sessions[role]

    def client(self, role: str, service: str, *, tls: bool = True) -> Any:
        return self.deployed.aws.client(service, self.credentials(role), self.region, tls=tls)

    def role_arn(self, role: str) -> str:
        return f"arn:aws:iam::{self.account}:role/{self.name(role)}"

    def assume(self, role: str, **claims: str) -> Any:
        """As a job of GitHub's does, with its token. Of that the emulator reads the claims, and not who signed it."""
        token = _token({"iss": ISSUER, "aud": AUDIENCE, **claims})
        # Nobody's: what STS is asked by such a job is not signed.
        sts = self.deployed.aws.client("sts", Credentials("AKIAIOSFODNN7EXAMPLE"), self.region)
        return sts.assume_role_with_web_identity(
            RoleArn=self.role_arn(role), RoleSessionName="job", WebIdentityToken=token
        )

    def furnish(self) -> None:
        """Puts something where it can be read, overwritten or deleted, as the account's owner."""
        s3 = self.root("s3")
        for key in (
            "models/mslr/1/manifest.json", "models/other/1/manifest.json",
            "training/inputs/a", "training/jobs/j/model.tar.gz", "training/checkpoints/c",
            "delayed/input/old/a.txt", "delayed/output/old/summary.json", "delayed/spill/s",
        ):  # fmt: skip
            s3.put_object(Bucket=self.bucket, Key=key, Body=b"{}", IfNoneMatch="*")
        s3.create_bucket(Bucket=self.state_bucket, CreateBucketConfiguration={"LocationConstraint": self.region})
        for stack in (self.stack, self.other_environment):
            s3.put_object(Bucket=self.state_bucket, Key=f".pulumi/stacks/podium/{stack}.json", Body=b"{}")
        s3.create_bucket(
            Bucket=f"somebody-{self.account}", CreateBucketConfiguration={"LocationConstraint": self.region}
        )
        s3.put_object(Bucket=f"somebody-{self.account}", Key="models/mslr/1/manifest.json", Body=b"{}")
        dynamodb = self.root("dynamodb")
        dynamodb.create_table(
            TableName="somebodys", BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        )  # fmt: skip
        self.root("sqs").create_queue(QueueName="somebodys")
        self.root("sqs").create_queue(QueueName=f"podium-{self.other_environment}-work")
        self.root("ecr").create_repository(repositoryName=f"podium-{self.other_environment}/serve")


@contextmanager
def permitted(scene: Scene, role: str, *, everything: bool) -> Generator[None]:
    """For a while the role has no permissions, or all that there are: what a row expects must then be missed."""
    iam, name = scene.root("iam"), scene.name(role)
    inline = {
        each: iam.get_role_policy(RoleName=name, PolicyName=each)["PolicyDocument"]
        for each in iam.list_role_policies(RoleName=name)["PolicyNames"]
    }
    attached = [each["PolicyArn"] for each in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]]
    boundary = iam.get_role(RoleName=name)["Role"].get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
    for each in inline:
        iam.delete_role_policy(RoleName=name, PolicyName=each)
    for each in attached:
        iam.detach_role_policy(RoleName=name, PolicyArn=each)
    if everything:
        statement = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_role_policy(RoleName=name, PolicyName="everything", PolicyDocument=document)
        iam.delete_role_permissions_boundary(RoleName=name)
    try:
        yield
    finally:
        if everything:
            iam.delete_role_policy(RoleName=name, PolicyName="everything")
            iam.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=boundary)
        for each, document in inline.items():
            iam.put_role_policy(RoleName=name, PolicyName=each, PolicyDocument=json.dumps(document))
        for each in attached:
            iam.attach_role_policy(RoleName=name, PolicyArn=each)


def manifest(layer: str, config: str) -> str:
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 2, "digest": config},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "size": len(LAYER), "digest": layer}],
        }
    )


def _token(claims: Mapping[str, str]) -> str:
    parts = [json.dumps(each).encode() for each in ({"alg": "RS256", "typ": "JWT"}, claims)]
    return ".".join([*(base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in parts), "c2lnbmF0dXJl"])


def github_values(stack: str) -> Mapping[str, Any]:
    """The names of GitHub's environments, as the stack has them."""
    from infra.settings import read

    settings = read(values(stack), stack)
    return {
        "push": settings.github.push_environment,
        "train": settings.github.train_environment,
        "preview": settings.github.preview_environment,
        "apply": stack,
    }
