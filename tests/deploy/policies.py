"""Our own policies for every pod: Pod Security `restricted`, and what we ask for beyond it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from tests.deploy.numbers import quantity
from tests.deploy.render import Object, Rendered

PINNED = re.compile(r"\S+@sha256:[0-9a-f]{64}")
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
# Selectors never change, so what changes with a release must not be in one.
CHANGING = {"app.kubernetes.io/version", "podium/model-name", "podium/model-version"}


def restricted(spec: Object) -> Iterator[str]:
    """Kubernetes' Pod Security Standard, as of 1.37."""
    pod = spec.get("securityContext", {})
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield f"{field} is on"
    for volume in spec.get("volumes", []):
        if not set(volume) - {"name"} <= VOLUMES:
            yield f"volume {volume['name']} is of the host"
    for each in [*spec["containers"], *spec.get("initContainers", [])]:
        own = each.get("securityContext", {})
        both = {**pod, **own}
        if own.get("privileged"):
            yield "it is privileged"
        if own.get("allowPrivilegeEscalation") is not False:
            yield "it may become more than it is"
        if own.get("capabilities", {}).get("drop") != ["ALL"] or own.get("capabilities", {}).get("add"):
            yield "it has capabilities"
        if both.get("runAsNonRoot") is not True or both.get("runAsUser") == 0:
            yield "it may be root"
        if both.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            yield "it may call the whole kernel"
        if any("hostPort" in port for port in each.get("ports", [])):
            yield "it takes a port of the host"


def beyond(spec: Object) -> Iterator[str]:
    """What we ask for beyond it."""
    if spec.get("automountServiceAccountToken") is not False:
        yield "it holds a token of Kubernetes"
    if spec.get("enableServiceLinks") is not False:
        yield "it gets variables of every service"
    if not spec.get("priorityClassName") or spec.get("serviceAccountName", "default") == "default":
        yield "it has no priority or no account of its own"
    if spec.get("securityContext", {}).get("runAsUser", 0) < 10000:
        yield "its user may be one of the node's"
    for each in spec["containers"]:
        if not PINNED.fullmatch(each["image"]):
            yield f"image {each['image']} is not pinned by its digest"
        if each.get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
            yield "it can change its own program"
        yield from _resources(each["resources"])
        for variable in each.get("env", []):
            if "secretKeyRef" in variable.get("valueFrom", {}):
                yield f"{variable['name']} is a secret in the environment"
    for volume in spec.get("volumes", []):
        if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
            yield f"volume {volume['name']} may fill the node"
        if volume.get("secret", {}).get("defaultMode", 0o440) & 0o007:
            yield f"volume {volume['name']} is for everybody"


def _resources(resources: Object) -> Iterator[str]:
    requests, limits = resources["requests"], resources["limits"]
    for what in ("memory", "ephemeral-storage"):
        if what not in requests or requests.get(what) != limits.get(what):
            yield f"its {what} is not what it asks for"
    if "cpu" not in requests:
        yield "it asks for no CPU"
    if "cpu" in limits:
        yield "its CPU is throttled"


def pods(found: Rendered) -> Iterator[str]:
    for owner, template in found.templates.items():
        yield from (f"{owner}: {line}" for policy in (restricted, beyond) for line in policy(template["spec"]))
        space = sum(
            quantity(volume["emptyDir"]["sizeLimit"])
            for volume in template["spec"].get("volumes", [])
            if "emptyDir" in volume and "sizeLimit" in volume["emptyDir"]
        )
        if space > quantity(template["spec"]["containers"][0]["resources"]["limits"].get("ephemeral-storage", 0)):
            yield f"{owner}: its volumes hold more than it may have"


def labels(found: Rendered) -> Iterator[str]:
    for deployment in found.of("Deployment"):
        name, spec = deployment["metadata"]["name"], deployment["spec"]
        if chosen := CHANGING & set(spec["selector"]["matchLabels"]):
            yield f"Deployment {name}: {chosen} is in the selector"
        if not spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items():
            yield f"Deployment {name} does not select its own pods"
    carried = found.templates["Deployment rank"]["metadata"]["labels"]
    if missing := CHANGING - set(carried):
        yield f"a rank pod does not say its {missing}"


def accounts(found: Rendered) -> Iterator[str]:
    for account in found.of("ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False or account["metadata"].get("annotations"):
            yield f"ServiceAccount {account['metadata']['name']} brings a token or an annotation"
    for kind in ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding", "Secret"):
        yield from (f"there is a {kind} {each['metadata']['name']}" for each in found.of(kind))


RULES = [pods, labels, accounts]

Change = Callable[[Object], Any]
# What a pod spec must not have, each as a change that makes it so: the policies are shown to find every one.
BAD: dict[str, Change] = {
    "the host's network": lambda spec: spec.update(hostNetwork=True),
    "the host's processes": lambda spec: spec.update(hostPID=True),
    "the host's folder": lambda spec: spec.setdefault("volumes", []).append({"name": "v", "hostPath": {"path": "/"}}),
    "privileged": lambda spec: spec["containers"][0]["securityContext"].update(privileged=True),
    "escalation": lambda spec: spec["containers"][0]["securityContext"].pop("allowPrivilegeEscalation"),
    "all capabilities": lambda spec: spec["containers"][0]["securityContext"].pop("capabilities"),
    "a capability": lambda spec: spec["containers"][0]["securityContext"]["capabilities"].update(add=["NET_ADMIN"]),
    "root": lambda spec: spec["securityContext"].update(runAsUser=0),
    "perhaps root": lambda spec: spec["securityContext"].pop("runAsNonRoot"),
    "a user of the node": lambda spec: spec["securityContext"].update(runAsUser=99),
    "all system calls": lambda spec: spec["securityContext"].pop("seccompProfile"),
    "the host's port": lambda spec: spec["containers"][0].update(ports=[{"containerPort": 1, "hostPort": 1}]),
    "a token": lambda spec: spec.pop("automountServiceAccountToken"),
    "links": lambda spec: spec.pop("enableServiceLinks"),
    "no priority": lambda spec: spec.pop("priorityClassName"),
    "the default account": lambda spec: spec.pop("serviceAccountName"),
    "a tag": lambda spec: spec["containers"][0].update(image="registry.example/serve:latest"),
    "a short digest": lambda spec: spec["containers"][0].update(image="registry.example/serve@sha256:12"),
    "a writable root": lambda spec: spec["containers"][0]["securityContext"].update(readOnlyRootFilesystem=False),
    "no limit of memory": lambda spec: spec["containers"][0]["resources"]["limits"].pop("memory"),
    "less memory asked for": lambda spec: spec["containers"][0]["resources"]["requests"].update(memory="1Mi"),
    "no limit of space": lambda spec: spec["containers"][0]["resources"]["limits"].pop("ephemeral-storage"),
    "no CPU": lambda spec: spec["containers"][0]["resources"]["requests"].pop("cpu"),
    "throttled": lambda spec: spec["containers"][0]["resources"]["limits"].update(cpu="1"),
    "a secret variable": lambda spec: spec["containers"][0].update(
        env=[{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]
    ),
    "a volume without end": lambda spec: spec.setdefault("volumes", []).append({"name": "v", "emptyDir": {}}),
    "a large volume": lambda spec: spec.setdefault("volumes", []).append(
        {"name": "v", "emptyDir": {"sizeLimit": "9Gi"}}
    ),
    "a key for all": lambda spec: spec.setdefault("volumes", []).append(
        {"name": "v", "secret": {"secretName": "s", "defaultMode": 0o444}}
    ),
}
