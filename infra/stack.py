"""The platform of one environment: its components, in the order in which they need one another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from infra.boundary import Boundary, BoundaryArgs
from infra.certificate import Certificate
from infra.cluster import Cluster, ClusterArgs
from infra.delayed import Delayed, DelayedArgs
from infra.edge import HttpApi, HttpApiArgs
from infra.fargate import Fargate, FargateArgs
from infra.identity import Identity, IdentityArgs
from infra.keys import Keys
from infra.network import Network, NetworkArgs
from infra.pipelines import Training
from infra.release import Release
from infra.runner import Runner, RunnerArgs
from infra.sagemaker import Sagemaker, SagemakerArgs
from infra.settings import Settings
from infra.site import Site
from infra.storage import Storage, StorageArgs
from infra.workloads import Workloads, WorkloadsArgs


@dataclass(frozen=True)
class Base:
    """What all else is put into."""

    site: Site
    keys: Keys
    network: Network
    storage: Storage


def build(
    settings: Settings, release: Release | None, provider: pulumi.ProviderResource
) -> Mapping[str, pulumi.Input[object]]:
    """Registers everything, and returns the stack's outputs by their names.

    Args:
        release: what runs as Lambda and on Fargate; without one there is nothing that needs an image.
    """
    opts = pulumi.ResourceOptions(provider=provider)
    held = BoundaryArgs(environment=settings.environment, account=settings.account, state=settings.state)
    boundary = Boundary("boundary", held, opts)
    site = Site(settings.environment, settings.account, settings.region, boundary.arn)
    base = _base(settings, site, opts)
    jobs = _jobs(base, opts)
    identity = _identity(settings, base, jobs, boundary, opts)
    cluster = _cluster(settings, base, identity, opts)
    delayed = _delayed(settings, base, release, opts)
    workloads = Workloads(
        "workloads",
        site,
        WorkloadsArgs(
            cluster_name=cluster.name,
            cluster_arn=cluster.arn,
            bucket_arn=base.storage.bucket_arn,
            data_key=base.keys.data.arn,
            queue_arn=delayed.queue_arn,
            table_arn=delayed.table_arn,
            model=settings.model,
        ),
        opts,
    )
    certificate = Certificate("certificate", site, settings.domain, opts) if settings.domain.name else None
    others = {} if release is None else _other_targets(settings, base, release, certificate, opts)
    return {
        "account": site.account,
        "alarms-topic": delayed.topic_arn,
        "apply-role": identity.apply_role_arn,
        "bucket": base.storage.bucket,
        # What the second project reaches the cluster by.
        "cluster-certificate-authority": cluster.certificate_authority,
        "cluster-endpoint": cluster.endpoint,
        "cluster-name": cluster.name,
        "data-key": base.keys.data.arn,
        "job-role": jobs.role_arn,
        "job-security-group": jobs.security_group_id,
        "job-subnets": base.network.private_subnet_ids,
        "jobs-role": workloads.jobs_role_arn,
        "preview-role": identity.preview_role_arn,
        "push-role": identity.push_role_arn,
        "queue-url": delayed.queue_url,
        "rank-role": workloads.rank_role_arn,
        "region": site.region,
        "registry-host": base.storage.repositories["serve"].url.apply(lambda url: url.partition("/")[0]),
        "serve-repository": base.storage.repositories["serve"].name,
        "table": delayed.table,
        "train-repository": base.storage.repositories["train"].name,
        "train-role": identity.train_role_arn,
        **({"certificate-arn": certificate.arn} if certificate and certificate.arn else {}),
        **others,
    }


def _base(settings: Settings, site: Site, opts: pulumi.ResourceOptions) -> Base:
    keys = Keys("keys", site, opts)
    network = Network("network", NetworkArgs(site, settings.network, keys.logs), opts)
    stored = StorageArgs(settings=settings.storage, data_key=keys.data.arn, images_key=keys.images.arn)
    return Base(site, keys, network, Storage("storage", site, stored, opts))


def _jobs(base: Base, opts: pulumi.ResourceOptions) -> Sagemaker:
    args = SagemakerArgs(
        vpc_id=base.network.vpc_id,
        subnet_ids=base.network.private_subnet_ids,
        s3_prefix_list=base.network.s3_prefix_list,
        bucket_arn=base.storage.bucket_arn,
        data_key=base.keys.data.arn,
        repository_arn=base.storage.repositories["train"].arn,
    )
    return Sagemaker("sagemaker", base.site, args, opts)


def _identity(
    settings: Settings,
    base: Base,
    jobs: Sagemaker,
    boundary: Boundary,
    opts: pulumi.ResourceOptions,
) -> Identity:
    training = Training(
        bucket_arn=base.storage.bucket_arn,
        data_key=base.keys.data.arn,
        job_role_arn=jobs.role_arn,
        job_security_group_id=jobs.security_group_id,
        job_subnet_ids=base.network.private_subnet_ids,
    )
    args = IdentityArgs(
        github=settings.github,
        state=settings.state,
        repository_arns=[each.arn for each in base.storage.repositories.values()],
        training=training,
        apply_boundary=boundary.apply_arn,
    )
    return Identity("identity", base.site, args, opts)


def _cluster(settings: Settings, base: Base, identity: Identity, opts: pulumi.ResourceOptions) -> Cluster:
    site, keys, network = base.site, base.keys, base.network
    args = ClusterArgs(site, settings.cluster, network, keys.cluster, keys.logs, identity.apply_role_arn)
    cluster = Cluster("cluster", args, opts)
    if settings.cluster.runner == "codebuild":
        Runner("runner", RunnerArgs(site, settings.cluster, settings.github, network, cluster, keys.logs), opts)
    return cluster


def _delayed(settings: Settings, base: Base, release: Release | None, opts: pulumi.ResourceOptions) -> Delayed:
    args = DelayedArgs(
        settings=settings.delayed,
        bucket=base.storage.bucket,
        data_key=base.keys.data.arn,
        logs_key=base.keys.logs.arn,
        repository=base.storage.repositories["serve"].url,
        release=release,
    )
    return Delayed("delayed", base.site, args, opts)


def _other_targets(
    settings: Settings, base: Base, release: Release, certificate: Certificate | None, opts: pulumi.ResourceOptions
) -> dict[str, pulumi.Input[object]]:
    """The same image beside the cluster, where the settings say so; the outputs are where it answers."""
    bucket, repository = base.storage.bucket, base.storage.repositories["serve"]
    data_key, logs_key = base.keys.data.arn, base.keys.logs.arn
    outputs: dict[str, pulumi.Input[object]] = {}
    if settings.http.enabled:
        http = HttpApiArgs(
            settings=settings.http,
            bucket=bucket,
            data_key=data_key,
            logs_key=logs_key,
            repository=repository.url,
            release=release,
        )
        outputs["http-endpoint"] = HttpApi("http", base.site, http, opts).endpoint
    # The settings see to it that a task's load balancer has a certificate.
    if settings.fargate.enabled and certificate and certificate.arn:
        tasks = FargateArgs(
            settings=settings.fargate,
            bucket=bucket,
            data_key=data_key,
            logs_key=logs_key,
            repository=repository.url,
            repository_arn=repository.arn,
            release=release,
            vpc_id=base.network.vpc_id,
            cidr=base.network.cidr,
            subnet_ids=base.network.private_subnet_ids,
            certificate_arn=certificate.arn,
            domain=settings.domain.name,
            zone=settings.domain.zone,
        )
        outputs["fargate-address"] = Fargate("fargate", base.site, tasks, opts).address
    return outputs
