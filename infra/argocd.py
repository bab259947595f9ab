"""Argo CD: its chart by version, what is switched off of it, and the application that reads all others from git."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.options import matching, needed, setting

NAMESPACE = "argocd"
ROOT = "root"
HERE = "https://kubernetes.default.svc"
REPOSITORY = "https://argoproj.github.io/argo-helm"
CHART = "argo-cd"
CHART_VERSION = "10.9.5"
"""Has Argo CD 3.5.3."""


@dataclass(frozen=True, kw_only=True)
class ArgoCdSettings:
    """`podium:argocd` of the second project's stacks."""

    repository: str = needed(
        matching(r"https://github\.com/[\w.-]+/[\w.-]+", "the https address of a repository on GitHub"),
        "The repository that Argo CD reads.",
        "https://github.com/octo-org/podium",
    )
    revision: str = setting(
        "main", matching(r"[\w./-]{1,200}", "a branch, tag or commit"), "What of it.", "Promotion is by pull request."
    )
    path: str = setting(
        "infra/deploy/argocd",
        matching(r"(?!/)(?!.*\.\.)[\w./-]{1,200}", "a path inside the repository"),
        "Where the other applications are.",
    )


def values() -> Mapping[str, Any]:
    """The chart's values. A controller, a renderer, a cache; no face to the outside.

    Nobody signs in: there is no server, no password and no sign-on to keep safe. People look with the access that the
    cluster gives them (`argocd admin dashboard --namespace argocd` on their own machine), and change things in git.
    """
    return {
        # They stay when the chart goes: with them would go every application, and what each has made.
        "crds": {"install": True, "keep": True},
        "global": {
            "logging": {"format": "json"},
            "networkPolicy": {"create": True, "defaultDenyIngress": True},
        },
        "configs": {
            "cm": {"admin.enabled": False, "exec.enabled": False},
            # A generator that finds nothing deletes no application.
            "params": {"applicationsetcontroller.policy": "create-update"},
        },
        "server": {"enabled": False},
        "dex": {"enabled": False},
        # It needs a secret of whoever is notified.
        "notifications": {"enabled": False},
        "controller": _sized("250m", "1Gi"),
        "repoServer": _sized("100m", "512Mi"),
        "applicationSet": _sized("50m", "256Mi"),
        "redis": _sized("50m", "128Mi"),
    }


def _sized(cpu: str, memory: str) -> Mapping[str, Any]:
    """Memory is bounded; CPU is not, for a limit throttles long before a node is busy."""
    return {"resources": {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory}}}


def root_metadata(environment: str) -> Mapping[str, Any]:
    # Without a finalizer: whoever deletes it does not delete what runs.
    return {"name": ROOT, "namespace": NAMESPACE, "labels": {"podium/environment": environment}}


def root_project_spec(settings: ArgoCdSettings) -> Mapping[str, Any]:
    """What the root application may do: make projects and applications, beside Argo CD alone. Argo CD's own project,
    `default`, allows everything."""
    kinds = ("AppProject", "Application", "ApplicationSet")
    return {
        "description": "The projects and applications that lie in git.",
        "sourceRepos": [f"{settings.repository}.git"],
        "destinations": [{"server": HERE, "namespace": NAMESPACE}],
        "clusterResourceWhitelist": [],
        "namespaceResourceWhitelist": [{"group": "argoproj.io", "kind": kind} for kind in kinds],
    }


def root_spec(settings: ArgoCdSettings, environment: str) -> Mapping[str, Any]:
    """The application of applications: what lies at the path, kept as it is in git."""
    repository = f"{settings.repository}.git"
    # What no file in git says, put into the object from which the others there take it (infra/deploy/argocd/root.yaml).
    told = {"repository": repository, "revision": settings.revision, "environment": environment}
    operations = [{"op": "replace", "path": f"/data/{key}", "value": value} for key, value in told.items()]
    patch = {"target": {"kind": "ConfigMap", "name": "root"}, "patch": json.dumps(operations)}
    return {
        "project": ROOT,
        "source": {
            "repoURL": repository,
            "targetRevision": settings.revision,
            "path": settings.path,
            "kustomize": {"patches": [patch]},
        },
        "destination": {"server": HERE, "namespace": NAMESPACE},
        "revisionHistoryLimit": 20,
        "syncPolicy": {
            # Drift is reverted, and a commit that renders nothing wipes nothing.
            "automated": {"prune": True, "selfHeal": True, "allowEmpty": False},
            "syncOptions": [
                "ApplyOutOfSyncOnly=true",
                "CreateNamespace=false",
                "FailOnSharedResource=true",
                "PruneLast=true",
                "ServerSideApply=true",
            ],
            # A newer commit is tried instead of the one that failed.
            "retry": {"limit": 5, "refresh": True, "backoff": {"duration": "5s", "factor": 2, "maxDuration": "3m"}},
        },
    }
