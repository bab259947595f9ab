"""The components that hold rights, and what they are given by the others, as a program small enough to take apart."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import pulumi

from infra.boundary import Boundary, BoundaryArgs
from infra.identity import Identity, IdentityArgs
from infra.keys import Keys
from infra.pipelines import Training
from infra.program import provider
from infra.sagemaker import Sagemaker, SagemakerArgs
from infra.settings import Settings, read
from infra.site import Site
from infra.storage import Storage, StorageArgs
from infra.workloads import Workloads, WorkloadsArgs
from tests.infra import stacks
from tests.infra.answers import Answers
from tests.infra.graph import Graph, run_program
from tests.infra.monitor import Mutate

SUBNETS = ("subnet-0a", "subnet-0b", "subnet-0c")


def build(settings: Settings) -> None:
    opts = pulumi.ResourceOptions(provider=provider(settings))
    held = BoundaryArgs(environment=settings.environment, account=settings.account, state=settings.state)
    boundary = Boundary("boundary", held, opts)
    site = Site(settings.environment, settings.account, settings.region, boundary.arn)
    keys = Keys("keys", site, opts)
    stored = StorageArgs(settings=settings.storage, data_key=keys.data.arn, images_key=keys.images.arn)
    storage = Storage("storage", site, stored, opts)
    jobs = SagemakerArgs(
        vpc_id="vpc-0a",
        subnet_ids=SUBNETS,
        s3_prefix_list="pl-0a",
        bucket_arn=storage.bucket_arn,
        data_key=keys.data.arn,
        repository_arn=storage.repositories["train"].arn,
    )
    job = Sagemaker("sagemaker", site, jobs, opts)
    train = Training(
        bucket_arn=storage.bucket_arn,
        data_key=keys.data.arn,
        job_role_arn=job.role_arn,
        job_security_group_id=job.security_group_id,
        job_subnet_ids=SUBNETS,
    )
    given = IdentityArgs(
        github=settings.github,
        state=settings.state,
        repository_arns=[each.arn for each in storage.repositories.values()],
        training=train,
        apply_boundary=boundary.apply_arn,
    )
    Identity("identity", site, given, opts)
    pods = WorkloadsArgs(
        cluster_name=site.name("cluster"),
        cluster_arn=site.arn("eks", f"cluster/{site.name('cluster')}"),
        bucket_arn=storage.bucket_arn,
        data_key=keys.data.arn,
        queue_arn=site.arn("sqs", site.name("work")),
        table_arn=site.arn("dynamodb", f"table/{site.name('rankings')}"),
        model=settings.model,
    )
    Workloads("workloads", site, pods, opts)


def graph(
    stack: str,
    *,
    changes: Mapping[str, Any] | None = None,
    mutate: Mutate | None = None,
    more: Callable[[Settings], None] | None = None,
) -> Graph:
    """
    Args:
        changes: settings by section, beside the stack's own.
        more: registers what else is to be in the graph.
    """
    values = stacks.values(stack)
    for section, change in (changes or {}).items():
        values[section] = {**values.get(section, {}), **change}
    settings = read(values, stack)

    def program() -> None:
        build(settings)
        if more is not None:
            more(settings)

    return run_program(program, stack=stack, mocks=Answers(settings.account, settings.region), mutate=mutate)


@functools.cache
def committed(stack: str) -> Graph:
    return graph(stack)
