"""Environments of foreign programs: too big, or with too many demands, to lie in `.venv` beside what is tested."""

from __future__ import annotations

import fcntl
from pathlib import Path

from tests.conftest import ROOT, skip_or_fail
from training import environment
from training.sample import cache_folder


def python_with(name: str) -> Path:
    """The Python of an environment that holds what `requirements/<name>.txt` locks, made in the cache on demand."""
    lock = ROOT / "requirements" / f"{name}.txt"
    target = cache_folder() / "engines" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_suffix(".lock").open("w") as alone:
        # Tests run side by side, in this checkout and others.
        fcntl.flock(alone, fcntl.LOCK_EX)
        if not environment._same(lock, target):
            try:
                environment._create(target)
                environment._install(lock, target)
            except environment.SetupError as error:
                skip_or_fail(f"NO ENGINE {name}: {error}")
    return environment.python_of(target)
