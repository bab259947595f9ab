from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.training.killed import survives
from training.checkpoints import Checkpoint, Checkpoints

KEY, OTHER = "a1" * 32, "b2" * 32


class Log(list[str]):
    def store(self, folder: Path, key: str = KEY) -> Checkpoints:
        return Checkpoints(folder, key, self.append)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_two_are_kept_and_the_newest_is_loaded(tmp_path: Path) -> None:
    log = Log()
    store = log.store(tmp_path)
    assert store.load() is None
    for trees in (50, 100, 1_000_000):
        store.save(trees, b"model %d" % trees)
    assert names(tmp_path) == ["a1a1a1a1a1a1-000100.checkpoint", "a1a1a1a1a1a1-1000000.checkpoint"]
    assert store.load() == Checkpoint(1_000_000, b"model 1000000")
    assert log == []


def test_saving_again_replaces(tmp_path: Path) -> None:
    store = Log().store(tmp_path)
    store.save(50, b"one")
    store.save(50, b"two")
    assert store.load() == Checkpoint(50, b"two")


def damage(data: bytes, kind: str) -> bytes:
    head, _, model = data.partition(b"\n")
    about = json.loads(head)
    return {
        "empty": b"",
        "cut": data[:-1],
        "cut in the head": data[:20],
        "longer": data + b"x",
        "one bit": data[:-3] + bytes([data[-3] ^ 1]) + data[-2:],
        "no head": model,
        "a list": b"[1]\n" + model,
        "another run's content": json.dumps({**about, "run": OTHER}).encode() + b"\n" + model,
        "other trees": json.dumps({**about, "trees": 51}).encode() + b"\n" + model,
        "an endless head": b"{" * 5000,
    }[kind]


KINDS = ["empty", "cut", "cut in the head", "longer", "one bit", "no head", "a list", "another run's content",
         "other trees", "an endless head"]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_one_is_passed_over(tmp_path: Path, kind: str) -> None:
    log = Log()
    store = log.store(tmp_path)
    store.save(50, b"the model of 50 trees")
    store.save(100, b"the model of 100 trees")
    newest = tmp_path / "a1a1a1a1a1a1-000100.checkpoint"
    newest.write_bytes(damage(newest.read_bytes(), kind))
    assert store.load() == Checkpoint(50, b"the model of 50 trees")
    assert len(log) == 1
    assert "a1a1a1a1a1a1-000100.checkpoint is passed over" in log[0]
    # What comes in its place counts again.
    store.save(100, b"the model of 100 trees")
    assert store.load() == Checkpoint(100, b"the model of 100 trees")


def test_a_folder_in_a_checkpoints_place_is_passed_over(tmp_path: Path) -> None:
    log = Log()
    (tmp_path / "a1a1a1a1a1a1-000100.checkpoint").mkdir()
    assert log.store(tmp_path).load() is None
    assert "is passed over" in log[0]


def test_other_runs_are_left_alone_and_named(tmp_path: Path) -> None:
    log = Log()
    log.store(tmp_path, OTHER).save(50, b"other")
    (tmp_path / "notes.checkpoint").write_text("somebody else's")
    mine = log.store(tmp_path)
    assert mine.load() is None
    assert "of 1 other run(s)" in log[0]
    for trees in (10, 20, 30):
        mine.save(trees, b"mine")
    assert log.store(tmp_path, OTHER).load() == Checkpoint(50, b"other")
    assert mine.load() == Checkpoint(30, b"mine")
    assert len(log) == 1, "once there are own ones, others are of no interest"


def test_what_a_killed_writer_left_is_swept(tmp_path: Path) -> None:
    mine, others = tmp_path / ".a1a1a1a1a1a1-000050.checkpoint.x1", tmp_path / ".b2b2b2b2b2b2-000050.checkpoint.x1"
    mine.write_bytes(b"half")
    others.write_bytes(b"half")
    assert Log().store(tmp_path).load() is None
    assert names(tmp_path) == [others.name]


SAVE = """
from training.checkpoints import Checkpoints
save = Checkpoints(pathlib.Path(sys.argv[2]), "a1" * 32, print).save
armed(lambda: save(150, b"the model of 150 trees" * 1000))
"""


def test_kill_9_at_any_moment_leaves_a_whole_one(tmp_path: Path) -> None:
    moments = 0
    while True:
        folder = tmp_path / str(moments)
        store = Log().store(folder)
        store.save(50, b"50")
        store.save(100, b"100")
        survived = survives(SAVE, moments, folder)
        log = Log()
        found = log.store(folder).load()
        whole = Checkpoint(150, b"the model of 150 trees" * 1000)
        assert found in (Checkpoint(100, b"100"), whole), moments
        assert log == [], "nothing that is there is damaged"
        assert all(not name.startswith(".") for name in names(folder))
        if survived:
            assert found == whole
            break
        moments += 1
    assert moments >= 6, "it was hardly ever killed"
