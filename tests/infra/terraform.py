"""A recorded graph as the JSON of a Terraform plan, which tools read that know no Pulumi.

Pulumi's provider for AWS is made from Terraform's, so that names differ by a few rules: camelCase for snake_case,
plural names for lists of blocks, and no lists around single blocks (pulumi-terraform-bridge, "naming").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tests.infra.graph import Graph, Resource

# Where the type's name is not aws_<module>_<name>.
TYPES = {
    "aws:cloudwatch/eventRule:EventRule": "aws_cloudwatch_event_rule",
    "aws:iam/openIdConnectProvider:OpenIdConnectProvider": "aws_iam_openid_connect_provider",
    "aws:lb/loadBalancer:LoadBalancer": "aws_lb",
    "aws:ecs/taskDefinition:TaskDefinition": "aws_ecs_task_definition",
}
# Modules that Pulumi made up: their types' names begin with what is behind.
UNNAMED = ("ec2", "alb")
# Names that differ by more than the rules.
PROPERTIES = {
    "aws_lambda_function": {"name": "function_name"},
    "aws_lambda_permission": {"function": "function_name"},
    "aws_cloudwatch_metric_alarm": {"name": "alarm_name"},
}
# Maps from keys of the user's own: they are neither blocks nor renamed.
MAPS = {"tags", "defaultTags", "variables", "dimensions", "labels", "requestParameters", "responseParameters"}
PLURALS = {"indexes": "index", "aliases": "alias", "queries": "query", "strategies": "strategy", "policies": "policy"}


def plan(graph: Graph) -> dict[str, Any]:
    """What `terraform show -json` would say of a plan to make all of it."""
    ours = {each.urn: each for each in graph.resources if each.custom and each.type.startswith("aws:")}
    made = [(each, address(each)) for each in ours.values()]
    values = [
        {"address": name, "mode": "managed", "type": kind(each.type), "name": name.partition(".")[2],
         "provider_name": "registry.terraform.io/hashicorp/aws", "values": _values(each)}
        for each, name in made
    ]  # fmt: skip
    expressions = [
        {"address": name, "mode": "managed", "type": kind(each.type), "name": name.partition(".")[2],
         "provider_config_key": "aws", "expressions": dict(_references(each, ours))}
        for each, name in made
    ]  # fmt: skip
    changes = [
        {"address": name, "type": kind(each.type), "name": name.partition(".")[2], "mode": "managed",
         "change": {"actions": ["create"], "before": None, "after": _values(each), "after_unknown": {}}}
        for each, name in made
    ]  # fmt: skip
    return {
        "format_version": "1.2",
        "terraform_version": "1.9.0",
        "planned_values": {"root_module": {"resources": values}},
        "resource_changes": changes,
        "configuration": {
            "provider_config": {"aws": {"name": "aws"}},
            "root_module": {"resources": expressions},
        },
    }


def kind(type_: str) -> str:
    """The type by Terraform's name, `aws:s3/bucket:Bucket` -> `aws_s3_bucket`."""
    if type_ in TYPES:
        return TYPES[type_]
    _, module, name = type_.split(":")
    prefix = module.partition("/")[0]
    return "_".join(["aws", *([] if prefix in UNNAMED else [prefix]), snake(name)])


def address(resource: Resource) -> str:
    """Names may repeat below different parents, and hold what an address may not."""
    above = resource.urn.split("::")[2].split("$")[:-1]
    parts = [*(each.rpartition(":")[2] for each in above), resource.name]
    return f"{kind(resource.type)}.{re.sub(r'[^A-Za-z0-9_-]', '_', '_'.join(parts))}"


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _values(resource: Resource) -> dict[str, Any]:
    renamed = PROPERTIES.get(kind(resource.type), {})
    return {renamed.get(key) or _name(key, value): _value(key, value) for key, value in resource.inputs.items()}


def _value(key: str, value: Any) -> Any:
    if key in MAPS:
        return value
    if isinstance(value, dict):
        return [{_name(inner, each): _value(inner, each) for inner, each in value.items()}]
    if isinstance(value, list):
        # Blocks are in a list already, and so is each of them by itself.
        return [_value("", each)[0] if isinstance(each, dict) else each for each in value]
    return value


def _name(key: str, value: Any) -> str:
    name = snake(key)
    if not (isinstance(value, list) and value and isinstance(value[0], dict)):
        return name
    for plural, singular in PLURALS.items():
        if name.endswith(plural):
            return name.removesuffix(plural) + singular
    return name.removesuffix("s") if not name.endswith("ss") else name


def _references(resource: Resource, known: dict[str, Resource]) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """From which resources' attributes a property was made, and those that it names by an attribute's very value."""
    renamed = PROPERTIES.get(kind(resource.type), {})
    named = {value: each for each in known.values() for value in _identities(each)}
    for key, value in resource.inputs.items():
        used = [known[urn] for urn in resource.property_dependencies.get(key, ()) if urn in known]
        used += [named[each] for each in (value if isinstance(value, list) else [value])
                 if isinstance(each, str) and each in named and named[each] is not resource]  # fmt: skip
        if used:
            # As Terraform does: the attribute first, then the resource that it is of.
            references = [name for each in used for name in (f"{address(each)}.id", address(each))]
            yield renamed.get(key) or _name(key, value), {"references": list(dict.fromkeys(references))}


def _identities(resource: Resource) -> Iterator[str]:
    held = {**resource.outputs, **resource.inputs}
    # A name alone is another resource's as well: buckets' and queues' are theirs.
    keys = ["arn", "url"] if resource.type != "aws:s3/bucket:Bucket" else ["arn", "bucket"]
    yield from (str(held[key]) for key in keys if held.get(key))
