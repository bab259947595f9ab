"""The other ways to serve, off by default and only with a release: Lambda behind an HTTP API, and Fargate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from infra.certificate import Certificate
from infra.component import Component
from infra.edge import HttpApi, HttpApiArgs
from infra.fargate import Fargate, FargateArgs
from infra.release import Release
from infra.settings import Settings
from infra.site import Site


@dataclass(frozen=True, kw_only=True)
class TargetsArgs:
    """
    Args:
        repository, repository_arn: address and ARN of the serve image's repository.
        cidr: of the VPC.
        subnet_ids: private ones.
    """

    settings: Settings
    release: Release | None
    bucket: pulumi.Input[str]
    data_key: pulumi.Input[str]
    logs_key: pulumi.Input[str]
    repository: pulumi.Input[str]
    repository_arn: pulumi.Input[str]
    vpc_id: pulumi.Input[str]
    cidr: str
    subnet_ids: Sequence[pulumi.Input[str]]


class Targets(Component):
    """
    Outputs:
        certificate_arn: of the domain, None without one. The cluster's balancer has it too, so it needs no release.
        http_endpoint, fargate_address: None where that is off.
    """

    def __init__(self, name: str, site: Site, args: TargetsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, site, opts)
        certificate = Certificate("certificate", site, args.settings.domain, self.below())
        self.certificate_arn = certificate.arn
        self.http_endpoint: pulumi.Output[str] | None = None
        self.fargate_address: pulumi.Output[str] | None = None
        if args.release is not None and args.settings.http.enabled:
            self.http_endpoint = self._http(args, args.release).endpoint
        if args.release is not None and args.settings.fargate.enabled and certificate.arn is not None:
            self.fargate_address = self._fargate(args, args.release, certificate.arn).address
        self.register_outputs({"certificate_arn": self.certificate_arn})

    def _http(self, args: TargetsArgs, release: Release) -> HttpApi:
        return HttpApi(
            "http-api",
            self.site,
            HttpApiArgs(
                settings=args.settings.http,
                bucket=args.bucket,
                data_key=args.data_key,
                logs_key=args.logs_key,
                repository=args.repository,
                release=release,
            ),
            self.below(),
        )

    def _fargate(self, args: TargetsArgs, release: Release, certificate: pulumi.Input[str]) -> Fargate:
        domain = args.settings.domain
        return Fargate(
            "fargate",
            self.site,
            FargateArgs(
                settings=args.settings.fargate,
                bucket=args.bucket,
                data_key=args.data_key,
                logs_key=args.logs_key,
                repository=args.repository,
                repository_arn=args.repository_arn,
                release=release,
                vpc_id=args.vpc_id,
                cidr=args.cidr,
                subnet_ids=args.subnet_ids,
                certificate_arn=certificate,
                domain=domain.name,
                zone=domain.zone,
            ),
            self.below(),
        )
