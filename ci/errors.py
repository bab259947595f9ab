"""Why a verb stopped. The exit code tells a workflow what to do about it; the message tells people."""

from __future__ import annotations


class CiError(Exception):
    exit_code = 1


class BadInput(CiError):
    """What was given is not what the verb takes."""

    exit_code = 2


class NotMet(CiError):
    """Something that must be so before is not: not found, not verified."""

    exit_code = 3


class Unavailable(CiError):
    """Something outside did not answer; it may the next time."""

    exit_code = 5
