from __future__ import annotations

from ipaddress import IPv4Network
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from infra.addresses import LARGEST, SMALLEST, subnets

ROUTABLE = 32


@some.composite
def networks(draw: some.DrawFn) -> IPv4Network:
    length = draw(some.integers(LARGEST, SMALLEST))
    return IPv4Network((draw(some.integers(0, 2**length - 1)) << (ROUTABLE - length), length))


@given(networks(), some.integers(1, 3))
def test_every_zone_gets_addresses_of_its_own_out_of_the_vpcs(vpc: IPv4Network, zones: int) -> None:
    made = subnets(str(vpc), zones)
    assert len(made.private) == len(made.public) == zones
    every = [IPv4Network(each) for each in (*made.private, *made.public)]
    assert all(each.subnet_of(vpc) for each in every)
    assert not any(one.overlaps(other) for one, other in combinations(every, 2))


@given(networks(), some.integers(1, 3))
def test_zones_are_alike_and_nodes_get_most(vpc: IPv4Network, zones: int) -> None:
    made = subnets(str(vpc), zones)
    assert {IPv4Network(each).prefixlen for each in made.private} == {vpc.prefixlen + 2}
    assert {IPv4Network(each).prefixlen for each in made.public} == {vpc.prefixlen + 6}
    # A load balancer takes a /27 at least (its user guide, "Availability Zones").
    assert all(IPv4Network(each).prefixlen <= 27 for each in made.public)


@given(networks(), some.integers(1, 2))
def test_another_zone_moves_nothing(vpc: IPv4Network, zones: int) -> None:
    """A subnet that moves is replaced, with all that is in it."""
    fewer, more = subnets(str(vpc), zones), subnets(str(vpc), zones + 1)
    assert more.private[:zones] == fewer.private
    assert more.public[:zones] == fewer.public


def test_the_default_network() -> None:
    made = subnets("10.40.0.0/16", 3)
    assert made.private == ("10.40.0.0/18", "10.40.64.0/18", "10.40.128.0/18")
    assert made.public == ("10.40.192.0/22", "10.40.196.0/22", "10.40.200.0/22")


@pytest.mark.parametrize(
    ("cidr", "zones", "says"),
    [
        ("10.0.0.0/8", 3, "no /16 to /18"),
        ("10.0.0.0/19", 3, "no /16 to /18"),
        ("10.0.1.0/16", 3, "host bits"),
        ("10.0.0.0/16", 0, "room for 1 to 3"),
        ("10.0.0.0/16", 4, "room for 1 to 3"),
        ("fd00::/16", 3, "Expected 4 octets|Unexpected"),
        ("", 3, "Address cannot be empty"),
    ],
)
def test_what_cannot_be_shared_out_is_refused(cidr: str, zones: int, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        subnets(cidr, zones)
