"""Components by themselves: a program of one of them, recorded, with what the others would give it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_aws as aws

from infra.release import Release
from infra.site import Site
from tests.infra.answers import ACCOUNT, REGION, Answers
from tests.infra.graph import Graph, Resource, run_program

BUCKET = f"podium-staging-data-{ACCOUNT}"
DATA_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/8f2b7e58-6c6d-4c37-a1c5-1d0f3b1f9c22"
LOGS_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0d2b7e58-6c6d-4c37-a1c5-1d0f3b1f9c23"
REPOSITORY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/podium-staging/serve"
REPOSITORY_ARN = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/podium-staging/serve"

RELEASE = Release(
    serve_index="sha256:" + "1" * 64,
    serve_amd64="sha256:" + "2" * 64,
    serve_commit="3" * 40,
    train_amd64="sha256:" + "4" * 64,
    train_commit="5" * 40,
    model_name="mslr",
    model_version="20260102-0123456789ab",
    model_sha256="sha256:" + "6" * 64,
)


def site(environment: str = "staging") -> Site:
    boundary = f"arn:aws:iam::{ACCOUNT}:policy/podium-{environment}-workload-boundary"
    return Site(environment, ACCOUNT, REGION, boundary)


def record(make: Callable[[pulumi.ResourceOptions], Any], stack: str = "staging") -> Graph:
    """The graph of what `make` registers; what it returns is exported as `made`."""

    def program() -> None:
        provider = aws.Provider("aws", region=REGION, allowed_account_ids=[ACCOUNT])
        pulumi.export("made", make(pulumi.ResourceOptions(provider=provider)))

    return run_program(program, stack=stack, mocks=Answers(ACCOUNT, REGION))


def statements(policy: Any) -> dict[str, dict[str, Any]]:
    """The statements of a policy document by their Sid."""
    document: Any = json.loads(policy) if isinstance(policy, str) else policy
    found = {each["Sid"]: each for each in document["Statement"]}
    assert len(found) == len(document["Statement"])
    return found


def permissions(graph: Graph, role: str) -> dict[str, dict[str, Any]]:
    return statements(graph.one("aws:iam/rolePolicy:RolePolicy", role).inputs["policy"])


def trust(graph: Graph, role: str) -> dict[str, dict[str, Any]]:
    return statements(graph.one("aws:iam/role:Role", role).inputs["assumeRolePolicy"])


def after(graph: Graph, later: Resource, type_: str, name: str) -> bool:
    """Whether a resource is made only once another is there."""
    return graph.one(type_, name).urn in graph.needs(later)
