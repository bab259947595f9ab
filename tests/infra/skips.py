"""What checkov asks for and we do otherwise, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Skip:
    check: str
    resource: str
    because: str


SKIPS: tuple[Skip, ...] = ()
