from typing import Any

import pytest

from ci.errors import BadInput
from ci.platform_values import NEEDED, NOT_FOR_MANIFESTS, OPTIONAL, platform_values
from tests.infra.graph import record
from tests.infra.stacks import STACKS, values

ACCOUNT = "111122223333"
REGION = "eu-central-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/podium-staging"
GOOD: dict[str, Any] = {
    "region": REGION,
    "account": ACCOUNT,
    "bucket": f"podium-staging-data-{ACCOUNT}",
    "registry-host": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com",
    "serve-repository": "podium-staging/serve",
    "train-repository": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/podium-staging/train",
    "cluster-name": "podium-staging",
    "queue-url": f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/podium-staging-work",
    "table": "podium-staging-rankings",
    "rank-role": f"{ROLE}-rank",
    "jobs-role": f"{ROLE}-jobs",
    "job-role": f"{ROLE}-training",
    "job-security-group": "sg-0123456789abcdef0",
    "job-subnets": ["subnet-0a", "subnet-0b", "subnet-0c"],
    "data-key": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/8f2b7e58-6c6d-4c37-a1c5-1d0f3b1f9c22",
    "alarms-topic": f"arn:aws:sns:{REGION}:{ACCOUNT}:podium-staging-alarms",
}
CERTIFICATE = f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/8f2b7e58-6c6d-4c37-a1c5-1d0f3b1f9c22"


def test_values_are_text_in_the_order_of_their_names() -> None:
    found = platform_values(GOOD, "staging")
    assert list(found) == sorted(GOOD) == sorted(NEEDED)
    assert found["job-subnets"] == "subnet-0a,subnet-0b,subnet-0c"
    assert found == platform_values(dict(reversed(GOOD.items())), "staging")


def test_a_certificate_is_there_where_a_domain_is() -> None:
    assert set(OPTIONAL) == {"certificate-arn"}
    assert platform_values({**GOOD, "certificate-arn": CERTIFICATE}, "staging")["certificate-arn"] == CERTIFICATE
    assert "certificate-arn" not in platform_values({**GOOD, "certificate-arn": None}, "staging")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"table": None}, "the stack has no output table"),
        ({"bukket": "x"}, "bukket: unknown"),
        # JSON keeps no leading zeros of a number.
        ({"account": 11122223333}, "account is '11122223333'"),
        ({"account": "11112222333"}, "account is"),
        ({"region": "Frankfurt"}, "region is 'Frankfurt', which is not what it is in staging"),
        ({"bucket": f"podium-production-data-{ACCOUNT}"}, "bucket is"),
        ({"queue-url": "http://sqs/1/podium-staging-work"}, "queue-url is"),
        ({"serve-repository": "podium-production/serve"}, "serve-repository is"),
        ({"rank-role": "arn:aws:iam::aws:policy/AdministratorAccess"}, "rank-role is"),
        ({"job-subnets": []}, "job-subnets is ''"),
        ({"job-subnets": ["subnet-0a", "a,b"]}, "job-subnets is"),
        ({"job-subnets": "subnet-0a\nsubnet-0b"}, "job-subnets is"),
        ({"data-key": True}, "data-key is 'True'"),
        ({"certificate-arn": "none"}, "certificate-arn is 'none'"),
    ],
)
def test_what_must_not_be_committed_is_refused_by_name(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput) as refused:
        platform_values({**GOOD, **changes}, "staging")
    assert says in str(refused.value)


def test_all_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(BadInput) as refused:
        platform_values({"other": "x"}, "staging")
    for name in (*NEEDED, "other"):
        assert name in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("table", "[secret]"),
        ("table", "AKIAIOSFODNN7EXAMPLE"),
        ("table", "-----BEGIN RSA KEY-----"),
        ("job-subnets", ["subnet-0a", "ghp_0123456789012345678901234567890123"]),
        ("argocd-password", "hunter2"),
        ("deploy-token", "x"),
        ("webhook-secret", None),
    ],
)
def test_what_looks_like_a_secret_is_refused_and_not_shown(name: str, value: Any) -> None:
    with pytest.raises(BadInput) as refused:
        platform_values({**GOOD, name: value}, "staging")
    assert f"{name} looks like a secret" in str(refused.value)
    assert str(value) not in str(refused.value)


def test_the_outputs_of_one_environment_are_not_anothers() -> None:
    with pytest.raises(BadInput, match="which is not what it is in production"):
        platform_values(GOOD, "production")


def test_outputs_that_no_manifest_names_are_left_out() -> None:
    others = dict.fromkeys(NOT_FOR_MANIFESTS, "x")
    assert platform_values({**GOOD, **others}, "staging") == platform_values(GOOD, "staging")


@pytest.mark.parametrize("stack", STACKS)
def test_the_outputs_of_the_stacks_are_those_that_are_written(stack: str) -> None:
    # Without AWS: the program's own outputs, its ids and ARNs made up in their real shapes.
    outputs = record(stack, values=values(stack, everything=True), released=True).outputs
    assert set(outputs) == {*NEEDED, *OPTIONAL, *NOT_FOR_MANIFESTS}
    assert platform_values(outputs, stack)["bucket"] == outputs["bucket"]
    first = platform_values(record(stack).outputs, stack)
    assert set(first) == set(NEEDED)
