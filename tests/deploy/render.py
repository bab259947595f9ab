"""What `kubectl kustomize` makes of the manifests, as Argo CD does: both environments, with a release of our own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from infra.argocd import ArgoCdSettings, root_metadata, root_project_spec, root_spec
from tests.conftest import ROOT
from tests.engines.environments import python_for, requirement

Object: TypeAlias = dict[str, Any]

ENVIRONMENTS = ("staging", "production")
DEPLOY = ROOT / "infra" / "deploy"
LOCAL = {"config.kubernetes.io/local-config": "true"}
RELEASE: Mapping[str, str] = {
    "serve-index": f"sha256:{'1' * 64}",
    "serve-amd64": f"sha256:{'2' * 64}",
    "serve-commit": "3" * 40,
    "train-amd64": f"sha256:{'4' * 64}",
    "train-commit": "5" * 40,
    "model-name": "mslr",
    "model-version": "20261122-b258a13040f3",
    "model-sha256": f"sha256:{'6' * 64}",
}
ACCOUNTS = {"staging": "111122223333", "production": "444455556666"}
REPOSITORY = "https://github.com/octo-org/podium.git"
SETTINGS = ArgoCdSettings(repository=REPOSITORY.removesuffix(".git"))


def platform(environment: str) -> Mapping[str, str]:
    return {
        "region": "eu-central-1",
        "account": ACCOUNTS[environment],
        "bucket": f"podium-{environment}-data-{ACCOUNTS[environment]}",
        "registry-host": f"{ACCOUNTS[environment]}.dkr.ecr.eu-central-1.amazonaws.com",
        "serve-repository": f"podium-{environment}/serve",
        "certificate-arn": f"arn:aws:acm:eu-central-1:{ACCOUNTS[environment]}:certificate/0",
    }


def facts(name: str, data: Mapping[str, str]) -> str:
    """The text of a release.yaml or platform.yaml."""
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "annotations": LOCAL}, "data": data}
    return yaml.safe_dump({**document, "data": dict(data)}, sort_keys=False)


def tree(target: Path, *, release: Mapping[str, str] | None = RELEASE) -> Path:
    """A copy of infra/deploy in which both environments have their facts; without a release it is day 0."""
    shutil.copytree(DEPLOY, target)
    for environment in ENVIRONMENTS:
        (target / environment / "platform.yaml").write_text(facts("platform", platform(environment)))
        (target / environment / "release.yaml").unlink(missing_ok=True)
        if release is not None:
            (target / environment / "release.yaml").write_text(facts("release", release))
    return target


def kubectl() -> Path:
    return python_for(requirement("manifests")).with_name("kubectl")


def build(folder: Path) -> str:
    """What is rendered. A tool that would ask a network, or start a program, is not let."""
    command = [str(kubectl()), "kustomize", str(folder)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, env={"HOME": "/nonexistent"}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def build_argocd(deploy: Path, environment: str) -> str:
    """argocd/ as the root application renders it: Argo CD adds its patches to the kustomization."""
    path = deploy / "argocd" / "kustomization.yaml"
    before = path.read_text()
    source = root_spec(SETTINGS, environment)["source"]
    assert ROOT / source["path"] == DEPLOY / "argocd"
    path.write_text(before + yaml.safe_dump({"patches": source["kustomize"]["patches"]}))
    try:
        return build(deploy / "argocd")
    finally:
        path.write_text(before)


def root(environment: str) -> list[Object]:
    metadata = dict(root_metadata(environment))
    specs = {"AppProject": root_project_spec(SETTINGS), "Application": root_spec(SETTINGS, environment)}
    return [
        {"apiVersion": "argoproj.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": deepcopy(spec)}
        for kind, spec in specs.items()
    ]


def objects(text: str) -> list[Object]:
    return [each for each in yaml.load_all(text, yaml.CSafeLoader) if each]


@dataclass
class Rendered:
    """All that Argo CD applies to the cluster of one environment, by the application that brings it."""

    environment: str
    app: list[Object] = field(default_factory=list[Object])
    platform: list[Object] = field(default_factory=list[Object])
    argocd: list[Object] = field(default_factory=list[Object])
    root: list[Object] = field(default_factory=list[Object])
    """The application that brings `argocd`, and its project: infra/gitops.py makes them."""

    @property
    def all(self) -> list[Object]:
        return [*self.app, *self.platform, *self.argocd, *self.root]

    def of(self, kind: str) -> list[Object]:
        return [each for each in self.all if each["kind"] == kind]

    def one(self, kind: str, name: str) -> Object:
        found = [each for each in self.of(kind) if each["metadata"]["name"] == name]
        assert len(found) == 1, f"{len(found)} of {kind} {name}"
        return found[0]

    @property
    def templates(self) -> dict[str, Object]:
        """Every pod template, by the kind and name of what makes pods of it."""
        makers = [each for each in self.all if each["kind"] in ("Deployment", "Job")]
        return {f"{each['kind']} {each['metadata']['name']}": each["spec"]["template"] for each in makers}

    @property
    def haproxy(self) -> str:
        """The gateway's configuration."""
        found = [each for each in self.of("ConfigMap") if "haproxy.cfg" in each["data"]]
        assert len(found) == 1
        return found[0]["data"]["haproxy.cfg"]

    def changed(self, change: Callable[[Rendered], object]) -> Rendered:
        """A copy in which something is other than it was."""
        copy = deepcopy(self)
        change(copy)
        return copy


def container(template: Object) -> Object:
    (only,) = template["spec"]["containers"]
    return only


def environ(template: Object) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in container(template)["env"]}


@cache
def rendered(deploy: Path, environment: str) -> Rendered:
    """Both applications and Argo CD's own objects. Never changed: see `Rendered.changed`."""
    return Rendered(
        environment,
        objects(build(deploy / environment)),
        objects(build(deploy / "platform" / environment)),
        objects(build_argocd(deploy, environment)),
        root(environment),
    )
