"""Data that was read once, as float32 files that later runs map into memory instead of parsing the text again.

An entry's name is a hash of the source file's bytes and of how they were read, so a changed file is another entry and
an entry never changes. It appears complete or not at all; its bytes are checked every time it is opened, and a damaged
one is made again. One process writes at a time, others wait and then use what it wrote. A limit bounds the disk: the
entries that were not used for longest make room.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from service import files
from training.entry import ABOUT, Damaged, describe_entry, open_entry, save_entry
from training.queries import Queries
from training.rows import OnDisk
from training.sizes import show_size

FORMAT = 1
"""Part of every entry's name: raise it when the same text would be read to other numbers."""
LIMIT = 64 * 10**9
SMALLEST = 32 * 10**6
"""Shorter text is read again each time: that takes a tenth of a second."""

_ASIDE = ".unfinished-"
_KNOWN = "known.json"
_MOST_KNOWN = 200
# A file written to twice within a tick of the clock can have two contents and one time.
_UNCERTAIN_SECONDS = 2.0
_WAY_OUT = (
    "clear it (`python -m training cache --clear`), set PODIUM_CACHE to a folder on another disk, "
    "or do without it (--no-cache)"
)

Say = Callable[[str], None]
Read = Callable[[OnDisk], tuple[Queries, str]]
"""Reads the source file through the sink; the SHA-256 is of the file's bytes."""


class CacheError(ValueError):
    """The cache cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Kept:
    """An entry as people see it."""

    folder: Path
    source: str
    source_size: int
    size: int
    """Of the entry itself."""
    used: float
    """When it was opened last, in seconds since 1970."""


@dataclass(frozen=True)
class DataCache:
    folder: Path
    limit: int = LIMIT
    """Bytes that all entries together may take, the one being written included."""
    smallest: int = SMALLEST
    say: Say = lambda _: None

    def queries(self, source: Path, options: str, read: Read) -> Queries:
        """The queries of `source`, from the entry for it; `read` makes them where there is none.

        `options` is all besides the file's bytes that decides over the result. Raises CacheError, and what `read` does.
        """
        try:
            found = self._find(source, options)
            if found is not None:
                return found
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._alone() as waited:
                found = self._find(source, options) if waited else None
                return self._make(source, options, read) if found is None else found
        except OSError as error:
            raise self._unusable(error) from error

    def kept(self) -> list[Kept]:
        """All entries, those first that were not used for longest."""
        found: list[Kept] = []
        for about in self.folder.glob(f"*/{ABOUT}"):
            # Another process may remove it meanwhile.
            with suppress(OSError, ValueError, TypeError, KeyError):
                told = describe_entry(about.parent)
                size = sum(path.stat().st_size for path in about.parent.iterdir())
                used = about.stat().st_mtime
                found.append(Kept(about.parent, told["source"], told["source_bytes"], size, used))
        return sorted(found, key=lambda kept: kept.used)

    def clear(self) -> int:
        """Removes everything and returns the bytes of the entries; processes that have one open can go on with it."""
        if not self.folder.exists():
            return 0
        with self._alone():
            kept = self.kept()
            for each in kept:
                self._remove(each.folder)
            self._sweep()
            (self.folder / _KNOWN).unlink(missing_ok=True)
        return sum(each.size for each in kept)

    def _find(self, source: Path, options: str) -> Queries | None:
        sha256 = self._digest(source)
        if sha256 is None:
            return None
        folder = self.folder / _key(sha256, options)
        if not folder.exists():
            return None
        try:
            queries = open_entry(folder)
        except Damaged as error:
            self.say(f"{error}: reading {source} again")
            return None
        with suppress(OSError):
            os.utime(folder / ABOUT)
        return queries

    def _digest(self, source: Path) -> str | None:
        """The file's SHA-256, or None if it is not worth its time: no entry is of a file of this size."""
        identity = _identity(source)
        match self._known().get(str(source.resolve())):
            case [*then, str(sha256)] if then == identity:
                return sha256
            case _:
                pass
        if all(each.source_size != identity[2] for each in self.kept()):
            return None
        with source.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        self._remember(source, identity, sha256)
        return sha256

    def _make(self, source: Path, options: str, read: Read) -> Queries:
        self._sweep()
        aside = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=self.folder))
        sink = OnDisk(aside, self._reserve)
        try:
            identity = _identity(source)
            queries, sha256 = read(sink)
            if _identity(source) != identity:
                raise CacheError(f"{source} was changed while it was read; read it again when it is complete")
            about = {"source": str(source.resolve()), "source_bytes": identity[2], "options": options}
            save_entry(aside, queries, about)
            target = self.folder / _key(sha256, options)
            if target.exists():
                self._remove(target)
            aside.chmod(0o755)
            aside.rename(target)
        finally:
            sink.close()
            shutil.rmtree(aside, ignore_errors=True)
        self._remember(source, identity, sha256)
        return replace(queries, known_sha256=queries.sha256)

    def _reserve(self, needed: int) -> None:
        """Removes old entries until `needed` more bytes keep to the limit. Raises CacheError if they cannot."""
        if needed > self.limit:
            raise CacheError(
                f"reading needs about {show_size(needed)} in the cache {self.folder}, more than its limit of "
                f"{show_size(self.limit)}; set PODIUM_CACHE_LIMIT to more, or do without (--no-cache)"
            )
        kept = self.kept()
        total = sum(each.size for each in kept)
        for each in kept:
            if total + needed <= self.limit:
                break
            self.say(f"removing {each.source} ({show_size(each.size)}) from the cache to keep to its limit")
            self._remove(each.folder)
            total -= each.size
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise CacheError(
                f"reading needs about {show_size(needed)} of disk for the cache {self.folder}, where "
                f"{show_size(free)} are free; {_WAY_OUT}"
            )

    def _unusable(self, error: OSError) -> CacheError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return CacheError(f"no space left for the cache {self.folder}; {_WAY_OUT}")
        return CacheError(f"cannot use the cache {self.folder}: {error}; {_WAY_OUT}")

    @contextmanager
    def _alone(self) -> Generator[bool]:
        """One writer at a time; whether another one had to be waited for. The kernel's lock dies with its process."""
        with (self.folder / "lock").open("w") as lock:
            waited = False
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.say(f"waiting for another process that writes to the cache {self.folder}")
                fcntl.flock(lock, fcntl.LOCK_EX)
                waited = True
            yield waited

    def _sweep(self) -> None:
        """Removes what killed writers left; whoever holds the lock may, since no other writer lives."""
        for left in self.folder.glob(f"{_ASIDE}*"):
            shutil.rmtree(left, ignore_errors=True)

    def _remove(self, entry: Path) -> None:
        # Renamed first, so that nobody finds half of it.
        gone = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=self.folder))
        entry.rename(gone / entry.name)
        shutil.rmtree(gone, ignore_errors=True)

    def _known(self) -> dict[str, Any]:
        """By path: identity of a file and the SHA-256 that it had."""
        try:
            return dict(json.loads((self.folder / _KNOWN).read_text()))
        except (OSError, ValueError, TypeError):
            return {}

    def _remember(self, source: Path, identity: list[int], sha256: str) -> None:
        if time.time() - source.stat().st_ctime < _UNCERTAIN_SECONDS:
            return
        known = {**self._known(), str(source.resolve()): [*identity, sha256]}
        newest = dict(list(known.items())[-_MOST_KNOWN:])
        files.replace_file(self.folder / _KNOWN, json.dumps(newest, indent=1).encode())


def _key(sha256: str, options: str) -> str:
    return hashlib.sha256(f"podium cache {FORMAT} {sha256} {options}".encode()).hexdigest()[:32]


def _identity(source: Path) -> list[int]:
    """What changes when a file is written to or replaced, even where its time is set back."""
    stat = source.stat()
    return [stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
