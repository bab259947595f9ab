"""The policy pack, asked through its own analyzer as Pulumi's engine asks it."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc, plugin_pb2

from tests.conftest import ROOT
from tests.infra.graph import Graph, Resource
from tests.infra.wire import struct

PACK = ROOT / "infra" / "policies"
STACK = "pulumi:pulumi:Stack"


@dataclass(frozen=True)
class Rule:
    name: str
    description: str
    remediation: str
    enforcement: int
    severity: int
    of_stack: bool


def findings(graph: Graph) -> list[str]:
    """What the pack refuses, as "rule: resource: message"; none where all is well."""
    return analyzer().findings(graph.resources)


@cache
def analyzer() -> Analyzer:
    """One for each process of the tests."""
    started = Analyzer()
    atexit.register(started.close)
    return started


class Analyzer:
    """The pack's process, started by the command with which Pulumi's Python host starts it."""

    def __init__(self) -> None:
        self._answers: dict[bytes, analyzer_pb2.AnalyzeResponse] = {}
        self._elsewhere = tempfile.TemporaryDirectory()
        environment = {"PULUMI_PROJECT": "podium", "PULUMI_STACK": "staging", "PULUMI_DRY_RUN": "true"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pulumi.policy", "127.0.0.1:1", str(PACK)],
            # From another folder and without the tests' path, so that the pack has to find its modules by itself.
            cwd=self._elsewhere.name,
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        port = self._process.stdout.readline().strip()
        if not port.isdecimal():
            self.close()
            raise RuntimeError(f"the policy pack does not start: {port}")
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self._stub = analyzer_pb2_grpc.AnalyzerStub(self._channel)

    def close(self) -> None:
        if hasattr(self, "_channel"):
            self._channel.close()
        self._process.kill()
        self._process.communicate()
        self._elsewhere.cleanup()

    def rules(self) -> list[Rule]:
        info: Any = self._stub.GetAnalyzerInfo(empty_pb2.Empty())
        return [
            Rule(
                each.name,
                each.description,
                each.remediation_steps,
                each.enforcementLevel,
                each.severity,
                each.policy_type == analyzer_pb2.POLICY_TYPE_STACK,
            )
            for each in info.policies
        ]

    def version(self) -> str:
        info: plugin_pb2.PluginInfo = self._stub.GetPluginInfo(empty_pb2.Empty())
        return info.version

    def findings(self, resources: Iterable[Resource]) -> list[str]:
        known = {each.urn: each for each in resources}
        # As the engine does: each resource before it is made, by its inputs, and the whole once it is known.
        asked = [(each.urn, self._analyze(self._request(each, known))) for each in known.values()]
        whole = analyzer_pb2.AnalyzeStackRequest(resources=[self._resource(each, known) for each in known.values()])
        asked.append(("the stack", self._stub.AnalyzeStack(whole)))
        return sorted(
            f"{each.policyName}: {_name(each.urn or urn)}: {each.message.partition(chr(10))[2] or each.message}"
            for urn, answer in asked
            for each in answer.diagnostics
        )

    def _analyze(self, request: analyzer_pb2.AnalyzeRequest) -> analyzer_pb2.AnalyzeResponse:
        # Rules have no state: of graphs that differ in one resource, that one is asked about anew.
        question = request.SerializeToString(deterministic=True)
        if question not in self._answers:
            self._answers[question] = self._stub.Analyze(request)
        return self._answers[question]

    def _request(self, resource: Resource, known: dict[str, Resource]) -> analyzer_pb2.AnalyzeRequest:
        return analyzer_pb2.AnalyzeRequest(
            type=resource.type,
            properties=struct(resource.inputs),
            urn=resource.urn,
            name=resource.name,
            options=analyzer_pb2.AnalyzerResourceOptions(protect=resource.protect, parent=resource.parent),
            provider=_provider(resource, known),
        )

    def _resource(self, resource: Resource, known: dict[str, Resource]) -> analyzer_pb2.AnalyzerResource:
        return analyzer_pb2.AnalyzerResource(
            type=resource.type,
            # What a provider answers holds the inputs as well, and so do the engine's states.
            properties=struct({**resource.outputs, **resource.inputs}),
            urn=resource.urn,
            name=resource.name,
            options=analyzer_pb2.AnalyzerResourceOptions(protect=resource.protect, parent=resource.parent),
            provider=_provider(resource, known),
            parent=resource.parent,
            dependencies=resource.dependencies,
            propertyDependencies={
                key: analyzer_pb2.AnalyzerPropertyDependencies(urns=urns)
                for key, urns in resource.property_dependencies.items()
            },
        )


def _provider(resource: Resource, known: dict[str, Resource]) -> analyzer_pb2.AnalyzerProviderResource | None:
    provider = known.get(resource.provider)
    if provider is None:
        return None
    return analyzer_pb2.AnalyzerProviderResource(
        type=provider.type, properties=struct(provider.inputs), urn=provider.urn, name=provider.name
    )


def _name(urn: str) -> str:
    """What a person calls it: the last type of its URN and its name."""
    return "/".join(part.rpartition(":")[2] for part in urn.split("::")[2:]) or urn
