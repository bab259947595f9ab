"""Environments for programs of other people: each from a lock file of its own, made on demand, kept in the cache."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from tests.conftest import ROOT, skip_or_fail
from training.environment import python_of
from training.sample import cache_folder


class NoEnvironment(Exception):
    """It could not be made; the message says which, and why."""


def python_for(lock: Path, cache: Path | None = None) -> Path:
    """The interpreter of an environment that holds what `lock` names, or a skip that says why there is none."""
    try:
        return made_for(lock, cache)
    except NoEnvironment as error:
        skip_or_fail(str(error))


def made_for(lock: Path, cache: Path | None = None) -> Path:
    """The interpreter of an environment that holds what `lock` names.

    A folder is named after what is in it, so it is never changed: it is made under another name, and is renamed once it
    is complete. Whoever comes second waits for the first.

    Raises:
        NoEnvironment: a package could not be had.
    """
    folder = (cache or cache_folder()).absolute() / "environments" / _name(lock)
    if folder.is_dir():
        return python_of(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not folder.is_dir():
            _make(lock, folder)
    return python_of(folder)


def requirement(name: str) -> Path:
    return ROOT / "requirements" / f"{name}.txt"


def _make(lock: Path, folder: Path) -> None:
    # Left by a process that was killed: the lock that is held says that nobody is at it. Environments of other locks
    # stay, because another checkout may be using them.
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    venv.create(unfinished, symlinks=sys.platform != "win32")
    command = [sys.executable, "-m", "pip", "--python", str(unfinished), "install", "--disable-pip-version-check"]
    # Compiling every module takes longer than the rest, and most of them are never imported.
    command += ["--no-compile", "--no-deps", "--require-hashes", "--quiet", "-r", str(lock)]
    # What a release says of Pythons that came after it is a guess. What is locked here is tried on each that we use.
    command += ["--ignore-requires-python"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0:
        shutil.rmtree(unfinished)
        raise NoEnvironment(f"NO NETWORK, so there is no environment from {lock.name}: {done.stderr.strip()[-300:]}")
    unfinished.replace(folder)


def _name(lock: Path) -> str:
    python = f"{sys.implementation.cache_tag}-{os.path.realpath(sys.base_prefix)}"
    digest = hashlib.sha256(lock.read_bytes() + python.encode()).hexdigest()
    return f"{lock.stem}-{digest[:16]}"
