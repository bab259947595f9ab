"""Rules about names: what one object says of another, of the image's program, and of what was made by hand, is so."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from service.app import create_app
from service.loading import Loader
from service.registry import parse_model_uri
from service.settings import Settings, variable
from tests.deploy.render import Object, Rendered, container, environ

# Made by hand, once: docs/runbook.md says how.
SECRETS = {"rank-gateway-keys", "rank-smoke-key"}
# Made by infra/gitops.py, before Argo CD.
NAMESPACES = {"podium", "keda", "monitoring", "argocd", "kube-system"}
SERVING = ("rank", "rank-gateway")


def routes() -> set[str]:
    """Paths that the service answers GET on."""
    app = create_app(Settings())
    loader: Loader = app.state.service.loader
    assert loader.state.phase == "pending"
    return {route.path for route in app.routes if "GET" in getattr(route, "methods", ())}  # type: ignore[attr-defined]


def probes(found: Rendered) -> Iterator[str]:
    # At both ports: for the load balancer, and for the kubelet, which asks where there is room when the other is full.
    answered = re.findall(r"(?m)^\s*monitor-uri\s+(\S+)", found.haproxy)
    alive = answered[0]
    if answered != [alive] * 2:
        yield f"the gateway's ports answer probes at {answered}"
    known = {"rank": routes(), "rank-gateway": {alive}}
    for name, paths in known.items():
        served = container(found.one("Deployment", name)["spec"]["template"])
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if probe not in served:
                if (name, probe) != ("rank-gateway", "startupProbe"):
                    yield f"{name} has no {probe}"
                continue
            if served[probe]["httpGet"]["path"] not in paths:
                yield f"{name} has no route {served[probe]['httpGet']['path']}, which its {probe} asks for"
            if name == "rank-gateway" and served[probe]["httpGet"]["port"] != "metrics":
                yield f"a full gateway does not answer its {probe}"
    given = container(found.one("Deployment", "rank")["spec"]["template"])
    for probe, path in {"startupProbe": "/startupz", "readinessProbe": "/readyz", "livenessProbe": "/livez"}.items():
        if given.get(probe, {}).get("httpGet", {}).get("path") != path:
            yield f"rank's {probe} does not ask for {path}"
    balancer = found.one("Ingress", "rank-gateway")["metadata"]["annotations"]
    if balancer["alb.ingress.kubernetes.io/healthcheck-path"] != alive:
        yield "the load balancer asks for a route that the gateway does not have"
    if "option httpchk GET /readyz" not in found.haproxy:
        yield "the gateway checks another route than Kubernetes does"


def monitors(found: Rendered) -> Iterator[str]:
    for monitor in found.of("PodMonitor"):
        name = monitor["metadata"]["name"]
        pods = _selected(found, monitor["spec"]["selector"]["matchLabels"])
        if len(pods) != 1:
            yield f"PodMonitor {name} is for {len(pods)} kinds of pods"
            continue
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            if endpoint["port"] not in _ports(pods[0]):
                yield f"PodMonitor {name}: there is no port {endpoint['port']}"
            if endpoint["path"] != "/metrics":
                yield f"PodMonitor {name}: there is no {endpoint['path']}"
    if missing := set(SERVING) - {each["metadata"]["name"] for each in found.of("PodMonitor")}:
        yield f"nobody reads the metrics of {missing}"


def services(found: Rendered) -> Iterator[str]:
    for service in found.of("Service"):
        name, pods = service["metadata"]["name"], _selected(found, service["spec"]["selector"])
        if len(pods) != 1:
            yield f"Service {name} is for {len(pods)} kinds of pods"
            continue
        for port in service["spec"]["ports"]:
            if port["port"] != _ports(pods[0]).get(port["targetPort"]):
                yield f"Service {name}: port {port['port']} is not the pods' {port['targetPort']}"
    headless = found.one("Service", "rank-pods")["spec"]
    if headless.get("clusterIP") != "None" or headless.get("publishNotReadyAddresses"):
        yield "rank-pods does not list the pods that are ready, and them alone"
    given, names = environ(found.one("Deployment", "rank-gateway")["spec"]["template"]), _backends(found)
    if names != {"rank-pods", "jobs-pods"}:
        yield f"the gateway looks for {names}"
    if int(given["PODIUM_GATEWAY_POD_PORT"]) != headless["ports"][0]["port"]:
        yield "the gateway sends to another port than pods listen on"
    ports = _ports(found.one("Deployment", "rank-gateway")["spec"]["template"])
    said = {"http": given["PODIUM_GATEWAY_PORT"], "metrics": given["PODIUM_GATEWAY_METRICS_PORT"]}
    if {name: int(text) for name, text in said.items()} != ports:
        yield f"the gateway listens on {said}, its pods say {ports}"
    (rule,) = found.one("Ingress", "rank-gateway")["spec"]["rules"]
    for path in rule["http"]["paths"]:
        backend = path["backend"]["service"]
        known = {each["metadata"]["name"]: each["spec"]["ports"] for each in found.of("Service")}
        if backend["port"]["name"] not in [port["name"] for port in known.get(backend["name"], [])]:
            yield f"the load balancer sends to {backend}, which is not there"


def references(found: Rendered) -> Iterator[str]:  # noqa: PLR0912 - one for each kind of reference
    """Everything that a pod needs is made by one of the applications, or by hand and said so."""
    names = {kind: {each["metadata"]["name"] for each in found.of(kind)} for kind in {o["kind"] for o in found.all}}
    for owner, template in found.templates.items():
        spec = template["spec"]
        for field, kind in {"serviceAccountName": "ServiceAccount", "priorityClassName": "PriorityClass"}.items():
            if spec.get(field) not in names[kind]:
                yield f"{owner}: there is no {kind} {spec.get(field)}"
        for volume in spec.get("volumes", []):
            if "configMap" in volume and volume["configMap"]["name"] not in names["ConfigMap"]:
                yield f"{owner}: there is no ConfigMap {volume['configMap']['name']}"
            if "secret" in volume and volume["secret"]["secretName"] not in SECRETS:
                yield f"{owner}: nobody makes the Secret {volume['secret']['secretName']}"
        mounted = {each["name"] for each in container(template).get("volumeMounts", [])}
        if mounted != {each["name"] for each in spec.get("volumes", [])}:
            yield f"{owner}: volumes and mounts differ"
        pool = found.one("NodePool", "podium")["spec"]["template"]
        taint = pool["spec"]["taints"][0]
        if spec.get("nodeSelector") != pool["metadata"]["labels"] or taint not in spec.get("tolerations", []):
            yield f"{owner}: not for the nodes whose network is closed"
    classes = {each["metadata"]["name"]: each["spec"] for each in found.of("IngressClass")}
    chosen = classes.get(found.one("Ingress", "rank-gateway")["spec"]["ingressClassName"])
    if chosen is None or chosen["parameters"]["name"] not in names["IngressClassParams"]:
        yield "the load balancer's class is not there"
    elif found.one("IngressClassParams", chosen["parameters"]["name"])["spec"]["scheme"] != "internal":
        yield "the load balancer is on the internet"
    if found.one("NodePool", "podium")["spec"]["template"]["spec"]["nodeClassRef"]["name"] not in names["NodeClass"]:
        yield "the nodes' class is not there"
    for each in found.all:
        if each["metadata"].get("namespace", "podium") not in NAMESPACES:
            yield f"{each['kind']} {each['metadata']['name']}: nobody makes the namespace"


def variables(found: Rendered) -> Iterator[str]:
    """What a program is told it knows, and what it needs it is told."""
    known = {variable(each) for each in fields(Settings)}
    for name in ("Deployment rank", "Job rank-preflight", "Job rank-smoke"):
        given = environ(found.templates[name])
        yield from (f"{name}: the service does not know {each}" for each in sorted(set(given) - known))
        try:
            Settings.from_env(given)
        except ValueError as error:
            yield f"{name}: {error}"
        ref = parse_model_uri(given["PODIUM_MODEL"])
        labels = found.templates["Deployment rank"]["metadata"]["labels"]
        if (ref.name, ref.version) != (labels["podium/model-name"], labels["podium/model-version"]):
            yield f"{name}: {ref.name}/{ref.version} is not what the pods' labels say"
        if given["PODIUM_MODEL"] != environ(found.templates["Deployment rank"])["PODIUM_MODEL"]:
            yield f"{name}: another model than the pods serve"
    read = set(re.findall(r"PODIUM_GATEWAY_\w+", re.sub(r"(?m)^#.*$", "", found.haproxy)))
    given_to_gateway = set(environ(found.templates["Deployment rank-gateway"]))
    # Unset in a cluster: names are resolved as /etc/resolv.conf says.
    if read - {"PODIUM_GATEWAY_NAMESERVER"} != given_to_gateway:
        yield f"haproxy.cfg reads {sorted(read)}, the gateway is given {sorted(given_to_gateway)}"


def hooks(found: Rendered) -> Iterator[str]:
    """A hook before the sync finds what it needs from before; one after it comes last."""
    for name, phase in {"rank-preflight": "PreSync", "rank-smoke": "PostSync"}.items():
        job = found.one("Job", name)
        about, spec = job["metadata"]["annotations"], job["spec"]
        if about.get("argocd.argoproj.io/hook") != phase:
            yield f"{name} does not run at {phase}"
        if set(about.get("argocd.argoproj.io/hook-delete-policy", "").split(",")) != {
            "BeforeHookCreation",
            "HookSucceeded",
        }:
            yield f"{name} is in the way of the next one"
        account = spec["template"]["spec"]["serviceAccountName"]
        if any(each["kind"] == "ServiceAccount" and each["metadata"]["name"] == account for each in found.app):
            yield f"{name}: its account {account} comes with the same sync, which is too late"
        if any("configMap" in each for each in spec["template"]["spec"]["volumes"]):
            yield f"{name}: its ConfigMap comes with the same sync, which is too late"
        if spec["backoffLimit"] != 0 or not spec["activeDeadlineSeconds"] or not spec["ttlSecondsAfterFinished"]:
            yield f"{name} may run on and on"
        verb = container(spec["template"])["args"][0]
        if verb != name.removeprefix("rank-"):
            yield f"{name} runs {verb}"


RULES = [probes, monitors, services, references, variables, hooks]


def _selected(found: Rendered, labels: Mapping[str, str]) -> list[Object]:
    return [each for each in found.templates.values() if labels.items() <= each["metadata"]["labels"].items()]


def _ports(template: Object) -> dict[Any, int]:
    return {each["name"]: each["containerPort"] for each in container(template).get("ports", [])}


def _backends(found: Rendered) -> set[str]:
    return set(re.findall(r'"([\w-]+)\.\$\{PODIUM_GATEWAY_NAMESPACE\}\.svc\.cluster\.local', found.haproxy))
