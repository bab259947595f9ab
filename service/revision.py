"""Which commit this code is: from the environment in an image, from git in a checkout."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

UNKNOWN = "unknown"
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Revision:
    """`commit` is 40 hex digits or "unknown"; `time` is the commit's own time, never the clock's."""

    commit: str
    dirty: bool
    time: datetime


def current_revision(environ: Mapping[str, str] = os.environ, root: Path = ROOT) -> Revision:
    """`PODIUM_COMMIT` and `SOURCE_DATE_EPOCH` win, because an image holds no git; a checkout asks git.

    Neither known (an unpacked archive) gives "unknown", dirty, 1970: an honest mark rather than a guess.

    Raises:
        ValueError: `SOURCE_DATE_EPOCH` is not a count of seconds.
    """
    commit = environ.get("PODIUM_COMMIT")
    if commit:
        return Revision(commit.removesuffix("-dirty"), commit.endswith("-dirty"), _epoch(environ))
    head = _git(root, "log", "-1", "--format=%H %ct")
    if head is None:
        return Revision(UNKNOWN, True, _epoch(environ))
    sha, seconds = head.split()
    changes = _git(root, "status", "--porcelain", "--", "service", "training", "requirements")
    return Revision(sha, changes != "", datetime.fromtimestamp(int(seconds), UTC))


def _epoch(environ: Mapping[str, str]) -> datetime:
    given = environ.get("SOURCE_DATE_EPOCH") or "0"
    if not given.isdecimal():
        raise ValueError(f"SOURCE_DATE_EPOCH={given!r}: give whole seconds since 1970")
    return datetime.fromtimestamp(int(given), UTC)


def _git(root: Path, *arguments: str) -> str | None:
    if not (root / ".git").exists():
        # Without this git would answer for whatever repository lies around an unpacked archive.
        return None
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
