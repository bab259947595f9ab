"""What goes together in a stack's settings, and what does not."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infra.settings import ClusterSettings, Github, Settings

WORK_SECONDS = 4 * 24 * 3600
"""How long a message waits in the work queue before SQS drops it."""

# What ECS pairs (ECS developer guide, "Task CPU and memory"), in MB.
FARGATE_MEMORY = {
    256: (512, 1024, 2048),
    512: tuple(range(1024, 4097, 1024)),
    1024: tuple(range(2048, 8193, 1024)),
    2048: tuple(range(4096, 16385, 1024)),
    4096: tuple(range(8192, 30721, 1024)),
}


def problems(settings: Settings) -> Iterator[str]:
    """What does not go together."""
    yield from _of_github(settings.github, settings.environment)
    yield from _of_cluster(settings.cluster)
    yield from _of_owner(settings)
    if len(set(settings.network.zones)) != 3 or len(settings.network.zones) != 3:
        yield f"network.zones are {', '.join(settings.network.zones) or 'none'}: name three"
    if not 16 <= IPv4Network(settings.network.cidr).prefixlen <= 18:
        yield f"network.cidr is {settings.network.cidr}: three zones take a /16 to /18"
    if settings.http.authorizer == "jwt" and not (settings.http.issuer and settings.http.audience):
        yield "http.authorizer is jwt: it needs issuer and audience"
    if settings.http.provisioned > settings.http.concurrency:
        yield f"http.provisioned is {settings.http.provisioned}, more than concurrency, {settings.http.concurrency}"
    if settings.domain.name and not (settings.domain.zone or settings.domain.certificate):
        yield "domain.name needs zone, which proves a certificate, or certificate"
    if settings.fargate.enabled and not settings.domain.name:
        yield "fargate is enabled: its load balancer needs domain.name for TLS"
    if settings.fargate.memory_mb not in FARGATE_MEMORY.get(settings.fargate.cpu, ()):
        allowed = {cpu: f"{each[0]} to {each[-1]}" for cpu, each in FARGATE_MEMORY.items()}
        yield (
            f"fargate has cpu {settings.fargate.cpu} and memoryMb {settings.fargate.memory_mb}, which is no pair: "
            f"ECS takes {', '.join(f'{each} with {cpu}' for cpu, each in allowed.items())}, by whole GB"
        )
    if len({*settings.network.endpoints}) != len(settings.network.endpoints) or {"s3", "dynamodb"} & {
        *settings.network.endpoints
    }:
        yield "network.endpoints has one twice, or one of s3 and dynamodb, which are there and free"
    if 6 * settings.delayed.timeout_seconds * settings.delayed.tries > WORK_SECONDS:
        yield (
            f"delayed.tries is {settings.delayed.tries} with a timeout of {settings.delayed.timeout_seconds} s: a "
            "message would expire before it is a dead letter, for it waits six time-outs after each"
        )
    if settings.fargate.most < settings.fargate.least:
        yield f"fargate.most is {settings.fargate.most}, less than least, {settings.fargate.least}"


def _of_owner(settings: Settings) -> Iterator[str]:
    """Whatever carries an account and a region has this stack's."""
    for name, arn in {
        "state.key": settings.state.key,
        "cluster.connection": settings.cluster.connection,
        "domain.certificate": settings.domain.certificate,
        **{f"cluster.admins[{number}]": each for number, each in enumerate(settings.cluster.admins)},
    }.items():
        if arn is not None and arn.split(":")[4] != settings.account:
            yield f"{name} is of account {arn.split(':')[4]}: this stack is in {settings.account}"
    if settings.domain.certificate and settings.domain.certificate.split(":")[3] != settings.region:
        region = settings.domain.certificate.split(":")[3]
        yield f"domain.certificate is of {region}: a load balancer in {settings.region} takes one of its own region"
    # The roles' names become the entries' names; one of them is the stack's own.
    entries = [arn.partition(":role/")[2].replace("/", "-") for arn in settings.cluster.admins]
    taken = {"apply", f"podium-{settings.environment}-apply"}
    if len({*entries}) != len(entries) or taken & {*entries}:
        yield f"cluster.admins are {', '.join(entries)}: name each role once, and not the one that applies the stack"


def _of_github(github: Github, environment: str) -> Iterator[str]:
    purposes = (github.push_environment, github.train_environment, github.preview_environment, environment)
    if len({*purposes}) != len(purposes):
        yield f"github gives {', '.join(purposes)} as environments: each role needs one that no other has"
    if (github.owner_id is None) != (github.repository_id is None):
        yield "github has one of ownerId and repositoryId: an immutable subject has both"
    elif github.owner_id is None and not github.accept_names:
        yield (
            "github has no ownerId and repositoryId: gh api repos/OWNER/REPO --jq '.owner.id, .id' prints both. Set "
            "them: pulumi config set --path 'podium:github.ownerId' NUMBER, and so repositoryId; or acceptNames while "
            "the repository's subjects are names alone"
        )


def _of_cluster(cluster: ClusterSettings) -> Iterator[str]:
    if not cluster.admins:
        yield "cluster.admins is empty: nobody could administer the cluster"
    if cluster.endpoint == "private" and cluster.runner == "none":
        yield (
            "cluster.endpoint is private and runner is none: no workflow would reach the cluster. Set runner to "
            "codebuild, or to own where one of yours is in the VPC, or endpoint to public with cidrs"
        )
    if cluster.endpoint == "private" and cluster.cidrs:
        yield "cluster.cidrs are for a public endpoint: this one is private"
    if cluster.endpoint == "public" and not cluster.cidrs:
        yield (
            "cluster.endpoint is public: name in cidrs who may reach it. Set it: pulumi config set --path "
            "'podium:cluster.cidrs[0]' 203.0.113.0/24"
        )
    if any(IPv4Network(each).prefixlen < 8 for each in cluster.cidrs):
        yield "cluster.cidrs holds a network that is nearly everybody's: name yours"
    if cluster.runner == "codebuild" and cluster.connection is None:
        yield (
            "cluster.runner is codebuild: it needs connection, the ARN of a CodeConnections connection. Set it: pulumi "
            "config set --path 'podium:cluster.connection' arn:aws:codeconnections:..."
        )
