import gzip
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from service.bundle import verify
from tests.training.tiny import SMALL
from training.cli import main


def arguments(data: Path, tmp_path: Path) -> list[str]:
    return ["--data", str(data), "--runs", str(tmp_path / "runs"), "--registry", str(tmp_path / "registry"), *SMALL]


def test_run_chains_all_and_prints_the_uri_last(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *arguments(data, tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    folder = Path(lines[-1].removeprefix("file://"))
    assert verify(folder).version == folder.name
    assert any("NDCG, test" in line for line in lines)


def test_run_takes_gz_and_no_validation_queries(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "gz"
    folder.mkdir()
    for name in ("train", "test"):
        (folder / f"{name}.txt.gz").write_bytes(gzip.compress((data / f"{name}.txt").read_bytes()))
    assert main(["run", *arguments(folder, tmp_path)]) == 0


def test_evaluating_on_other_data_is_refused(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(data, copy)
    assert main(["fit", "--data", str(copy), "--runs", str(tmp_path / "runs"), *SMALL]) == 0
    folder = capsys.readouterr().out.strip()
    with (copy / "test.txt").open("a") as file:
        file.write((copy / "test.txt").read_text().splitlines()[0].replace("0 qid:", "1 qid:", 1) + "\n")
    assert main(["evaluate", folder]) == 3
    assert "is not the data that" in capsys.readouterr().err


BAD: list[tuple[list[str], int, str]] = [
    (["fit", "--data", "nowhere"], 2, "there is no such folder"),
    (["fit", "--data", "{data}", "--recipe", "mslr-smal"], 2, "did you mean mslr-small"),
    (["fit", "--data", "{data}", "--set", "learning_rat=1"], 2, "did you mean learning_rate"),
    (["fit", "--data", "{data}", "--set", "max_depth=deep"], 2, "must be a whole number"),
    (["fit", "--data", "{data}", "--name", "My Model"], 3, "cannot name a model"),
    (["fit", "--data", "{data}", "--width", "8"], 2, "train.txt:1:"),
    (["evaluate", "nowhere"], 3, "is no run"),
    (["publish", "nowhere"], 3, "is no run"),
    (["show", "nowhere"], 3, "nowhere"),
    (["run", "--data", "{data}", "--registry", "s3://Bucket"], 2, "names no bucket"),
    (["crossval", "--data", "{data}", "--folds", "1"], 2, "folds"),
]


@pytest.mark.parametrize("case", BAD, ids=lambda case: " ".join(case[0])[:40])
def test_bad_input_is_refused_readably(
    case: tuple[list[str], int, str],
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command, code, said = case
    monkeypatch.chdir(tmp_path)
    assert main([part.format(data=data) for part in command]) == code
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert not (tmp_path / ".podium" / "runs").exists(), "nothing half-made is left"


def test_usage_errors_have_exit_code_2() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["publish", "run", "--golden-rows-of-data", "0"])
    assert caught.value.code == 2


@pytest.mark.parametrize("after", [0.5, 1.5, 2.5, 3.5])
def test_ctrl_c_leaves_nothing_half_made(data: Path, tmp_path: Path, after: float) -> None:
    command = [sys.executable, "-m", "training", "run", *arguments(data, tmp_path)[: -len(SMALL)]]
    command += ["--set", "n_estimators=3000"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(after)
    os.kill(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    # A Ctrl-C that hits a library's start makes Python 3.13 end by the signal, which a shell reports as 130 too.
    assert process.returncode in (0, 130, -signal.SIGINT), error
    for folder in (tmp_path / "runs", *(tmp_path / "registry").glob("models/*")):
        for entry in folder.iterdir() if folder.exists() else ():
            assert not entry.name.startswith("."), error
            assert (entry / "model.ubj").stat().st_size
    # What is there is whole: the same command ends well on it.
    assert main(["run", *arguments(data, tmp_path)]) == 0


def test_help_says_how_to_get_the_full_data_and_its_terms(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert "research on learning to rank" in text
    assert "MSLR-WEB30K" in text


def test_synthetic_data_is_written_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["synthetic", "--out", str(tmp_path / "made"), "--queries", "10", "--width", "5"]
    assert main(command) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "made")
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["test.txt", "train.txt", "vali.txt"]
