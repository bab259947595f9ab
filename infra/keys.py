"""The environment's KMS keys: whoever may use one is told so by service and by what is encrypted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_aws as aws

from infra.component import Component
from infra.iam import Statement, allow, document
from infra.site import Site

READ = ("kms:Decrypt",)
WRITE = ("kms:Decrypt", "kms:GenerateDataKey")
# What the services ask for that encrypt on their own account, not on a caller's.
_SERVICE = ("kms:Decrypt", "kms:GenerateDataKey*")
_LOGS = ("kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*")


class Keys(Component):
    """One key for each kind of thing that is lost or read as a whole: so that who pulls images or reads logs can
    decrypt no data.

    Outputs:
        data: of the bucket, the queue, the table, the topic and the disks of training jobs.
        cluster: of the secrets in Kubernetes.
        images: of the repositories.
        logs: of log groups.
    """

    def __init__(self, name: str, site: Site, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, site, opts)
        self.data = self._key("data", "Data, models, messages and results", self._notifiers())
        self.cluster = self._key("cluster", "Secrets in Kubernetes")
        self.images = self._key("images", "Container images")
        self.logs = self._key("logs", "Log groups", [self._log_groups()])
        self.register_outputs({each: getattr(self, each).arn for each in ("data", "cluster", "images", "logs")})

    def _key(self, what: str, description: str, services: Sequence[Statement] = ()) -> aws.kms.Key:
        made = aws.kms.Key(
            f"{what}-key",
            description=f"{description} of {self.site.environment}",
            enable_key_rotation=True,
            # The longest that KMS waits: what a key encrypted is lost with it.
            deletion_window_in_days=30,
            policy=document(self._account(), *services),
            opts=self.kept(),
        )
        aws.kms.Alias(what, name=f"alias/{self.site.name(what)}", target_key_id=made.key_id, opts=self.below())
        return made

    def _account(self) -> Statement:
        # Hands the key over to IAM: what a role may is said in the role's policy. Without it nobody could ever change
        # this policy (KMS developer guide, "Default key policy").
        return allow("Account", ["kms:*"], ["*"], principals={"AWS": self.site.iam_arn("root")})

    def _notifiers(self) -> list[Statement]:
        """S3 puts events into the queue, CloudWatch alarms into the topic, both for nobody's account but this one."""
        site = self.site
        sources = {"s3": f"arn:aws:s3:::{site.name('data')}-{site.account}"}
        sources["cloudwatch"] = site.arn("cloudwatch", f"alarm:{site.name('*')}")
        return [
            allow(
                f"Events{service.title()}",
                _SERVICE,
                ["*"],
                {"StringEquals": {"aws:SourceAccount": site.account}, "ArnLike": {"aws:SourceArn": source}},
                {"Service": f"{service}.amazonaws.com"},
            )
            for service, source in sources.items()
        ]

    def _log_groups(self) -> Statement:
        # CloudWatch Logs tells no source: the group that it encrypts is in the encryption context.
        group = {"kms:EncryptionContext:aws:logs:arn": self.site.arn("logs", "log-group:*")}
        principal = {"Service": f"logs.{self.site.region}.amazonaws.com"}
        return allow("LogGroups", _LOGS, ["*"], {"ArnLike": group}, principal)


def use(
    sid: str,
    site: Site,
    key: pulumi.Input[str],
    service: str,
    actions: Sequence[str] = READ,
    *,
    context: Mapping[str, Any] | None = None,
) -> Statement:
    """Lets a role use a key through one service alone: it can never have KMS decrypt what it got by other means.

    Args:
        context: patterns by key of the encryption context, of which one must match for each.
    """
    where: dict[str, Mapping[str, Any]] = {"StringEquals": {"kms:ViaService": site.endpoint(service)}}
    if context:
        where["StringLike"] = {f"kms:EncryptionContext:{name}": value for name, value in context.items()}
    return allow(sid, actions, [key], where)


def use_objects(
    sid: str,
    site: Site,
    key: pulumi.Input[str],
    bucket_arn: pulumi.Input[str],
    prefixes: Sequence[str],
    *,
    actions: Sequence[str] = READ,
) -> Statement:
    """As `use`, for objects below `prefixes` of a bucket. S3 names the bucket where it has a bucket key, as ours has,
    and else the object."""
    arns = [bucket_arn, *(pulumi.Output.concat(bucket_arn, f"/{prefix}*") for prefix in prefixes)]
    return use(sid, site, key, "s3", actions, context={"aws:s3:arn": arns})
