"""The template that makes the state's bucket and key, deployed into the emulator by CloudFormation's own API."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import boto3
import pytest
import yaml

from infra.options import section
from infra.settings import StateSettings
from tests.conftest import ROOT
from tests.engines.emulator import KEY, SECRET

TEMPLATE = (ROOT / "infra" / "bootstrap.yaml").read_text()
REGION = "us-east-1"


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short functions, as `!Ref Key`, as what they stand for."""


def _function(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, str]:
    assert isinstance(node, yaml.ScalarNode)
    return {suffix: loader.construct_scalar(node)}


_Loader.add_multi_constructor("!", _function)


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    return yaml.load(TEMPLATE, _Loader)["Resources"]  # noqa: S506 - a SafeLoader


@pytest.fixture(scope="module")
def session() -> Any:
    return boto3.session.Session(KEY, SECRET, region_name=REGION)


@pytest.fixture(scope="module")
def deployed(s3_endpoint: str, session: Any) -> Generator[dict[str, str]]:
    client = session.client("cloudformation", endpoint_url=s3_endpoint)
    client.create_stack(StackName="podium-state", TemplateBody=TEMPLATE)
    client.get_waiter("stack_create_complete").wait(
        StackName="podium-state", WaiterConfig={"Delay": 1, "MaxAttempts": 20}
    )
    outputs = client.describe_stacks(StackName="podium-state")["Stacks"][0]["Outputs"]
    client.close()
    yield {each["OutputKey"]: each["OutputValue"] for each in outputs}


def test_its_outputs_are_the_settings(deployed: dict[str, str]) -> None:
    given = {"bucket": deployed["Bucket"], "key": deployed["Key"]}
    assert section(given, StateSettings, "podium:state") == StateSettings(**given)


def test_the_bucket_keeps_versions_and_asks_for_tls(deployed: dict[str, str], s3_endpoint: str, session: Any) -> None:
    s3, bucket = session.client("s3", endpoint_url=s3_endpoint), deployed["Bucket"]
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    assert [each["Sid"] for each in policy["Statement"]] == ["TlsOnly"]
    s3.close()


def test_nothing_that_holds_state_goes_with_the_stack(resources: dict[str, Any]) -> None:
    for name in ("Key", "Bucket", "BucketPolicy"):
        assert resources[name]["DeletionPolicy"] == resources[name]["UpdateReplacePolicy"] == "Retain", name


def test_the_bucket_is_nobody_elses(resources: dict[str, Any]) -> None:
    bucket = resources["Bucket"]["Properties"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert resources["Key"]["Properties"]["EnableKeyRotation"] is True
    # The emulator's CloudFormation leaves this out, so that it is seen here alone.
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": {"GetAtt": "Key.Arn"}}
