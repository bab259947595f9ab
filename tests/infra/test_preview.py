"""The real engine on the same program, where there is one."""

import json
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from tests.conftest import ROOT
from tests.engines.emulator import KEY, SECRET
from tests.infra import stacks
from tests.infra.answers import Answers
from tests.infra.graph import Graph, configuration, run_program
from tests.infra.stacks import STACKS

# The provider of AWS alone is 700 MB, from a place that this repository pins nothing of.
TIMEOUT = 1200


def engine() -> str:
    # Never a failure, even where nothing may be skipped: no package registry carries the engine or its providers.
    binary = shutil.which("pulumi")
    if binary is None:
        pytest.skip("NO PULUMI on PATH: the engine has not previewed the program")
    if os.environ.get("PODIUM_PREVIEW") != "1":
        pytest.skip("pulumi is on PATH, but a preview downloads its providers (1 GB): ask for it by PODIUM_PREVIEW=1")
    return binary


@pytest.mark.parametrize("stack", STACKS)
def test_the_engine_plans_what_is_recorded(
    stack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    binary = engine()
    # The emulator answers who is asking, which the provider wants to know before it plans.
    endpoint = request.getfixturevalue("s3_endpoint")
    for name, value in {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_EC2_METADATA_DISABLED": "true",
        "PULUMI_BACKEND_URL": f"file://{tmp_path}",
        "PULUMI_CONFIG_PASSPHRASE": "of a state that is thrown away",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }.items():
        monkeypatch.setenv(name, value)
    values = {**stacks.values(stack), "account": account(endpoint)}
    folder = program(tmp_path / "program", stack, values)
    pulumi(binary, folder, "stack", "init", stack)
    planned = json.loads(pulumi(binary, folder, "preview", "--stack", stack, "--json"))
    urns = {step["urn"] for step in planned["steps"] if step["op"] == "create"}
    assert {urn for urn in urns if "pulumi:pulumi:Stack" not in urn} == {
        each.urn for each in recorded(run_entry, stack, values).resources
    }


def account(endpoint: str) -> str:
    client: Any = boto3.client("sts", endpoint_url=endpoint, region_name="eu-central-1")
    return client.get_caller_identity()["Account"]


def program(folder: Path, stack: str, values: dict[str, Any]) -> Path:
    """A copy of the project, run by this environment, with its owner's settings."""
    shutil.copytree(ROOT / "infra", folder / "infra", ignore=shutil.ignore_patterns("__pycache__"))
    project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
    project["runtime"]["options"]["virtualenv"] = sys.prefix
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump(project))
    config = {f"podium:{name}": value for name, value in values.items()}
    (folder / project["stackConfigDir"] / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump({"config": config}))
    return folder


def pulumi(binary: str, folder: Path, *arguments: str) -> str:
    command = [binary, "--cwd", str(folder), "--non-interactive", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("stack", STACKS)
def test_the_folder_that_the_engine_runs_is_the_program(
    stack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Pulumi's host for Python runs it: a folder by its path, with the settings from a file."""
    folder = program(tmp_path / "program", stack, stacks.values(stack))
    # It changes where modules are found, and Pulumi's host the same.
    monkeypatch.setattr(sys, "path", [*sys.path])
    found = stacks.committed(folder / "infra" / "stacks" / f"Pulumi.{stack}.yaml")
    graph = recorded(lambda: runpy.run_path(str(folder / "infra"), run_name="__main__"), stack, found)
    assert graph == recorded(run_entry, stack, stacks.values(stack))


def run_entry() -> None:
    from infra.program import run

    run()


def recorded(program: Callable[[], object], stack: str, values: dict[str, Any]) -> Graph:
    """With the release that is committed, as the folder has it."""
    mocks = Answers(values["account"], values["region"])
    return run_program(program, stack=stack, config=configuration(values), mocks=mocks)
