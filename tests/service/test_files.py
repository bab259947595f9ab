import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.files import new_folder, replace_file, write_file


def test_new_folder_appears_complete(tmp_path: Path) -> None:
    with new_folder(tmp_path / "a" / "b") as aside:
        write_file(aside / "file", b"data")
        assert not (tmp_path / "a" / "b").exists()
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"data"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_is_left_when_the_work_fails(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), new_folder(tmp_path / "target") as aside:
        write_file(aside / "file", b"data")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_came_first_wins(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="exists already"), new_folder(tmp_path / "target") as aside:
        write_file(aside / "file", b"second")
        (tmp_path / "target").mkdir()
        (tmp_path / "target" / "file").write_bytes(b"first")
    assert (tmp_path / "target" / "file").read_bytes() == b"first"


def test_replace_file_is_one_step(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    replace_file(path, b"one")
    replace_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_a_killed_writer_leaves_no_target(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from service.files import new_folder, write_file\n"
        "with new_folder(Path(sys.argv[1])) as aside:\n"
        "    write_file(aside / 'file', b'half'); print('there', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "target")], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"there\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "target").exists()
