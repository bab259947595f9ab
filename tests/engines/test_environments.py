from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import pytest

from tests.engines.environments import NoEnvironment, made_for, python_for, requirement

EMPTY = "# nothing\n"


def test_an_environment_is_made_once_and_kept(tmp_path: Path):
    lock = tmp_path / "tool.txt"
    lock.write_text(EMPTY)
    found: list[Path] = []
    both = [threading.Thread(target=lambda: found.append(python_for(lock, tmp_path / "cache"))) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    first, second = found
    assert first == second
    assert subprocess.run([first, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True)
    made = first.stat().st_ino, first.parent.parent.stat().st_mtime_ns
    assert python_for(lock, tmp_path / "cache") == first
    assert (first.stat().st_ino, first.parent.parent.stat().st_mtime_ns) == made


def test_another_lock_is_another_environment_and_what_was_left_half_made_is_cleared(tmp_path: Path):
    lock = tmp_path / "tool.txt"
    lock.write_text(EMPTY)
    old = python_for(lock, tmp_path / "cache")
    lock.write_text(EMPTY * 2)
    new = python_for(lock, tmp_path / "cache")
    assert new != old
    assert old.exists()
    made = new.parent.parent
    left = made.with_name(f"{made.name}.unfinished")
    made.rename(left)
    (left / "bin" / "python").unlink()
    assert python_for(lock, tmp_path / "cache").exists()
    assert not left.exists()


@pytest.mark.parametrize(("required", "outcome"), [("1", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_what_cannot_be_made_is_said_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, required: str, outcome: type[BaseException]
):
    monkeypatch.setenv("PODIUM_REQUIRE_ALL", required)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    lock = tmp_path / "tool.txt"
    lock.write_text("no-such-tool==1.0 --hash=sha256:" + "0" * 64 + "\n")
    with pytest.raises(outcome, match=r"no environment from tool\.txt"):
        python_for(lock, tmp_path / "cache")
    # Outside the tests it is an exception like others: a test's outcome would be caught by nobody.
    with pytest.raises(NoEnvironment, match=r"no environment from tool\.txt"):
        made_for(lock, tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache" / "environments").iterdir()] == [".lock"]


def test_the_locks_are_there():
    assert requirement("tritonclient").is_file()
    assert requirement("kserve-client").is_file()
