"""Rules about Argo CD: each project allows what it must and no more, and nothing fights with anything."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from tests.deploy.render import REPOSITORY, Object, Rendered

HERE = "https://kubernetes.default.svc"
# Of the platform's project: what its charts bring. Without a network nobody renders charts, so this list is believed.
CHARTED = {
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("apiregistration.k8s.io", "APIService"),
    ("apps", "Deployment"),
    ("monitoring.coreos.com", "Alertmanager"),
    ("monitoring.coreos.com", "Prometheus"),
    ("monitoring.coreos.com", "ServiceMonitor"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    ("rbac.authorization.k8s.io", "Role"),
    ("rbac.authorization.k8s.io", "RoleBinding"),
    *(("", kind) for kind in ("ConfigMap", "Secret", "Service", "ServiceAccount")),
}


def group_and_kind(each: Object) -> tuple[str, str]:
    return each["apiVersion"].rpartition("/")[0], each["kind"]


def projects(found: Rendered) -> Iterator[str]:
    """Every rendered kind is allowed, and every allowed kind is rendered."""
    rendered = {"podium": {group_and_kind(each) for each in found.app}}
    rendered["root"] = {group_and_kind(each) for each in found.argocd}
    rendered["platform"] = {group_and_kind(each) for each in found.platform} | CHARTED
    for project in found.of("AppProject"):
        name, spec = project["metadata"]["name"], project["spec"]
        lists = [spec["clusterResourceWhitelist"], spec["namespaceResourceWhitelist"]]
        allowed = {(each["group"], each["kind"]) for some in lists for each in some}
        yield from (f"project {name} does not allow {each}" for each in sorted(rendered[name] - allowed))
        yield from (f"project {name} allows {each}, and nothing is one" for each in sorted(allowed - rendered[name]))
        if "*" in str(spec):
            yield f"project {name} allows what has no name"
    for name in ("podium", "root"):
        if found.one("AppProject", name)["spec"]["clusterResourceWhitelist"]:
            yield f"project {name} may change the cluster"


def destinations(found: Rendered) -> Iterator[str]:
    allowed = {each["metadata"]["name"]: each["spec"] for each in found.of("AppProject")}
    specs = {each["metadata"]["name"]: each["spec"] for each in found.of("Application")}
    specs["podium"] = found.one("ApplicationSet", "podium")["spec"]["template"]["spec"]
    for name, spec in specs.items():
        project = allowed.get(spec["project"], {"sourceRepos": [], "destinations": []})
        if spec["source"]["repoURL"] not in project["sourceRepos"]:
            yield f"application {name}: project {spec['project']} does not know {spec['source']['repoURL']}"
        place = {"server": spec["destination"]["server"], "namespace": spec["destination"]["namespace"]}
        if place not in project["destinations"] or place["server"] != HERE:
            yield f"application {name}: project {spec['project']} does not allow {place}"
    for application, rendered in (("podium", found.app), ("platform", found.platform), ("root", found.argocd)):
        places = {each["namespace"] for each in allowed[application]["destinations"]}
        homes = {each["metadata"]["namespace"] for each in rendered if "namespace" in each["metadata"]}
        if not homes <= places:
            yield f"application {application} is for {homes}, its project allows {places}"
    if allowed["root"]["destinations"] != [{"server": HERE, "namespace": "argocd"}]:
        yield f"the root application may write in {allowed['root']['destinations']}"
    used = {spec["source"]["repoURL"] for spec in specs.values()}
    for name, project in allowed.items():
        yield from (
            f"project {name} knows {url}, which nobody uses" for url in project["sourceRepos"] if url not in used
        )


def syncing(found: Rendered) -> Iterator[str]:
    specs = {each["metadata"]["name"]: each["spec"] for each in found.of("Application")}
    generated = found.one("ApplicationSet", "podium")["spec"]
    specs["podium"] = generated["template"]["spec"]
    for name, spec in specs.items():
        policy = spec["syncPolicy"]
        automated = {key: policy["automated"].get(key) for key in ("prune", "selfHeal", "allowEmpty")}
        if automated != {"prune": True, "selfHeal": True, "allowEmpty": False}:
            yield f"application {name} does not follow git, or wipes what git forgot to say"
        if "ServerSideApply=true" not in policy["syncOptions"] or policy["retry"]["limit"] < 5:
            yield f"application {name} does not apply on the server, or gives up"
        if not spec["source"]["targetRevision"] or spec["source"]["targetRevision"] in ("HEAD", "*"):
            yield f"application {name} is pinned to nothing"
        if "chart" in spec["source"] and not spec["source"]["targetRevision"][0].isdigit():
            yield f"application {name}: {spec['source']['targetRevision']} is no version"
    ignored = specs["podium"].get("ignoreDifferences", [])
    scaled = found.one("ScaledObject", "rank")["spec"]["scaleTargetRef"]["name"]
    said = [each for each in ignored if each["kind"] == "Deployment" and each.get("name") == scaled]
    if [each["jsonPointers"] for each in said] != [["/spec/replicas"]] or len(ignored) != 1:
        yield "self-healing fights with the autoscaler over the replicas, or overlooks more than them"
    if "RespectIgnoreDifferences=true" not in specs["podium"]["syncPolicy"]["syncOptions"]:
        yield "a sync sets the replicas"
    if generated["syncPolicy"] != {"applicationsSync": "create-update", "preserveResourcesOnDeletion": True}:
        yield "a lost file deletes what serves"
    if "{{" in generated["template"]["spec"]["project"]:
        yield "a file chooses what it may do"
    (files,) = [each["git"]["files"] for each in generated["generators"]]
    if files != [{"path": f"infra/deploy/{found.environment}/release.yaml"}]:
        yield f"the cluster of {found.environment} runs {files}"
    if found.one("Application", "platform")["spec"]["source"]["path"] != f"infra/deploy/platform/{found.environment}":
        yield "the platform is another environment's"
    if REPOSITORY not in found.one("AppProject", "podium")["spec"]["sourceRepos"]:
        yield "the repository is not the root application's"


def order(found: Rendered) -> Iterator[str]:
    """Projects, charts, platform, environment; within it policies first, and what watches pods last."""
    waves = {
        f"{each['kind']} {each['metadata']['name']}": int(
            each["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-wave", 0)
        )
        for each in [*found.argocd, *found.app]
    }
    charts = [each["metadata"]["name"] for each in found.of("Application") if "chart" in each["spec"]["source"]]
    ordered = [
        [waves["AppProject podium"], waves["AppProject platform"]],
        [waves[f"Application {name}"] for name in charts],
        [waves["Application platform"]],
        [waves["ApplicationSet podium"]],
    ]
    if any(max(before) >= min(after) for before, after in pairwise(ordered)):
        yield f"the applications' waves are {ordered}"
    for name, wave in waves.items():
        kind = name.partition(" ")[0]
        early, late = kind in ("NetworkPolicy", "PodDisruptionBudget", "Service"), kind in ("ScaledObject", "Ingress")
        if (early and wave >= waves["Deployment rank"]) or (late and wave <= waves["Deployment rank"]):
            yield f"{name} is in wave {wave}, rank in {waves['Deployment rank']}"
    for each in found.app:
        foreign = each["apiVersion"].partition("/")[0] in ("keda.sh", "monitoring.coreos.com")
        option = each["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-options")
        if foreign and option != "SkipDryRunOnMissingResource=true":
            yield f"{each['kind']} {each['metadata']['name']} stops the first sync where its kind is late"


RULES = [projects, destinations, syncing, order]
