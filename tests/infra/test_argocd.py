from __future__ import annotations

import json

import pytest

from infra import argocd
from infra.argocd import ArgoCdSettings
from infra.options import SettingsError, section

REPOSITORY = "https://github.com/octo-org/podium"


def read(**values: object) -> ArgoCdSettings:
    return section(values, ArgoCdSettings, "podium:argocd")


def test_defaults() -> None:
    settings = read(repository=REPOSITORY)
    assert (settings.revision, settings.path) == ("main", "infra/deploy/argocd")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, r"pulumi config set --path 'podium:argocd.repository' https://github.com/octo-org/podium"),
        ({"repository": "git@github.com:octo-org/podium"}, "https address of a repository"),
        ({"repository": "http://github.com/octo-org/podium"}, "https address of a repository"),
        ({"repository": f"{REPOSITORY}/tree/main"}, "https address of a repository"),
        ({"repository": "https://user:token@github.com/octo-org/podium"}, "https address of a repository"),
        ({"repository": REPOSITORY, "path": "/infra"}, "a path inside the repository"),
        ({"repository": REPOSITORY, "path": "infra/../../elsewhere"}, "a path inside the repository"),
        ({"repository": REPOSITORY, "revision": ""}, "a branch, tag or commit"),
        ({"repository": REPOSITORY, "branch": "main"}, "no setting 'branch'"),
    ],
)
def test_bad_settings_are_refused(values: dict[str, object], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        read(**values)


def test_nobody_can_sign_in() -> None:
    values = argocd.values()
    assert [values[each]["enabled"] for each in ("server", "dex", "notifications")] == [False] * 3
    assert values["configs"]["cm"] == {"admin.enabled": False, "exec.enabled": False}


def test_its_pods_are_bounded_and_closed() -> None:
    values = argocd.values()
    assert values["global"]["networkPolicy"] == {"create": True, "defaultDenyIngress": True}
    for part in ("controller", "repoServer", "applicationSet", "redis"):
        resources = values[part]["resources"]
        assert resources["requests"]["memory"] == resources["limits"]["memory"]
        assert resources["requests"]["cpu"]
        assert "cpu" not in resources["limits"]


def test_what_it_made_stays_when_it_goes() -> None:
    assert argocd.values()["crds"] == {"install": True, "keep": True}
    assert argocd.values()["configs"]["params"] == {"applicationsetcontroller.policy": "create-update"}
    assert "finalizers" not in argocd.root_metadata("staging")


def test_the_root_keeps_the_cluster_as_it_is_in_git() -> None:
    spec = argocd.root_spec(read(repository=REPOSITORY, revision="v1"), "staging")
    source = {key: value for key, value in spec["source"].items() if key != "kustomize"}
    assert source == {"repoURL": f"{REPOSITORY}.git", "targetRevision": "v1", "path": "infra/deploy/argocd"}
    assert spec["syncPolicy"]["automated"] == {"prune": True, "selfHeal": True, "allowEmpty": False}
    assert spec["destination"]["namespace"] == argocd.NAMESPACE


def test_the_root_may_make_projects_and_applications_and_nothing_else() -> None:
    settings = read(repository=REPOSITORY)
    root, project = argocd.root_spec(settings, "staging"), argocd.root_project_spec(settings)
    assert root["project"] == argocd.root_metadata("staging")["name"] == "root"
    assert project["sourceRepos"] == [root["source"]["repoURL"]] == [f"{REPOSITORY}.git"]
    assert project["destinations"] == [root["destination"]]
    assert project["clusterResourceWhitelist"] == []
    kinds = {(each["group"], each["kind"]) for each in project["namespaceResourceWhitelist"]}
    assert kinds == {("argoproj.io", kind) for kind in ("AppProject", "Application", "ApplicationSet")}


def test_the_root_says_what_no_file_in_git_does() -> None:
    (patch,) = argocd.root_spec(read(repository=REPOSITORY, revision="v1"), "staging")["source"]["kustomize"]["patches"]
    assert patch["target"] == {"kind": "ConfigMap", "name": "root"}
    told = {each["path"]: each["value"] for each in json.loads(patch["patch"])}
    assert told == {"/data/repository": f"{REPOSITORY}.git", "/data/revision": "v1", "/data/environment": "staging"}
