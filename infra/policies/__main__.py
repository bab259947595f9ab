"""The policy pack: `pulumi preview --policy-pack infra/policies`. It answers the engine until the engine ends it."""

import sys
from pathlib import Path
from types import ModuleType

# Pulumi runs this folder by itself, from wherever it was asked to.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pulumi_policy import EnforcementLevel, Policy, PolicyPack

from infra.policies import (
    api,
    buckets,
    cluster,
    containers,
    functions,
    images,
    keys,
    messages,
    network,
    permissions,
    resource_policies,
    state,
    training,
    trust,
)


def policies(module: ModuleType) -> list[Policy]:
    """Every rule that a module has, so that none can be forgotten here."""
    return [value for value in vars(module).values() if isinstance(value, Policy)]


MODULES = [api, buckets, cluster, containers, functions, images, keys, messages, network, permissions,
           resource_policies, state, training, trust]  # fmt: skip

PolicyPack(
    "podium",
    policies=[policy for module in MODULES for policy in policies(module)],
    enforcement_level=EnforcementLevel.MANDATORY,
)
