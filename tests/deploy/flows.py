"""The flows that NetworkPolicies let through, worked out for every pair of ends, and held against a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from itertools import product

from tests.deploy.render import Object, Rendered

PORTS = (
    ("TCP", 53),
    ("UDP", 53),
    ("TCP", 80),
    ("TCP", 443),
    ("TCP", 8000),
    ("TCP", 8080),
    ("TCP", 8404),
    ("TCP", 9090),
)


@dataclass(frozen=True)
class End:
    """A pod, or an address outside of the cluster (without labels)."""

    name: str
    address: str
    namespace: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)

    @property
    def ours(self) -> bool:
        return self.namespace == "podium"


OUTSIDE = (
    End("load balancer", "10.40.1.9"),
    End("resolver", "172.20.0.10"),
    End("S3", "52.219.1.1"),
    End("credentials", "169.254.170.23"),
    End("instance metadata", "169.254.169.254"),
    End("prometheus", "10.40.7.1", "monitoring", {"app.kubernetes.io/name": "prometheus"}),
    End("another of monitoring", "10.40.7.2", "monitoring", {"app.kubernetes.io/name": "alertmanager"}),
    End("a pod elsewhere", "10.40.8.1", "default", {"app.kubernetes.io/name": "prometheus"}),
)
JOBS = End("jobs", "10.40.9.2", "podium", {"app.kubernetes.io/name": "jobs"})

# From, to, port: everything else is refused, in and out. Every private address reaches a gateway, for that is where
# load balancers are; keys decide there.
DNS = {("resolver", "TCP", 53), ("resolver", "UDP", 53)}
MODEL = {("S3", "TCP", 443), ("credentials", "TCP", 80)}
DECLARED = {
    *((pod, *to) for pod in ("rank", "rank-gateway", "rank-preflight", "rank-smoke", "spare", "jobs") for to in DNS),
    *((pod, *to) for pod in ("rank", "rank-preflight", "rank-smoke") for to in MODEL),
    ("rank-gateway", "rank", "TCP", 8000),
    ("rank-smoke", "rank-gateway", "TCP", 8080),
    ("load balancer", "rank-gateway", "TCP", 8080),
    ("resolver", "rank-gateway", "TCP", 8080),
    ("prometheus", "rank-gateway", "TCP", 8080),
    ("another of monitoring", "rank-gateway", "TCP", 8080),
    ("a pod elsewhere", "rank-gateway", "TCP", 8080),
    ("prometheus", "rank", "TCP", 8000),
    ("prometheus", "rank-gateway", "TCP", 8404),
}


def network(found: Rendered) -> Iterator[str]:
    flows = allowed(found)
    # Names go to a private network's port 53, whoever listens there.
    others = {flow for flow in flows if flow[3] != 53 or flow[1] == "resolver"}
    for flow in sorted(others - DECLARED):
        yield f"{flow[0]} may reach {flow[1]} at {flow[2]} {flow[3]}, which nobody declared"
    for flow in sorted(DECLARED - flows):
        yield f"{flow[0]} cannot reach {flow[1]} at {flow[2]} {flow[3]}"
    if any(to == "S3" for _, to, _, port in flows if port == 53):
        yield "names are asked of the internet"
    # The policies of delayed rankings' pods come with them; the gateway's half is here already.
    if not _out(found, _gateway(found), JOBS, "TCP", 8000):
        yield "the gateway cannot reach delayed rankings"


RULES = [network]


def allowed(found: Rendered) -> set[tuple[str, str, str, int]]:
    """Everything that passes, of one pod of each kind and the ends outside."""
    inside = [*ends(found), JOBS]
    flows: set[tuple[str, str, str, int]] = set()
    for one, other in product([*inside, *OUTSIDE], repeat=2):
        if one is other or not (one.ours or other.ours):
            continue
        for protocol, port in PORTS:
            if _out(found, one, other, protocol, port) and _in(found, one, other, protocol, port):
                flows.add((one.name, other.name, protocol, port))
    return flows


def ends(found: Rendered) -> list[End]:
    labels = {name.partition(" ")[2]: each["metadata"]["labels"] for name, each in found.templates.items()}
    return [End(name, f"10.40.3.{number}", "podium", each) for number, (name, each) in enumerate(labels.items(), 1)]


def _gateway(found: Rendered) -> End:
    return next(end for end in ends(found) if end.name == "rank-gateway")


def _out(found: Rendered, one: End, other: End, protocol: str, port: int) -> bool:
    return _passes(found, one, other, "Egress", protocol, port)


def _in(found: Rendered, one: End, other: End, protocol: str, port: int) -> bool:
    return _passes(found, other, one, "Ingress", protocol, port)


def _passes(  # noqa: PLR0917 - who, whom, and how
    found: Rendered, subject: End, peer: End, way: str, protocol: str, port: int
) -> bool:
    if not subject.ours:
        return True
    specs = [policy["spec"] for policy in found.of("NetworkPolicy")]
    mine = [spec for spec in specs if way in spec["policyTypes"] and _selects(spec["podSelector"], subject.labels)]
    rules = [rule for spec in mine for rule in spec.get(way.lower(), [])]
    return not mine or any(_rule(rule, peer, way, protocol, port) for rule in rules)


def _rule(rule: Object, peer: End, way: str, protocol: str, port: int) -> bool:
    ports = rule.get("ports")
    if ports is not None and {"protocol": protocol, "port": port} not in ports:
        return False
    peers = rule.get("to" if way == "Egress" else "from")
    return peers is None or any(_peer(each, peer) for each in peers)


def _peer(each: Object, peer: End) -> bool:
    if "ipBlock" in each:
        block, address = each["ipBlock"], ip_address(peer.address)
        inside = address in ip_network(block["cidr"])
        return inside and not any(address in ip_network(less) for less in block.get("except", []))
    if peer.namespace is None:
        return False
    elsewhere = {"kubernetes.io/metadata.name": peer.namespace}
    if "namespaceSelector" in each:
        if not _selects(each["namespaceSelector"], elsewhere):
            return False
    elif not peer.ours:
        return False
    return _selects(each.get("podSelector", {}), peer.labels)


def _selects(selector: Object, labels: Mapping[str, str]) -> bool:
    if not selector.get("matchLabels", {}).items() <= labels.items():
        return False
    return all(
        each["operator"] == "In" and labels.get(each["key"]) in each["values"]
        for each in selector.get("matchExpressions", [])
    )
