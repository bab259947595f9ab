import json
from functools import cache
from typing import Any

import pulumi

from infra.fargate import Fargate, FargateArgs
from infra.settings import FargateSettings
from service.serve import DRAIN_SECONDS, KEEP_ALIVE_SECONDS
from service.settings import Settings
from tests.conftest import ROOT
from tests.infra import single
from tests.infra.answers import ACCOUNT, REGION
from tests.infra.graph import Graph
from tests.infra.single import BUCKET, DATA_KEY, LOGS_KEY, RELEASE, REPOSITORY, REPOSITORY_ARN, permissions, trust

CERTIFICATE = f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/8f2b7e58-6c6d-4c37-a1c5-1d0f3b1f9c22"
SERVICE, TASK = "aws:ecs/service:Service", "aws:ecs/taskDefinition:TaskDefinition"
BALANCER, GROUP = "aws:lb/loadBalancer:LoadBalancer", "aws:lb/targetGroup:TargetGroup"
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EGRESS = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
SECURITY_GROUP = "aws:ec2/securityGroup:SecurityGroup"
SUBNETS = [f"subnet-0{number}" for number in range(3)]


@cache
def graph(environment: str = "staging", domain: str | None = "rank.example.org", **settings: Any) -> Graph:
    def make(opts: pulumi.ResourceOptions) -> dict[str, Any]:
        args = FargateArgs(
            settings=FargateSettings(enabled=True, **settings),
            bucket=BUCKET,
            data_key=DATA_KEY,
            logs_key=LOGS_KEY,
            repository=REPOSITORY,
            repository_arn=REPOSITORY_ARN,
            release=RELEASE,
            vpc_id="vpc-0123456789abcdef0",
            cidr="10.40.0.0/16",
            subnet_ids=SUBNETS,
            certificate_arn=CERTIFICATE,
            domain=domain,
            zone="Z0123456789ABCDEFGHIJ",
        )
        made = Fargate("fargate", single.site(environment), args, opts)
        return {"address": made.address, "task": made.task_role_arn, "start": made.execution_role_arn}

    return single.record(make)


def container() -> dict[str, Any]:
    (only,) = json.loads(graph().one(TASK, "fargate").inputs["containerDefinitions"])
    return only


def test_a_task_is_the_image_by_digest_on_a_file_system_that_it_cannot_change() -> None:
    serve = container()
    assert serve["image"] == f"{REPOSITORY}@{RELEASE.serve_amd64}"
    assert serve["readonlyRootFilesystem"] is True
    assert serve["linuxParameters"] == {"capabilities": {"drop": ["ALL"]}}
    assert serve["logConfiguration"]["options"]["awslogs-group"] == "/ecs/podium-staging-fargate"
    # The image's own command, user and port.
    assert not {"entryPoint", "command", "privileged"} & set(serve)
    assert f"USER {serve['user']}" in (ROOT / "Dockerfile").read_text().splitlines()
    assert serve["portMappings"] == [{"containerPort": Settings().port, "protocol": "tcp"}]
    assert {each["name"]: each["value"] for each in serve["environment"]} == {
        "PODIUM_MODEL": f"s3://{BUCKET}/models/mslr/20260102-0123456789ab",
        "PODIUM_MODEL_SHA256": RELEASE.model_sha256,
        # All that the image's user can write to.
        "TMPDIR": "/dev/shm",  # noqa: S108
    }


def test_who_starts_a_task_and_the_task_are_two_roles() -> None:
    task = graph().one(TASK, "fargate").inputs
    assert task["executionRoleArn"] != task["taskRoleArn"]
    assert set(permissions(graph(), "fargate-start")) == {"Pull", "Token", "Log"}
    assert permissions(graph(), "fargate-start")["Pull"]["Resource"] == [REPOSITORY_ARN]
    assert permissions(graph(), "fargate-start")["Token"]["Action"] == ["ecr:GetAuthorizationToken"]
    assert set(permissions(graph(), "fargate")) == {"ReadModel", "ListModel", "UseKey"}
    for role in ("fargate", "fargate-start"):
        (assume,) = trust(graph(), role).values()
        assert assume["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
        assert assume["Condition"] == {
            "StringEquals": {"aws:SourceAccount": ACCOUNT},
            "ArnLike": {"aws:SourceArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:*"},
        }


def test_a_deployment_that_fails_is_rolled_back_and_never_takes_a_task_first() -> None:
    service = graph(least=2).one(SERVICE, "fargate").inputs
    assert service["deploymentCircuitBreaker"] == {"enable": True, "rollback": True}
    assert service["deploymentMinimumHealthyPercent"] == 100
    assert service["deploymentMaximumPercent"] == 200
    assert service["desiredCount"] == 2
    assert service["enableExecuteCommand"] is False
    network = service["networkConfiguration"]
    assert network["assignPublicIp"] is False
    assert network["subnets"] == SUBNETS


def test_a_stop_waits_for_what_is_under_way() -> None:
    group = graph().one(GROUP, "fargate").inputs
    assert container()["stopTimeout"] > DRAIN_SECONDS
    assert Settings().default_deadline_ms / 1000 < group["deregistrationDelay"] <= DRAIN_SECONDS
    # The balancer's own idle time-out is 60 s unless set: it must be the one that closes first.
    assert graph().one(BALANCER, "fargate").inputs.get("idleTimeout", 60) < KEEP_ALIVE_SECONDS


def test_there_is_always_a_task_and_more_by_cpu_and_requests() -> None:
    made = graph(least=1, most=4)
    target = made.one("aws:appautoscaling/target:Target", "fargate").inputs
    assert (target["minCapacity"], target["maxCapacity"]) == (1, 4)
    assert target["resourceId"] == "service/podium-staging-fargate/podium-staging-fargate"
    policies = {
        each.name: each.inputs["targetTrackingScalingPolicyConfiguration"]
        for each in made.of("aws:appautoscaling/policy:Policy")
    }
    metrics = {name: each["predefinedMetricSpecification"] for name, each in policies.items()}
    assert metrics["fargate-cpu"]["predefinedMetricType"] == "ECSServiceAverageCPUUtilization"
    assert metrics["fargate-requests"]["predefinedMetricType"] == "ALBRequestCountPerTarget"
    balancer, group = made.one(BALANCER, "fargate").outputs, made.one(GROUP, "fargate").outputs
    assert metrics["fargate-requests"]["resourceLabel"] == f"{balancer['arnSuffix']}/{group['arnSuffix']}"
    assert {name: each["targetValue"] for name, each in policies.items()} == {
        "fargate-cpu": 60,
        "fargate-requests": 12_000,
    }


def test_the_balancer_is_inside_and_speaks_tls_alone() -> None:
    balancer = graph().one(BALANCER, "fargate").inputs
    assert balancer["internal"] is True
    assert balancer["subnets"] == SUBNETS
    assert balancer["enableDeletionProtection"] is True
    assert balancer["dropInvalidHeaderFields"] is True
    (listener,) = graph().of("aws:lb/listener:Listener")
    assert (listener.inputs["port"], listener.inputs["protocol"]) == (443, "HTTPS")
    assert listener.inputs["certificateArn"] == CERTIFICATE
    assert "TLS13-1-2" in listener.inputs["sslPolicy"]
    health = graph().one(GROUP, "fargate").inputs["healthCheck"]
    assert (health["path"], health["matcher"]) == ("/readyz", "200")
    assert listener.urn in graph().needs(graph().one(SERVICE, "fargate"))


def test_nobody_reaches_a_task_but_the_balancer_and_nobody_from_outside_the_balancer() -> None:
    groups = {each.id: each.name for each in graph().of(SECURITY_GROUP)}
    assert sorted(groups.values()) == ["fargate-balancer", "fargate-tasks"]

    def rules(kind: str) -> set[tuple[str, str, int, int]]:
        return {
            (
                groups[rule.inputs["securityGroupId"]],
                rule.inputs.get("cidrIpv4") or groups[rule.inputs["referencedSecurityGroupId"]],
                rule.inputs["fromPort"],
                rule.inputs["toPort"],
            )
            for rule in graph().of(kind)
        }

    assert rules(INGRESS) == {
        ("fargate-balancer", "10.40.0.0/16", 443, 443),
        ("fargate-tasks", "fargate-balancer", 8000, 8000),
    }
    assert rules(EGRESS) == {
        ("fargate-balancer", "fargate-tasks", 8000, 8000),
        ("fargate-tasks", "0.0.0.0/0", 443, 443),
    }
    assert all("ingress" not in each.inputs and "egress" not in each.inputs for each in graph().of(SECURITY_GROUP))
    tasks = graph().one(SERVICE, "fargate").inputs["networkConfiguration"]["securityGroups"]
    assert [groups[each] for each in tasks] == ["fargate-tasks"]


def test_the_zone_points_the_domain_to_the_balancer() -> None:
    (record,) = graph().of("aws:route53/record:Record")
    (alias,) = record.inputs["aliases"]
    assert (record.inputs["name"], record.inputs["type"]) == ("rank.example.org", "A")
    assert alias["name"] == graph().outputs["made"]["address"]
    assert graph(domain=None).of("aws:route53/record:Record") == []


def test_names_fit_a_load_balancer() -> None:
    # Elastic Load Balancing takes 32 characters.
    for kind in (BALANCER, GROUP):
        assert len(graph("production").one(kind, "fargate").inputs["name"]) <= 32
