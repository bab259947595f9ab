"""Every policy that AWS manages and the program names is one that AWS has, by the list that moto carries of them."""

import json
import re
import subprocess

import pytest

from tests.engines.environments import python_for, requirement
from tests.infra.conftest import Graphs
from tests.infra.stacks import STACKS

# In moto's own environment: for each ARN, whether a role can have it.
ATTACH = """
import json, os, sys
os.environ |= {"MOTO_IAM_LOAD_MANAGED_POLICIES": "true", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
import boto3
from moto import mock_aws
with mock_aws():
    iam = boto3.client("iam", region_name="us-east-1")
    iam.create_role(RoleName="role", AssumeRolePolicyDocument="{}")
    def known(arn):
        try:
            iam.attach_role_policy(RoleName="role", PolicyArn=arn)
        except iam.exceptions.NoSuchEntityException:
            return False
        return True
    print(json.dumps({arn: known(arn) for arn in json.load(sys.stdin)}))
"""
MANAGED = "arn:aws:iam::aws:policy/"
INVENTED = f"{MANAGED}AmazonEKSNopePolicy"


@pytest.fixture(scope="module")
def known(graphs: Graphs) -> dict[str, bool]:
    arns = sorted({arn for stack in STACKS for arn in named(graphs, stack)} | {INVENTED})
    done = subprocess.run(
        [python_for(requirement("moto")), "-c", ATTACH], input=json.dumps(arns), capture_output=True, text=True,
        check=True, timeout=60,
    )  # fmt: skip
    return json.loads(done.stdout)


def named(graphs: Graphs, stack: str) -> list[str]:
    """Wherever it stands: in an attachment, or in what a role may attach."""
    inputs = json.dumps([each.inputs for each in graphs(stack, "everything").resources])
    return re.findall(rf"{MANAGED}[\w+=,.@/-]+", inputs)


def test_aws_has_each_policy_that_is_named(known: dict[str, bool]) -> None:
    assert {arn for arn, is_known in known.items() if not is_known} == {INVENTED}
    assert f"{MANAGED}AmazonEKSClusterPolicy" in known
