"""The graph that the real program makes for a stack, recorded without an engine and without AWS."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import json
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulumi.runtime import mocks as runtime
from pulumi.runtime import settings
from pulumi.runtime.config import set_all_config
from pulumi.runtime.stack import run_in_stack

from tests.infra import eks_children
from tests.infra.answers import ACCOUNT, REGION, Answers
from tests.infra.monitor import GraphError, Mutate, RecordingMonitor, Resource

__all__ = ["Graph", "GraphError", "Resource", "record", "run_program"]

PROJECT = "podium"
REMOTES = {eks_children.COMPONENT: eks_children.made}


@dataclass(frozen=True)
class Graph:
    """
    Args:
        resources: by URN, so that two runs are alike.
        outputs: the stack's, as the program exports them.
        secret_outputs: names of those that Pulumi keeps encrypted.
        logged: the warnings and errors that the program gave the engine.
    """

    stack: str
    resources: tuple[Resource, ...]
    outputs: dict[str, Any]
    secret_outputs: frozenset[str] = frozenset()
    logged: tuple[str, ...] = ()

    def of(self, type_: str) -> list[Resource]:
        return [each for each in self.resources if each.type == type_]

    def one(self, type_: str, name: str) -> Resource:
        """
        Raises:
            GraphError: if there is none, or are several.
        """
        found = [each for each in self.of(type_) if each.name == name]
        if len(found) != 1:
            raise GraphError(f"{len(found)} of {type_} {name}; there are {[each.name for each in self.of(type_)]}")
        return found[0]

    @functools.cached_property
    def by_urn(self) -> dict[str, Resource]:
        return {each.urn: each for each in self.resources}

    def above(self, resource: Resource) -> list[Resource]:
        """What the resource lies below, the nearest first."""
        chain: list[Resource] = []
        while resource.parent in self.by_urn:
            resource = self.by_urn[resource.parent]
            chain.append(resource)
        return chain

    def needs(self, resource: Resource) -> set[str]:
        """URNs of all that is made before the resource, by whatever way."""
        seen: set[str] = set()
        to_see = [resource]
        while to_see:
            each = to_see.pop()
            for urn in (*each.dependencies, each.parent, each.provider):
                if urn in self.by_urn and urn not in seen:
                    seen.add(urn)
                    to_see.append(self.by_urn[urn])
        return seen


def record(
    stack: str,
    *,
    values: Mapping[str, Any] | None = None,
    released: bool = False,
    mocks: runtime.Mocks | None = None,
    mutate: Mutate | None = None,
) -> Graph:
    """The graph of the platform's program.

    Args:
        values: the stack's configuration; without it that of its file, with what only an owner knows made up.
        released: whether images and a model are pinned, made up; else it is day 0.
        mocks: what answers registrations and functions; without it ids and ARNs of the real shape are made up.
        mutate: changes what is registered, to see who notices.
    """
    from infra.program import run
    from tests.infra import stacks

    chosen = values if values is not None else stacks.values(stack)
    answering = mocks or Answers(str(chosen.get("account", ACCOUNT)), str(chosen.get("region", REGION)))
    with tempfile.TemporaryDirectory() as folder:
        deploy = Path(folder)
        if released:
            stacks.release(deploy, stack)
        config = configuration(chosen)
        return run_program(lambda: run(deploy), stack=stack, config=config, mocks=answering, mutate=mutate)


def configuration(values: Mapping[str, Any]) -> dict[str, str]:
    """A stack's settings as the engine hands them to the program: all are texts."""
    return {f"podium:{key}": each if isinstance(each, str) else json.dumps(each) for key, each in values.items()}


def run_program(
    program: Callable[[], object],
    *,
    stack: str,
    project: str = PROJECT,
    config: Mapping[str, str] | None = None,
    mocks: runtime.Mocks | None = None,
    mutate: Mutate | None = None,
) -> Graph:
    """The graph of any program.

    Raises:
        Exception: what the program raises, within an `apply` too.
    """
    answering = mocks or Answers()
    monitor = RecordingMonitor(answering, project=project, stack=stack, remotes=REMOTES, mutate=mutate)
    # All of Pulumi's state is in context variables: a new context has none of an earlier run's.
    contextvars.Context().run(_run, program, monitor, dict(config or {}))
    recorded = [monitor.recorded[urn] for urn in sorted(set(monitor.recorded) - monitor.missing)]
    outputs = monitor.stack_outputs
    return Graph(
        stack=stack,
        resources=tuple(recorded),
        outputs=outputs.value,
        secret_outputs=frozenset(path.partition(".")[0].partition("[")[0] for path in outputs.secrets),
        logged=tuple(monitor.logged),
    )


def _run(program: Callable[[], object], monitor: RecordingMonitor, config: dict[str, str]) -> None:
    settings.configure(
        runtime.MockSettings(
            monitor=monitor,
            monitor_features=set(monitor.GetDeploymentInfo(None).supportedFeatures),
            engine=monitor,
            project=monitor.project,
            stack=monitor.stack,
            dry_run=False,
            organization="organization",
            callbacks=None,
            outputs=set[Any](),
            lock=threading.Lock(),
            package_refs={},
            base_providers_by_ref={},
        )
    )
    set_all_config(config, [])

    async def running() -> None:
        program()

    with asyncio.Runner() as runner:
        # A program that fails leaves tasks behind, all with the error that is raised here. They would log it whenever
        # they are collected, within another test.
        runner.get_loop().set_exception_handler(lambda loop, context: None)
        runner.run(run_in_stack(running))
