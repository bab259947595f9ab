from __future__ import annotations

import json
from typing import Any

import pytest

from training.hosts import Hosts, HostsError, resource_hosts, worker_hosts

# As SageMaker writes it.
RESOURCES = """{
  "current_host": "algo-2", "current_instance_type": "ml.m5.xlarge", "current_group_name": "homogeneousCluster",
  "hosts": ["algo-1", "algo-2", "algo-10"], "network_interface_name": "eth0",
  "instance_groups": [{"instance_group_name": "homogeneousCluster", "instance_type": "ml.m5.xlarge",
                       "hosts": ["algo-10", "algo-2", "algo-1"]}]
}"""


def test_sagemakers_hosts_are_numbered_alike_on_each() -> None:
    hosts = resource_hosts(json.loads(RESOURCES))
    assert hosts.names == ("algo-1", "algo-10", "algo-2")
    assert (hosts.first, hosts.rank, hosts.world) == ("algo-1", 2, 3)
    shuffled = {"hosts": ["algo-10", "algo-2", "algo-1"], "current_host": "algo-2"}
    assert resource_hosts(shuffled) == hosts


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "hosts must be a list of names, not None"),
    ({"hosts": "algo-1", "current_host": "algo-1"}, "hosts must be a list of names, not 'algo-1'"),
    ({"hosts": ["algo-1", 2], "current_host": "algo-1"}, "hosts must be a list of names"),
    ({"hosts": ["algo-1"]}, "current_host must be a name, not None"),
    ({"hosts": [], "current_host": "algo-1"}, "this host, algo-1, is not one of no hosts at all"),
    ({"hosts": ["b", "c"], "current_host": "a"}, "this host, a, is not one of b, c"),
    ({"hosts": ["a", "b", "a"], "current_host": "a"}, "a host is named twice: a, a, b"),
    ({"hosts": ["a", "b,c"], "current_host": "a"}, "'b,c' cannot name a host"),
    ({"hosts": ["a", ""], "current_host": "a"}, "'' cannot name a host"),
    ({"hosts": ["a", "b\n"], "current_host": "a"}, "cannot name a host"),
    ({"hosts": [f"h{number}" for number in range(300)], "current_host": "h1"}, "300 hosts are more than 256"),
]


@pytest.mark.parametrize(("config", "said"), BAD, ids=[said for _, said in BAD])
def test_hosts_that_cannot_be_are_refused(config: dict[str, Any], said: str) -> None:
    with pytest.raises(HostsError) as caught:
        resource_hosts(config)
    assert said in str(caught.value)


def test_a_worker_knows_its_hosts_from_its_supervisor() -> None:
    assert worker_hosts({}) is None
    assert worker_hosts({"PODIUM_HOSTS": "a,b", "PODIUM_HOST": "b"}) == Hosts(("a", "b"), "b")
    with pytest.raises(HostsError):
        worker_hosts({"PODIUM_HOSTS": "a,b"})
