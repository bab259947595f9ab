"""What the pods may do on AWS: each service account a role, by EKS Pod Identity, and no key in any pod."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from infra.component import Component
from infra.iam import Statement, allow, role, service_trust
from infra.keys import READ, WRITE, use, use_objects
from infra.site import Site
from infra.storage import MODELS

NAMESPACE = "podium"
INPUT = "delayed/input/"
OUTPUT = "delayed/output/"


@dataclass(frozen=True, kw_only=True)
class WorkloadsArgs:
    """
    Attributes:
        model: the name of the one that is served.
    """

    cluster_name: pulumi.Input[str]
    cluster_arn: pulumi.Input[str]
    bucket_arn: pulumi.Input[str]
    data_key: pulumi.Input[str]
    queue_arn: pulumi.Input[str]
    table_arn: pulumi.Input[str]
    model: str


class Workloads(Component):
    """The gateway asks AWS for nothing, and so has no role.

    Outputs:
        rank_role_arn, jobs_role_arn: of the service accounts `rank` and `jobs`.
    """

    def __init__(self, name: str, site: Site, args: WorkloadsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, site, opts)
        self._args = args
        self.rank_role_arn = self._account("rank", self._ranking())
        self.jobs_role_arn = self._account("jobs", self._submitting())
        self.register_outputs({"rank_role_arn": self.rank_role_arn, "jobs_role_arn": self.jobs_role_arn})

    def _account(self, account: str, may: Sequence[Statement]) -> pulumi.Output[str]:
        made = role(self.site, account, [self._trust(account)], may, self.below())
        aws.eks.PodIdentityAssociation(
            account,
            cluster_name=self._args.cluster_name,
            namespace=NAMESPACE,
            service_account=account,
            role_arn=made.arn,
            opts=self.below(),
        )
        return made.arn

    def _trust(self, account: str) -> Statement:
        base = service_trust(self.site, "pods.eks", self._args.cluster_arn, ("sts:AssumeRole", "sts:TagSession"))
        where: Mapping[str, Mapping[str, Any]] = base["Condition"]
        # EKS tells whose pod asks. An association that somebody makes for another one gets nothing here.
        pod = {
            "aws:RequestTag/kubernetes-namespace": NAMESPACE,
            "aws:RequestTag/kubernetes-service-account": account,
        }
        return {**base, "Condition": {**where, "StringEquals": {**where["StringEquals"], **pod}}}

    def _ranking(self) -> list[Statement]:
        """One model's files, and nothing else: what a pod serves is in its memory once it is ready."""
        bucket, prefix = self._args.bucket_arn, f"{MODELS}{self._args.model}/"
        return [
            allow("Find", ["s3:ListBucket"], [bucket], {"StringLike": {"s3:prefix": f"{prefix}*"}}),
            allow("Read", ["s3:GetObject"], [pulumi.Output.concat(bucket, f"/{prefix}*")]),
            use_objects("Decrypt", self.site, self._args.data_key, bucket, [prefix]),
        ]

    def _submitting(self) -> list[Statement]:
        """Takes delayed work in, and gives its results out. It cannot take work from the queue, nor write results."""
        site, bucket, key = self.site, self._args.bucket_arn, self._args.data_key
        return [
            allow("Submit", ["s3:PutObject", "s3:AbortMultipartUpload"], [pulumi.Output.concat(bucket, f"/{INPUT}*")]),
            allow("Results", ["s3:GetObject"], [pulumi.Output.concat(bucket, f"/{OUTPUT}*")]),
            # Without this a result that is not there yet would be answered by 403, as if it never could be. S3 asks it
            # of a read with no prefix in the request.
            allow("Pending", ["s3:ListBucket"], [bucket], {"StringLikeIfExists": {"s3:prefix": f"{OUTPUT}*"}}),
            allow("Send", ["sqs:SendMessage"], [self._args.queue_arn]),
            allow(
                "Operations", ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"], [self._args.table_arn]
            ),
            use_objects("Objects", site, key, bucket, [INPUT, OUTPUT], actions=WRITE),
            use("Messages", site, key, "sqs", WRITE),
            # DynamoDB asks KMS in the caller's name (developer guide, "Authorizing use of your KMS key").
            use("Items", site, key, "dynamodb", READ),
        ]
