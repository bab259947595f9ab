from __future__ import annotations

import hashlib
import os
import random
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service import download as module
from service.download import WINDOW, download, ordered
from service.errors import DigestMismatch
from service.location import RegistryUnavailable
from service.manifest import FileEntry

CONTENTS = {"a.bin": random.Random(1).randbytes(10_000), "empty": b"", "b.bin": random.Random(2).randbytes(3000)}
FILES = {name: FileEntry.of(data) for name, data in CONTENTS.items()}


def chunks(name: str, start: int, stop: int) -> Iterator[bytes]:
    for at in range(start, stop, 100):
        yield CONTENTS[name][at : min(at + 100, stop)]


@pytest.mark.parametrize("part", [1, 999, 3000, 10_000, 1 << 20])
def test_files_come_whole_whatever_the_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    monkeypatch.setattr(module, "PART", max(part, 500))
    download(FILES, chunks, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == CONTENTS


def test_parts_are_read_side_by_side_and_not_far_ahead() -> None:
    # A barrier lets none through before WINDOW wait at it: one after the other, they would never meet.
    together = threading.Barrier(WINDOW, timeout=10)
    started: list[int] = []

    def work(number: int) -> int:
        started.append(number)
        together.wait()
        return number

    results = ordered(work, range(2 * WINDOW))
    assert next(results) == 0
    assert len(started) == WINDOW
    together.reset()
    time.sleep(0.05)
    assert len(started) == WINDOW


def test_results_come_in_order_and_errors_where_they_belong() -> None:
    def work(number: int) -> int:
        time.sleep(0.02 if number % 2 else 0)
        return 12 // (5 - number)

    results = ordered(work, range(10))
    assert [next(results) for _ in range(5)] == [2, 3, 4, 6, 12]
    with pytest.raises(ZeroDivisionError):
        next(results)


@pytest.mark.parametrize("change", [lambda d: d[:-1] + b"?", lambda d: d[:-1], lambda d: d + b"?"])
def test_other_bytes_than_listed_are_refused(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(DigestMismatch, match=r"b\.bin came as"):
        download(
            FILES, lambda name, *_: iter([change(CONTENTS[name]) if name == "b.bin" else CONTENTS[name]]), tmp_path
        )


def test_what_reading_raises_is_raised_and_the_other_parts_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PART", 1000)
    stopped = threading.Semaphore(0)

    def read(name: str, start: int, _: int) -> Iterator[bytes]:
        if start == 0:
            raise RegistryUnavailable("gone")
        try:
            while True:
                time.sleep(0.005)
                yield b"x"
        finally:
            stopped.release()

    with pytest.raises(RegistryUnavailable, match="gone"):
        download({"a.bin": FILES["a.bin"]}, read, tmp_path)
    assert all(stopped.acquire(timeout=5) for _ in range(WINDOW - 1))


def test_a_process_ends_while_a_part_hangs() -> None:
    script = """
import threading
from service.download import ordered
started = threading.Event()
results = ordered(lambda _: (started.set(), threading.Event().wait()), range(3))
threading.Thread(target=lambda: next(results), daemon=True).start()
started.wait()
"""
    began = time.monotonic()
    assert subprocess.run([sys.executable, "-c", script], timeout=30, check=False).returncode == 0
    assert time.monotonic() - began < 20


def test_the_hash_is_of_what_was_written(tmp_path: Path) -> None:
    download(FILES, chunks, tmp_path)
    assert hashlib.sha256((tmp_path / "a.bin").read_bytes()).hexdigest() == FILES["a.bin"].sha256


def test_each_part_is_flushed_with_all_its_bytes_while_others_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PART", 5000)
    flushed: dict[str, int] = {}
    first = threading.Event()

    def fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        there, whole = path.read_bytes(), CONTENTS[path.name]
        flushed[path.name] = sum(there[at : at + 5000] == whole[at : at + 5000] for at in range(0, len(whole), 5000))
        flush(descriptor)
        first.set()

    def read(name: str, start: int, stop: int) -> Iterator[bytes]:
        # The last part of all comes once another is on disk: flushed at the end, none ever would be.
        assert name != "b.bin" or first.wait(10)
        yield from chunks(name, start, stop)

    flush = os.fsync
    monkeypatch.setattr(os, "fsync", fsync)
    download(FILES, read, tmp_path)
    assert flushed == {"a.bin": 2, "b.bin": 1}


def test_what_is_there_gives_way_and_is_not_written_to(tmp_path: Path) -> None:
    # Parts of a download that was given up write on for a moment; they have to hold another file than the next one.
    (tmp_path / "a.bin").write_bytes(b"before")
    (tmp_path / "link").hardlink_to(tmp_path / "a.bin")
    download(FILES, chunks, tmp_path)
    assert (tmp_path / "link").read_bytes() == b"before"
    assert (tmp_path / "a.bin").read_bytes() == CONTENTS["a.bin"]


def test_a_disk_that_takes_no_more_is_an_error_of_the_system(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (9000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            download(FILES, chunks, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
