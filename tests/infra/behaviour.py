"""What each principal may do to a deployed stack and what it may not: tried, one call a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from tests.engines.aws import DENIED, code_of
from tests.infra.scene import Scene

ALLOWED, REFUSED = "allowed", "refused"
Call = Callable[[Scene, Callable[[str], Any]], Any]
"""Takes the scene, and what gives the principal's client of a service."""


@dataclass(frozen=True)
class Row:
    """
    Args:
        role: who acts, by the short name of its role.
        expected: allowed, refused, or the code of the error that the service has for it.
        tls: whether the call is made over TLS.
    """

    role: str
    does: str
    expected: str
    call: Call
    tls: bool = True

    def __str__(self) -> str:
        return f"{self.role} {self.does}{'' if self.tls else ' without TLS'}"


def outcome(scene: Scene, row: Row) -> str:
    """What came of it, in the words of `Row.expected`."""
    try:
        row.call(scene, lambda service: scene.client(row.role, service, tls=row.tls))
    except ClientError as error:
        code = code_of(error)
        return REFUSED if code in DENIED else code
    return ALLOWED


def findings(scene: Scene, rows: tuple[Row, ...]) -> Iterator[str]:
    """Where a stack does not behave as the rows say."""
    for row in rows:
        if (found := outcome(scene, row)) != row.expected:
            yield f"{scene.stack}: {row} is {found}, and should be {row.expected}"
