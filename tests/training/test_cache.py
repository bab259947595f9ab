from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training import cache as module
from training.cache import CacheError, DataCache
from training.letor import DataError, read_fold, read_split
from training.queries import Queries
from training.synthetic import write_synthetic

ROOT = Path(__file__).resolve().parents[2]
TWO = b"2 qid:9 1:0.5 2:3\n0 qid:7 1:0 2:-1\n1 qid:9 1:4 2:5\n"


@pytest.fixture
def cache(tmp_path: Path) -> DataCache:
    return DataCache(tmp_path / "cache", smallest=0)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "train.txt"
    path.write_bytes(TWO)
    settle(path)
    return path


def settle(path: Path) -> None:
    """Waits until the file's times are those of the past, where they tell whether it was changed."""
    while time.time() - path.stat().st_ctime < 0.05:
        time.sleep(0.01)


def entries(cache: DataCache) -> list[Path]:
    return [each.folder for each in cache.kept()]


def never(*_: object) -> Queries:
    raise AssertionError("read again")


def test_a_second_reading_does_not_look_at_the_text(cache: DataCache, text: Path, monkeypatch: pytest.MonkeyPatch):
    plain = read_split(text)
    first = read_split(text, cache=cache)
    monkeypatch.setattr("training.letor._read", never)
    second = read_split(text, cache=cache)
    for found in (first, second):
        assert found.features.tolist() == plain.features.tolist() == [[0, -1], [0.5, 3], [4, 5]]
        assert found.relevance.tolist() == plain.relevance.tolist()
        assert (found.qids.tolist(), found.offsets.tolist()) == ([7, 9], [0, 1, 3])
        assert found.sha256 == replace(found, known_sha256=None).sha256 == plain.sha256
        assert not found.features.flags.writeable


def test_a_fold_is_kept_file_by_file(cache: DataCache, tmp_path: Path):
    write_synthetic(tmp_path / "data", queries=10, width=5)
    plain = read_fold(tmp_path / "data")
    assert read_fold(tmp_path / "data", cache=cache).sha256 == plain.sha256
    assert read_fold(tmp_path / "data", cache=cache).sha256 == plain.sha256
    assert len(entries(cache)) == 3


def test_short_files_are_not_kept(cache: DataCache, text: Path):
    assert read_split(text, cache=replace(cache, smallest=len(TWO) + 1)).rows == 3
    assert not cache.folder.exists()
    assert read_split(text, cache=replace(cache, smallest=len(TWO))).rows == 3
    assert len(entries(cache)) == 1


@pytest.mark.parametrize("recent", [0.0, 1e9], ids=["by its times", "by its digest"])
def test_a_changed_file_is_read_again(cache: DataCache, text: Path, recent: float, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_UNCERTAIN_SECONDS", recent)
    before = text.stat()
    read_split(text, cache=cache)
    text.write_bytes(TWO.replace(b"0.5", b"0.7"))
    os.utime(text, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert text.stat().st_size == before.st_size
    assert float(read_split(text, cache=cache).features[1, 0]) == pytest.approx(0.7)
    text.write_bytes(TWO)
    monkeypatch.setattr("training.letor._read", never)
    assert float(read_split(text, cache=cache).features[1, 0]) == 0.5, "the old content is still there"


def test_a_moved_file_is_known_by_its_content(cache: DataCache, text: Path, monkeypatch: pytest.MonkeyPatch):
    read_split(text, cache=cache)
    other = text.with_name("other.txt")
    shutil.copy(text, other)
    text.unlink()
    monkeypatch.setattr("training.letor._read", never)
    assert read_split(other, cache=cache).rows == 3


@pytest.mark.parametrize("recent", [0.0, 1e9], ids=["by its times", "by its digest"])
def test_the_times_of_a_file_that_has_just_changed_are_not_trusted(
    cache: DataCache, text: Path, recent: float, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "_UNCERTAIN_SECONDS", recent)
    read_split(text, cache=cache)
    assert (cache.folder / "known.json").exists() == (recent == 0.0)


def test_other_options_are_other_entries(cache: DataCache, text: Path):
    read_split(text, cache=cache)
    with pytest.raises(DataError, match=":1: 2 features, but 3 are expected"):
        read_split(text, cache=cache, width=3)
    with pytest.raises(DataError, match=":1: the label '2' is out of range 0 to 1"):
        read_split(text, cache=cache, max_relevance=1)
    assert read_split(text, cache=cache, width=3, allow_missing=True).width == 3
    assert len(entries(cache)) == 2


def test_bad_data_is_refused_and_leaves_nothing(cache: DataCache, text: Path):
    text.write_bytes(TWO + b"1 qid:1 1:x 2:1\n")
    for _ in range(2):
        with pytest.raises(DataError, match=r"train\.txt:4: feature 1 is 'x'"):
            read_split(text, cache=cache, piece_bytes=20)
    assert [path.name for path in cache.folder.iterdir()] == ["lock"]
    with pytest.raises(DataError, match="there is no such file"):
        read_split(text.with_name("none.txt"), cache=cache)


def truncate(entry: Path) -> None:
    with (entry / "features.f32").open("r+b") as file:
        file.truncate(8)


def flip(name: str) -> Callable[[Path], None]:
    def change(entry: Path) -> None:
        data = bytearray((entry / name).read_bytes())
        data[-1] ^= 1
        (entry / name).write_bytes(data)

    return change


@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        flip("features.f32"),
        flip("relevance.npy"),
        flip("qids.npy"),
        flip("offsets.npy"),
        lambda entry: (entry / "qids.npy").unlink(),
        lambda entry: (entry / "about.json").write_text("{"),
        lambda entry: (entry / "about.json").write_text("[1]"),
        lambda entry: (entry / "about.json").write_text("{}"),
        lambda entry: (entry / "about.json").unlink(),
    ],
    ids=["short", "features", "relevance", "qids", "offsets", "no qids", "half", "list", "empty", "no about"],
)
def test_a_damaged_entry_is_made_again(
    cache: DataCache, text: Path, damage: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "_UNCERTAIN_SECONDS", 0)
    plain = read_split(text)
    read_split(text, cache=cache)
    (entry,) = entries(cache)
    damage(entry)
    told: list[str] = []
    assert read_split(text, cache=replace(cache, say=told.append)).sha256 == plain.sha256
    assert [line for line in told if "reading" in line and str(text) in line]
    monkeypatch.setattr("training.letor._read", never)
    assert read_split(text, cache=cache).features.tolist() == plain.features.tolist()


def test_a_file_that_changes_while_it_is_read_is_refused(cache: DataCache, text: Path):
    def append(_done: int, _total: int) -> None:
        if text.stat().st_size == len(TWO):
            text.write_bytes(TWO + TWO)

    with pytest.raises(CacheError, match="was changed while it was read"):
        read_split(text, cache=cache, progress=append)
    assert entries(cache) == []


READ = """
import sys, os, signal
from pathlib import Path
from training.cache import DataCache
from training.letor import read_split
def progress(done, total):
    if sys.argv[3] == "die" and done < total:
        os.kill(os.getpid(), signal.SIGKILL)
print(read_split(Path(sys.argv[1]), cache=DataCache(Path(sys.argv[2]), smallest=0, say=print),
                 piece_bytes=40_000, progress=progress).sha256)
"""


def start(text: Path, cache: DataCache, end: str = "live") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", READ, str(text), str(cache.folder), end]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_killed_writer_leaves_nothing_that_counts(cache: DataCache, tmp_path: Path):
    write_synthetic(tmp_path, queries=20, width=40)
    text = tmp_path / "train.txt"
    with start(text, cache, "die") as process:
        assert process.wait() == -signal.SIGKILL
    left = [path for path in cache.folder.iterdir() if path.is_dir()]
    assert len(left) == 1, "it was killed in the middle of writing"
    assert entries(cache) == []
    assert read_split(text, cache=cache).sha256 == read_split(text).sha256
    assert not left[0].exists()
    assert len(entries(cache)) == 1


def test_readers_at_once_write_once(cache: DataCache, tmp_path: Path):
    write_synthetic(tmp_path, queries=40, width=60)
    text = tmp_path / "train.txt"
    processes = [start(text, cache) for _ in range(3)]
    outputs = [process.communicate(timeout=60) for process in processes]
    digest = read_split(text).sha256
    assert [output.splitlines()[-1] for output, _ in outputs] == [digest] * 3, outputs
    assert len(entries(cache)) == 1
    assert not list(cache.folder.glob(".unfinished*"))


def test_who_waited_uses_what_the_other_wrote(cache: DataCache, text: Path, monkeypatch: pytest.MonkeyPatch):
    other = DataCache(cache.folder, smallest=0)
    told: list[str] = []

    def meanwhile(message: str) -> None:
        told.append(message)
        monkeypatch.setattr(module.fcntl, "flock", lambda *_: None)
        read_split(text, cache=other)

    def busy(_file: object, how: int) -> None:
        if how & module.fcntl.LOCK_NB:
            raise BlockingIOError

    monkeypatch.setattr(module.fcntl, "flock", busy)
    monkeypatch.setattr(module, "_UNCERTAIN_SECONDS", 1e9)
    read = module.DataCache._make
    made: list[Path] = []

    def make(self: DataCache, source: Path, *rest: object) -> Queries:
        made.append(source)
        return read(self, source, *rest)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(module.DataCache, "_make", make)
    assert read_split(text, cache=replace(cache, say=meanwhile)).rows == 3
    assert told == [f"waiting for another process that writes to the cache {cache.folder}"]
    assert len(made) == 1


def test_the_entry_not_used_for_longest_makes_room(cache: DataCache, tmp_path: Path):
    texts = [tmp_path / f"{number}.txt" for number in range(3)]
    for number, path in enumerate(texts):
        path.write_bytes(b"1 qid:1 1:%d 2:2\n" % number * 2000)
        settle(path)
    for number in (0, 1):
        read_split(texts[number], cache=cache)
        os.utime(cache.kept()[-1].folder / "about.json", (number, number))
    read_split(texts[0], cache=cache)  # now entry 1 is the older one
    one = cache.kept()[0].size
    told: list[str] = []
    read_split(texts[2], cache=replace(cache, limit=2 * one + 20_000, say=told.append))
    assert [Path(each.source).name for each in cache.kept()] == ["0.txt", "2.txt"]
    assert len(told) == 1
    assert str(texts[1]) in told[0]


def test_data_beyond_the_limit_is_refused_at_once(cache: DataCache, tmp_path: Path):
    text = tmp_path / "train.txt"
    text.write_bytes(b"1 qid:1 1:1 2:2\n" * 10_000)
    seen: list[int] = []
    with pytest.raises(CacheError, match=r"needs about 16\d kB .* limit of 100 kB; set PODIUM_CACHE_LIMIT"):
        read_split(
            text,
            cache=replace(cache, limit=100_000),
            piece_bytes=1600,
            progress=lambda done, _: seen.append(done),
        )
    assert seen == []
    assert entries(cache) == []


def test_a_disk_that_is_too_small_is_said_at_once(cache: DataCache, text: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 80, 20))  # pyright: ignore
    with pytest.raises(CacheError, match=r"48 bytes of disk .* 20 bytes are free; clear it \(`python -m training"):
        read_split(text, cache=cache)
    assert entries(cache) == []


def test_a_disk_that_fills_up_leaves_nothing(cache: DataCache, text: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(CacheError, match="no space left for the cache"):
        read_split(text, cache=cache)
    assert [path.name for path in cache.folder.iterdir()] == ["lock"]


def test_a_folder_that_cannot_be_used_is_said(cache: DataCache, text: Path):
    cache.folder.write_text("a file")
    with pytest.raises(CacheError, match=r"cannot use the cache .*--no-cache"):
        read_split(text, cache=cache)


def test_clear_removes_all_but_what_is_open(cache: DataCache, text: Path):
    opened = read_split(text, cache=cache)
    (cache.folder / ".unfinished-left").mkdir()
    size = cache.kept()[0].size
    assert cache.clear() == size > 24
    assert [path.name for path in cache.folder.iterdir()] == ["lock"]
    assert opened.features.tolist() == [[0, -1], [0.5, 3], [4, 5]]
    assert cache.clear() == 0
    assert DataCache(cache.folder / "nowhere").clear() == 0


def test_a_broken_index_is_no_index(cache: DataCache, text: Path):
    read_split(text, cache=cache)
    for content in ("{", "[]", '{"a": 1}', json.dumps({str(text.resolve()): 3})):
        (cache.folder / "known.json").write_text(content)
        assert read_split(text, cache=cache).rows == 3


def test_the_index_stays_short(cache: DataCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_UNCERTAIN_SECONDS", 0)
    monkeypatch.setattr(module, "_MOST_KNOWN", 2)
    for number in range(4):
        path = tmp_path / f"{number}.txt"
        path.write_bytes(TWO + b"\n" * number)
        settle(path)
        read_split(path, cache=cache)
    known = json.loads((cache.folder / "known.json").read_text())
    assert [Path(name).name for name in known] == ["2.txt", "3.txt"]
