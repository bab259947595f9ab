"""Rules about numbers: what was measured, what is promised, and what has to fit into what."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from math import ceil
from statistics import median
from typing import Any

from service.client import TIMEOUT
from service.serve import DRAIN_SECONDS, KEEP_ALIVE_SECONDS
from service.settings import Settings
from tests.conftest import ROOT
from tests.deploy.render import Object, Rendered, container, environ

RESULTS = ROOT / "tests" / "bench" / "results" / "results.json"
UNITS = {"": 1.0, "m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "s": 1.0, "ms": 1e-3, "us": 1e-6, "min": 60.0}


def quantity(text: Any) -> float:
    """Of Kubernetes or HAProxy: 512Mi, 250m of a CPU, 2s, or a number."""
    number, unit = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(text)).groups()  # type: ignore[union-attr]
    return float(number) * UNITS[unit]


def measured() -> tuple[float, float]:
    """Of `make bench`: requests/s that a pod answers (JSON, 100 documents), and seconds to its first answer."""
    results = json.loads(RESULTS.read_text())
    best: dict[int, float] = defaultdict(float)
    for point in results["points"]:
        if (point["peer"], point["format"], point["documents"]) == ("ours", "json", 100) and point["loop"] == "closed":
            best[point["round"]] = max(best[point["round"]], point["goodput"])
    return median(best.values()), max(results["starts"]["ours"])


def directive(found: Rendered, pattern: str) -> str:
    """The value of a line of haproxy.cfg, its variables replaced by what the gateway is given."""
    (value,) = re.findall(rf"(?m)^\s*{pattern}\s+(\S+)", found.haproxy)
    return re.sub(r'"?\$\{(\w+)\}"?', lambda name: gateway(found)[name[1]], value)


def gateway(found: Rendered) -> dict[str, str]:
    return environ(found.one("Deployment", "rank-gateway")["spec"]["template"])


def most(found: Rendered) -> int:
    """Rank pods at most, those included that a rollout adds."""
    surge = found.one("Deployment", "rank")["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
    maximum: int = found.one("ScaledObject", "rank")["spec"]["maxReplicaCount"]
    return maximum + ceil(maximum * int(surge.rstrip("%")) / 100)


def startup(found: Rendered) -> Iterator[str]:
    probe = container(found.one("Deployment", "rank")["spec"]["template"])["startupProbe"]
    budget = probe["periodSeconds"] * probe["failureThreshold"]
    if budget < 3 * measured()[1]:
        yield f"a start may take {budget} s, and took {measured()[1]:.2f} s"


def stopping(found: Rendered) -> Iterator[str]:
    """A stop has time for all that it waits for, and begins after those who send have been told."""
    rank, doors = (found.one("Deployment", name)["spec"]["template"] for name in ("rank", "rank-gateway"))
    deadline = int(environ(rank).get("PODIUM_DEFAULT_DEADLINE_MS", Settings.default_deadline_ms)) / 1000
    for name, template, work in (
        ("rank", rank, max(deadline, DRAIN_SECONDS)),
        ("rank-gateway", doors, quantity(directive(found, "hard-stop-after"))),
    ):
        grace, sleep = template["spec"]["terminationGracePeriodSeconds"], _sleep(template)
        if sleep + work >= grace:
            yield f"{name} sleeps {sleep} s and works {work} s, and is killed after {grace} s"
    gone = quantity(directive(found, "hold obsolete")) + 2 * quantity(directive(found, "hold valid"))
    if _sleep(rank) <= gone:
        yield f"rank ends after {_sleep(rank)} s, and gateways may send for {gone} s"
    delay = _attribute(found, "target-group-attributes", "deregistration_delay.timeout_seconds")
    if _sleep(doors) <= delay:
        yield f"the gateway ends after {_sleep(doors)} s, and the load balancer sends for {delay} s"


def shares(found: Rendered) -> Iterator[str]:
    """What the gateways send to a pod together is what it has room for."""
    rank, doors = found.one("Deployment", "rank"), found.one("Deployment", "rank-gateway")
    budget = int(rank["metadata"]["annotations"]["podium/in-flight-budget"])
    replicas, share = doors["spec"]["replicas"], int(gateway(found)["PODIUM_GATEWAY_POD_SHARE"])
    if share * replicas != budget:
        yield f"{replicas} gateways with {share} each are not the pod's {budget}"
    at_once = replicas + doors["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
    takes = int(environ(rank["spec"]["template"])["PODIUM_MAX_IN_FLIGHT"])
    # The second backend is for bodies that no buffer holds.
    (large,) = re.findall(r"server-template large-.* maxconn (\d+)", found.haproxy)
    if (needs := at_once * (share + int(large))) > takes:
        yield f"{at_once} gateways may have {needs} requests at a pod, which refuses more than {takes}"


def timeouts(found: Rendered) -> Iterator[str]:
    """Who waits longer is nearer to the caller; who closes an idle connection first is too."""
    queue = quantity(directive(found, "timeout queue"))
    idle = _attribute(found, "load-balancer-attributes", "idle_timeout.timeout_seconds")
    server = quantity(directive(found, "timeout server"))
    for name, seconds in {"client": TIMEOUT, "load balancer": idle}.items():
        if queue + server >= seconds:
            yield f"a request may wait {queue} s and take {server} s, and the {name} leaves after {seconds} s"
    keep = quantity(directive(found, "timeout http-keep-alive"))
    if keep <= idle:
        yield f"the gateway drops idle connections after {keep} s, the load balancer after {idle} s"
    if keep > KEEP_ALIVE_SECONDS:
        yield f"pods drop idle connections after {KEEP_ALIVE_SECONDS} s, gateways after {keep} s"


def capacity(found: Rendered) -> Iterator[str]:
    """The declared peak fits below the maximum, with each pod at its target, and counts no more than was measured."""
    scaler = found.one("ScaledObject", "rank")
    about, spec = scaler["metadata"]["annotations"], scaler["spec"]
    pod, peak = (float(about[f"podium/{what}-requests-per-second"]) for what in ("pod", "peak"))
    if pod > measured()[0]:
        yield f"a pod is counted with {pod} requests/s, and did {measured()[0]:.0f}"
    target = float(spec["triggers"][0]["metadata"]["threshold"])
    if spec["maxReplicaCount"] * pod * target < peak:
        yield f"{spec['maxReplicaCount']} pods at {target:.0%} of {pod} requests/s are less than {peak}"
    if (slots := int(gateway(found)["PODIUM_GATEWAY_SLOTS"])) < most(found):
        yield f"the gateway has {slots} places for {most(found)} pods"


def room(found: Rendered) -> Iterator[str]:
    """Quota and nodes hold the most that may run at once."""
    doors = found.one("Deployment", "rank-gateway")["spec"]
    pods = {
        "rank": most(found),
        "rank-gateway": doors["replicas"] + doors["strategy"]["rollingUpdate"]["maxSurge"],
        "spare": found.one("Deployment", "spare")["spec"]["replicas"],
    }
    need: dict[str, float] = defaultdict(float)
    for name, count in pods.items():
        resources = container(found.one("Deployment", name)["spec"]["template"])["resources"]
        need["pods"] += count
        for which in ("requests", "limits"):
            for what in ("cpu", "memory"):
                need[f"{which}.{what}"] += count * quantity(resources[which].get(what, 0))
    for what, most_of_it in found.one("ResourceQuota", "podium")["spec"]["hard"].items():
        if what in need and need[what] > quantity(most_of_it):
            yield f"{need[what]:.0f} {what} are needed, the quota is {most_of_it}"
    nodes = quantity(found.one("NodePool", "podium")["spec"]["limits"]["cpu"])
    # A fifth of a node is its own, or left over.
    if need["requests.cpu"] * 1.2 > nodes:
        yield f"{need['requests.cpu']:.0f} CPUs are needed, all nodes together have {nodes:.0f}"


def connections(found: Rendered) -> Iterator[str]:
    """A frontend that is full leaves the others their room."""
    limits: dict[str, int] = {}
    for section in re.split(r"(?m)^(?=[a-z])", found.haproxy):
        name, _, lines = section.partition("\n")
        if name == "global" or name.startswith("frontend "):
            # One that says none may take as many as all.
            (limit,) = re.findall(r"(?m)^\s+maxconn\s+(\S+)", lines) or ["1000000"]
            limits[name] = int(re.sub(r'"\$\{(\w+)\}"', lambda variable: gateway(found)[variable[1]], limit))
    if (every := limits.pop("global")) < sum(limits.values()):
        yield f"{limits} are more connections than {every}, and who is full takes the others' place"


def buffers(found: Rendered) -> Iterator[str]:
    """Every connection may hold a buffer while it waits, and what is at pods four."""
    given, size = gateway(found), int(directive(found, r"tune\.bufsize"))
    at_pods = int(given["PODIUM_GATEWAY_SLOTS"]) * (int(given["PODIUM_GATEWAY_POD_SHARE"]) + 1)
    need = (int(given["PODIUM_GATEWAY_MAXCONN_ALL"]) + 4 * at_pods) * size
    limit = quantity(_resources(found, "rank-gateway")["limits"]["memory"])
    # The rest is HAProxy's own, and the kernel's for its sockets.
    if need > 0.75 * limit:
        yield f"buffers may take {need / 2**20:.0f} MiB of {limit / 2**20:.0f}"
    if size < 131072:
        yield f"a buffer of {size} bytes does not hold a ranking request of 79 kB with its head, so it is not retried"


def scaling(found: Rendered) -> Iterator[str]:
    spec = found.one("ScaledObject", "rank")["spec"]
    target = found.one("Deployment", spec["scaleTargetRef"]["name"])
    if "replicas" in target["spec"]:
        yield "the number of rank pods is written down, and fights with the autoscaler"
    least = {"staging": 1, "production": 2}[found.environment]
    if spec.get("minReplicaCount", 0) != least:
        yield f"{found.environment} has at least {spec.get('minReplicaCount', 0)} pods, and shall have {least}"
    if spec.get("fallback", {}).get("behavior") != "currentReplicasIfHigher":
        yield "without Prometheus the autoscaler may scale down"
    if spec["triggers"][0]["metadata"].get("ignoreNullValues") != "false":
        yield "the autoscaler takes gateways that are not scraped for idle ones"
    for trigger in spec["triggers"]:
        named = trigger["metadata"].get("containerName", container(target["spec"]["template"])["name"])
        if named != container(target["spec"]["template"])["name"]:
            yield f"there is no container {named}"
    down = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    if down["stabilizationWindowSeconds"] < 300 or down["selectPolicy"] != "Min":
        yield "pods go as fast as they come"
    for rule in found.one("PrometheusRule", "rank")["spec"]["groups"][0]["rules"]:
        if rule["alert"] == "RankAtMaximum" and not rule["expr"].endswith(f">= {spec['maxReplicaCount']}"):
            yield f"RankAtMaximum does not say {spec['maxReplicaCount']}"


def disruption(found: Rendered) -> Iterator[str]:
    """Of each that serves a pod can always be evicted, and where there are two, one stays."""
    least = {"rank": found.one("ScaledObject", "rank")["spec"]["minReplicaCount"], "rank-gateway": 2}
    for name, pods in least.items():
        spec = found.one("PodDisruptionBudget", name)["spec"]
        if spec["selector"] != found.one("Deployment", name)["spec"]["selector"]:
            yield f"the budget of {name} is for other pods"
        may_go = spec["maxUnavailable"] if "maxUnavailable" in spec else pods - spec["minAvailable"]
        if may_go < 1:
            yield f"no pod of {name} can ever be evicted"
        if pods > 1 and may_go >= pods:
            yield f"all {pods} pods of {name} can be evicted at once"
        if spec.get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
            yield f"a broken pod of {name} holds its node"
    rolling = {name: found.one("Deployment", name)["spec"]["strategy"]["rollingUpdate"] for name in least}
    yield from (
        f"a rollout of {name} takes pods away first" for name in rolling if rolling[name]["maxUnavailable"] != 0
    )


RULES = [startup, stopping, shares, timeouts, capacity, room, connections, buffers, scaling, disruption]


def _resources(found: Rendered, name: str) -> Object:
    return container(found.one("Deployment", name)["spec"]["template"])["resources"]


def _sleep(template: Object) -> int:
    return container(template)["lifecycle"]["preStop"]["sleep"]["seconds"]


def _attribute(found: Rendered, annotation: str, name: str) -> float:
    text = found.one("Ingress", "rank-gateway")["metadata"]["annotations"][f"alb.ingress.kubernetes.io/{annotation}"]
    return float(dict(each.split("=") for each in text.split(","))[name])
