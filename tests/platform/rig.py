"""The whole of it on one machine: gateway, name server, pods, and models for them to serve."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.registry import open_registry
from tests.engines import dns
from tests.engines.dns import Zone
from tests.engines.emulator import free_port
from tests.engines.haproxy import Gateway, environment, running
from tests.platform.pods import Fleet
from tests.service.bundles import make_bundle

WIDTH = 136


@dataclass(frozen=True)
class Model:
    uri: str
    version: str


@dataclass(frozen=True)
class Rig:
    gateway: Gateway
    zone: Zone
    fleet: Fleet


@contextmanager
def rig(folder: Path, *, slow: float = 0.0, keys: str = "off", **numbers: str) -> Generator[Rig]:
    """A gateway without pods; `numbers` as of `tests.engines.haproxy.environment`."""
    zone, pod_port = Zone(), free_port()
    fleet = Fleet(zone, folder, pod_port, slow)
    with dns.serving(zone, free_port()) as nameserver:
        environ = environment(nameserver, pod_port, keys=keys, **numbers)
        with running(folder, environ) as gateway:
            try:
                yield Rig(gateway, zone, fleet)
            finally:
                fleet.close()


def models(folder: Path, count: int = 2) -> list[Model]:
    """Small models of as many features as MSLR has, published in a registry of their own."""
    registry = open_registry((folder / "registry").as_uri())
    names = [f"feature_{number}" for number in range(WIDTH)]
    found: list[Model] = []
    for seed in range(count):
        make_bundle(folder / f"bundle-{seed}", "ranked", seed, names=names)
        published = registry.publish(folder / f"bundle-{seed}")
        found.append(Model(published.uri, published.version))
    return found
