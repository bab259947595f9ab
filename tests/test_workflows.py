"""The workflow files: pinned actions, no permission that nobody asked for, the same commands as on a laptop."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")


def load(path: Path) -> dict[Any, Any]:
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit(path: Path) -> None:
    uses = [line.strip().removeprefix("- ") for line in path.read_text().splitlines() if "uses:" in line]
    assert uses
    assert [line for line in uses if PINNED.fullmatch(line) is None] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_jobs_are_bounded_and_ask_for_what_they_need(path: Path) -> None:
    workflow = load(path)
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 90, name
        assert "write" not in str(job["permissions"]), name


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_expression_is_pasted_into_a_shell(path: Path) -> None:
    steps = [step for job in load(path)["jobs"].values() for step in job["steps"]]
    assert [step["run"] for step in steps if "${{" in step.get("run", "")] == []


def test_github_runs_what_a_laptop_runs() -> None:
    steps = load(ROOT / ".github" / "workflows" / "test.yml")["jobs"]["test"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == [".ci/run"]
    script = (ROOT / ".ci" / "run").read_text()
    assert "make check\n" in script
    assert "make test\n" in script
    assert "PODIUM_REQUIRE_ALL=1" in script


def test_one_job_stands_for_all() -> None:
    workflow = load(ROOT / ".github" / "workflows" / "test.yml")
    required = workflow["jobs"]["required"]
    assert set(required["needs"]) == set(workflow["jobs"]) - {"required"}
    assert required["if"] == "always()", "a skipped job counts as passed on GitHub"
    assert "paths" not in str(workflow[True]), "a required job that does not run blocks for ever"
