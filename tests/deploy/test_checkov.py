from __future__ import annotations

from pathlib import Path

import pytest

from tests.deploy.render import ENVIRONMENTS, build
from tests.infra.plan import Check, checkov, remaining
from tests.infra.skips import Skip

SKIPS = (
    Skip(
        "CKV_K8S_11", "*",
        "A limit of CPU stops a pod for the rest of each 100 ms in which it used it up, and an answer takes 2 ms.",
    ),
    Skip("CKV_K8S_8", "Deployment.podium.spare", "It does nothing, so there is nothing to ask."),
    Skip("CKV_K8S_9", "Deployment.podium.spare", "It does nothing, so there is nothing to ask."),
)  # fmt: skip


def checked(text: str, folder: Path) -> list[Check]:
    (folder / "rendered.yaml").write_text(text)
    return checkov().files("kubernetes", [folder / "rendered.yaml"])


def whole(deploy: Path, environment: str) -> str:
    """Both applications: what the one denies the other's pods are denied too."""
    return build(deploy / environment) + "---\n" + build(deploy / "platform" / environment)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_checkov_finds_nothing_that_is_not_argued(environment: str, deploy: Path, tmp_path: Path) -> None:
    checks = checked(whole(deploy, environment), tmp_path)
    assert len(checks) > 300
    assert remaining(checks, SKIPS) == []


def test_every_skip_is_needed(deploy: Path, tmp_path: Path) -> None:
    checks = checked(whole(deploy, "staging"), tmp_path)
    for skip in SKIPS:
        assert remaining(checks, [each for each in SKIPS if each != skip]) != [], skip


@pytest.mark.parametrize(
    ("before", "after", "rule"),
    [
        ("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "CKV_K8S_22"),
        ("allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "CKV_K8S_20"),
        ("runAsUser: 10001", "runAsUser: 99", "CKV_K8S_40"),
    ],
)
def test_checkov_sees_what_is_wrong(before: str, after: str, rule: str, deploy: Path, tmp_path: Path) -> None:
    text = whole(deploy, "staging")
    assert before in text
    wrong = remaining(checked(text.replace(before, after), tmp_path), SKIPS)
    assert {line.partition(":")[0] for line in wrong} == {rule}
