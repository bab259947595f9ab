"""What a role of a graph may do, by all the policies that AWS would ask: its own, its boundary, and the resource's."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.infra.conditions import Context
from tests.infra.documents import POLICY, ROLE, documents, roles
from tests.infra.evaluate import Decision, Principal, Request, assumes, decide
from tests.infra.graph import Graph, record

REGION = "eu-central-1"


@functools.cache
def committed(stack: str) -> Graph:
    return record(stack)


@dataclass(frozen=True)
class Rights:
    """
    Attributes:
        environment: of the graph, so that names need not be spelt out: `role("rank")` is podium-<environment>-rank.
    """

    graph: Graph
    identities: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict[str, list[Mapping[str, Any]]])

    def __post_init__(self) -> None:
        self.identities.update(roles(self.graph))

    @property
    def environment(self) -> str:
        return self.graph.stack

    @property
    def account(self) -> str:
        return self.graph.outputs["account"]

    @property
    def bucket(self) -> str:
        return f"arn:aws:s3:::podium-{self.environment}-data-{self.account}"

    @property
    def data_key(self) -> str:
        return self.key("data")

    def key(self, what: str) -> str:
        return self.graph.one("aws:kms/key:Key", f"{what}-key").outputs["arn"]

    def arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{REGION}:{self.account}:{resource}"

    def name(self, what: str) -> str:
        return f"podium-{self.environment}-{what}"

    def role_arn(self, what: str) -> str:
        return f"arn:aws:iam::{self.account}:role/{self.name(what)}"

    def may(
        self, what: str, action: str, resource: str, context: Context | None = None, *, guarded: bool = True
    ) -> Decision:
        """Whether a role may do something. TLS and the region are as in every request of ours.

        Args:
            guarded: that a key's policy is asked; False for keys that the graph has not.
        """
        name = self.name(what)
        given: Context = {"aws:SecureTransport": "true", "aws:RequestedRegion": REGION, **(context or {})}
        principal = Principal(self.role_arn(what))
        request = Request(action, resource, given, principal)
        on_key = guarded and action.startswith("kms:")
        return decide(request, self.identities[name], self._on(resource), self._boundary(name), guarded=on_key)

    def trusts(self, what: str, action: str, context: Context, principal: Principal) -> Decision:
        found = self.graph.one(ROLE, what)
        return assumes(found.inputs["assumeRolePolicy"], Request(action, self.role_arn(what), context, principal))

    def held(self, what: str, statements: Sequence[Mapping[str, Any]], request: Request) -> Decision:
        """Whether a role of ours with other policies than its own could do something: what its boundary leaves."""
        own = {"Version": "2012-10-17", "Statement": list(statements)}
        return decide(request, [own], self._on(request.resource), self._boundary(self.name(what)))

    def _boundary(self, name: str) -> Mapping[str, Any]:
        (found,) = (each for each in self.graph.of(ROLE) if each.inputs["name"] == name)
        arn = found.inputs["permissionsBoundary"]
        (policy,) = (each for each in self.graph.of(POLICY) if each.outputs.get("arn") == arn)
        return next(each.content for each in documents(self.graph) if each.name == f"Policy {policy.name}")

    def _on(self, resource: str) -> Mapping[str, Any] | None:
        """The policy of a bucket or a key, where one of ours is asked for."""
        bucket = resource == self.bucket or resource.startswith(f"{self.bucket}/")
        keys = {each.outputs["arn"]: f"Key {each.name}" for each in self.graph.of("aws:kms/key:Key")}
        name = "BucketPolicy data" if bucket else keys.get(resource)
        return next((each.content for each in documents(self.graph) if each.name == name), None)
