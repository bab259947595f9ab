"""What every process that serves a pinned model is given, be it a function or a task: its permissions and settings."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from infra.iam import Statement, allow
from infra.release import Release
from infra.site import PARTITION, Site


def bucket_arn(bucket: pulumi.Input[str], below: str = "") -> pulumi.Output[str]:
    """The ARN of a bucket, or of what is in it, as `bucket_arn(name, "/models/*")`."""
    return pulumi.Output.concat(f"arn:{PARTITION}:s3:::", bucket, below)


def may_read_model(bucket: pulumi.Input[str], release: Release) -> list[Statement]:
    """The files of the pinned version and no others. The list tells a file too many from a whole bundle."""
    below = f"{release.model_prefix}/*"
    return [
        allow("ReadModel", ["s3:GetObject"], [bucket_arn(bucket, f"/{below}")]),
        allow("ListModel", ["s3:ListBucket"], [bucket_arn(bucket)], {"StringLike": {"s3:prefix": below}}),
    ]


def may_use_key(site: Site, key: pulumi.Input[str], actions: Sequence[str], services: Sequence[str]) -> Statement:
    """A key, only by way of the services that hold what it encrypts."""
    via = [site.endpoint(service) for service in services]
    return allow("UseKey", [f"kms:{action}" for action in actions], [key], {"StringEquals": {"kms:ViaService": via}})


def may_log(log_group_arn: pulumi.Input[str]) -> Statement:
    """The group is made beforehand, so that nobody needs the permission to make one."""
    streams = pulumi.Output.concat(log_group_arn, ":*")
    return allow("Log", ["logs:CreateLogStream", "logs:PutLogEvents"], [streams])


def may_trace() -> Statement:
    """X-Ray has no resources for these two (Service authorization reference)."""
    return allow("Trace", ["xray:PutTelemetryRecords", "xray:PutTraceSegments"], ["*"])


def model_environment(bucket: pulumi.Input[str], release: Release) -> dict[str, pulumi.Input[str]]:
    """The model by address and digest, as service/settings.py names them."""
    return {
        "PODIUM_MODEL": pulumi.Output.from_input(bucket).apply(release.model_uri),
        "PODIUM_MODEL_SHA256": release.model_sha256,
    }
