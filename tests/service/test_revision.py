import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.revision import UNKNOWN, current_revision


def git(folder: Path, *arguments: str) -> str:
    environ = {**os.environ, "GIT_COMMITTER_DATE": "2026-01-02T03:04:05Z", "GIT_AUTHOR_DATE": "2020-01-01T00:00:00Z"}
    who = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    done = subprocess.run(
        ["git", *who, *arguments], cwd=folder, env=environ, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "service").mkdir()
    (tmp_path / "service" / "a.py").write_text("a = 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def test_a_checkout_knows_its_commit_and_the_commits_time(checkout: Path) -> None:
    revision = current_revision({}, checkout)
    assert revision.commit == git(checkout, "rev-parse", "HEAD")
    assert revision.time == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert not revision.dirty


def test_changed_code_is_dirty_and_other_files_are_not(checkout: Path) -> None:
    (checkout / "notes.txt").write_text("x")
    assert not current_revision({}, checkout).dirty
    (checkout / "service" / "new.py").write_text("b = 1\n")
    assert current_revision({}, checkout).dirty


def test_the_environment_wins(checkout: Path) -> None:
    revision = current_revision({"PODIUM_COMMIT": "abc", "SOURCE_DATE_EPOCH": "86400"}, checkout)
    assert revision.commit == "abc"
    assert not revision.dirty
    assert revision.time == datetime(1970, 1, 2, tzinfo=UTC)
    assert current_revision({"PODIUM_COMMIT": "abc-dirty"}, checkout).dirty


def test_an_unpacked_archive_says_that_it_does_not_know(checkout: Path) -> None:
    inside = checkout / "archive"
    inside.mkdir()
    revision = current_revision({}, inside)
    assert (revision.commit, revision.dirty) == (UNKNOWN, True)


def test_a_bad_epoch_is_named() -> None:
    with pytest.raises(ValueError, match="SOURCE_DATE_EPOCH='soon'"):
        current_revision({"PODIUM_COMMIT": "abc", "SOURCE_DATE_EPOCH": "soon"})
