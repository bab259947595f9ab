from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from service.staging import STAGING, discard, make_folders, place, staging, sweep


def test_a_folder_is_placed_whole(tmp_path: Path) -> None:
    with staging(tmp_path) as folder:
        (folder / "file").write_bytes(b"x")
        assert folder.parent == tmp_path / STAGING
        assert place(folder, tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"x"
    assert list((tmp_path / STAGING).iterdir()) == []


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "old").touch()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "taken")
    for target in ("taken", "file", "link"):
        with staging(tmp_path) as folder:
            assert not place(folder, tmp_path / target)
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["old"]
    assert list((tmp_path / STAGING).iterdir()) == []


def test_an_interrupted_block_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with staging(tmp_path) as folder:
            (folder / "file").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list((tmp_path / STAGING).iterdir()) == []


def test_the_dead_are_swept_and_the_living_are_not(tmp_path: Path) -> None:
    home = tmp_path / STAGING
    for name in ("0123", ".dead-4567"):
        (home / name).mkdir(parents=True)
        (home / name / "file").touch()
    (home / ".new-just-made").mkdir()
    (home / ".new-forgotten").mkdir()
    os.utime(home / ".new-forgotten", (0, 0))
    with staging(tmp_path) as folder:
        sweep(home)
        assert {path.name for path in home.iterdir()} == {folder.name, ".new-just-made"}


def test_after_an_hour_even_a_locked_staging_goes_and_its_owner_publishes_nothing(tmp_path: Path) -> None:
    with staging(tmp_path) as folder:
        (folder / "file").touch()
        old = time.time() - 3601
        os.utime(folder, (old, old))
        sweep(tmp_path / STAGING)
        with pytest.raises(FileNotFoundError):
            place(folder, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_discard_takes_away(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").touch()
    discard(tmp_path / "a", tmp_path)
    discard(tmp_path / "nothing", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [STAGING]
    assert list((tmp_path / STAGING).iterdir()) == []


def test_make_folders_names_what_is_in_the_way(tmp_path: Path) -> None:
    make_folders(tmp_path / "a" / "b")
    make_folders(tmp_path / "a" / "b")
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("file", "dangling"):
        with pytest.raises(NotADirectoryError) as refused:
            make_folders(tmp_path / name / "c")
        assert refused.value.filename == str(tmp_path / name)


def test_sweeping_takes_the_name_first_so_that_no_torn_folder_can_be_placed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / STAGING / "0123"
    left.mkdir(parents=True)
    there: list[bool] = []
    monkeypatch.setattr("service.staging.shutil.rmtree", lambda *_, **__: there.append(left.exists()))  # pyright: ignore[reportUnknownLambdaType]
    sweep(tmp_path / STAGING)
    assert there == [False]
