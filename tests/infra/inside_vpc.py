"""The network, the cluster and its runner without the rest of the platform, for the tests of these alone."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_aws as aws

from infra.boundary import Boundary, BoundaryArgs
from infra.cluster import Cluster, ClusterArgs
from infra.network import Network, NetworkArgs
from infra.program import provider
from infra.runner import Runner, RunnerArgs
from infra.settings import read
from infra.site import Site
from tests.infra.answers import Answers
from tests.infra.graph import Graph, run_program
from tests.infra.stacks import values

APPLY = "arn:aws:iam::111122223333:role/podium-test-apply"


def made(stack: str, **changed: dict[str, Any]) -> Graph:
    """
    Args:
        changed: settings that are others than the stack's, by their section.
    """
    given = values(stack)
    for section, settings in changed.items():
        given[section] = {**given.get(section, {}), **settings}
    settings = read(given, stack)

    def program() -> None:
        opts = pulumi.ResourceOptions(provider=provider(settings))
        held = BoundaryArgs(environment=stack, account=settings.account, state=settings.state)
        boundary = Boundary("boundary", held, opts)
        site = Site(stack, settings.account, settings.region, boundary.arn)
        cluster_key, logs_key = (aws.kms.Key(name, opts=opts) for name in ("cluster-key", "logs-key"))
        network = Network("network", NetworkArgs(site, settings.network, logs_key), opts)
        args = ClusterArgs(site, settings.cluster, network, cluster_key, logs_key, APPLY)
        cluster = Cluster("cluster", args, opts)
        if settings.cluster.runner == "codebuild":
            Runner("runner", RunnerArgs(site, settings.cluster, settings.github, network, cluster, logs_key), opts)
        for name in ("name", "arn", "endpoint", "certificate_authority", "security_group_id"):
            pulumi.export(name, getattr(cluster, name))

    return run_program(program, stack=stack, mocks=Answers(settings.account, settings.region))
