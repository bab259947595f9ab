"""A stack from its configuration: settings, the provider that may touch one account, and the platform."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pulumi
import pulumi_aws as aws

from infra import release
from infra.options import SettingsError
from infra.settings import SECTIONS, Settings, read, top_level
from infra.stack import build

DEPLOY = Path(__file__).resolve().parent / "deploy"


def configuration() -> dict[str, object]:
    """What the stack's file says below `podium:`, checked by nobody yet."""
    config = pulumi.Config("podium")
    sections = {name: config.get_object(name) for name in SECTIONS}
    plain = {name: config.get(name) for name in top_level()}
    return {name: value for name, value in {**plain, **sections}.items() if value is not None}


def run(deploy: Path = DEPLOY) -> Mapping[str, pulumi.Input[object]]:
    """Registers the stack that Pulumi is at, and exports its outputs.

    Args:
        deploy: where each environment's release is pinned.

    Raises:
        SettingsError: its configuration cannot be used; then nothing is registered.
        ReleaseError: its release cannot; likewise.
    """
    settings = read(configuration(), pulumi.get_stack())
    pinned = release.read(deploy, settings.environment)
    if pinned is not None and pinned.model_name != settings.model:
        raise SettingsError(
            f"podium:model is {settings.model} and the release pins {pinned.model_name}: pods read one model. "
            f"Set it: pulumi config set podium:model {pinned.model_name}"
        )
    outputs = build(settings, pinned, provider(settings))
    for name, value in outputs.items():
        pulumi.export(name, value)
    return outputs


def provider(settings: Settings) -> aws.Provider:
    return aws.Provider(
        "aws",
        region=settings.region,
        # Credentials of another account are refused before the first request.
        allowed_account_ids=[settings.account],
        default_tags=aws.ProviderDefaultTagsArgs(
            tags={
                "podium:environment": settings.environment,
                "podium:repository": f"{settings.github.owner}/{settings.github.repository}",
                "podium:managed-by": "pulumi",
            }
        ),
    )
