"""The platform of one environment: its components, in the order in which they need one another."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi

from infra.boundary import Boundary, BoundaryArgs
from infra.settings import Settings
from infra.site import Site


def build(settings: Settings, provider: pulumi.ProviderResource) -> Mapping[str, pulumi.Input[object]]:
    """Registers everything, and returns the stack's outputs by their names."""
    opts = pulumi.ResourceOptions(provider=provider)
    held = BoundaryArgs(environment=settings.environment, account=settings.account, state=settings.state)
    boundary = Boundary("boundary", held, opts)
    site = Site(settings.environment, settings.account, settings.region, boundary.arn)
    return {"region": site.region, "account": site.account}
