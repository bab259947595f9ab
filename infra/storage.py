"""What is kept: the bucket of models and data, the bucket of its access logs, and the repositories of images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from infra.component import Component
from infra.iam import ANYBODY, Statement, allow, deny, document, tls_only
from infra.settings import StorageSettings
from infra.site import Site

MODELS = "models/"
TRAINING = "training/"
DELAYED = "delayed/"
_NONE_MATCH = "s3:if-none-match"
_SSE = "s3:x-amz-server-side-encryption"
_SSE_KEY = f"{_SSE}-aws-kms-key-id"
# Interrupted uploads are billed and in no list.
_UPLOAD_DAYS = 7
# Images that nothing names any more: layers of builds that were replaced before they got a tag.
_UNTAGGED_DAYS = 14


@dataclass(frozen=True, kw_only=True)
class StorageArgs:
    settings: StorageSettings
    data_key: pulumi.Input[str]
    images_key: pulumi.Input[str]


@dataclass(frozen=True)
class Repository:
    """A repository of images: `url` is what docker calls it."""

    name: pulumi.Output[str]
    arn: pulumi.Output[str]
    url: pulumi.Output[str]


class Storage(Component):
    """
    Outputs:
        bucket, bucket_arn: of models, training and delayed work.
        logs_bucket: of who asked for what there.
        repositories: `serve` and `train`.
    """

    def __init__(self, name: str, site: Site, args: StorageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, site, opts)
        self._args = args
        self._versions: dict[str, aws.s3.BucketVersioning] = {}
        self._blocks: dict[str, aws.s3.BucketPublicAccessBlock] = {}
        data = self._data_bucket(logs := self._log_bucket())
        self.bucket, self.bucket_arn, self.logs_bucket = data.bucket, data.arn, logs.bucket
        self.repositories = {"serve": self._repository("serve", pulled_by_lambda=True)}
        self.repositories["train"] = self._repository("train")
        urls = {each: repository.url for each, repository in self.repositories.items()}
        self.register_outputs({"bucket": self.bucket, "logs_bucket": self.logs_bucket, "repositories": urls})

    def _data_bucket(self, logs: aws.s3.Bucket) -> aws.s3.Bucket:
        days = self._args.settings
        made = self._bucket("data")
        self._encrypt("data", made, self._args.data_key)
        self._lifecycle(
            "data",
            made,
            # No rule names models/: what release.yaml pins is never old.
            [_expiry("training", TRAINING, days.training_days), _expiry("delayed", DELAYED, days.delayed_days)],
            days.noncurrent_days,
        )
        self._policy("data", made, self._data_statements(made.arn))
        aws.s3.BucketLogging(
            "data", bucket=made.bucket, target_bucket=logs.bucket, target_prefix="data/", opts=self.below()
        )
        return made

    def _log_bucket(self) -> aws.s3.Bucket:
        days = self._args.settings
        made = self._bucket("logs")
        # S3 delivers access logs to no bucket whose default is a KMS key (S3 user guide, "Enabling server access
        # logging").
        self._encrypt("logs", made, None)
        self._lifecycle("logs", made, [_expiry("logs", "", days.log_days)], days.noncurrent_days)
        site = self.site
        source = f"arn:aws:s3:::{site.name('data')}-{site.account}"
        deliver = allow(
            "Deliver",
            ["s3:PutObject"],
            [pulumi.Output.concat(made.arn, "/*")],
            {"StringEquals": {"aws:SourceAccount": site.account}, "ArnEquals": {"aws:SourceArn": source}},
            {"Service": "logging.s3.amazonaws.com"},
        )
        self._policy("logs", made, [_tls(made.arn), deliver])
        return made

    def _bucket(self, what: str) -> aws.s3.Bucket:
        """A bucket that nobody but this account reaches, and that forgets nothing at once."""
        # The account is in the name: all of AWS shares one name space.
        made = aws.s3.Bucket(what, bucket=f"{self.site.name(what)}-{self.site.account}", opts=self.kept())
        self._versions[what] = aws.s3.BucketVersioning(
            what, bucket=made.bucket, versioning_configuration={"status": "Enabled"}, opts=self.kept()
        )
        aws.s3.BucketOwnershipControls(
            what, bucket=made.bucket, rule={"object_ownership": "BucketOwnerEnforced"}, opts=self.below()
        )
        self._blocks[what] = aws.s3.BucketPublicAccessBlock(
            what,
            bucket=made.bucket,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=self.below(),
        )
        return made

    def _encrypt(self, what: str, bucket: aws.s3.Bucket, key: pulumi.Input[str] | None) -> None:
        default: Any = {"sse_algorithm": "AES256"}
        if key is not None:
            default = {"sse_algorithm": "aws:kms", "kms_master_key_id": key}
        aws.s3.BucketServerSideEncryptionConfiguration(
            what,
            bucket=bucket.bucket,
            # With a bucket key one call to KMS is enough for many objects.
            rules=[{"apply_server_side_encryption_by_default": default, "bucket_key_enabled": key is not None}],
            opts=self.below(),
        )

    def _lifecycle(
        self,
        what: str,
        bucket: aws.s3.Bucket,
        expiries: Sequence[aws.s3.BucketLifecycleConfigurationRuleArgsDict],
        noncurrent_days: int,
    ) -> None:
        everything: aws.s3.BucketLifecycleConfigurationRuleArgsDict = {
            "id": "remains",
            "status": "Enabled",
            "filter": {"prefix": ""},
            "abort_incomplete_multipart_upload": {"days_after_initiation": _UPLOAD_DAYS},
            "noncurrent_version_expiration": {"noncurrent_days": noncurrent_days},
        }
        # S3 refuses rules for noncurrent versions while a bucket has none.
        versioned = self.below(self._versions[what])
        aws.s3.BucketLifecycleConfiguration(what, bucket=bucket.bucket, rules=[*expiries, everything], opts=versioned)

    def _policy(self, what: str, bucket: aws.s3.Bucket, statements: Sequence[Statement]) -> None:
        # S3 refuses two changes of who reaches a bucket at once.
        closed = self.below(self._blocks[what])
        aws.s3.BucketPolicy(what, bucket=bucket.bucket, policy=document(*statements), opts=closed)

    def _data_statements(self, bucket: pulumi.Output[str]) -> list[Statement]:
        everything, models = pulumi.Output.concat(bucket, "/*"), pulumi.Output.concat(bucket, f"/{MODELS}*")
        return [
            _tls(bucket),
            # A version never changes. The parts of an upload carry no condition, so they are exempt; what makes the
            # object of them is not (S3 user guide, "Enforce conditional writes").
            deny(
                "ModelsOnlyWhereNoneIs",
                ["s3:PutObject"],
                [models],
                {"Null": {_NONE_MATCH: "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}},
                ANYBODY,
            ),
            # Whoever must delete one changes this policy first, which is reviewed and logged.
            deny("ModelsStay", ["s3:DeleteObject", "s3:DeleteObjectVersion"], [models], None, ANYBODY),
            # Who names no encryption gets the bucket's. Another key would be one that readers may not use, or that is
            # somebody else's to delete.
            deny(
                "OwnKey",
                ["s3:PutObject"],
                [everything],
                {"Null": {_SSE: "false"}, "StringNotEquals": {_SSE_KEY: self._args.data_key}},
                ANYBODY,
            ),
            deny(
                "OwnKeyByNoOtherWay",
                ["s3:PutObject"],
                [everything],
                {"Null": {f"{_SSE}-customer-algorithm": "false"}},
                ANYBODY,
            ),
        ]

    def _repository(self, what: str, *, pulled_by_lambda: bool = False) -> Repository:
        name = f"podium-{self.site.environment}/{what}"
        made = aws.ecr.Repository(
            what,
            name=name,
            # A tag is a commit: who pushes one again has built something else.
            image_tag_mutability="IMMUTABLE",
            image_scanning_configuration={"scan_on_push": True},
            encryption_configurations=[{"encryption_type": "KMS", "kms_key": self._args.images_key}],
            opts=self.kept(),
        )
        aws.ecr.LifecyclePolicy(what, repository=made.name, policy=json.dumps(_image_rules()), opts=self.below())
        if pulled_by_lambda:
            functions = self.site.arn("lambda", f"function:{self.site.name('*')}")
            pull = allow(
                "FunctionsPull",
                ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
                # Lambda tells the function that it pulls for (Lambda developer guide, "Amazon ECR permissions").
                where={"ArnLike": {"aws:SourceArn": functions}},
                principals={"Service": "lambda.amazonaws.com"},
            )
            aws.ecr.RepositoryPolicy(what, repository=made.name, policy=document(pull), opts=self.below())
        return Repository(made.name, made.arn, made.repository_url)


def _tls(bucket: pulumi.Output[str]) -> Statement:
    return tls_only("TlsOnly", "s3:*", [bucket, pulumi.Output.concat(bucket, "/*")])


def _expiry(what: str, prefix: str, days: int) -> aws.s3.BucketLifecycleConfigurationRuleArgsDict:
    return {"id": what, "status": "Enabled", "filter": {"prefix": prefix}, "expiration": {"days": days}}


def _image_rules() -> dict[str, Any]:
    """What expires of images. ECR knows no pins, and a pin may be of any age; but every image that a release names was
    pushed under a tag, its commit, and so no rule counts or dates such tags. An index's images are untagged: ECR keeps
    what a kept index refers to (ECR user guide, "Examples of lifecycle policies")."""
    rules = {
        "Nothing names these": {"tagStatus": "untagged"},
        "Builds of branches, which no release may pin": {"tagStatus": "tagged", "tagPrefixList": ["branch-"]},
    }
    age = {"countType": "sinceImagePushed", "countUnit": "days", "countNumber": _UNTAGGED_DAYS}
    return {
        "rules": [
            {
                "rulePriority": number,
                "description": description,
                "selection": {**selected, **age},
                "action": {"type": "expire"},
            }
            for number, (description, selected) in enumerate(rules.items(), 1)
        ]
    }
