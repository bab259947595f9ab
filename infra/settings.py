"""Every setting of a stack, read and checked once: `podium:<section>` of the stack's configuration.

What only its owner knows (account, repository, administrators, addresses) has no default: a stack that lacks it is
refused with the command that sets it, before anything is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from infra.consistency import problems
from infra.options import (
    ACCOUNT,
    ENVIRONMENT,
    ID,
    LOG_DAYS,
    NAME,
    NETWORK,
    ROLE,
    SWITCH,
    VERSION,
    SettingsError,
    integer,
    known,
    many,
    matching,
    needed,
    one_of,
    section,
    setting,
    value_of,
)  # fmt: skip

ENVIRONMENTS = ("staging", "production")


@dataclass(frozen=True, kw_only=True)
class Github:
    owner: str = needed(NAME, "The user or organisation whose repository deploys.", "octo-org")
    repository: str = needed(NAME, "The repository's name.", "podium")
    owner_id: int | None = setting(
        None,
        ID,
        "The owner's number, for GitHub's immutable subjects.",
        "Repositories made, renamed or moved since July 2026 have them, and no other form is believed then.",
    )
    repository_id: int | None = setting(None, ID, "The repository's number, likewise.", "Both go together.")
    accept_names: bool = setting(
        False,
        SWITCH,
        "Whether subjects by name alone are believed beside the immutable ones.",
        "Only while a repository migrates: who takes over a released name gets its subjects.",
    )
    provider: str = setting(
        "create",
        one_of("create", "existing"),
        "Whether this stack makes the account's OIDC provider of GitHub.",
        "An account has one: a second stack in it takes the first one's.",
    )
    push_environment: str = setting("images", ENVIRONMENT, "The environment of jobs that push images.")
    train_environment: str = setting("training", ENVIRONMENT, "The environment of jobs that train.")
    preview_environment: str = setting("preview", ENVIRONMENT, "The environment of jobs that preview.")


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    cidr: str = setting(
        "10.40.0.0/16", NETWORK, "The addresses of the VPC, /16 to /18.", "A node of Auto Mode takes addresses by /28."
    )
    zones: tuple[str, ...] = setting(
        ("a", "b", "c"),
        many(matching(r"[a-z]", "a zone's letter")),
        "The three availability zones, by their letters.",
        "Two of three still serve while one is lost. By name, so that no subnet moves when AWS opens a zone; not every "
        "region has these three.",
    )
    nat: str = setting(
        "zone",
        one_of("one", "zone"),
        "One NAT gateway, or one in each zone.",
        "With one, its zone's loss cuts all nodes off from what has no endpoint; each is billed by the hour.",
    )
    endpoints: tuple[str, ...] = setting(
        (),
        many(matching(r"[a-z0-9.-]+", "an AWS service as ecr.api")),
        "Interface endpoints, beside the free ones for S3 and DynamoDB.",
        "Each is billed by the hour in each zone; they keep traffic off the NAT gateways.",
    )
    log_days: int = setting(90, LOG_DAYS, "How long flow logs are kept, in days.", "An incident is found late.")


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    admins: tuple[str, ...] = needed(
        many(ROLE), "Roles of people who administer the cluster.", "arn:aws:iam::111122223333:role/admin"
    )
    version: str = setting("1.35", VERSION, "The Kubernetes version.", "Extended support costs six times as much.")
    endpoint: str = setting(
        "private",
        one_of("public", "private"),
        "Who reaches the API: this VPC alone, or the networks of `cidrs` as well.",
        "A private one needs a runner in the VPC.",
    )
    cidrs: tuple[str, ...] = setting((), many(NETWORK), "Networks that may reach a public endpoint.")
    runner: str = setting(
        "none",
        one_of("none", "codebuild", "own"),
        "What runs the workflows that need the cluster.",
        "none: GitHub's machines. codebuild: a runner in the VPC, made by this stack. own: one of yours there.",
    )
    connection: str | None = setting(
        None,
        matching(
            r"arn:aws:(codeconnections|codestar-connections):[\w-]+:\d{12}:connection/[\w-]+", "the ARN of a connection"
        ),
        "The CodeConnections connection to GitHub, for runner codebuild.",
        "AWS has each authorised by hand, once.",
    )
    log_days: int = setting(90, LOG_DAYS, "How long the control plane's logs are kept, in days.")


@dataclass(frozen=True, kw_only=True)
class StorageSettings:
    noncurrent_days: int = setting(30, integer(1, 3650), "How long replaced and deleted versions are kept, in days.")
    training_days: int = setting(90, integer(1, 3650), "How long files of training jobs are kept, in days.")
    delayed_days: int = setting(30, integer(1, 3650), "How long inputs and results of delayed rankings are kept.")
    log_days: int = setting(365, integer(1, 3650), "How long access logs are kept, in days.")


@dataclass(frozen=True, kw_only=True)
class DelayedSettings:
    memory_mb: int = setting(1769, integer(512, 10240), "Memory of a worker.", "1769 MB is one whole vCPU.")
    timeout_seconds: int = setting(120, integer(10, 900), "The longest that a worker takes for a batch.")
    concurrency: int = setting(10, integer(2, 1000), "Workers at most.", "SQS takes no lower limit than 2.")
    tries: int = setting(5, integer(1, 100), "Tries before a message is a dead letter.")
    result_days: int = setting(7, integer(1, 365), "How long results are in the table.")
    alarm_email: str | None = setting(
        None, matching(r"[^@\s]+@[^@\s]+", "an address"), "Who gets the alarms, beside the topic's other readers."
    )


@dataclass(frozen=True, kw_only=True)
class HttpSettings:
    enabled: bool = setting(False, SWITCH, "Serve by Lambda behind an HTTP API as well.", "Cold starts: see README.")
    memory_mb: int = setting(1769, integer(512, 10240), "Memory of a function.", "1769 MB is one whole vCPU.")
    provisioned: int = setting(1, integer(0, 100), "Functions kept warm.", "A cold start downloads and proves a model.")
    concurrency: int = setting(20, integer(1, 1000), "Functions at most.")
    rate: int = setting(100, integer(1, 10_000), "Requests a second that are let in.")
    burst: int = setting(200, integer(1, 5_000), "Requests at once that are let in.")
    authorizer: str = setting("iam", one_of("iam", "jwt"), "Who is let in: signed requests, or bearer tokens.")
    issuer: str | None = setting(None, matching(r"https://\S+", "an https address"), "Who signs the tokens, for jwt.")
    audience: tuple[str, ...] = setting((), many(matching(r"\S+", "a name")), "For whom, for jwt.")


@dataclass(frozen=True, kw_only=True)
class FargateSettings:
    enabled: bool = setting(False, SWITCH, "Serve by ECS on Fargate as well.")
    cpu: int = setting(1024, integer(256, 16384), "CPU units of a task; 1024 are one vCPU.")
    memory_mb: int = setting(2048, integer(512, 122_880), "Memory of a task.")
    least: int = setting(1, integer(1, 100), "Tasks at least.", "Always on: the first request finds a model in memory.")
    most: int = setting(10, integer(1, 1000), "Tasks at most.")


@dataclass(frozen=True, kw_only=True)
class DomainSettings:
    name: str | None = setting(None, matching(r"[a-z0-9.-]+\.[a-z]{2,}", "a host name"), "Where rankings are served.")
    zone: str | None = setting(None, matching(r"Z[A-Z0-9]+", "the id of a Route 53 zone"), "The zone that has it.")
    certificate: str | None = setting(
        None, matching(r"arn:aws:acm:[\w-]+:\d{12}:certificate/[\w-]+", "the ARN of a certificate"),
        "A certificate that is there already, instead of one made and proven by the zone.",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class StateSettings:
    bucket: str = needed(
        matching(r"[a-z0-9.-]{3,63}", "the name of a bucket"),
        "Pulumi's state, from the bootstrap.",
        "octo-pulumi-state",
    )
    key: str = needed(
        matching(r"arn:aws:kms:[\w-]+:\d{12}:key/[\w-]+", "the ARN of a KMS key"),
        "Its KMS key.",
        "arn:aws:kms:eu-central-1:111122223333:key/...",
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A whole stack's. `read` makes it; components get the section that is theirs."""

    environment: str
    account: str = needed(ACCOUNT, "The account, and no other is ever touched.", "111122223333")
    region: str = setting("eu-central-1", matching(r"[a-z]{2}-[a-z]+-\d", "a region"), "The region.")
    model: str = setting("mslr", NAME, "The model that is served.", "Pods may read this one's files and nothing else.")
    github: Github
    network: NetworkSettings
    cluster: ClusterSettings
    storage: StorageSettings
    delayed: DelayedSettings
    http: HttpSettings
    fargate: FargateSettings
    domain: DomainSettings
    state: StateSettings


SECTIONS: Mapping[str, type[Any]] = {
    "github": Github,
    "network": NetworkSettings,
    "cluster": ClusterSettings,
    "storage": StorageSettings,
    "delayed": DelayedSettings,
    "http": HttpSettings,
    "fargate": FargateSettings,
    "domain": DomainSettings,
    "state": StateSettings,
}


def read(values: Mapping[str, object], environment: str) -> Settings:
    """
    Args:
        values: the stack's configuration below `podium:`, sections as mappings, keys in camelCase.

    Raises:
        SettingsError: something is unknown, missing, not allowed, or does not go together.
    """
    if environment not in ENVIRONMENTS:
        raise SettingsError(f"there is no stack {environment!r}: there are {' and '.join(ENVIRONMENTS)}")
    known(values, [*top_level(), *SECTIONS], "podium")
    plain = [each for each in fields(Settings) if each.metadata]
    given: dict[str, Any] = {each.name: value_of(values, each, "podium") for each in plain}
    for name, kind in SECTIONS.items():
        given[name] = section(values.get(name, {}), kind, f"podium:{name}")
    settings = Settings(environment=environment, **given)
    for problem in problems(settings):
        raise SettingsError(f"podium:{problem}")
    return settings


def top_level() -> tuple[str, ...]:
    """The settings that are in no section."""
    return tuple(each.name for each in fields(Settings) if each.metadata)
