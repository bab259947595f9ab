"""The committed stacks, with what their owners set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from tests.conftest import ROOT

STACKS = ("staging", "production")
ACCOUNTS = {"staging": "111122223333", "production": "444455556666"}


def owners(stack: str) -> dict[str, dict[str, Any] | str]:
    """What only the owner of a stack knows."""
    account = ACCOUNTS[stack]
    cluster: dict[str, Any] = {"admins": [f"arn:aws:iam::{account}:role/platform-admin"]}
    if stack == "staging":
        cluster["cidrs"] = ["203.0.113.0/24"]
    else:
        connection = "connection/2f9a5d5c-0d6e-4d0a-9f8b-3a1f6f0e7b11"
        cluster["connection"] = f"arn:aws:codeconnections:eu-central-1:{account}:{connection}"
    key = f"arn:aws:kms:eu-central-1:{account}:key/8f2b7e58-6c6d-4c37-a1c5-1d0f3b1f9c22"
    return {
        "account": account,
        "github": {"owner": "octo-org", "repository": "podium", "ownerId": 123456, "repositoryId": 456789},
        "cluster": cluster,
        "state": {"bucket": f"octo-org-pulumi-{account}", "key": key},
    }


# What is off by default, and what takes another way through the program.
EVERYTHING: Mapping[str, dict[str, Any]] = {
    "github": {"acceptNames": True},
    "network": {"endpoints": ["ecr.api", "ecr.dkr", "sts", "logs", "sqs", "eks-auth"]},
    "delayed": {"alarmEmail": "on-call@example.org"},
    "http": {"enabled": True},
    "fargate": {"enabled": True},
    "domain": {"name": "rank.example.org", "zone": "Z0123456789ABCDEFGHIJ"},
}


def release(deploy: Path, stack: str) -> None:
    """Pins made-up images and a model for an environment, below what stands for `infra/deploy`."""
    data = {
        "serve-index": f"sha256:{'1' * 64}",
        "serve-amd64": f"sha256:{'2' * 64}",
        "serve-commit": "3" * 40,
        "train-amd64": f"sha256:{'4' * 64}",
        "train-commit": "5" * 40,
        "model-name": "mslr",
        "model-version": "20261122-b258a13040f3",
        "model-sha256": f"sha256:{'6' * 64}",
    }
    metadata = {"name": "release", "annotations": {"config.kubernetes.io/local-config": "true"}}
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    (deploy / stack).mkdir()
    (deploy / stack / "release.yaml").write_text(yaml.safe_dump(document))


def values(stack: str, *, everything: bool = False) -> dict[str, Any]:
    """The configuration below `podium:` as infra.settings.read takes it."""
    file = ROOT / "infra" / "stacks" / f"Pulumi.{stack}.yaml"
    return _merged(committed(file), owners(stack), EVERYTHING if everything else {})


def committed(file: Path) -> dict[str, Any]:
    config = yaml.safe_load(file.read_text())["config"]
    return {name.removeprefix("podium:"): value for name, value in config.items()}


def _merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            if isinstance(value, dict):
                made[name] = {**cast(dict[str, Any], made.get(name, {})), **value}
            else:
                made[name] = value
    return made
