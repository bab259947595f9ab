from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.deploy.links import SECRETS
from tests.deploy.render import RELEASE, Rendered, build, facts, kubectl, rendered, tree
from tests.engines.haproxy import key_line
from tests.service.bundles import make_bundle

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
SECTIONS = {
    title.lower().replace(" ", "-"): text for title, text in re.findall(r"(?ms)^## (.+?)\n(.*?)(?=^## |\Z)", RUNBOOK)
}
IN_CLUSTER = "\n".join(re.findall(r"(?ms)^```cluster\n(.*?)^```", RUNBOOK))
# Made by the autoscaler out of ours, and by Argo CD's chart.
MADE = {"horizontalpodautoscaler/keda-hpa-rank", "deployment/argocd-repo-server"}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository in which staging runs one release and production the one before."""
    repository = tmp_path / "checkout"
    tree(repository / "infra" / "deploy")
    older = {**RELEASE, "model-version": "20250101-000000000000"}
    (repository / "infra" / "deploy" / "production" / "release.yaml").write_text(facts("release", older))
    (repository / ".venv").symlink_to(Path(sys.prefix))
    (repository / "service").symlink_to(ROOT / "service")
    for command in (["init", "-q", "-b", "main"], ["add", "infra"], ["commit", "-qm", "Before"]):
        run(repository, "git", *command)
    return repository


def run(folder: Path, *command: str, **more: str) -> str:
    who = {f"GIT_{role}_{what}": "n@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environ = {**os.environ, **who, "PATH": f"{kubectl().parent}:{os.environ['PATH']}", **more}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def block(section: str) -> str:
    """The commands of a section that need no cluster."""
    (found,) = re.findall(r"(?ms)^```sh\n(.*?)^```", SECTIONS[section])
    return found


def typed(folder: Path, section: str, **more: str) -> str:
    return run(folder, "bash", "-euo", "pipefail", "-c", block(section), **more)


def test_a_key_is_made_as_the_gateway_reads_it(tmp_path: Path) -> None:
    typed(tmp_path, "before-the-first-release")
    key = (tmp_path / "smoke").read_text().strip()
    assert len(key) > 40
    assert (tmp_path / "hashes").read_text() == key_line(key, "smoke")


def test_what_would_be_applied_is_shown(checkout: Path) -> None:
    assert typed(checkout, "deploy") == build(checkout / "infra" / "deploy" / "staging")


def test_a_promotion_and_its_rollback(checkout: Path) -> None:
    production = checkout / "infra" / "deploy" / "production"
    before = build(production)
    typed(checkout, "promote")
    promoted = build(production)
    assert promoted != before
    assert "models/mslr/20261122-b258a13040f3" in promoted
    assert run(checkout, "git", "status", "--porcelain", "--", "infra") == ""
    typed(checkout, "roll-back")
    assert build(production) == before


def test_a_start_on_any_machine(checkout: Path, tmp_path: Path) -> None:
    manifest = make_bundle(tmp_path / "bundle")
    said = typed(checkout, "a-model-does-not-become-ready", MODEL=str(tmp_path / "bundle"), SHA256=manifest.digest)
    assert f"{manifest.name}/{manifest.version}" in said


def test_every_command_without_a_cluster_is_run() -> None:
    tested = {"before-the-first-release", "deploy", "promote", "roll-back", "a-model-does-not-become-ready"}
    assert {name for name, text in SECTIONS.items() if "```sh" in text} == tested
    assert set(re.findall(r"(?m)^```(\w+)$", RUNBOOK)) == {"sh", "cluster"}


def test_names_in_commands_are_the_manifests(deploy: Path) -> None:
    known: set[str] = set(MADE)
    for environment in ("staging", "production"):
        found: Rendered = rendered(deploy, environment)
        known |= {f"{each['kind'].lower()}/{each['metadata']['name']}" for each in found.all}
        known.add(f"application/podium-{environment}")
    named = set(re.findall(r"(?<= )([a-z]+/[a-z][a-z-]+)(?=[ \n])", IN_CLUSTER))
    assert named
    assert named - known == set()
    assert set(re.findall(r"secret generic ([\w-]+)", IN_CLUSTER)) == SECRETS
    assert set(re.findall(r"--namespace (\S+)", IN_CLUSTER)) == {"podium", "argocd"}


def test_every_alert_leads_here_and_is_named_here(deploy: Path) -> None:
    (group,) = rendered(deploy, "staging").one("PrometheusRule", "rank")["spec"]["groups"]
    for rule in group["rules"]:
        page, _, section = rule["annotations"]["runbook"].partition("#")
        assert page == "docs/runbook.md"
        assert f"`{rule['alert']}`" in SECTIONS[section], rule["alert"]
    alerts = {
        rule["alert"]
        for rule in rendered(deploy, "staging").one("PrometheusRule", "rank")["spec"]["groups"][0]["rules"]
    }
    assert set(re.findall(r"`(Rank[A-Z]\w+)`", RUNBOOK)) == alerts
