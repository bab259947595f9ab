from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from policy_sentry.querying.actions import get_actions_for_service

from infra.runner import Runner, RunnerArgs
from infra.settings import read
from infra.site import Site
from tests.infra.graph import Graph, run_program
from tests.infra.inside_vpc import made
from tests.infra.stacks import ACCOUNTS, values

PROJECT = "aws:codebuild/project:Project"
NAME = "podium-production-runner"
recorded = cache(made)


def project(graph: Graph) -> dict[str, Any]:
    return graph.one(PROJECT, "runner").inputs


def permissions(graph: Graph) -> dict[str, Any]:
    policy = graph.one("aws:iam/rolePolicy:RolePolicy", "runner").inputs["policy"]
    return {each["Sid"]: each for each in json.loads(policy)["Statement"]}


def test_only_a_cluster_that_needs_a_runner_has_one() -> None:
    assert recorded("staging").of(PROJECT) == []
    own = made("production", cluster={"runner": "own"})
    assert own.of(PROJECT) == []


def test_its_machines_are_in_the_private_subnets() -> None:
    graph = recorded("production")
    place = project(graph)["vpcConfig"]
    assert place["subnets"] == [
        each.id for each in graph.of("aws:ec2/subnet:Subnet") if each.name.startswith("private")
    ]
    assert place["vpcId"] == graph.one("aws:ec2/vpc:Vpc", "vpc").id
    # CodeBuild refuses a project whose role cannot get there yet.
    assert graph.one("aws:iam/rolePolicy:RolePolicy", "runner").urn in graph.one(PROJECT, "runner").dependencies
    assert place["securityGroupIds"] == [graph.one("aws:ec2/securityGroup:SecurityGroup", "runner").id]


def test_it_gets_out_by_https_and_to_the_clusters_api() -> None:
    graph = recorded("production")
    group = graph.one("aws:ec2/securityGroup:SecurityGroup", "runner").id
    out = [each.inputs for each in graph.of("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule")]
    assert [(each["securityGroupId"], each["fromPort"], each["toPort"]) for each in out] == [(group, 443, 443)]
    rules = [each.inputs for each in graph.of("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")]
    (to_api,) = [each for each in rules if each.get("referencedSecurityGroupId") == group]
    assert to_api["securityGroupId"] == graph.outputs["security_group_id"]
    assert (to_api["fromPort"], to_api["toPort"]) == (443, 443)
    assert not [each for each in rules if each["securityGroupId"] == group]


def test_only_queued_jobs_of_the_infra_workflow_start_it() -> None:
    (hook,) = recorded("production").of("aws:codebuild/webhook:Webhook")
    (group,) = hook.inputs["filterGroups"]
    assert {each["type"]: each["pattern"] for each in group["filters"]} == {
        "EVENT": "WORKFLOW_JOB_QUEUED",
        "WORKFLOW_NAME": "^infra$",
    }
    assert hook.inputs["projectName"] == NAME


def test_it_reads_the_repository_by_the_owners_connection() -> None:
    source = project(recorded("production"))["source"]
    connection = values("production")["cluster"]["connection"]
    assert source["location"] == "https://github.com/octo-org/podium.git"
    assert source["auth"] == {"type": "CODECONNECTIONS", "resource": connection}
    assert permissions(recorded("production"))["Connect"]["Resource"] == [connection]


@pytest.mark.parametrize("service", ["codeconnections", "codestar-connections"])
def test_its_permission_is_by_the_connections_own_prefix(service: str) -> None:
    """Older connections have another one, and actions of the new one do not reach them."""
    arn = f"arn:aws:{service}:eu-central-1:{ACCOUNTS['production']}:connection/2f9a5d5c-0d6e"
    actions = permissions(made("production", cluster={"connection": arn}))["Connect"]["Action"]
    assert actions == [f"{service}:GetConnection", f"{service}:GetConnectionToken"]
    assert set(actions) <= set(get_actions_for_service(service))


def test_it_is_bounded_and_without_privileges() -> None:
    inputs = project(recorded("production"))
    assert inputs["environment"]["privilegedMode"] is False
    assert inputs["artifacts"] == {"type": "NO_ARTIFACTS"}
    assert (inputs["buildTimeout"], inputs["queuedTimeout"], inputs["concurrentBuildLimit"]) == (60, 60, 2)


def test_its_logs_are_encrypted_and_bounded() -> None:
    graph = recorded("production")
    group = graph.one("aws:cloudwatch/logGroup:LogGroup", "runner")
    assert project(graph)["logsConfig"]["cloudwatchLogs"] == {"status": "ENABLED", "groupName": group.inputs["name"]}
    assert group.inputs["kmsKeyId"] == graph.one("aws:kms/key:Key", "logs-key").outputs["arn"]
    assert group.inputs["retentionInDays"] == 90
    assert permissions(graph)["Log"]["Resource"] == [f"{group.outputs['arn']}:*"]


def test_its_role_is_codebuilds_for_this_project_and_may_not_change_aws() -> None:
    graph = recorded("production")
    role = graph.one("aws:iam/role:Role", "runner").inputs
    (trust,) = json.loads(role["assumeRolePolicy"])["Statement"]
    assert trust["Principal"] == {"Service": "codebuild.amazonaws.com"}
    assert trust["Condition"]["ArnLike"]["aws:SourceArn"].endswith(f":project/{NAME}")
    everywhere = [sid for sid, each in permissions(graph).items() if each["Resource"] == ["*"]]
    assert everywhere == ["FindPlace"]
    assert all(action.startswith("ec2:Describe") for action in permissions(graph)["FindPlace"]["Action"])


def test_it_lends_interfaces_to_codebuild_alone_and_in_our_subnets() -> None:
    graph = recorded("production")
    account = ACCOUNTS["production"]
    subnets = [
        f"arn:aws:ec2:eu-central-1:{account}:subnet/{each.id}"
        for each in graph.of("aws:ec2/subnet:Subnet")
        if each.name.startswith("private")
    ]
    may = permissions(graph)
    assert may["LendInterface"]["Condition"] == {
        "ArnEquals": {"ec2:Subnet": subnets},
        "StringEquals": {"ec2:AuthorizedService": "codebuild.amazonaws.com"},
    }
    assert may["DeleteInterface"]["Condition"] == {"ArnEquals": {"ec2:Subnet": subnets}}
    group = graph.one("aws:ec2/securityGroup:SecurityGroup", "runner").id
    assert set(may["CreateInterface"]["Resource"]) == {
        f"arn:aws:ec2:eu-central-1:{account}:network-interface/*",
        f"arn:aws:ec2:eu-central-1:{account}:security-group/{group}",
        *subnets,
    }


def test_no_runner_without_a_connection() -> None:
    settings = read(values("staging"), "staging")
    site = Site("staging", settings.account, settings.region, "boundary")
    nothing: Any = None
    args = RunnerArgs(site, settings.cluster, settings.github, nothing, nothing, nothing)

    def program() -> None:
        Runner("runner", args)

    with pytest.raises(ValueError, match="needs the connection"):
        run_program(program, stack="staging")
