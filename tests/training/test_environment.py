import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from training import environment
from training.environment import APART, SetupError, apart, main, python_of, set_up

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def requirements(tmp_path: Path) -> Path:
    folder = tmp_path / "requirements"
    folder.mkdir()
    (folder / "training.txt").write_text("# nothing\n")
    (folder / "dev.txt").write_text("# nothing more\n")
    return folder


def test_set_up_is_done_once_and_again_when_the_lock_changes(requirements: Path, tmp_path: Path) -> None:
    target = tmp_path / "venv"
    assert set_up(requirements, target)
    marker = target / "marker"
    marker.touch()
    assert not set_up(requirements, target)
    os.utime(requirements / "training.txt", (0, 0))
    assert not set_up(requirements, target), "a time stamp alone is no reason"
    assert set_up(requirements, target, "dev")
    assert marker.exists(), "adding to it does not start over"
    (requirements / "training.txt").write_text("# other\n")
    assert set_up(requirements, target)
    assert not marker.exists()


def test_a_foreign_program_goes_apart_from_the_main_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[Path, Path]] = []
    monkeypatch.setattr(environment, "set_up_apart", lambda lock, target: made.append((lock, target)))
    assert main(["lightgbm"]) == 0
    assert made == [(ROOT / "requirements" / "lightgbm.txt", apart("lightgbm"))]
    assert apart("lightgbm") != environment.VENV


def test_foreign_programs_have_a_lock_and_no_share_in_the_main_environment() -> None:
    for kind in APART:
        assert (ROOT / "requirements" / f"{kind}.txt").is_file()
        assert apart(kind).relative_to(ROOT / ".podium")


def test_a_failed_install_is_not_taken_for_done(requirements: Path, tmp_path: Path) -> None:
    (requirements / "training.txt").write_text("six==1.16.0 --hash=sha256:" + "0" * 64 + "\n")
    target = tmp_path / "venv"
    with pytest.raises(SetupError, match="pip could not install training"):
        set_up(requirements, target)
    assert python_of(target).exists()
    (requirements / "training.txt").write_text("# nothing\n")
    assert set_up(requirements, target)


def test_a_killed_set_up_starts_over(requirements: Path, tmp_path: Path) -> None:
    target = tmp_path / "venv"
    (target / "bin").mkdir(parents=True)
    (target / "half").touch()
    assert set_up(requirements, target)
    assert not (target / "half").exists()


def test_it_needs_nothing_but_the_standard_library() -> None:
    script = "import sys; sys.path.insert(0, '.'); import training.environment as e; sys.exit(e.main(['--help']))"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "dev adds what tests and checks need" in done.stdout


def test_an_old_python_is_told_apart(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 2, "final", 0))
    assert main([]) == 2
    assert "needs Python 3.11 or newer, this is 3.10.2" in capsys.readouterr().err


def test_ctrl_c_ends_what_was_started(tmp_path: Path) -> None:
    (tmp_path / "requirements").mkdir()
    # pip waits for this address until it is ended.
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/six-1.16.0.tar.gz"
        (tmp_path / "requirements" / "training.txt").write_text(f"six @ {url} --hash=sha256:{'0' * 64}\n")
        script = "import sys; from pathlib import Path; from training import environment as e\n"
        script += "e.ROOT, e.VENV = Path(sys.argv[1]), Path(sys.argv[1], 'venv'); sys.exit(e.main([]))"
        process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, stderr=subprocess.PIPE)
        silent.settimeout(60)
        connection, _ = silent.accept()
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
        assert process.returncode == 130, error
        connection.settimeout(5)
        while connection.recv(4096):
            pass  # pip's request; then the end, because pip has ended
        connection.close()
    assert b"the next run starts the set-up over" in error
    assert not (tmp_path / "venv" / "training.txt").exists()
