"""Both stacks are deployed into an emulated account, by requests that AWS would take."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from pulumi.runtime import mocks as runtime

from tests.engines.aws import Aws
from tests.infra.conftest import Deployments, Graphs
from tests.infra.live import LiveMocks, Refused, Unmapped, findings
from tests.infra.live_handlers.table import CANNOT, HANDLERS
from tests.infra.stacks import STACKS

REGION = "eu-central-1"


def test_both_stacks_deploy_with_everything_switched_on(deployed: Deployments) -> None:
    made = [deployed(stack, "everything") for stack in STACKS]
    assert [each.faults for each in made] == [(), ()]
    # Each entry of the tables is needed still: a stack has it, and these the emulator did not take.
    assert set[str]().union(*(each.handled for each in made)) == set(HANDLERS)
    assert set[str]().union(*(each.missing for each in made)) == set(CANNOT)


@pytest.mark.parametrize("stack", STACKS)
def test_day_0_deploys(aws: Aws, stack: str) -> None:
    assert findings(aws, stack, "day 0") == []


def test_a_type_that_nobody_mapped_fails_and_is_named(aws: Aws) -> None:
    mocks = LiveMocks(aws, "300000000001", REGION)
    with pytest.raises(Unmapped, match="aws:redshift/cluster:Cluster"):
        mocks.new_resource(asked("aws:redshift/cluster:Cluster", {}))


def test_an_input_that_no_request_carries_is_a_fault(aws: Aws) -> None:
    mocks = LiveMocks(aws, "300000000001", REGION)
    mocks.new_resource(asked("aws:sqs/queue:Queue", {"name": "one", "colour": "red"}))
    assert mocks.faults == ["aws:sqs/queue:Queue one: colour is in no request"]


def test_what_the_account_refuses_fails_the_deployment(aws: Aws) -> None:
    mocks = LiveMocks(aws, "300000000001", REGION)
    with pytest.raises(Refused, match="aws:iam/rolePolicy:RolePolicy one"):
        mocks.new_resource(asked("aws:iam/rolePolicy:RolePolicy", {"role": "nobody", "name": "p", "policy": "{}"}))


# (type, the input that is made wrong, its wrong value, what is found)
WRONG: list[tuple[str, str, Any, str]] = [
    ("aws:ecr/repository:Repository", "imageTagMutability", "IMMUTABEL", "'IMMUTABEL' is none of those allowed"),
    ("aws:lambda/function:Function", "memorySize", 64, "below 128"),
    ("aws:iam/role:Role", "maxSessionDuration", 60, "below 3600"),
    ("aws:iam/rolePolicy:RolePolicy", "policy", "{nonsense", "is no JSON"),
    ("aws:ec2/vpc:Vpc", "enableDnsSuport", True, "enableDnsSuport is in no request"),
    ("aws:dynamodb/table:Table", "billingMode", "PER_REQUEST", "'PER_REQUEST' is none of those allowed"),
    ("aws:cloudwatch/metricAlarm:MetricAlarm", "comparisonOperator", "Above", "'Above' is none of those allowed"),
]


@pytest.mark.parametrize("type_", sorted({type_ for type_, *_ in WRONG}))
def test_a_wrong_request_is_found(aws: Aws, graphs: Graphs, type_: str) -> None:
    """Each on a resource of the real stack: of its deployment nothing else is needed."""
    one = next(each for each in graphs("staging", "everything").of(type_))
    for wanted, key, value, found in WRONG:
        if wanted != type_:
            continue
        mocks = LiveMocks(aws, "300000000002", REGION)
        with suppress(Refused):
            mocks.new_resource(asked(type_, {**one.inputs, key: value}))
        assert any(found in each for each in mocks.faults), mocks.faults


def test_findings_tell_why_a_stack_is_not_deployed(aws: Aws) -> None:
    def without_a_name(type_: str, name: str, inputs: dict[str, Any]) -> dict[str, Any]:
        return {key: each for key, each in inputs.items() if key != "policy"} if type_.endswith(":Policy") else inputs

    found = findings(aws, "staging", mutate=without_a_name)
    assert len(found) == 1
    assert "staging is not deployed" in found[0]
    assert "aws:iam/policy:Policy" in found[0]


def asked(type_: str, inputs: dict[str, Any]) -> runtime.MockResourceArgs:
    return runtime.MockResourceArgs(type_, "one", inputs, "", None, True)
