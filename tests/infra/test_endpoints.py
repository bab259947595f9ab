from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pulumi
import pytest
from policy_sentry.querying.actions import get_actions_for_service

from infra import endpoints
from infra.site import Site
from tests.infra.graph import run_program

SITE = Site("staging", "111122223333", "eu-central-1", "arn:aws:iam::111122223333:policy/boundary")


def policy(of: Callable[[], pulumi.Output[str]]) -> dict[str, Any]:
    graph = run_program(lambda: pulumi.export("policy", of()), stack="test")
    return {each["Sid"]: each for each in json.loads(graph.outputs["policy"])["Statement"]}


def test_the_buckets_of_others_are_read_and_nothing_else() -> None:
    made = policy(lambda: endpoints.for_s3(SITE))
    others = [each for each in made.values() if "Condition" not in each]
    assert [each["Action"] for each in others] == [["s3:GetObject"]]
    assert others[0]["Resource"] == [
        "arn:aws:s3:::prod-eu-central-1-starport-layer-bucket/*",
        "arn:aws:s3:::prod-registry-k8s-io-eu-central-1/*",
        "arn:aws:s3:::quayio-production-s3/*",
    ]


@pytest.mark.parametrize("service", ["ecr.api", "ecr.dkr", "sts", "logs", "sqs", "eks-auth", "monitoring", "kms"])
def test_an_endpoint_passes_actions_that_are_there(service: str) -> None:
    for each in policy(lambda: endpoints.for_interface(SITE, service)).values():
        for action in each["Action"]:
            prefix, _, name = action.partition(":")
            known = get_actions_for_service(prefix)
            assert known, prefix
            assert name == "*" or action in known


def test_only_sts_answers_somebody_without_an_account_and_for_our_roles() -> None:
    for service in ("ecr.api", "logs", "sqs", "eks-auth"):
        assert set(policy(lambda service=service: endpoints.for_interface(SITE, service))) == {"OwnPrincipals"}
    roles = policy(lambda: endpoints.for_interface(SITE, "sts"))["OwnRoles"]
    assert roles["Action"] == ["sts:AssumeRoleWithWebIdentity"]
    assert roles["Resource"] == ["arn:aws:iam::111122223333:role/podium-staging-*"]
