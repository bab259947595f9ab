"""A Lambda function of the serve image: its role, its log group, and the function by digest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.component import Component
from infra.iam import Statement, document, role, service_trust
from infra.release import Release
from infra.serving import may_log, may_read_model, may_trace, model_environment
from infra.site import Site

# The image's own entry point is a server; this one takes events from Lambda's runtime API and calls a handler.
ENTRY_POINT = ("python", "-m", "awslambdaric")

# The root file system is read-only: a model is downloaded to /tmp. 512 MB cost nothing, and models have tens.
SCRATCH_MB = 512

LOG_DAYS = 90


@dataclass(frozen=True, kw_only=True)
class FunctionArgs:
    """
    Args:
        handler: as `service.delayed.handler`.
        repository: the address of the image's repository.
        concurrency: reserved, so that it neither takes more of the account's nor gets less.
        may: permissions beside reading the model, logging and tracing.
        publish: whether each change makes a numbered version, for an alias to point to.
    """

    handler: str
    release: Release
    repository: pulumi.Input[str]
    bucket: pulumi.Input[str]
    data_key: pulumi.Input[str]
    logs_key: pulumi.Input[str]
    memory_mb: int
    timeout_seconds: int
    concurrency: int
    environment: Mapping[str, pulumi.Input[str]]
    may: Sequence[Statement]
    publish: bool = False


class Function(Component):
    """
    Outputs:
        name, arn, version: of the function.
        role_arn: what it may is in here.
        log_group: its name.
    """

    def __init__(self, what: str, site: Site, args: FunctionArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(what, site, opts)
        log_group = aws.cloudwatch.LogGroup(
            what,
            name=f"/aws/lambda/{site.name(what)}",
            retention_in_days=LOG_DAYS,
            kms_key_id=args.logs_key,
            opts=self.below(),
        )
        # By account: which pollers of Lambda name the function when they assume its role is not documented.
        made = role(site, what, [service_trust(site, "lambda")], [], self.below())
        may = [*args.may, *may_read_model(args.bucket, args.release), may_log(log_group.arn), may_trace()]
        policy = aws.iam.RolePolicy(what, name=what, role=made.name, policy=document(*may), opts=self.below())
        environment = {**model_environment(args.bucket, args.release), **args.environment}
        function = aws.lambda_.Function(
            what,
            name=site.name(what),
            role=made.arn,
            package_type="Image",
            # One manifest by its digest: Lambda takes no index, and a tag could come to mean another image.
            image_uri=pulumi.Output.concat(args.repository, "@", args.release.serve_amd64),
            image_config=aws.lambda_.FunctionImageConfigArgs(entry_points=[*ENTRY_POINT], commands=[args.handler]),
            architectures=["x86_64"],
            memory_size=args.memory_mb,
            timeout=args.timeout_seconds,
            reserved_concurrent_executions=args.concurrency,
            ephemeral_storage=aws.lambda_.FunctionEphemeralStorageArgs(size=SCRATCH_MB),
            environment=aws.lambda_.FunctionEnvironmentArgs(variables=environment),
            kms_key_arn=args.data_key,
            tracing_config=aws.lambda_.FunctionTracingConfigArgs(mode="Active"),
            logging_config=aws.lambda_.FunctionLoggingConfigArgs(log_format="JSON", log_group=log_group.name),
            publish=args.publish,
            # A function that starts before it may read its model fails its first starts, and Lambda refuses to feed it
            # from a queue that its role may not read yet.
            opts=self.below(policy),
        )
        self.name: pulumi.Output[str] = function.name
        self.arn: pulumi.Output[str] = function.arn
        self.version: pulumi.Output[str] = function.version
        self.invoke_arn: pulumi.Output[str] = function.invoke_arn
        self.role_arn: pulumi.Output[str] = made.arn
        self.log_group: pulumi.Output[str] = log_group.name
        self.register_outputs({"arn": self.arn, "role_arn": self.role_arn})
