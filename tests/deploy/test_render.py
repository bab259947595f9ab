from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from infra.release import read
from tests.conftest import ROOT
from tests.deploy.render import (
    ACCOUNTS,
    DEPLOY,
    ENVIRONMENTS,
    LOCAL,
    RELEASE,
    Rendered,
    build,
    build_argocd,
    facts,
    objects,
    rendered,
    tree,
)

# What each key of a release reaches; those of Lambda, SageMaker and training are no business of the cluster's.
REACHES = {
    "serve-index": f"sha256:{'a' * 64}",
    "serve-commit": "b" * 40,
    "model-name": "other",
    "model-version": "20270101-abcdefabcdef",
    "model-sha256": f"sha256:{'c' * 64}",
}
PLACEHOLDER = re.compile(
    r"\b(REGISTRY|ENVIRONMENT|REPOSITORY|DIGEST|BUCKET|REGION|NAME|VERSION|SHA256|COMMIT|OWNER|REVISION|CERTIFICATE)\b"
)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_same_files_give_the_same_bytes(environment: str, deploy: Path, tmp_path: Path) -> None:
    copy = tree(tmp_path / "elsewhere" / "deploy")
    for folder in (environment, f"platform/{environment}"):
        assert build(deploy / folder) == build(copy / folder)
    assert build_argocd(deploy, environment) == build_argocd(copy, environment)


def values(each: Any) -> list[str]:
    if isinstance(each, dict):
        return [text for key, value in each.items() if key != "data" for text in values(value)]
    if isinstance(each, list):
        return [text for value in each for text in values(value)]
    return [each] if isinstance(each, str) else []


def test_nothing_is_left_to_fill_in(found: Rendered) -> None:
    assert [text for each in found.all for text in values(each) if PLACEHOLDER.search(text)] == []
    assert all(each["metadata"].get("annotations", {}).items().isdisjoint(LOCAL.items()) for each in found.all)


def test_an_object_is_there_once_and_has_a_home(found: Rendered) -> None:
    keys = [(each["apiVersion"], each["kind"], each["metadata"]["name"]) for each in found.all]
    assert len(keys) == len(set(keys))
    assert {each["metadata"].get("namespace") for each in found.app} == {"podium"}


@pytest.mark.parametrize("key", RELEASE)
def test_a_new_pin_is_a_new_pod_template(key: str, tmp_path: Path, deploy: Path) -> None:
    changed = {**RELEASE, key: REACHES.get(key, "d" * len(RELEASE[key]))}
    after = Rendered("staging", objects(build(tree(tmp_path / "deploy", release=changed) / "staging")))
    before = rendered(deploy, "staging")
    names = ["Deployment rank", "Job rank-preflight", "Job rank-smoke"]
    same = [name for name in names if after.templates[name] == before.templates[name]]
    if key not in REACHES:
        assert after.app == before.app
    elif key == "serve-commit":
        # What has no face to the outside does not name its commit.
        assert same == ["Job rank-preflight"]
    else:
        assert same == []
    assert after.templates["Deployment rank-gateway"] == before.templates["Deployment rank-gateway"]
    if key in REACHES:
        assert REACHES[key] in str(after.templates["Deployment rank"])
        assert RELEASE[key] not in str([after.templates[name] for name in names])


def test_each_value_lands_in_its_own_place_and_in_no_other(found: Rendered) -> None:
    account = ACCOUNTS[found.environment]
    (served,) = found.templates["Deployment rank"]["spec"]["containers"]
    assert served["image"] == (
        f"{account}.dkr.ecr.eu-central-1.amazonaws.com/podium-{found.environment}/serve@sha256:{'1' * 64}"
    )
    given = {each["name"]: each["value"] for each in served["env"]}
    assert given == {
        "PODIUM_MODEL": f"s3://podium-{found.environment}-data-{account}/models/mslr/20261122-b258a13040f3",
        "PODIUM_MODEL_SHA256": f"sha256:{'6' * 64}",
        "PODIUM_MODEL_FOLDER": "/models",
        "PODIUM_S3_REGION": "eu-central-1",
        "PODIUM_MAX_IN_FLIGHT": "16",
        "PODIUM_DEFAULT_DEADLINE_MS": "10000",
    }
    asked = found.templates["Job rank-smoke"]["spec"]["containers"][0]
    assert asked["image"] == served["image"]
    assert asked["args"][-2:] == ["--commit", "3" * 40]


def test_the_tests_release_is_one(deploy: Path) -> None:
    release = read(deploy, "staging")
    assert release is not None
    assert release.model_uri("podium-staging-data-111122223333") in str(rendered(deploy, "staging").app)


def test_on_day_0_there_is_nothing_to_run_and_the_rest_renders(tmp_path: Path) -> None:
    deploy = tree(tmp_path / "deploy", release=None)
    for environment in ENVIRONMENTS:
        assert not (deploy / environment / "release.yaml").exists()
        (generated,) = [each for each in objects(build_argocd(deploy, environment)) if each["kind"] == "ApplicationSet"]
        (generator,) = generated["spec"]["generators"]
        # A literal path: no file, no application.
        assert generator["git"]["files"] == [{"path": f"infra/deploy/{environment}/release.yaml"}]
        assert objects(build(deploy / "platform" / environment))
        with pytest.raises(AssertionError, match=r"release\.yaml"):
            build(deploy / environment)


def test_a_release_that_lacks_a_key_renders_nothing(tmp_path: Path) -> None:
    lacking = {key: value for key, value in RELEASE.items() if key != "model-sha256"}
    deploy = tree(tmp_path / "deploy", release=lacking)
    with pytest.raises(AssertionError, match="model-sha256"):
        build(deploy / "staging")


def test_https_is_one_line_more(tmp_path: Path) -> None:
    deploy = tree(tmp_path / "deploy")
    path = deploy / "staging" / "kustomization.yaml"
    path.write_text(path.read_text().replace("  - ../base/pins", "  - ../base/pins\n  - ../gateway/tls"))
    about = Rendered("staging", objects(build(deploy / "staging"))).one("Ingress", "rank-gateway")["metadata"]
    annotations = {key.partition("/")[2]: value for key, value in about["annotations"].items()}
    assert annotations["listen-ports"] == '[{"HTTPS": 443}]'
    assert annotations["certificate-arn"].startswith("arn:aws:acm:")
    assert annotations["ssl-policy"].startswith("ELBSecurityPolicy-TLS13")


def test_another_configuration_of_the_gateway_rolls_it(tmp_path: Path, deploy: Path) -> None:
    copy = tree(tmp_path / "deploy")
    path = copy / "gateway" / "haproxy.cfg"
    path.write_text(path.read_text() + "\n# Changed.\n")
    after = Rendered("staging", objects(build(copy / "staging"))).templates
    before = rendered(deploy, "staging").templates
    assert after["Deployment rank-gateway"] != before["Deployment rank-gateway"]
    assert after["Deployment rank"] == before["Deployment rank"]


def test_a_bump_builds_no_image() -> None:
    """What a builder gets is what .dockerignore lets through, and no stage copies more."""
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert ignored[0] == "*"
    assert [line for line in ignored if line.startswith("!") and line[1:].split("/")[0] == "infra"] == []
    copied = re.findall(r"(?m)^COPY (?:--\S+ )*(\S+)", (ROOT / "Dockerfile").read_text())
    assert copied
    assert [source for source in copied if source.startswith("infra") or source == "./"] == []


def test_no_environment_is_released_in_the_repository_without_its_platform() -> None:
    for environment in ENVIRONMENTS:
        if (DEPLOY / environment / "release.yaml").exists():
            assert (DEPLOY / environment / "platform.yaml").exists()
            assert read(DEPLOY, environment) is not None


def test_facts_are_never_applied(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: [release.yaml]\n")
    (tmp_path / "release.yaml").write_text(facts("release", RELEASE))
    assert build(tmp_path) == ""


def test_rendering_needs_no_network_and_no_plugin() -> None:
    """Argo CD renders with its defaults: nothing from outside of the folder above, no program, no chart."""
    for path in DEPLOY.rglob("kustomization.yaml"):
        text = path.read_text()
        assert not re.search(r"(?m)^\s*-?\s*(https?://|git@|helmCharts|plugins|exec)", text), path
