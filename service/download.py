"""Bytes from afar: ranges read, written and flushed side by side, and hashed in order as they come."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import BinaryIO, TypeVar

from service.errors import DigestMismatch
from service.manifest import FileEntry

# A range long enough that the time to its first byte does not count, short enough that a usual model has several.
PART = 8 << 20

# As many at once: a single connection to an object store is slower than a pod's network.
WINDOW = 4

Item = TypeVar("Item")
Result = TypeVar("Result")

Read = Callable[[str, int, int], Iterator[bytes]]


def ordered(work: Callable[[Item], Result], items: Iterable[Item], window: int = WINDOW) -> Iterator[Result]:
    """`map` with up to `window` calls at once, in threads that do not keep a process from ending. Results come in
    order, and no more than `window` of them wait to be taken."""
    ahead: deque[Future[Result]] = deque()
    for item in items:
        ahead.append(started(work, item))
        if len(ahead) == window:
            yield ahead.popleft().result()
    while ahead:
        yield ahead.popleft().result()


def download(files: Mapping[str, FileEntry], read: Read, into: Path) -> None:
    """Writes `files` to `into`, in place of what may be there, and returns once they are on disk.

    Args:
        read: gives the bytes of a file from a position up to another, in chunks.

    Raises:
        DigestMismatch: a file came that is not the one listed.
        OSError: `into` cannot be written.
        Exception: what `read` raises.
    """
    for name in files:
        # Never the same file: parts of a download that was given up may still be writing to the one before.
        (into / name).unlink(missing_ok=True)
        (into / name).touch()
    given_up = threading.Event()
    flows = _flowing(files, read, into, given_up)
    try:
        for name, entry in files.items():
            digest = hashlib.sha256()
            for _ in range(0, entry.size, PART):
                for chunk in next(flows):
                    digest.update(chunk)
            if digest.hexdigest() != entry.sha256:
                raise DigestMismatch(f"{name} came as {digest.hexdigest()[:12]}, the manifest says {entry.sha256[:12]}")
    finally:
        given_up.set()


def _flowing(
    files: Mapping[str, FileEntry], read: Read, into: Path, given_up: threading.Event
) -> Iterator[Iterator[bytes]]:
    """The parts of all files in order, each as its chunks; those behind the one that is taken are read meanwhile."""
    ahead: deque[Iterator[bytes]] = deque()
    for name, entry in files.items():
        for start in range(0, entry.size, PART):
            file = (into / name).open("r+b")
            # What is read has no name here: it ends, and gives its connection back, with the thread that reads it.
            ahead.append(_flow(read(name, start, min(start + PART, entry.size)), file, start, given_up))
            if len(ahead) == WINDOW:
                yield ahead.popleft()
    while ahead:
        yield ahead.popleft()


def _flow(chunks: Iterator[bytes], file: BinaryIO, start: int, given_up: threading.Event) -> Iterator[bytes]:
    # Chunk by chunk, so that one is hashed while it is written and the next is on its way.
    queue: SimpleQueue[bytes | None] = SimpleQueue()

    def pump(_: None) -> None:
        try:
            with file:
                file.seek(start)
                for chunk in chunks:
                    if given_up.is_set():
                        return
                    queue.put(chunk)
                    file.write(chunk)
                # Here and not at the end of all: the disk is at work while other parts come and are hashed.
                file.flush()
                os.fsync(file.fileno())
        finally:
            queue.put(None)

    done = started(pump, None)

    def taken() -> Iterator[bytes]:
        while (chunk := queue.get()) is not None:
            yield chunk
        done.result()

    return taken()


def started(work: Callable[[Item], Result], item: Item) -> Future[Result]:
    """The result to come of `work(item)`, which runs in a thread that does not keep a process from ending."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(work(item))
        except BaseException as error:  # noqa: BLE001 - raised again where the result is taken
            future.set_exception(error)

    threading.Thread(target=run, name="download", daemon=True).start()
    return future
