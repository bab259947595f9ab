"""The rules of the recorded graph: they are silent on the stacks, and each is heard when what it is for goes wrong."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_eks as eks
import pytest

from tests.infra.conftest import Graphs, Variant
from tests.infra.graph import Graph, Resource, run_program
from tests.infra.rules import RULES, findings
from tests.infra.stacks import STACKS

ACCOUNT = "111122223333"
TAGS = {"podium:environment": "production", "podium:repository": "o/r", "podium:managed-by": "pulumi"}
TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})


class Part(pulumi.ComponentResource):
    def __init__(self, opts: pulumi.ResourceOptions) -> None:
        super().__init__("podium:infra:Part", "part", None, opts)

    def below(self, *after: pulumi.Resource, kept: bool = False) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, depends_on=list(after), protect=kept, retain_on_delete=kept)


def sound() -> None:
    """One of each that a rule speaks of, in order."""
    provider = aws.Provider(
        "aws", region="eu-central-1", allowed_account_ids=[ACCOUNT], default_tags={"tags": TAGS}
    )  # fmt: skip
    part = Part(pulumi.ResourceOptions(provider=provider))
    boundary = aws.iam.Policy("boundary", name="podium-production-boundary", policy=TRUST, opts=part.below())
    subnet, ways = network(part)
    bucket, queue = storage(part)
    functions(part, boundary, queue)
    cluster(part, boundary, subnet, ways)
    balanced(part)
    pulumi.export("account", ACCOUNT)
    pulumi.export("bucket", bucket.bucket)
    pulumi.export("hidden", pulumi.Output.secret("hunter2-hunter2"))


def role(part: Part, what: str, boundary: aws.iam.Policy) -> tuple[aws.iam.Role, aws.iam.RolePolicy]:
    made = aws.iam.Role(
        what, name=f"podium-production-{what}", assume_role_policy=TRUST, permissions_boundary=boundary.arn,
        opts=part.below(),
    )  # fmt: skip
    return made, aws.iam.RolePolicy(what, name=what, role=made.name, policy=TRUST, opts=part.below())


def network(part: Part) -> tuple[aws.ec2.Subnet, list[pulumi.Resource]]:
    vpc = aws.ec2.Vpc("vpc", cidr_block="10.0.0.0/16", opts=part.below())
    internet = aws.ec2.InternetGateway("internet", vpc_id=vpc.id, opts=part.below())
    subnet = aws.ec2.Subnet("private", vpc_id=vpc.id, cidr_block="10.0.0.0/24", opts=part.below())
    nat = aws.ec2.NatGateway("nat", subnet_id=subnet.id, allocation_id="eipalloc-1", opts=part.below(internet))
    table = aws.ec2.RouteTable("private", vpc_id=vpc.id, opts=part.below())
    route = aws.ec2.Route(
        "private", route_table_id=table.id, destination_cidr_block="0.0.0.0/0", nat_gateway_id=nat.id, opts=part.below()
    )
    tied = aws.ec2.RouteTableAssociation("private", subnet_id=subnet.id, route_table_id=table.id, opts=part.below())
    for service in ("s3", "dynamodb"):
        aws.ec2.VpcEndpoint(
            service, vpc_id=vpc.id, service_name=f"com.amazonaws.eu-central-1.{service}", vpc_endpoint_type="Gateway",
            route_table_ids=[table.id], opts=part.below(),
        )  # fmt: skip
    return subnet, [route, tied]


def storage(part: Part) -> tuple[aws.s3.Bucket, aws.sqs.Queue]:
    bucket = aws.s3.Bucket("data", bucket="podium-production-data", opts=part.below(kept=True))
    block = aws.s3.BucketPublicAccessBlock("data", bucket=bucket.bucket, opts=part.below())
    aws.s3.BucketPolicy("data", bucket=bucket.bucket, policy=TRUST, opts=part.below(block))
    versions = aws.s3.BucketVersioning(
        "data", bucket=bucket.bucket, versioning_configuration={"status": "Enabled"}, opts=part.below()
    )
    aws.s3.BucketLifecycleConfiguration("data", bucket=bucket.bucket, rules=[], opts=part.below(versions))
    queue = aws.sqs.Queue("work", name="podium-production-work", opts=part.below())
    policy = aws.sqs.QueuePolicy("work", queue_url=queue.url, policy=TRUST, opts=part.below())
    events: Any = [{"queueArn": queue.arn, "events": ["s3:ObjectCreated:*"]}]
    aws.s3.BucketNotification("data", bucket=bucket.bucket, queues=events, opts=part.below(policy))
    return bucket, queue


def functions(part: Part, boundary: aws.iam.Policy, queue: aws.sqs.Queue) -> None:
    group = aws.cloudwatch.LogGroup("worker", name="/aws/lambda/podium-production-worker", opts=part.below())
    its_role, policy = role(part, "worker", boundary)
    function = aws.lambda_.Function(
        "worker", name="podium-production-worker", role=its_role.arn, package_type="Image", image_uri="i@sha256:1",
        environment={"variables": {"PODIUM_MODEL": "s3://b/m", "PODIUM_MODEL_SHA256": "sha256:1"}},
        opts=part.below(group, policy),
    )  # fmt: skip
    aws.lambda_.EventSourceMapping(
        "worker", event_source_arn=queue.arn, function_name=function.arn, opts=part.below(policy)
    )


def cluster(part: Part, boundary: aws.iam.Policy, subnet: aws.ec2.Subnet, ways: list[pulumi.Resource]) -> None:
    name = "podium-production-cluster"
    group = aws.cloudwatch.LogGroup("cluster", name=f"/aws/eks/{name}/cluster", opts=part.below())
    its_role, policy = role(part, "cluster", boundary)
    arguments: dict[str, Any] = {"vpc_id": "vpc-1", "private_subnet_ids": [subnet.id], "create_instance_role": False}
    made = eks.Cluster(
        "cluster", name=name, authentication_mode=eks.AuthenticationMode.API, **arguments,
        auto_mode={"enabled": True, "create_node_role": False}, service_role=its_role.arn.apply(lambda _: its_role),
        opts=part.below(group, policy, *ways, kept=True),
    )  # fmt: skip
    who = f"arn:aws:iam::{ACCOUNT}:role/admin"
    entry = aws.eks.AccessEntry("admin", cluster_name=name, principal_arn=who, opts=part.below(made))
    aws.eks.AccessPolicyAssociation(
        "admin", cluster_name=name, principal_arn=who, policy_arn="arn:aws:eks::aws:cluster-access-policy/A",
        access_scope={"type": "cluster"}, opts=part.below(entry),
    )  # fmt: skip


def balanced(part: Part) -> None:
    task = aws.ecs.TaskDefinition(
        "serve", family="podium-production-serve", opts=part.below(),
        container_definitions=json.dumps([{"name": "serve", "environment": [{"name": "PORT", "value": "8000"}]}]),
    )  # fmt: skip
    listener = aws.lb.Listener(
        "serve", load_balancer_arn="arn:aws:elasticloadbalancing:eu-central-1:1:loadbalancer/app/a/1",
        default_actions=[], opts=part.below(),
    )  # fmt: skip
    aws.ecs.Service(
        "serve", name="podium-production-serve", cluster="c", task_definition=task.arn, opts=part.below(listener)
    )


@pytest.fixture(scope="module")
def graph() -> Graph:
    return run_program(sound, stack="production")


@pytest.mark.parametrize("variant", ["day 0", "released", "everything"])
@pytest.mark.parametrize("stack", STACKS)
def test_nothing_is_wrong_with_the_stacks(graphs: Graphs, stack: str, variant: Variant) -> None:
    assert findings(graphs(stack, variant)) == []


def test_nothing_is_wrong_with_what_is_sound(graph: Graph) -> None:
    assert findings(graph) == []


Break = Callable[[Graph], Graph]


def changed(type_: str, name: str, change: Callable[[Resource], Resource]) -> Break:
    def broken(graph: Graph) -> Graph:
        chosen = graph.one(type_, name)
        return replace(
            graph, resources=tuple(change(each) if each is chosen else each for each in graph.resources)
        )  # fmt: skip

    return broken


def inputs(type_: str, called: str, /, **given: Any) -> Break:
    """Other inputs; None leaves one out."""

    def change(each: Resource) -> Resource:
        merged = {**each.inputs, **given}
        return replace(each, inputs={key: value for key, value in merged.items() if value is not None})

    return changed(type_, called, change)


def early(type_: str, name: str) -> Break:
    """Waits for nothing."""
    return changed(type_, name, lambda each: replace(each, dependencies=()))


def without(type_: str, name: str) -> Break:
    def broken(graph: Graph) -> Graph:
        chosen = graph.one(type_, name)
        return replace(graph, resources=tuple(each for each in graph.resources if each is not chosen))

    return broken


def output(name: str, value: Any) -> Break:
    return lambda graph: replace(graph, outputs={**graph.outputs, name: value})


PROVIDER = ("pulumi:providers:aws", "aws")
BUCKET = ("aws:s3/bucket:Bucket", "data")
FUNCTION = ("aws:lambda/function:Function", "worker")
CLUSTER = ("aws:eks/cluster:Cluster", "cluster-eksCluster")
ROLE = ("aws:iam/role:Role", "worker")
TASK = ("aws:ecs/taskDefinition:TaskDefinition", "serve")
LEAKED = "ghp_" + "a" * 36

BROKEN: dict[str, tuple[str, Break, str]] = {
    "a resource at the root": ("parents", changed(*BUCKET, lambda it: replace(it, parent="")), "at the root"),
    "a resource below a stranger": (
        "parents",
        changed("podium:infra:Part", "part", lambda it: replace(it, type="other:index:Part")),
        "no component of ours",
    ),
    "the default provider": (
        "providers",
        changed(*BUCKET, lambda it: replace(it, provider="")),
        "the default provider",
    ),
    "no provider at all": ("providers", without(*PROVIDER), "no provider for AWS"),
    "any account": ("providers", inputs(*PROVIDER, allowedAccountIds=None), "any account"),
    "another account": ("providers", inputs(*PROVIDER, allowedAccountIds=["999999999999"]), "999999999999"),
    "no region": ("providers", inputs(*PROVIDER, region=None), "whatever region"),
    "no tags": ("providers", inputs(*PROVIDER, defaultTags=None), "podium:environment"),
    "one tag less": ("providers", inputs(*PROVIDER, defaultTags={"tags": {"podium:environment": "x"}}), "managed-by"),
    "an unprotected bucket": ("protection", changed(*BUCKET, lambda it: replace(it, protect=False)), "not protected"),
    "an unprotected cluster": ("protection", changed(*CLUSTER, lambda it: replace(it, protect=False)), "not protected"),
    "deleted for good": ("protection", changed(*BUCKET, lambda it: replace(it, retain=False)), "not retained"),
    "a name that Pulumi makes up": ("names", inputs(*BUCKET, bucket=None), "makes up"),
    "another environment's name": ("names", inputs(*ROLE, name="podium-staging-worker"), "podium-staging-worker"),
    "a role without bounds": ("boundaries", inputs(*ROLE, permissionsBoundary=None), "no boundary"),
    "somebody else's bounds": ("boundaries", inputs(*ROLE, permissionsBoundary="arn:aws:iam::1:policy/x"), "iam::1:"),
    "a secret in an output": ("outputs", output("where", f"https://u:{LEAKED}@h"), "where shows a secret"),
    "a marked secret in an output": (
        "outputs",
        lambda graph: replace(
            inputs(*FUNCTION, description="hunter2-hunter2")(
                changed(*FUNCTION, lambda it: replace(it, secrets=frozenset({"description"})))(graph)
            ),
            outputs={**graph.outputs, "shown": ["hunter2-hunter2"]},
        ),
        "shown[0] shows a secret",
    ),
    "a secret made plain": (
        "outputs",
        lambda graph: replace(graph, outputs={"key": "AKIA" + "A" * 16}, secret_outputs=frozenset()),
        "key shows a secret",
    ),
    "an empty output": ("outputs", output("bucket", ""), "bucket is empty"),
    "a kubeconfig": ("outputs", output("kubeconfig", {"clusters": "c"}), "kubeconfig"),
    "a token for a function": (
        "environments",
        inputs(*FUNCTION, environment={"variables": {"API_TOKEN": "x"}}),
        "API_TOKEN",
    ),
    "a key for a task": (
        "environments",
        inputs(*TASK, containerDefinitions=json.dumps([{"environment": [{"name": "A", "value": LEAKED}]}])),
        "has A in its environment",
    ),
    "a policy before the block": ("order", early("aws:s3/bucketPolicy:BucketPolicy", "data"), "refuses two changes"),
    "a bucket without a block": (
        "order",
        without("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", "data"),
        "has no aws:s3/bucketPublicAccessBlock",
    ),
    "a lifecycle before versions": (
        "order",
        early("aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration", "data"),
        "BucketVersioning",
    ),
    "a notification before the queue's policy": (
        "order",
        early("aws:s3/bucketNotification:BucketNotification", "data"),
        "S3 tries the queue",
    ),
    "NAT before the gateway": ("order", early("aws:ec2/natGateway:NatGateway", "nat"), "no way out"),
    "a grant before its entry": (
        "order",
        early("aws:eks/accessPolicyAssociation:AccessPolicyAssociation", "admin"),
        "AccessEntry admin",
    ),
    "a cluster before its log group": ("order", without("aws:cloudwatch/logGroup:LogGroup", "cluster"), "no log group"),
    "a cluster that waits for nothing": (
        "order",
        changed(*CLUSTER, lambda it: replace(it, dependencies=(), parent="")),
        "its role may do nothing",
    ),
    "a cluster before its routes": (
        "order",
        changed(*CLUSTER, lambda it: replace(it, dependencies=(), parent="")),
        "does not wait for aws:ec2/route:Route private",
    ),
    "a function before its log group": ("order", early(*FUNCTION), "LogGroup worker"),
    "a function before its permissions": ("order", early(*FUNCTION), "RolePolicy worker"),
    "a mapping before its role may receive": (
        "order",
        lambda graph: early(*FUNCTION)(
            changed(
                "aws:lambda/eventSourceMapping:EventSourceMapping",
                "worker",
                lambda it: replace(it, dependencies=(graph.one(*FUNCTION).urn,)),
            )(graph)
        ),
        "EventSourceMapping worker does not wait for aws:iam/rolePolicy:RolePolicy worker",
    ),
    "a service before its listener": ("order", early("aws:ecs/service:Service", "serve"), "ECS refuses"),
    "no gateway endpoint": ("gateways", without("aws:ec2/vpcEndpoint:VpcEndpoint", "s3"), "endpoint of s3"),
    "a gateway endpoint on no table": (
        "gateways",
        inputs("aws:ec2/vpcEndpoint:VpcEndpoint", "dynamodb", routeTableIds=[]),
        "endpoint of dynamodb",
    ),
    "a warning": ("warnings", lambda graph: replace(graph, logged=("deprecated",)), "deprecated"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_each_rule_is_heard(graph: Graph, what: str) -> None:
    rule, broken, says = BROKEN[what]
    heard = [each for each in findings(broken(graph)) if each.startswith(f"{rule}: ")]
    assert any(says in each for each in heard), heard


def test_every_rule_has_its_fault() -> None:
    assert {rule for rule, _, _ in BROKEN.values()} == RULES.keys()
