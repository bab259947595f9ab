"""Who deploys: GitHub's OIDC provider and a role for each purpose, with no key that could be stolen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra import github
from infra.applying import applying
from infra.component import Component
from infra.iam import Statement, document, role
from infra.pipelines import Training, looking, pushing, training
from infra.settings import Github, StateSettings
from infra.site import Site

# The one file whose jobs push images: .github/workflows/push.yml.
PUSH_WORKFLOW = "push.yml"
# A job may train for three hours (training/job_settings.py), and is fetched and published after.
TRAIN_SECONDS = 4 * 3600
# A cluster takes a quarter of an hour, its nodes' network a few minutes more.
APPLY_SECONDS = 2 * 3600
SECONDS = 3600


@dataclass(frozen=True, kw_only=True)
class IdentityArgs:
    """
    Attributes:
        repository_arns: of the images that are pushed.
        apply_boundary: what holds the roles that see the state.
    """

    github: Github
    state: StateSettings
    repository_arns: Sequence[pulumi.Input[str]]
    training: Training
    apply_boundary: pulumi.Input[str]


class Identity(Component):
    """
    Outputs:
        push_role_arn, train_role_arn, preview_role_arn, apply_role_arn: for the workflows.
        boundary_arn: of what holds every role that the apply role makes.
    """

    def __init__(self, name: str, site: Site, args: IdentityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, site, opts)
        self._args, self._github = args, args.github
        self._issuer = self._find_issuer()
        self._roles: dict[str, pulumi.Output[str]] = {}
        given = args.github
        self.push_role_arn = self._role(
            "push", self._trust(given.push_environment, workflow=PUSH_WORKFLOW), pushing(args.repository_arns)
        )
        self.train_role_arn = self._role(
            "train", self._trust(given.train_environment), training(site, args.training), seconds=TRAIN_SECONDS
        )
        # Previews are of pull requests, which are on no branch; forks get no token at all.
        self.preview_role_arn = self._role(
            "preview", self._trust(given.preview_environment, main=False), [], boundary=args.apply_boundary
        )
        self.apply_role_arn = self._role(
            "apply",
            self._trust(site.environment),
            applying(site, args.state),
            boundary=args.apply_boundary,
            seconds=APPLY_SECONDS,
        )
        self._look("preview", "apply")
        self.boundary_arn = pulumi.Output.from_input(site.boundary)
        made = ("push_role_arn", "train_role_arn", "preview_role_arn", "apply_role_arn", "boundary_arn")
        self.register_outputs({each: getattr(self, each) for each in made})

    def _look(self, *roles: str) -> None:
        """One policy for both: the policies within a role have 10 kB, which the applying one fills."""
        policy = aws.iam.Policy(
            "look",
            name=self.site.name("look"),
            description="Reads how the stack is set up, and its state",
            policy=document(*looking(self.site, self._args.state)),
            opts=self.below(),
        )
        for each in roles:
            attached = f"look-{each}"
            aws.iam.RolePolicyAttachment(attached, role=self._roles[each], policy_arn=policy.arn, opts=self.below())

    def _find_issuer(self) -> pulumi.Input[str]:
        if self._github.provider == "existing":
            return github.provider_arn(self.site)
        # AWS trusts GitHub's certificate by its authority: no thumbprints.
        made = aws.iam.OpenIdConnectProvider(
            "github", url=f"https://{github.ISSUER}", client_id_lists=[github.AUDIENCE], opts=self.below()
        )
        return made.arn

    def _trust(self, environment: str, *, main: bool = True, workflow: str | None = None) -> Statement:
        return github.trust(self._github, self._issuer, environment, main=main, workflow=workflow)

    def _role(
        self,
        what: str,
        trust: Statement,
        may: Sequence[Statement],
        *,
        boundary: pulumi.Input[str] | None = None,
        seconds: int = SECONDS,
    ) -> pulumi.Output[str]:
        made = role(self.site, what, [trust], may, self.below(), boundary=boundary, session_seconds=seconds)
        self._roles[what] = made.name
        return made.arn
