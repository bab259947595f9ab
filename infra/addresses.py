"""How the VPC's addresses are shared out."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network

LARGEST, SMALLEST = 16, 18
"""What AWS takes at most, and what leaves nodes enough: one of Auto Mode takes its pods' addresses by /28."""


@dataclass(frozen=True)
class Subnets:
    """One private and one public network a zone."""

    private: tuple[str, ...]
    public: tuple[str, ...]


def subnets(cidr: str, zones: int) -> Subnets:
    """Shares out a VPC's network: a quarter to each zone's nodes, and of the last quarter a sixteenth to each zone's
    load balancers and NAT gateway. What is left of the last quarter is kept for later.

    Raises:
        ValueError: `cidr` is no network of /16 to /18, or `zones` are more than three quarters have room for.
    """
    network = IPv4Network(cidr)
    if not LARGEST <= network.prefixlen <= SMALLEST:
        raise ValueError(f"{cidr} is no /{LARGEST} to /{SMALLEST}")
    if not 1 <= zones <= 3:
        raise ValueError(f"{zones} zones: there is room for 1 to 3")
    *quarters, last = network.subnets(prefixlen_diff=2)
    public = last.subnets(prefixlen_diff=4)
    return Subnets(tuple(str(each) for each in quarters[:zones]), tuple(str(next(public)) for _ in range(zones)))
