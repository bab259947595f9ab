"""What every component is: a node of the graph with its resources below it, those that hold state kept."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from infra.site import Site


class Component(pulumi.ComponentResource):
    """A group of resources for one concern. Its arguments are typed and frozen; it reads no configuration."""

    def __init__(self, name: str, site: Site, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(f"podium:infra:{type(self).__name__}", name, None, opts)
        self.site = site

    def below(self, *after: pulumi.Resource, aliases: Sequence[str] = ()) -> pulumi.ResourceOptions:
        """Options of a child, made after `after`."""
        return pulumi.ResourceOptions(
            parent=self, depends_on=list(after) or None, aliases=[pulumi.Alias(name=each) for each in aliases] or None
        )

    def kept(self, *after: pulumi.Resource) -> pulumi.ResourceOptions:
        """Options of a child that holds state: Pulumi refuses to delete it, and in production it would even then only
        be forgotten."""
        return pulumi.ResourceOptions.merge(
            self.below(*after), pulumi.ResourceOptions(protect=True, retain_on_delete=self.site.production)
        )
