"""Every policy of a graph, and whose it is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.infra.graph import Graph, Resource

# Where a resource's policy is written, by type.
ON_RESOURCES = {
    "aws:ecr/repositoryPolicy:RepositoryPolicy": "policy",
    "aws:kms/key:Key": "policy",
    "aws:s3/bucketPolicy:BucketPolicy": "policy",
    "aws:sns/topicPolicy:TopicPolicy": "policy",
    "aws:sqs/queuePolicy:QueuePolicy": "policy",
    "aws:ec2/vpcEndpoint:VpcEndpoint": "policy",
    "aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy": "policy",
}
ROLE, INLINE = "aws:iam/role:Role", "aws:iam/rolePolicy:RolePolicy"
POLICY, ATTACHMENT = "aws:iam/policy:Policy", "aws:iam/rolePolicyAttachment:RolePolicyAttachment"


@dataclass(frozen=True)
class Document:
    """
    Args:
        kind: "identity", "trust", "boundary" or the resource's type.
        owners: physical names of the roles that have it.
    """

    name: str
    kind: str
    owners: tuple[str, ...]
    content: Mapping[str, Any]

    @property
    def statements(self) -> list[Mapping[str, Any]]:
        found = self.content["Statement"]
        return [found] if isinstance(found, dict) else list(found)


def documents(graph: Graph) -> Iterator[Document]:
    boundaries = {each.inputs.get("permissionsBoundary") for each in graph.of(ROLE)}
    attached: dict[str, list[str]] = {}
    for each in graph.of(ATTACHMENT):
        attached.setdefault(str(each.inputs["policyArn"]), []).append(str(each.inputs["role"]))
    for each in graph.of(ROLE):
        yield Document(_name(each), "trust", (str(each.inputs["name"]),), _read(each, "assumeRolePolicy"))
    for each in graph.of(INLINE):
        yield Document(_name(each), "identity", (str(each.inputs["role"]),), _read(each, "policy"))
    for each in graph.of(POLICY):
        arn = str(each.outputs.get("arn"))
        owners = tuple(sorted(attached.get(arn, [])))
        # One that both holds and grants is judged as what grants.
        kind = "boundary" if arn in boundaries and not owners else "identity"
        yield Document(_name(each), kind, owners, _read(each, "policy"))
    for type_, key in ON_RESOURCES.items():
        for each in graph.of(type_):
            if each.inputs.get(key) is not None:
                yield Document(_name(each), type_, (), _read(each, key))


def roles(graph: Graph) -> dict[str, list[Mapping[str, Any]]]:
    """What each role of the stack may do by its own policies, by its physical name."""
    found: dict[str, list[Mapping[str, Any]]] = {str(each.inputs["name"]): [] for each in graph.of(ROLE)}
    for document in documents(graph):
        if document.kind == "identity":
            for owner in document.owners:
                found.setdefault(owner, []).append(document.content)
    return found


def texts(value: Any) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else [str(each) for each in value]


def _read(resource: Resource, key: str) -> Mapping[str, Any]:
    value = resource.inputs[key]
    return json.loads(value) if isinstance(value, str) else value


def _name(resource: Resource) -> str:
    return f"{resource.type.rpartition(':')[2]} {resource.name}"
