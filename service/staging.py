"""Folders in the making: private while they are written, renamed into place whole, swept after a crash."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from service.files import sync_folder

STAGING = ".staging"
# A copy takes seconds. An hour also covers file systems without locks, where nothing else tells who lives.
STALE_SECONDS = 3600

_NEW, _DEAD = ".new-", ".dead-"
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)


@contextmanager
def staging(root: Path) -> Generator[Path, None, None]:
    """Yields a new private folder under `root`, and removes what is left there when the block ends.

    The folder is locked while its process lives, so what a killed one left is known and swept by the next.

    Raises:
        OSError: `root` cannot be written.
    """
    home = root / STAGING
    make_folders(home)
    sweep(home)
    name = secrets.token_hex(8)
    young, folder = home / f"{_NEW}{name}", home / name
    young.mkdir()
    lock = os.open(young, os.O_RDONLY)
    try:
        _lock(lock)
        # Sweepers judge by the lock only what has this name, so none meets the folder before its lock.
        young.rename(folder)
        yield folder
    finally:
        shutil.rmtree(young, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def place(folder: Path, target: Path) -> bool:
    """Flushes `folder` and renames it to `target` in one step; False when something is there already.

    Raises:
        OSError: the rename failed for another reason; `target` is untouched.
    """
    for path in folder.iterdir():
        _sync_file(path)
    sync_folder(folder)
    make_folders(target.parent)
    try:
        # rename(2) replaces an empty folder and refuses any other: the check and the act are one step.
        folder.rename(target)
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        raise
    sync_folder(target.parent)
    return True


def discard(folder: Path, root: Path) -> None:
    """Takes `folder` away in one step, then deletes it at leisure."""
    dead = root / STAGING / f"{_DEAD}{secrets.token_hex(8)}"
    make_folders(dead.parent)
    with suppress(FileNotFoundError):
        folder.rename(dead)
    shutil.rmtree(dead, ignore_errors=True)


def sweep(home: Path) -> None:
    """Deletes stagings whose process is gone, or that are older than an hour."""
    for folder in home.iterdir():
        with suppress(OSError):
            if folder.name.startswith(_DEAD):
                shutil.rmtree(folder, ignore_errors=True)
            elif _stale(folder):
                # Renamed first: should its owner live after all, its own rename fails and publishes no torn folder.
                discard(folder, home.parent)


def reason(error: OSError) -> str:
    """What the system said, and of which path."""
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)


def make_folders(folder: Path) -> None:
    """`mkdir -p` whose result survives a power cut."""
    if folder.is_dir():
        return
    make_folders(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir()
        sync_folder(folder.parent)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "a file stands where a folder is needed", str(folder))


def _stale(folder: Path) -> bool:
    if time.time() - folder.stat().st_mtime > STALE_SECONDS:
        return True
    if folder.name.startswith(_NEW):
        return False
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        return _lock(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        # Held by a living process, or a file system without locks: then age decides.
        return False
    return True


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
