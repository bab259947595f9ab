"""checkov's rules over the graph: a second opinion of people who have seen more infrastructures than we have."""

from __future__ import annotations

import atexit
import json
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from tests.conftest import ROOT
from tests.engines.environments import python_for, requirement
from tests.infra.graph import Graph
from tests.infra.skips import SKIPS, Skip
from tests.infra.terraform import plan

SERVER = Path(__file__).with_name("checkov_server.py")


@dataclass(frozen=True)
class Check:
    id: str
    result: str
    resource: str
    name: str

    @property
    def failed(self) -> bool:
        return self.result == "FAILED"

    @property
    def kind(self) -> str:
        return self.resource.partition(".")[0]


def findings(graph: Graph) -> list[str]:
    """What checkov finds and nobody has argued away, as "rule: resource: message"."""
    return remaining(checked(graph), SKIPS)


def checked(graph: Graph) -> list[Check]:
    """What checkov looked at, whatever came of it."""
    return checkov().plan(plan(graph))


def remaining(checks: Iterable[Check], skips: Iterable[Skip]) -> list[str]:
    argued = list(skips)
    return sorted(
        f"{each.id}: {each.resource}: {each.name}"
        for each in checks
        if each.failed and not any(covers(skip, each) for skip in argued)
    )


def other_files() -> list[Check]:
    """What checkov looked at beside the graph: what is there before it, and the image."""
    asked = {"cloudformation": ROOT / "infra" / "bootstrap.yaml", "dockerfile": ROOT / "Dockerfile"}
    return [each for framework, file in asked.items() for each in checkov().files(framework, [file])]


def covers(skip: Skip, check: Check) -> bool:
    return skip.check == check.id and fnmatchcase(check.resource, skip.resource)


@cache
def checkov() -> Checkov:
    """One for each process of the tests: importing it takes longer than asking it."""
    started = Checkov()
    atexit.register(started.close)
    return started


class Checkov:
    """The process of an interpreter that has it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._asked = 0
        self._process = subprocess.Popen(
            [python_for(requirement("checkov")), SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=self._folder.name,
            env={"HOME": self._folder.name, "LOG_LEVEL": "ERROR"},
        )

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()

    def plan(self, made: dict[str, Any]) -> list[Check]:
        self._asked += 1
        file = Path(self._folder.name) / f"plan-{self._asked}.json"
        file.write_text(json.dumps(made))
        return self.files("terraform_plan", [file])

    def files(self, framework: str, files: Iterable[Path]) -> list[Check]:
        answer = self._ask({"framework": framework, "files": [str(each) for each in files]})
        return [Check(*each) for each in answer]

    def kinds(self) -> set[str]:
        """Terraform's names of the types that some check is about."""
        return set(self._ask("kinds"))

    def _ask(self, question: object) -> list[Any]:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"checkov ended with {self._process.wait()}")
        return json.loads(line)
