"""Who of GitHub's jobs gets which role: shown to the emulator as tokens, claim by claim."""

from __future__ import annotations

from dataclasses import dataclass

from tests.infra.scene import IDS, ISSUER, NAMES

PURPOSES = ("push", "train", "preview", "apply")
"""Roles, each of which belongs to a GitHub environment of its own."""


@dataclass(frozen=True)
class Token:
    """
    Args:
        subject: with `{}` for the name of the role's environment.
    """

    about: str
    subject: str
    audience: str = "sts.amazonaws.com"
    issuer: str = ISSUER


RIGHT = Token("the right environment of the right repository", IDS + ":environment:{}")
BY_NAME = Token("the same, by names", NAMES + ":environment:{}")
# Nobody of these gets any role.
STRANGERS = (
    Token("a pull request", f"{IDS}:pull_request"),
    Token("a pull request, by names", f"{NAMES}:pull_request"),
    Token("the main branch without an environment", f"{IDS}:ref:refs/heads/main"),
    Token("a fork", "repo:evil@999/podium@888:environment:{}"),
    Token("a fork, by names", "repo:evil/podium:environment:{}"),
    Token("another repository of the owner", "repo:octo-org@123456/other@456790:environment:{}"),
    Token("who took over the owner's name", "repo:octo-org@777/podium@456789:environment:{}"),
    Token("who took over the repository's name", "repo:octo-org@123456/podium@888:environment:{}"),
    Token("an environment that begins like the right one", IDS + ":environment:{}-2"),
    Token("an environment that ends like the right one", IDS + ":environment:x-{}"),
    Token("the wrong audience", IDS + ":environment:{}", audience="https://github.com/octo-org"),
    Token("another issuer", IDS + ":environment:{}", issuer="https://token.actions.example.org"),
)
