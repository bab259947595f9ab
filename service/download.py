"""Bytes from afar: ranges read side by side, taken in order, hashed as they come, written to a folder."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

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
    """Writes `files` to `into`.

    Args:
        read: gives the bytes of a file from a position up to another, in chunks.

    Raises:
        DigestMismatch: a file came that is not the one listed.
        OSError: `into` cannot be written.
        Exception: what `read` raises.
    """
    given_up = threading.Event()
    flows = _flowing(files, read, given_up)
    try:
        for name, entry in files.items():
            digest = hashlib.sha256()
            with (into / name).open("wb") as file:
                for _ in range(0, entry.size, PART):
                    for chunk in next(flows):
                        digest.update(chunk)
                        file.write(chunk)
            if digest.hexdigest() != entry.sha256:
                raise DigestMismatch(f"{name} came as {digest.hexdigest()[:12]}, the manifest says {entry.sha256[:12]}")
    finally:
        given_up.set()


def _flowing(files: Mapping[str, FileEntry], read: Read, given_up: threading.Event) -> Iterator[Iterator[bytes]]:
    """The parts of all files in order, each as its chunks; those behind the one that is taken are read meanwhile."""
    ahead: deque[Iterator[bytes]] = deque()
    for name, entry in files.items():
        for start in range(0, entry.size, PART):
            ahead.append(_flow(read(name, start, min(start + PART, entry.size)), given_up))
            if len(ahead) == WINDOW:
                yield ahead.popleft()
    while ahead:
        yield ahead.popleft()


def _flow(chunks: Iterator[bytes], given_up: threading.Event) -> Iterator[bytes]:
    # Chunk by chunk, so that one is hashed while the next is on its way.
    queue: SimpleQueue[bytes | None] = SimpleQueue()

    def pump(_: None) -> None:
        try:
            for chunk in chunks:
                if given_up.is_set():
                    return
                queue.put(chunk)
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
