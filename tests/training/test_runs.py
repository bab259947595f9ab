import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from service.bundle import read_manifest
from tests.training.tiny import SMALL
from training.cli import main
from training.publish import build_bundle
from training.runs import Run, RunError, open_run, save_run


def test_two_processes_make_the_same_bundle(data: Path, tmp_path: Path) -> None:
    folders: list[Path] = []
    for number in ("1", "2"):
        registry, runs = tmp_path / f"registry{number}", tmp_path / f"runs{number}"
        command = [sys.executable, "-m", "training", "run", "--data", str(data), "--threads", number, *SMALL]
        command += ["--registry", str(registry), "--runs", str(runs)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        folders.append(Path(done.stdout.splitlines()[-1].removeprefix("file://")))
    first, second = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert set(first) == {"manifest.json", "model.ubj", "golden.jsonl"}
    assert first == second
    assert folders[0].name == folders[1].name


def test_a_run_is_found_again(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["fit", "--data", str(data), "--runs", str(tmp_path), *SMALL]
    assert main(command) == 0
    first = capsys.readouterr()
    assert main(command) == 0
    second = capsys.readouterr()
    assert "fitted before" not in first.err
    assert "fitted before" in second.err
    assert first.out == second.out
    assert main([*command, "--seed", "1"]) == 0
    assert capsys.readouterr().out != first.out


def test_the_faster_of_two_writers_wins(tmp_path: Path) -> None:
    about: dict[str, Any] = {"name": "x"}
    first = save_run(tmp_path / "run", about, b"one", tmp_path)
    second = save_run(tmp_path / "run", about, b"two", tmp_path)
    assert first.model == second.model == b"one"


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is no run"):
        open_run(tmp_path)


def test_the_manifest_can_be_shown(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build_bundle(run, tmp_path / "bundle")
    for target in (tmp_path / "bundle", run.folder):
        assert main(["show", str(target)]) == 0
        shown = capsys.readouterr().out
        assert "n_estimators = 8" in shown
        assert "NDCG, test" in shown
        assert "@10" in shown
    assert read_manifest(tmp_path / "bundle").digest
