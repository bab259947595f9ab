"""Who of GitHub's jobs may assume a role: the tokens that they carry, claim by claim."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from infra.iam import Statement, allow
from infra.settings import Github
from infra.site import Site

ISSUER = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"
MAIN = "refs/heads/main"


def subjects(github: Github, environment: str) -> list[str]:
    """The subjects of jobs in a GitHub environment: by GitHub's immutable ids, and by names where those are still
    believed. With neither, `infra.settings` refuses the stack."""
    found: list[str] = []
    if github.owner_id is not None:
        owner, repository = f"{github.owner}@{github.owner_id}", f"{github.repository}@{github.repository_id}"
        found.append(f"repo:{owner}/{repository}:environment:{environment}")
    if github.accept_names:
        found.append(f"repo:{github.owner}/{github.repository}:environment:{environment}")
    return found


def trust(
    github: Github,
    provider: pulumi.Input[str],
    environment: str,
    *,
    main: bool = True,
    workflow: str | None = None,
) -> Statement:
    """Lets jobs of one GitHub environment assume a role.

    Args:
        main: only from the branch main. The subject of a job in an environment tells no branch.
        workflow: only from this file of main, so that no other workflow can name the environment and get the role.
    """
    claims: dict[str, Any] = {}
    if github.repository_id is not None:
        claims["repository_id"] = str(github.repository_id)
    if main:
        claims["ref"] = MAIN
    if workflow is not None:
        path = f"{github.owner}/{github.repository}/.github/workflows/{workflow}"
        claims["job_workflow_ref"] = f"{path}@{MAIN}"
    where: dict[str, Mapping[str, Any]] = {
        "StringEquals": {f"{ISSUER}:aud": AUDIENCE, f"{ISSUER}:sub": subjects(github, environment)}
    }
    if claims:
        # Every token has them, and AWS reads them since 2026, but not everywhere. They narrow what aud and sub have
        # said, and never stand in for it: so where AWS does not know one, it is left out and not refused.
        where["StringEqualsIfExists"] = {f"{ISSUER}:{name}": value for name, value in claims.items()}
    return allow("Assume", ["sts:AssumeRoleWithWebIdentity"], where=where, principals={"Federated": provider})


def provider_arn(site: Site) -> str:
    """An account has one provider of an issuer, so its ARN is known before it is made."""
    return site.iam_arn(f"oidc-provider/{ISSUER}")
