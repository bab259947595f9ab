"""Every policy that AWS manages and the program names is one that AWS has, by the list that moto carries of them."""

import json
import re
import subprocess

import pytest

from tests.engines.environments import python_for, requirement
from tests.infra.conftest import Graphs
from tests.infra.stacks import STACKS

# In moto's own environment: for each ARN, what a role that has it may do, None where it cannot have it.
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
            return None
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
        actions = [each["Action"] for each in document["Statement"]]
        return sorted({action for each in actions for action in ([each] if isinstance(each, str) else each)})
    print(json.dumps({arn: known(arn) for arn in json.load(sys.stdin)}))
"""
MANAGED = "arn:aws:iam::aws:policy/"
ATTACHMENT = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
INVENTED = f"{MANAGED}AmazonEKSNopePolicy"


@pytest.fixture(scope="module")
def known(graphs: Graphs) -> dict[str, list[str] | None]:
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


def test_aws_has_each_policy_that_is_named(known: dict[str, list[str] | None]) -> None:
    assert {arn for arn, actions in known.items() if actions is None} == {INVENTED}
    assert f"{MANAGED}AmazonEKSClusterPolicy" in known


def test_the_boundary_leaves_auto_mode_what_it_needs(graphs: Graphs, known: dict[str, list[str] | None]) -> None:
    """The cluster's and the nodes' roles are held by the boundary too, and AWS says what theirs must allow."""
    (policy,) = (each for each in graphs("staging").of("aws:iam/policy:Policy") if each.name == "workload-boundary")
    left = {
        action
        for each in json.loads(policy.inputs["policy"])["Statement"]
        if each["Effect"] == "Allow"
        for action in each["Action"]
    }
    attached = [each.inputs["policyArn"] for each in graphs("staging").of(ATTACHMENT)]
    needed = {action for arn in attached for action in known.get(arn) or ()}
    assert len(needed) > 100
    # Users who log in at a load balancer: nobody does.
    assert {action for action in needed if action not in left and f"{action.partition(':')[0]}:*" not in left} == {
        "cognito-idp:DescribeUserPoolClient"
    }
