"""What the recorded graph shows that no resource shows by itself: parents, providers, protection, order, secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.infra.graph import Graph, Resource
from tests.infra.wire import strings

AWS = "pulumi:providers:aws"
KEPT = frozenset(
    {
        "aws:dynamodb/table:Table",
        "aws:ecr/repository:Repository",
        "aws:eks/cluster:Cluster",
        "aws:kms/key:Key",
        "aws:s3/bucket:Bucket",
    }
)
"""What is lost with its resource: data, and what nothing can be read without."""

# The input that is the physical name, and how it begins.
NAMED: Mapping[str, tuple[str, str]] = {
    "aws:cloudwatch/logGroup:LogGroup": ("name", r"((/aws)?/[a-z]+/)?{own}"),
    "aws:cloudwatch/metricAlarm:MetricAlarm": ("name", "{own}"),
    "aws:codebuild/project:Project": ("name", "{own}"),
    "aws:dynamodb/table:Table": ("name", "{own}"),
    "aws:ec2/securityGroup:SecurityGroup": ("name", "{own}"),
    "aws:ecr/repository:Repository": ("name", "podium-{stack}/"),
    "aws:ecs/cluster:Cluster": ("name", "{own}"),
    "aws:ecs/service:Service": ("name", "{own}"),
    "aws:ecs/taskDefinition:TaskDefinition": ("family", "{own}"),
    "aws:eks/cluster:Cluster": ("name", "{own}"),
    "aws:iam/policy:Policy": ("name", "{own}"),
    "aws:iam/role:Role": ("name", "{own}"),
    "aws:kms/alias:Alias": ("name", "alias/{own}"),
    "aws:lambda/function:Function": ("name", "{own}"),
    "aws:lb/loadBalancer:LoadBalancer": ("name", "{own}"),
    "aws:lb/targetGroup:TargetGroup": ("name", "{own}"),
    "aws:s3/bucket:Bucket": ("bucket", "{own}"),
    "aws:sns/topic:Topic": ("name", "{own}"),
    "aws:sqs/queue:Queue": ("name", "{own}"),
}

# Which is made after which: why, the later, the earlier, each with the input that makes them belong together.
ORDER: tuple[tuple[str, tuple[str, str], tuple[str, str]], ...] = (
    (
        "S3 refuses two changes at once, and the block decides what a policy may say",
        ("aws:s3/bucketPolicy:BucketPolicy", "bucket"),
        ("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", "bucket"),
    ),
    (
        "rules for old versions mean nothing before there are versions",
        ("aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration", "bucket"),
        ("aws:s3/bucketVersioning:BucketVersioning", "bucket"),
    ),
    (
        "EKS refuses a policy for a principal that it has no entry of",
        ("aws:eks/accessPolicyAssociation:AccessPolicyAssociation", "principalArn"),
        ("aws:eks/accessEntry:AccessEntry", "principalArn"),
    ),
    (
        "a NAT gateway has no way out before its VPC has",
        ("aws:ec2/natGateway:NatGateway", "vpc"),
        ("aws:ec2/internetGateway:InternetGateway", "vpc"),
    ),
)  # fmt: skip

SECRET_NAME = re.compile(r"(SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL|API_?KEY|PRIVATE_?KEY|ACCESS_?KEY)", re.IGNORECASE)
SECRET_VALUE = re.compile(
    r"\b(AKIA|ASIA)[A-Z0-9]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY|\bgh[pousr]_\w{36}|://[^/\s:@]+:[^/\s@]+@"
)

Rule = Callable[[Graph], Iterator[str]]


def findings(graph: Graph) -> list[str]:
    """What is wrong with a graph, each by the name of its rule."""
    return [f"{name}: {finding}" for name, rule in RULES.items() for finding in rule(graph)]


def parents(graph: Graph) -> Iterator[str]:
    """Nothing is at the root but components and providers, and all else is below a component of ours."""
    for each in graph.resources:
        above = graph.above(each)
        if not each.parent:
            if not each.type.startswith(("podium:infra:", "pulumi:providers:")):
                yield f"{_called(each)} is at the root of the stack"
        elif not above or not above[-1].type.startswith("podium:infra:"):
            yield f"{_called(each)} is below {above[-1].type if above else each.parent}, which is no component of ours"


def providers(graph: Graph) -> Iterator[str]:
    """AWS is reached by an explicit provider only, which can touch one account and tags what it makes."""
    made = {each.urn: each for each in graph.of(AWS)}
    for each in graph.resources:
        if each.type.startswith("aws:") and each.provider not in made:
            yield f"{_called(each)} has {each.provider or 'the default provider'}"
    if not made:
        yield "there is no provider for AWS"
    for each in made.values():
        accounts = each.inputs.get("allowedAccountIds")
        if not accounts or accounts != [graph.outputs.get("account")]:
            yield f"provider {each.name} may touch {accounts or 'any account'}"
        if not each.inputs.get("region"):
            yield f"provider {each.name} has whatever region its process has"
        tags = (each.inputs.get("defaultTags") or {}).get("tags", {})
        for tag in ("podium:environment", "podium:repository", "podium:managed-by"):
            if not tags.get(tag):
                yield f"provider {each.name} sets no tag {tag}"


def protection(graph: Graph) -> Iterator[str]:
    """What holds state is protected, and in production outlives even an unprotected `destroy`."""
    for each in graph.resources:
        if each.type not in KEPT:
            continue
        if not each.protect:
            yield f"{_called(each)} is not protected"
        if graph.stack == "production" and not each.retain:
            yield f"{_called(each)} is not retained on deletion"


def names(graph: Graph) -> Iterator[str]:
    """Physical names are fixed and of this environment: policies and manifests name them."""
    for each in graph.resources:
        if each.type not in NAMED:
            continue
        key, pattern = NAMED[each.type]
        own = pattern.format(own=f"podium-{graph.stack}-", stack=graph.stack)
        name = each.inputs.get(key)
        if not isinstance(name, str):
            yield f"{_called(each)} has whatever {key} Pulumi makes up"
        elif re.match(own, name) is None:
            yield f"{_called(each)} has the {key} {name}"


def boundaries(graph: Graph) -> Iterator[str]:
    """Every role is held by a permissions boundary of this stack."""
    policies = {each.outputs.get("arn") for each in graph.of("aws:iam/policy:Policy")}
    for each in graph.of("aws:iam/role:Role"):
        if each.inputs.get("permissionsBoundary") not in policies:
            yield f"{_called(each)} is held by {each.inputs.get('permissionsBoundary') or 'no boundary'}"


def outputs(graph: Graph) -> Iterator[str]:
    """No output that anybody may read holds a secret, and none is empty."""
    secret = set(_secret_values(graph))
    for name, value in graph.outputs.items():
        if value in (None, "", []):
            yield f"{name} is empty"
        if name in graph.secret_outputs:
            continue
        for path, text in strings(value, name):
            if any(each in text for each in secret) or SECRET_VALUE.search(text):
                yield f"{path} shows a secret"
    if "kubeconfig" in str(sorted(graph.outputs)).lower():
        yield "a kubeconfig is an output"


def environments(graph: Graph) -> Iterator[str]:
    """No secret is in the environment of a function, task or build, where whoever may describe it reads it."""
    secret = set(_secret_values(graph))
    for each in graph.resources:
        for name, value in _environment(each):
            # PODIUM_MODEL_SHA256 and the like tell nothing.
            if SECRET_NAME.search(name) or SECRET_VALUE.search(value) or any(known in value for known in secret):
                yield f"{_called(each)} has {name} in its environment"


def order(graph: Graph) -> Iterator[str]:
    """What AWS would refuse, or make in its own way, if it came first."""
    for why, (later, key), (earlier, other) in ORDER:
        before = graph.of(earlier)
        for each in graph.of(later):
            same = [one for one in before if key == "vpc" or one.inputs.get(other) == each.inputs.get(key)]
            yield from _late(graph, each, same, earlier, why)
    for each in graph.of("aws:eks/cluster:Cluster"):
        yield from _logged(graph, each, f"/aws/eks/{each.inputs.get('name')}/cluster")
        yield from _after_role(graph, each, [each.inputs.get("roleArn"), _nodes(each)])
        yield from _late(graph, each, _ways_out(graph, each), "way out", "its nodes pull their images as they start")
    for each in graph.of("aws:lambda/function:Function"):
        config = each.inputs.get("loggingConfig", {})
        yield from _logged(graph, each, config.get("logGroup", f"/aws/lambda/{each.inputs.get('name')}"))
        yield from _after_role(graph, each, [each.inputs.get("role")])
    for each in graph.of("aws:lambda/eventSourceMapping:EventSourceMapping"):
        functions = [one for one in graph.of("aws:lambda/function:Function") if one.urn in graph.needs(each)]
        yield from _after_role(graph, each, [one.inputs.get("role") for one in functions])
    for each in graph.of("aws:s3/bucketNotification:BucketNotification"):
        queues = {one.get("queueArn") for one in each.inputs.get("queues", [])}
        urls = {one.outputs["url"] for one in graph.of("aws:sqs/queue:Queue") if one.outputs["arn"] in queues}
        policies = [one for one in graph.of("aws:sqs/queuePolicy:QueuePolicy") if one.inputs["queueUrl"] in urls]
        yield from _late(graph, each, policies, "policy of its queue", "S3 tries the queue when it is told of it")
    for each in graph.of("aws:ecs/service:Service"):
        listeners = graph.of("aws:lb/listener:Listener")
        yield from _late(graph, each, listeners, "listener", "ECS refuses a target group that no balancer has")


def gateways(graph: Graph) -> Iterator[str]:
    """The private subnets reach S3 and DynamoDB without NAT."""
    tables = {
        each.inputs.get("routeTableId") for each in graph.of("aws:ec2/route:Route") if "natGatewayId" in each.inputs
    }
    endpoints = [
        each for each in graph.of("aws:ec2/vpcEndpoint:VpcEndpoint") if each.inputs.get("vpcEndpointType") == "Gateway"
    ]
    for service in ("s3", "dynamodb"):
        found = [each for each in endpoints if str(each.inputs["serviceName"]).endswith(f".{service}")]
        have = {table for each in found for table in each.inputs.get("routeTableIds", [])}
        if not found:
            yield f"there is no gateway endpoint of {service}"
        elif not tables <= have:
            yield f"{len(tables - have)} private route tables lack the gateway endpoint of {service}"


def warnings(graph: Graph) -> Iterator[str]:
    yield from graph.logged


RULES: Mapping[str, Rule] = {
    each.__name__: each
    for each in (
        parents, providers, protection, names, boundaries, outputs, environments, order, gateways, warnings,
    )
}  # fmt: skip


def _called(resource: Resource) -> str:
    return f"{resource.type} {resource.name}"


def _late(graph: Graph, each: Resource, before: list[Resource], what: str, why: str) -> Iterator[str]:
    if not before:
        yield f"{_called(each)} has no {what}: {why}"
    needed = graph.needs(each)
    for one in before:
        if one.urn not in needed:
            yield f"{_called(each)} does not wait for {_called(one)}: {why}"


def _logged(graph: Graph, each: Resource, group: str) -> Iterator[str]:
    groups = [one for one in graph.of("aws:cloudwatch/logGroup:LogGroup") if one.inputs.get("name") == group]
    yield from _late(graph, each, groups, f"log group {group}", "AWS makes it else, kept forever and with no key")


def _after_role(graph: Graph, each: Resource, arns: list[Any]) -> Iterator[str]:
    """Waits until its roles may do all that they are to."""
    for role in [one for one in graph.of("aws:iam/role:Role") if one.outputs["arn"] in arns]:
        types = ("aws:iam/rolePolicy:RolePolicy", "aws:iam/rolePolicyAttachment:RolePolicyAttachment")
        given = [one for type_ in types for one in graph.of(type_) if one.inputs.get("role") in (role.id, role.name)]
        yield from _late(graph, each, given, f"policy in {role.name}", "its role may do nothing until then")


def _ways_out(graph: Graph, cluster: Resource) -> list[Resource]:
    """The routes of the cluster's subnets, and what ties those to these."""
    subnets = cluster.inputs.get("vpcConfig", {}).get("subnetIds", [])
    tied = [
        one
        for one in graph.of("aws:ec2/routeTableAssociation:RouteTableAssociation")
        if one.inputs.get("subnetId") in subnets
    ]
    tables = {one.inputs.get("routeTableId") for one in tied}
    return [*tied, *(one for one in graph.of("aws:ec2/route:Route") if one.inputs.get("routeTableId") in tables)]


def _nodes(cluster: Resource) -> Any:
    return cluster.inputs.get("computeConfig", {}).get("nodeRoleArn")


def _secret_values(graph: Graph) -> Iterator[str]:
    """Texts that a resource marks as secret. Short ones are found anywhere."""
    for each in graph.resources:
        for source, marked in ((each.inputs, each.secrets), (each.outputs, each.secret_outputs)):
            for path, text in strings(source):
                if len(text) >= 6 and any(path == one or path.startswith((f"{one}.", f"{one}[")) for one in marked):
                    yield text


def _environment(each: Resource) -> Iterator[tuple[str, str]]:
    variables: Any = {}
    match each.type:
        case "aws:lambda/function:Function":
            variables = each.inputs.get("environment", {}).get("variables", {})
        case "aws:ecs/taskDefinition:TaskDefinition":
            containers = json.loads(each.inputs["containerDefinitions"])
            variables = {one["name"]: one["value"] for box in containers for one in box.get("environment", [])}
        case "aws:codebuild/project:Project":
            given = each.inputs.get("environment", {}).get("environmentVariables", [])
            variables = {one["name"]: one["value"] for one in given if one.get("type", "PLAINTEXT") == "PLAINTEXT"}
        case _:
            pass
    for name, value in variables.items():
        yield str(name), str(value)
