"""Every rule broken, one mistake at a time: (rule, what it must find) for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.deploy import delivery, flows, links, numbers, policies
from tests.deploy.render import Object, Rendered, container

Change = Callable[[Rendered], Any]


def rank(found: Rendered) -> Object:
    return found.one("Deployment", "rank")["spec"]


def server(found: Rendered) -> Object:
    return container(rank(found)["template"])


def doors(found: Rendered) -> Object:
    return found.one("Deployment", "rank-gateway")["spec"]


def scaler(found: Rendered) -> Object:
    return found.one("ScaledObject", "rank")["spec"]


def policy(name: str) -> Callable[[Rendered], Object]:
    return lambda found: found.one("NetworkPolicy", name)["spec"]


def setting(each: Callable[[Rendered], Object], name: str, value: str) -> Change:
    """Sets a variable of a container."""

    def change(found: Rendered) -> None:
        (variable,) = [one for one in each(found)["env"] if one["name"] == name]
        variable["value"] = value

    return change


def gateway(name: str, value: str) -> Change:
    return setting(lambda found: container(doors(found)["template"]), f"PODIUM_GATEWAY_{name}", value)


def configuration(before: str, after: str) -> Change:
    """Changes haproxy.cfg."""

    def change(found: Rendered) -> None:
        assert before in found.haproxy, before
        for each in found.of("ConfigMap"):
            if "haproxy.cfg" in each["data"]:
                each["data"]["haproxy.cfg"] = each["data"]["haproxy.cfg"].replace(before, after)

    return change


def balancer(annotation: str, value: str) -> Change:
    name = f"alb.ingress.kubernetes.io/{annotation}"
    return lambda found: found.one("Ingress", "rank-gateway")["metadata"]["annotations"].update({name: value})


def annotated(kind: str, name: str, annotation: str, value: str) -> Change:
    return lambda found: found.one(kind, name)["metadata"]["annotations"].update({annotation: value})


def generated(found: Rendered) -> Object:
    return found.one("ApplicationSet", "podium")["spec"]


def template(found: Rendered) -> Object:
    return generated(found)["template"]["spec"]


def allow(kind: str) -> Change:
    return lambda found: found.one("AppProject", "podium")["spec"]["namespaceResourceWhitelist"].append(
        {"group": "", "kind": kind}
    )


MUTATIONS: dict[str, tuple[Any, Change]] = {
    "a start that is given a second": (numbers.startup, lambda f: server(f)["startupProbe"].update(failureThreshold=1)),
    "a grace shorter than the sleep and the work": (
        numbers.stopping, lambda f: rank(f)["template"]["spec"].update(terminationGracePeriodSeconds=30)),
    "a deadline longer than the grace": (
        numbers.stopping, setting(server, "PODIUM_DEFAULT_DEADLINE_MS", "31000")),
    "no sleep before a pod ends": (
        numbers.stopping, lambda f: server(f)["lifecycle"]["preStop"]["sleep"].update(seconds=2)),
    "a gateway killed before it is empty": (
        numbers.stopping, lambda f: doors(f)["template"]["spec"].update(terminationGracePeriodSeconds=40)),
    "a load balancer that lets go late": (
        numbers.stopping, balancer("target-group-attributes", "deregistration_delay.timeout_seconds=300")),
    "a share too many": (numbers.shares, gateway("POD_SHARE", "3")),
    "a third gateway": (numbers.shares, lambda f: doors(f).update(replicas=3)),
    "a pod that refuses what gateways send": (numbers.shares, setting(server, "PODIUM_MAX_IN_FLIGHT", "4")),
    "a queue longer than callers wait": (numbers.timeouts, gateway("QUEUE_TIMEOUT", "8s")),
    "a load balancer that leaves first": (
        numbers.timeouts, balancer("load-balancer-attributes", "idle_timeout.timeout_seconds=5")),
    "a load balancer that keeps what is closed": (
        numbers.timeouts, balancer("load-balancer-attributes", "idle_timeout.timeout_seconds=120")),
    "a gateway that keeps what pods close": (
        numbers.timeouts, configuration("timeout http-keep-alive 75s", "timeout http-keep-alive 90s")),
    "more promised than there may be": (
        numbers.capacity, annotated("ScaledObject", "rank", "podium/peak-requests-per-second", "9000")),
    "a pod that does more than was measured": (
        numbers.capacity, annotated("ScaledObject", "rank", "podium/pod-requests-per-second", "2000")),
    "more pods than places": (numbers.capacity, gateway("SLOTS", "20")),
    "a quota below the maximum": (
        numbers.room, lambda f: f.one("ResourceQuota", "podium")["spec"]["hard"].update({"requests.cpu": "20"})),
    "a quota of memory": (
        numbers.room, lambda f: f.one("ResourceQuota", "podium")["spec"]["hard"].update({"limits.memory": "8Gi"})),
    "too few nodes": (numbers.room, lambda f: f.one("NodePool", "podium")["spec"]["limits"].update(cpu="16")),
    "requests that take the probes' place": (numbers.connections, gateway("MAXCONN_ALL", "4096")),
    "metrics without a limit": (numbers.connections, configuration("  maxconn 256\n", "")),
    "more connections than memory": (numbers.buffers, gateway("MAXCONN_ALL", "20000")),
    "buffers too small to try again": (numbers.buffers, configuration("tune.bufsize 131072", "tune.bufsize 16384")),
    "replicas in git": (numbers.scaling, lambda f: rank(f).update(replicas=3)),
    "none while idle": (numbers.scaling, lambda f: scaler(f).pop("minReplicaCount")),
    "a fallback that scales down": (numbers.scaling, lambda f: scaler(f)["fallback"].pop("behavior")),
    "a scaler to which no answer is no demand": (
        numbers.scaling, lambda f: scaler(f)["triggers"][0]["metadata"].pop("ignoreNullValues")),
    "a container of another name": (
        numbers.scaling, lambda f: scaler(f)["triggers"][1]["metadata"].update(containerName="app")),
    "pods that go at once": (
        numbers.scaling,
        lambda f: scaler(f)["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"].update(
            stabilizationWindowSeconds=0)),
    "an alert for another maximum": (numbers.scaling, lambda f: scaler(f).update(maxReplicaCount=21)),
    "a budget of zero": (
        numbers.disruption, lambda f: f.one("PodDisruptionBudget", "rank")["spec"].update(maxUnavailable=0)),
    "a budget of nobody's": (
        numbers.disruption,
        lambda f: f.one("PodDisruptionBudget", "rank")["spec"]["selector"].update(matchLabels={"a": "b"})),
    "a budget that lets both go": (
        numbers.disruption, lambda f: f.one("PodDisruptionBudget", "rank-gateway")["spec"].update(minAvailable=0)),
    "a budget that lets none go": (
        numbers.disruption, lambda f: f.one("PodDisruptionBudget", "rank-gateway")["spec"].update(minAvailable=2)),
    "a budget that keeps what is broken": (
        numbers.disruption,
        lambda f: f.one("PodDisruptionBudget", "rank")["spec"].pop("unhealthyPodEvictionPolicy")),
    "a rollout that takes away first": (
        numbers.disruption, lambda f: rank(f)["strategy"]["rollingUpdate"].update(maxUnavailable=1)),
    "a probe of no route": (links.probes, lambda f: server(f)["livenessProbe"]["httpGet"].update(path="/healthz")),
    "readiness that asks for life": (
        links.probes, lambda f: server(f)["readinessProbe"]["httpGet"].update(path="/livez")),
    "no probe": (links.probes, lambda f: server(f).pop("readinessProbe")),
    "a gateway's probe of no route": (
        links.probes,
        lambda f: container(doors(f)["template"])["readinessProbe"]["httpGet"].update(path="/readyz")),
    "a gateway that is asked where it may be full": (
        links.probes,
        lambda f: container(doors(f)["template"])["livenessProbe"]["httpGet"].update(port="http")),
    "a gateway's port without that route": (
        links.probes, configuration("  maxconn 256\n  monitor-uri /gateway/livez\n", "  maxconn 256\n")),
    "a load balancer's check of no route": (links.probes, balancer("healthcheck-path", "/")),
    "a monitor of nobody's": (
        links.monitors, lambda f: f.one("PodMonitor", "rank")["spec"]["selector"].update(matchLabels={"a": "b"})),
    "a monitor of no port": (
        links.monitors,
        lambda f: f.one("PodMonitor", "rank-gateway")["spec"]["podMetricsEndpoints"][0].update(port="stats")),
    "no monitor": (links.monitors, lambda f: f.app.remove(f.one("PodMonitor", "rank-gateway"))),
    "a Service of nobody's": (
        links.services, lambda f: f.one("Service", "rank-pods")["spec"].update(selector={"a": "b"})),
    "a Service with an address": (links.services, lambda f: f.one("Service", "rank-pods")["spec"].pop("clusterIP")),
    "pods that are not ready": (
        links.services, lambda f: f.one("Service", "rank-pods")["spec"].update(publishNotReadyAddresses=True)),
    "another name than the gateway's": (links.services, configuration("rank-pods.", "ranks.")),
    "another port than pods'": (links.services, gateway("POD_PORT", "8001")),
    "a gateway on another port": (links.services, gateway("PORT", "8081")),
    "a load balancer to nobody": (
        links.services,
        lambda f: f.one("Ingress", "rank-gateway")["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"].update(
            name="gateway")),
    "an account of nobody's": (
        links.references, lambda f: rank(f)["template"]["spec"].update(serviceAccountName="ranks")),
    "a priority that is none": (
        links.references, lambda f: rank(f)["template"]["spec"].update(priorityClassName="high")),
    "a configuration of another name": (
        links.references,
        lambda f: doors(f)["template"]["spec"]["volumes"][0]["configMap"].update(name="rank-gateway")),
    "a secret that nobody makes": (
        links.references, lambda f: doors(f)["template"]["spec"]["volumes"][1]["secret"].update(secretName="keys")),
    "a volume that is not mounted": (links.references, lambda f: server(f)["volumeMounts"].clear()),
    "nodes whose network is open": (links.references, lambda f: rank(f)["template"]["spec"].pop("nodeSelector")),
    "a load balancer on the internet": (
        links.references,
        lambda f: f.one("IngressClassParams", "podium-internal")["spec"].update(scheme="internet-facing")),
    "a class of load balancers that is none": (
        links.references, lambda f: f.one("Ingress", "rank-gateway")["spec"].update(ingressClassName="alb")),
    "a namespace of nobody's": (links.references, lambda f: f.app[0]["metadata"].update(namespace="ranking")),
    "a variable that the service does not know": (
        links.variables, lambda f: server(f)["env"].append({"name": "PODIUM_MAX_INFLIGHT", "value": "1"})),
    "a value that the service refuses": (links.variables, setting(server, "PODIUM_MODEL_SHA256", "SHA256")),
    "a model of another version": (
        links.variables,
        setting(lambda f: container(f.one("Job", "rank-preflight")["spec"]["template"]), "PODIUM_MODEL",
                "s3://bucket/models/mslr/20200101-0")),
    "a variable that the gateway lacks": (
        links.variables, lambda f: container(doors(f)["template"])["env"].pop()),
    "a preflight that comes too late": (
        links.hooks, annotated("Job", "rank-preflight", "argocd.argoproj.io/hook", "PostSync")),
    "a preflight whose account comes with it": (
        links.hooks, lambda f: f.app.append(f.one("ServiceAccount", "rank"))),
    "a hook that stays": (
        links.hooks, annotated("Job", "rank-smoke", "argocd.argoproj.io/hook-delete-policy", "HookSucceeded")),
    "a hook without end": (links.hooks, lambda f: f.one("Job", "rank-smoke")["spec"].update(backoffLimit=6)),
    "a hook that does something else": (
        links.hooks, lambda f: container(f.one("Job", "rank-smoke")["spec"]["template"]).update(args=["serve"])),
    "a release in a selector": (
        policies.labels,
        lambda f: rank(f)["selector"]["matchLabels"].update({"app.kubernetes.io/version": "3" * 40})),
    "pods of no version": (
        policies.labels, lambda f: rank(f)["template"]["metadata"]["labels"].pop("podium/model-version")),
    "a selector of other pods": (policies.labels, lambda f: rank(f)["selector"].update(matchLabels={"a": "b"})),
    "an account with a token": (
        policies.accounts, lambda f: f.one("ServiceAccount", "rank").update(automountServiceAccountToken=True)),
    "a secret in git": (
        policies.accounts,
        lambda f: f.app.append({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "rank-gateway-keys"}})),
    "no default": (flows.network, lambda f: f.app.remove(f.one("NetworkPolicy", "deny"))),
    "a flow less": (flows.network, lambda f: policy("rank")(f)["ingress"][0]["from"].pop(0)),
    "metrics for everybody": (flows.network, lambda f: policy("rank")(f)["ingress"][0]["from"][1].pop("podSelector")),
    "the internet": (flows.network, lambda f: policy("registry")(f)["egress"][0].pop("ports")),
    "private networks": (flows.network, lambda f: policy("registry")(f)["egress"][0]["to"][0]["ipBlock"].pop("except")),
    "instance metadata": (
        flows.network,
        lambda f: policy("registry")(f)["egress"][1]["to"][0]["ipBlock"].update(cidr="169.254.0.0/16")),
    "names of the internet": (
        flows.network, lambda f: policy("names")(f)["egress"][0]["to"].append({"ipBlock": {"cidr": "0.0.0.0/0"}})),
    "no names": (flows.network, lambda f: policy("names")(f)["egress"].clear()),
    "a gateway that cannot reach pods": (flows.network, lambda f: policy("gateway")(f)["egress"].clear()),
    "a gateway that cannot reach delayed rankings": (
        flows.network,
        lambda f: policy("gateway")(f)["egress"][0]["to"][0]["podSelector"]["matchExpressions"][0]["values"].pop()),
    "a smoke test that cannot ask": (flows.network, lambda f: policy("smoke")(f)["egress"].clear()),
    "a kind that the project forbids": (
        delivery.projects,
        lambda f: f.app.append({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "a"}})),
    "a kind that the root's project forbids": (
        delivery.projects,
        lambda f: f.argocd.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}})),
    "a kind that the root does not render": (
        delivery.projects,
        lambda f: f.one("AppProject", "root")["spec"]["namespaceResourceWhitelist"].append(
            {"group": "", "kind": "Secret"})),
    "a kind that the root renders no more": (
        delivery.projects, lambda f: f.argocd.remove(f.one("ApplicationSet", "podium"))),
    "a root over the cluster": (
        delivery.projects,
        lambda f: f.one("AppProject", "root")["spec"]["clusterResourceWhitelist"].append(
            {"group": "argoproj.io", "kind": "AppProject"})),
    "a root that may do everything": (
        delivery.destinations, lambda f: f.one("Application", "root")["spec"].update(project="default")),
    "a root that writes elsewhere": (
        delivery.destinations,
        lambda f: f.one("AppProject", "root")["spec"]["destinations"].append(
            {"server": delivery.HERE, "namespace": "podium"})),
    "a kind that nobody renders": (delivery.projects, allow("Secret")),
    "every kind": (delivery.projects, allow("*")),
    "a project over the cluster": (
        delivery.projects,
        lambda f: f.one("AppProject", "podium")["spec"]["clusterResourceWhitelist"].append(
            {"group": "", "kind": "Namespace"})),
    "another namespace": (
        delivery.destinations, lambda f: template(f)["destination"].update(namespace="default")),
    "another cluster": (
        delivery.destinations,
        lambda f: template(f)["destination"].update(server="https://elsewhere")),
    "another repository": (
        delivery.destinations,
        lambda f: template(f)["source"].update(repoURL="https://github.com/a/b.git")),
    "a repository too many": (
        delivery.destinations,
        lambda f: f.one("AppProject", "podium")["spec"]["sourceRepos"].append("https://github.com/a/b.git")),
    "an object elsewhere": (delivery.destinations, lambda f: f.app[0]["metadata"].update(namespace="keda")),
    "no self-healing": (
        delivery.syncing,
        lambda f: template(f)["syncPolicy"]["automated"].update(selfHeal=False)),
    "an empty render that wipes": (
        delivery.syncing,
        lambda f: f.one("Application", "platform")["spec"]["syncPolicy"]["automated"].update(allowEmpty=True)),
    "a client that applies": (
        delivery.syncing,
        lambda f: f.one("Application", "keda")["spec"]["syncPolicy"]["syncOptions"].remove("ServerSideApply=true")),
    "a chart of any version": (
        delivery.syncing, lambda f: f.one("Application", "keda")["spec"]["source"].update(targetRevision=">=2")),
    "a fight over replicas": (
        delivery.syncing, lambda f: template(f).update(ignoreDifferences=[])),
    "drift that is overlooked": (
        delivery.syncing,
        lambda f: template(f)["ignoreDifferences"][0]["jsonPointers"].append("/spec/template")),
    "a sync that sets replicas": (
        delivery.syncing,
        lambda f: template(f)["syncPolicy"]["syncOptions"].remove("RespectIgnoreDifferences=true")),
    "a lost file that deletes": (
        delivery.syncing, lambda f: generated(f)["syncPolicy"].update(preserveResourcesOnDeletion=False)),
    "a project by template": (
        delivery.syncing, lambda f: template(f).update(project="{{ .path.basename }}")),
    "all environments in one cluster": (
        delivery.syncing,
        lambda f: generated(f)["generators"][0]["git"]["files"][0].update(path="infra/deploy/*/release.yaml")),
    "the platform after what needs it": (
        delivery.order, annotated("Application", "platform", "argocd.argoproj.io/sync-wave", "1")),
    "policies after pods": (delivery.order, annotated("NetworkPolicy", "deny", "argocd.argoproj.io/sync-wave", "1")),
    "a scaler before its pods": (
        delivery.order, annotated("ScaledObject", "rank", "argocd.argoproj.io/sync-wave", "-1")),
    "a first sync that stops": (
        delivery.order, annotated("PodMonitor", "rank", "argocd.argoproj.io/sync-options", "Prune=false")),
}  # fmt: skip

RULES = [*numbers.RULES, *links.RULES, *policies.RULES, *flows.RULES, *delivery.RULES]
