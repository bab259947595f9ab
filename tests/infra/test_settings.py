from __future__ import annotations

import copy
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from infra.options import SettingsError, key
from infra.settings import ENVIRONMENTS, SECTIONS, read, top_level
from tests.conftest import ROOT
from tests.infra.settings_table import PAGE, table, written
from tests.infra.stacks import STACKS, committed, owners, values


def test_the_committed_stacks_are_all_there_are() -> None:
    files = {path.name for path in (ROOT / "infra" / "stacks").iterdir()}
    assert files == {f"Pulumi.{stack}.yaml" for stack in ENVIRONMENTS} == {f"Pulumi.{stack}.yaml" for stack in STACKS}


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("stack", STACKS)
def test_committed_stacks_are_read(stack: str, everything: bool) -> None:
    settings = read(values(stack, everything=everything), stack)
    assert settings.environment == stack
    assert settings.cluster.endpoint == {"staging": "public", "production": "private"}[stack]
    assert settings.http.enabled is settings.fargate.enabled is everything


@pytest.mark.parametrize("stack", STACKS)
def test_a_new_owner_is_told_each_command(stack: str) -> None:
    """From the committed file alone, by following what each refusal says, one gets to a stack that is accepted."""
    given: dict[str, Any] = committed(ROOT / "infra" / "stacks" / f"Pulumi.{stack}.yaml")
    known, said = owners(stack), list[str]()
    while len(said) < 20:
        try:
            read(given, stack)
            break
        except SettingsError as error:
            said.append(str(error))
        name = next(
            (name for name in known if f"podium:{name}" in said[-1] and f"podium:{name}." not in said[-1]), None
        )
        if name:
            assert f"pulumi config set podium:{name} " in said[-1] or "github" in said[-1], said[-1]
            own: Any = known[name]
            given[name] = {**given.get(name, {}), **own} if isinstance(own, dict) else own
            continue
        section = next(name for name in known if f"podium:{name}." in said[-1])
        assert "pulumi config set --path 'podium:" in said[-1] or "cluster." in said[-1]
        of_section: Any = known[section]
        given[section] = {**given.get(section, {}), **of_section}
    assert read(given, stack) == read(values(stack), stack)
    assert 4 <= len(said) < 20


MISSING = [
    ("account", "podium:account is not set: .* pulumi config set podium:account 111122223333"),
    ("github.owner", r"podium:github.owner is not set: .* --path 'podium:github.owner' octo-org"),
    ("cluster.admins", r"podium:cluster.admins is not set: .* --path 'podium:cluster.admins\[0\]' arn:aws:iam"),
    ("state.bucket", r"podium:state.bucket is not set"),
    ("state.key", r"podium:state.key is not set"),
    ("github.ownerId", "has one of ownerId and repositoryId"),
    ("cluster.cidrs", "endpoint is public: name in cidrs"),
]


@pytest.mark.parametrize(("path", "message"), MISSING)
def test_what_is_missing(path: str, message: str) -> None:
    given = values("staging")
    section, _, name = path.rpartition(".")
    (given[section] if section else given).pop(name)
    with pytest.raises(SettingsError, match=message):
        read(given, "staging")


WRONG: list[tuple[str, object, str]] = [
    ("acount", "111122223333", r"podium has no setting 'acount' \(did you mean account\?\)"),
    ("cluster.endpont", "public", r"podium:cluster has no setting 'endpont' \(did you mean endpoint\?\)"),
    ("account", 111122223333, "12 digits of an AWS account, in quotes"),
    ("account", "11112222333", "12 digits"),
    ("region", "europe", "region"),
    ("network", ["10.0.0.0/16"], "it is a table of settings"),
    ("network.cidr", "10.40.0.1/16", "no bit set behind its length"),
    ("network.cidr", "10.40.0.0/24", "three zones take a /16 to /18"),
    ("network.cidr", 10, "a network as"),
    ("network.nat", "none", "it is one or zone"),
    ("network.zones", ["a", "b"], "network.zones are a, b: name three"),
    ("network.zones", ["a", "b", "b"], "network.zones are a, b, b: name three"),
    ("network.zones", ["eu-central-1a", "b", "c"], "a list, each a zone's letter"),
    ("network.logDays", "90", "a whole number"),
    ("network.endpoints", "ecr.api", "a list, each an AWS service"),
    ("cluster.version", "1.34", r"a Kubernetes version from 1\.35 on"),
    ("cluster.version", 1.35, "in quotes"),
    ("cluster.version", "2.0", "a Kubernetes version"),
    ("cluster.endpoint", "private", "endpoint is private and runner is none"),
    ("cluster.cidrs", ["0.0.0.0/0"], "nearly everybody's"),
    ("cluster.cidrs", [], "name in cidrs who may reach it"),
    ("cluster.admins", [], "nobody could administer"),
    ("cluster.admins", ["arn:aws:iam::111122223333:user/me"], "the ARN of an IAM role"),
    ("cluster.admins", ["*"], "the ARN of an IAM role"),
    ("cluster.runner", "codebuild", "it needs connection"),
    ("github.acceptNames", "yes", "true or false"),
    ("github.owner", "octo org", "a name of letters"),
    ("github.owner", "*", "a name of letters"),
    ("github.pushEnvironment", "images:*", "the name of a GitHub environment"),
    ("github.ownerId", 0, "a whole number from 1"),
    ("delayed.concurrency", 1, "a whole number from 2"),
    ("delayed.alarmEmail", "me", "an address"),
    ("http.authorizer", "jwt", "needs issuer and audience"),
    ("http.authorizer", "none", "iam or jwt"),
    ("http.provisioned", 30, "http.provisioned is 30, more than concurrency, 20"),
    ("fargate.enabled", True, "needs domain.name for TLS"),
    ("fargate.least", 20, "fargate.most is 10, less than least, 20"),
    ("fargate.least", 0, "from 1 to 100"),
    ("domain.name", "rank.example.org", "needs zone"),
    ("state.key", "alias/state", "the ARN of a KMS key"),
]


@pytest.mark.parametrize(("path", "value", "message"), WRONG)
def test_what_is_wrong(path: str, value: object, message: str) -> None:
    given = copy.deepcopy(values("staging"))
    section, _, name = path.rpartition(".")
    (given.setdefault(section, {}) if section else given)[name] = value
    with pytest.raises(SettingsError, match=message):
        read(given, "staging")


def test_a_private_endpoint_has_no_addresses() -> None:
    given = values("production")
    given["cluster"] = {**given["cluster"], "cidrs": ["203.0.113.0/24"]}
    with pytest.raises(SettingsError, match="this one is private"):
        read(given, "production")


def test_unknown_stacks() -> None:
    with pytest.raises(SettingsError, match="there is no stack 'dev': there are staging and production"):
        read(values("staging"), "dev")


def test_names_alone_are_believed_only_when_said() -> None:
    given = values("staging")
    github: dict[str, object] = {"owner": "octo-org", "repository": "podium"}
    given["github"] = github
    with pytest.raises(SettingsError, match="gh api repos/OWNER/REPO"):
        read(given, "staging")
    github["acceptNames"] = True
    assert read(given, "staging").github.accept_names


def test_each_setting_says_what_it_is() -> None:
    for name, section in SECTIONS.items():
        for each in fields(section):
            assert each.metadata["doc"].endswith("."), f"{name}.{key(each.name)}"
    assert set(top_level()) == {"account", "region", "model"}


def test_pulumi_finds_the_package_and_hides_nothing(tmp_path: Path) -> None:
    """As Pulumi runs it: the folder by itself, from within it. Its modules must not be found under bare names."""
    script = (
        "import os, runpy, sys\n"
        f"os.chdir({str(ROOT / 'infra')!r})\n"
        "try:\n"
        "    runpy.run_path('.', run_name='__main__')\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error)\n"
        "import importlib.util\n"
        "print(importlib.util.find_spec('component'), importlib.util.find_spec('infra.component') is not None)\n"
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PULUMI")}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "ModuleNotFoundError" not in done.stdout
    assert done.stdout.splitlines()[-1] == "None True", done.stdout + done.stderr


def test_the_documented_settings_are_the_settings() -> None:
    assert written(PAGE.read_text()) == table(), "make infra-graph writes the table anew"
    assert table().count("\n") == 2 + len(top_level()) + sum(len(fields(each)) for each in SECTIONS.values())
