"""Pulumi's resource monitor in this process: it records all that a program registers.

Pulumi's own MockMonitor shows its mocks the inputs alone. Here is kept what is around them: parents, protection,
dependencies, providers, secrets. Unlike it, this one runs transforms, builds URNs with the whole chain of parents as
the engine does, and makes the children of remote components.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pulumi
from google.protobuf import empty_pb2
from pulumi.runtime import mocks as runtime
from pulumi.runtime.proto import engine_pb2, resource_pb2

from tests.infra import wire

STACK = "pulumi:pulumi:Stack"
STACK_REFERENCE = "pulumi:pulumi:StackReference"
Mutate = Callable[[str, str, dict[str, Any]], dict[str, Any] | None]
"""(type, name, inputs) -> inputs, or None to have the resource go missing from the graph."""


class GraphError(Exception):
    """The program asked for something that no engine would grant, or that the tests know no answer to."""


@dataclass(frozen=True)
class Resource:
    """
    Args:
        parent: the parent's URN, empty for the stack's own.
        inputs: plain JSON with the provider's camelCase keys, references resolved.
        dependencies: URNs, those of `property_dependencies` among them.
        provider: the URN of the explicit provider, empty for a default one.
        remote: a component that a provider makes; its children are in the graph too.
        secrets: paths of the inputs that are secret.
        secret_outputs: names of the outputs that are.
    """

    urn: str
    type: str
    name: str
    id: str
    parent: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    protect: bool
    retain: bool
    dependencies: tuple[str, ...]
    property_dependencies: dict[str, tuple[str, ...]]
    provider: str
    custom: bool
    remote: bool
    secrets: frozenset[str] = frozenset()
    secret_outputs: frozenset[str] = frozenset()
    ignore_changes: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


@dataclass
class Request:
    """A registration as it is before it is answered, whether the program's or that of a remote component's child."""

    type: str
    name: str
    parent: str
    inputs: dict[str, Any]
    custom: bool = True
    remote: bool = False
    protect: bool = False
    retain: bool = False
    dependencies: tuple[str, ...] = ()
    property_dependencies: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    provider: str = ""
    providers: Mapping[str, str] = field(default_factory=dict[str, str])
    secrets: frozenset[str] = frozenset()
    references: Mapping[str, str] = field(default_factory=dict[str, str])
    more_secret_outputs: frozenset[str] = frozenset()
    ignore_changes: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


class Remote(Protocol):
    """How a remote component is made: registers its children, and returns its outputs.

    Args:
        known: what is registered already, by URN.
    """

    def __call__(
        self,
        component: Request,
        urn: str,
        register: Callable[[Request], Resource],
        known: Mapping[str, Resource],
    ) -> dict[str, Any]: ...


class RecordingMonitor(runtime.MockMonitor):
    """
    Args:
        remotes: how each type of remote component is made; any other is refused.
    """

    def __init__(
        self, mocks: runtime.Mocks, *, project: str, stack: str, remotes: Mapping[str, Remote], mutate: Mutate | None
    ) -> None:
        super().__init__(mocks)
        self.project = project
        self.stack = stack
        self.remotes = remotes
        self.mutate = mutate
        self.recorded: dict[str, Resource] = {}
        self.missing: set[str] = set()
        self.stack_outputs = wire.Plain({})
        self.logged: list[str] = []
        self._transforms: dict[str, Sequence[Callable[[Any], Any]]] = {}
        self._parents: dict[str, str] = {}
        self._lock = threading.Lock()

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        chain = parent.split("::")[2] if parent else ""
        qualified = f"{chain}${type_}" if chain and chain != STACK else type_
        return f"urn:pulumi:{self.stack}::{self.project}::{qualified}::{name}"

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802
        if request.type == STACK:
            return resource_pb2.RegisterResourceResponse(urn=self.make_urn("", request.type, request.name))
        if request.transforms:
            urn = self.make_urn(request.parent, request.type, request.name)
            self._transforms[urn] = runtime._resolve_callbacks(request.transforms)
        made = self._register(_asked(request))
        return resource_pb2.RegisterResourceResponse(
            urn=made.urn,
            id=made.id,
            # Not as recorded: the program is answered with references, not with what they stand for.
            object=wire.struct(self.resources[made.urn].state, made.secret_outputs),
        )

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802
        outputs = wire.plain(request.outputs)
        if request.urn.split("::")[2] == STACK:
            self.stack_outputs = outputs
        elif (made := self.recorded.get(request.urn)) is not None:
            made.outputs.update(outputs.value)
        return empty_pb2.Empty()

    def ReadResource(self, request: Any) -> Any:  # noqa: N802
        if request.type == STACK_REFERENCE:
            # It is no resource of the graph: another project's outputs, which the mocks know.
            asked = runtime.MockResourceArgs(
                request.type, request.name, wire.plain(request.properties).value, "", "", True
            )
            _, outputs = self.mocks.new_resource(asked)
            urn = self.make_urn(request.parent, request.type, request.name)
            return resource_pb2.ReadResourceResponse(urn=urn, properties=wire.struct(outputs))
        raise GraphError(f"{request.type} {request.name} is read by its id; look it up by a function")

    def Invoke(self, request: Any) -> Any:  # noqa: N802
        args = wire.plain(request.args).value
        if request.tok == "pulumi:pulumi:getResource":
            known = self.resources[args["urn"]]
            state = {"urn": known.urn, "id": known.id, "state": known.state}
            return _invoked(state)
        answer = self.mocks.call(runtime.MockCallArgs(token=request.tok, args=args, provider=request.provider))
        # Whatever its annotation says, Pulumi takes mocks that return the outputs alone.
        outputs: Any = answer[0] if isinstance(answer, tuple) else answer  # pyright: ignore[reportUnnecessaryIsInstance]
        return _invoked(outputs)

    def Log(self, request: Any) -> None:  # noqa: N802
        """As the engine that the program writes its warnings to."""
        if request.severity >= engine_pb2.WARNING:
            self.logged.append(request.message)

    def _register(self, asked: Request) -> Resource:
        urn = self.make_urn(asked.parent, asked.type, asked.name)
        with self._lock:
            if urn in self.resources:
                raise GraphError(f"duplicate resource {urn}")
            # Taken at once: the answer may take a while, and others register meanwhile.
            self.resources[urn] = self.ResourceRegistration(urn, "", {})
            self._parents[urn] = asked.parent
        self._transform(asked, urn)
        changed = self.mutate(asked.type, asked.name, asked.inputs) if self.mutate else asked.inputs
        if changed is None:
            self.missing.add(urn)
        else:
            asked.inputs = changed
        id_, outputs = self._answer(asked, urn)
        made = _resource(asked, urn, id_, outputs)
        self.resources[urn] = self.ResourceRegistration(urn, id_, outputs)
        self.recorded[urn] = made
        return made

    def _answer(self, asked: Request, urn: str) -> tuple[str, dict[str, Any]]:
        if asked.remote:
            if asked.type not in self.remotes:
                raise GraphError(f"nothing is known of the children of the remote component {asked.type}")
            return "", self.remotes[asked.type](asked, urn, self._register, self.recorded)
        if not asked.custom:
            return "", {}
        id_, outputs = self.mocks.new_resource(
            runtime.MockResourceArgs(asked.type, asked.name, asked.inputs, asked.provider, None, True)
        )
        if not id_:
            raise GraphError(f"{asked.type} {asked.name} was answered with no id")
        return id_, outputs

    def _transform(self, asked: Request, urn: str) -> None:
        """Runs the transforms of the resource, of what it lies below, and of the stack, the nearest first."""
        chain: list[Callable[[Any], Any]] = []
        at = urn
        while at:
            chain += self._transforms.get(at, ())
            at = self._parents.get(at, "")
        for transform in [*chain, *self._stack_transforms]:
            opts = pulumi.ResourceOptions(
                protect=asked.protect, retain_on_delete=asked.retain, ignore_changes=list(asked.ignore_changes)
            )
            result: Any = transform(
                pulumi.ResourceTransformArgs(asked.custom, asked.type, asked.name, dict(asked.inputs), opts)
            )
            if result is None:
                continue
            asked.inputs = dict(result.props)
            asked.protect = bool(result.opts.protect)
            asked.retain = bool(result.opts.retain_on_delete)
            asked.ignore_changes = tuple(result.opts.ignore_changes or ())


def _asked(request: Any) -> Request:
    inputs = wire.plain(request.object)
    provider = request.type.startswith("pulumi:providers:")
    return Request(
        type=request.type,
        name=request.name,
        parent="" if request.parent.split("::")[2:3] == [STACK] else request.parent,
        # A provider takes its nested inputs as JSON texts.
        inputs={key: _parsed(each) for key, each in inputs.value.items()} if provider else inputs.value,
        custom=request.custom,
        remote=request.remote,
        protect=request.protect,
        retain=request.retainOnDelete,
        dependencies=tuple(sorted(request.dependencies)),
        property_dependencies={
            key: tuple(sorted(each.urns)) for key, each in request.propertyDependencies.items() if each.urns
        },
        provider=_urn(request.provider),
        providers={key: _urn(each) for key, each in request.providers.items()},
        secrets=inputs.secrets,
        references=inputs.references,
        more_secret_outputs=frozenset(request.additionalSecretOutputs),
        ignore_changes=tuple(request.ignoreChanges),
        # Those by type are pulumi_aws's own.
        aliases=tuple(sorted({each.urn or each.spec.name for each in request.aliases} - {""})),
    )


def _resource(asked: Request, urn: str, id_: str, outputs: dict[str, Any]) -> Resource:
    echoed = {path.partition(".")[0].partition("[")[0] for path in asked.secrets}
    return Resource(
        urn=urn,
        type=asked.type,
        name=asked.name,
        id=id_,
        parent=asked.parent,
        inputs=asked.inputs,
        outputs=wire.plain(wire.struct(outputs)).value,
        protect=asked.protect,
        retain=asked.retain,
        dependencies=asked.dependencies,
        property_dependencies=asked.property_dependencies,
        provider=asked.provider,
        custom=asked.custom,
        remote=asked.remote,
        secrets=asked.secrets,
        secret_outputs=asked.more_secret_outputs | echoed,
        ignore_changes=asked.ignore_changes,
        aliases=asked.aliases,
    )


def _invoked(outputs: Mapping[str, Any]) -> Any:
    made = resource_pb2.ResourceInvokeResponse()
    # Named by a word that Python keeps to itself.
    getattr(made, "return").CopyFrom(wire.struct(outputs))
    return made


def _urn(provider: str) -> str:
    """Of a provider's reference, `urn::id`."""
    return provider.rpartition("::")[0]


def _parsed(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) and value[:1] in ("[", "{") else value
