"""Jobs as SageMaker runs them: on a tree like /opt/ml, stopped, killed, started again, described wrongly."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from service.bundle import MANIFEST, verify
from service.revision import current_revision
from tests.conftest import ROOT, skip_or_fail
from tests.training import no_sockets
from tests.training.opt_ml import CHANNELS, make_tree, resources, result, write_config
from training import job
from training.cli import main
from training.job import EXIT_CODES, GRACE_SECONDS, INTERRUPTED, UNEXPECTED, Interrupted, Stop
from training.letor import read_fold
from training.metrics import METRIC_DEFINITIONS
from training.synthetic import synthetic_fold, write_fold

QUICK = {"n_estimators": "12", "max_depth": "3", "segment_trees": "5"}
SAMPLING = {"subsample": "0.7", "colsample_bytree": "0.6"}
LONG = {**SAMPLING, "n_estimators": "160", "max_depth": "7", "learning_rate": "0.02", "segment_trees": "20"}


def train(root: Path) -> int:
    return main(["train", "--root", str(root)])


@pytest.fixture(scope="module")
def more_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """So much that a tree takes its time."""
    folder = tmp_path_factory.mktemp("more") / "fold"
    write_fold(synthetic_fold(seed=2, queries=60, width=20), folder)
    return folder


@pytest.fixture(scope="module")
def uninterrupted(more_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the long job leaves when nobody stops it."""
    root = make_tree(tmp_path_factory.mktemp("whole") / "ml", more_data, LONG)
    assert train(root) == 0
    return result(root)


@contextmanager
def started(root: Path) -> Generator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "training", "train", "--root", str(root)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def lines_until(process: subprocess.Popen[str], wanted: str) -> list[str]:
    """Its output up to the line with `wanted`."""
    lines: list[str] = []
    for line in process.stdout or ():
        lines.append(line)
        if wanted in line:
            return lines
    raise AssertionError(f"no {wanted!r} in {lines}, {process.stderr and process.stderr.read()}")


def test_a_job_leaves_a_bundle_and_says_how_good_it_is(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {**QUICK, "name": "mine", "seed": "3", "data_sha256": f"sha256:{read_fold(data).sha256}"}
    root = make_tree(tmp_path / "ml", data, asked)
    (root / "output" / "failure").write_text("of an earlier attempt")
    assert train(root) == 0
    manifest = verify(root / "model")
    assert (manifest.name, manifest.parameters["seed"]) == ("mine", 3)
    assert manifest.parameters["parameters"]["segment_trees"] == 5
    assert sorted(result(root)) == [
        "model/golden.jsonl", "model/manifest.json", "model/model.ubj",
        "output/data/evaluation.json", "output/data/run.json",
    ]  # fmt: skip
    evaluation = json.loads((root / "output" / "data" / "evaluation.json").read_text())
    assert evaluation == manifest.metrics
    out = capsys.readouterr().out.splitlines()
    for each in METRIC_DEFINITIONS:
        values = [match[1] for match in (re.search(each["Regex"], line) for line in out) if match]
        assert values, f"no line for {each['Name']}"
        channel, _, cutoff = each["Name"].partition(":")
        if channel != "progress":
            split = {"validation": "vali"}.get(channel, channel)
            assert float(values[0]) == pytest.approx(evaluation[split][cutoff]["skip"], abs=1e-6)
    assert len([line for line in out if "trees=12 of=12" in line]) == 1


def test_the_bundle_is_the_laptops(data: Path, tmp_path: Path) -> None:
    root = make_tree(tmp_path / "ml", data, {**QUICK, **SAMPLING})
    assert train(root) == 0
    given = [word for name, value in {**QUICK, **SAMPLING}.items() for word in ("--set", f"{name}={value}")]
    places = ["--registry", str(tmp_path / "registry"), "--runs", str(tmp_path / "runs")]
    assert main(["run", "--data", str(data), *places, *given]) == 0
    (folder,) = (tmp_path / "registry" / "models" / "ranker").iterdir()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        path.name: path.read_bytes() for path in (root / "model").iterdir()
    }


def test_channels_may_be_streams(data: Path, tmp_path: Path) -> None:
    """FastFile without the kindness of a file system: what was read is gone, nothing can be sought or mapped."""
    filed = make_tree(tmp_path / "file", data, QUICK)
    streamed = make_tree(tmp_path / "stream", data, QUICK)
    write_config(streamed, "inputdataconfig", {name: {"TrainingInputMode": "FastFile"} for name in CHANNELS})
    writers: list[threading.Thread] = []
    for name, file in CHANNELS.items():
        path = streamed / "input" / "data" / name / file
        path.unlink()
        os.mkfifo(path)
        content = (data / file).read_bytes()
        writers.append(threading.Thread(target=path.write_bytes, args=[content], daemon=True))
        writers[-1].start()
    assert train(filed) == train(streamed) == 0
    for writer in writers:
        writer.join(10)
    assert result(filed) == result(streamed)


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGKILL])
def test_stopped_and_resumed_is_uninterrupted(
    kind: signal.Signals,
    more_data: Path,
    uninterrupted: dict[str, bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = make_tree(tmp_path / "first", more_data, LONG)
    with started(first) as process:
        lines_until(process, "checkpoint of 40 trees")
        began = time.monotonic()
        process.send_signal(kind)
        out, error = process.communicate(timeout=60)
        took = time.monotonic() - began
    assert process.returncode == (INTERRUPTED if kind is signal.SIGTERM else -kind), error
    if kind is signal.SIGTERM:
        assert took < GRACE_SECONDS
        assert f"interrupted: training goes on from the last checkpoint in {first / 'checkpoints'}" in out
        assert "Traceback" not in error
    assert not (first / "output" / "failure").exists(), "it did not fail"
    assert not (first / "model" / MANIFEST).exists()
    # Another instance and process, which gets nothing but the checkpoints.
    second = make_tree(tmp_path / "second", more_data, LONG)
    shutil.copytree(first / "checkpoints", second / "checkpoints", dirs_exist_ok=True)
    capsys.readouterr()
    assert train(second) == 0
    (trees,) = re.findall(r"going on from the checkpoint of (\d+) trees", capsys.readouterr().out)
    assert 40 <= int(trees) < 160
    assert result(second) == uninterrupted


def test_a_job_without_segments_stops_at_once(more_data: Path, tmp_path: Path) -> None:
    root = make_tree(tmp_path / "ml", more_data, {"n_estimators": "5000"})
    with started(root) as process:
        lines = lines_until(process, "progress trees=1 ")
        process.terminate()
        out, error = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED, error
    assert any(line.startswith("no checkpoints: the recipe sets no segment_trees") for line in lines)
    assert "interrupted: the recipe sets no segment_trees" in out
    assert list((root / "checkpoints").iterdir()) == []


def test_sigterm_while_reading(data: Path, tmp_path: Path) -> None:
    root = make_tree(tmp_path / "ml", data, QUICK)
    path = root / "input" / "data" / "train" / "train.txt"
    content = path.read_bytes()
    path.unlink()
    os.mkfifo(path)
    with started(root) as process:
        with path.open("wb") as stream:  # opens once the job does
            process.terminate()
            stream.write(content)
        out, error = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED, error
    assert "interrupted: nothing is trained yet" in out


def test_sigterm_while_the_libraries_load(data: Path, tmp_path: Path) -> None:
    root = make_tree(tmp_path / "ml", data, QUICK)
    # As it is for the first process of a container, and here inherited: SIGTERM does nothing until a handler is there.
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with started(root) as process:
        signal.signal(signal.SIGTERM, before)
        ends = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < ends:
            process.terminate()
            time.sleep(0.01)
        out, error = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED, error
    assert out == "", "it was heeded only once the job was read"


def test_a_segment_is_ended_only_where_there_is_time() -> None:
    stop = Stop()
    stop.after_tree(10, "kept")
    stop.check()
    stop.ask()
    stop.after_tree(10, "kept")
    stop.after_tree(0, "kept")
    with pytest.raises(Interrupted, match="kept"):
        stop.after_tree(None, "kept")
    time.sleep(0.02)
    with pytest.raises(Interrupted):
        stop.after_tree(int(GRACE_SECONDS / 0.02), "kept")
    with pytest.raises(Interrupted):
        stop.check()


def test_a_damaged_checkpoint_costs_a_segment_and_no_more(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_tree(tmp_path / "ml", data, {**QUICK, **SAMPLING})
    assert train(root) == 0
    expected = result(root)
    older, newest = sorted((root / "checkpoints").iterdir())
    newest.write_bytes(newest.read_bytes()[:-5])
    (root / "model" / "model.ubj").write_bytes(b"spoilt")
    capsys.readouterr()
    assert train(root) == 0
    out = capsys.readouterr().out
    assert f"checkpoint {newest.name} is passed over" in out
    assert "going on from the checkpoint of 10 trees" in out
    assert result(root) == expected
    for path in (older, newest):
        path.write_bytes(b"")
    assert train(root) == 0
    assert result(root) == expected


def test_checkpoints_of_another_run_are_left_alone(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_tree(tmp_path / "other", data, {**QUICK, **SAMPLING, "seed": "1"})
    clean = make_tree(tmp_path / "clean", data, {**QUICK, **SAMPLING})
    mixed = make_tree(tmp_path / "mixed", data, {**QUICK, **SAMPLING})
    assert train(other) == train(clean) == 0
    shutil.copytree(other / "checkpoints", mixed / "checkpoints", dirs_exist_ok=True)
    capsys.readouterr()
    assert train(mixed) == 0
    out = capsys.readouterr().out
    assert "of 1 other run(s)" in out
    assert "going on from" not in out
    assert result(mixed) == result(clean) != result(other)
    assert {path.name for path in (other / "checkpoints").iterdir()} < {
        path.name for path in (mixed / "checkpoints").iterdir()
    }


def test_checkpoints_that_cannot_be_written_do_not_end_it(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_tree(tmp_path / "ml", data, QUICK)
    (root / "checkpoints").rmdir()
    (root / "checkpoints").symlink_to("/proc")
    assert train(root) == 0
    assert "no checkpoint of 5 trees: " in capsys.readouterr().out
    verify(root / "model")


def edit(name: str, text: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / "input" / "data" / name).write_text(text)

    return change


def config(name: str, document: Any) -> Callable[[Path], None]:
    return lambda root: write_config(root, name, document)


def no_training_folder(root: Path) -> None:
    shutil.rmtree(root / "input" / "data" / "train")


def model_is_a_file(root: Path) -> None:
    (root / "model").rmdir()
    (root / "model").write_text("x")


def same_query_twice(root: Path) -> None:
    folder = root / "input" / "data"
    shutil.copy(folder / "train" / "train.txt", folder / "test" / "test.txt")


BAD: list[tuple[Callable[[Path], None], int, str]] = [
    (shutil.rmtree, 2, "inputdataconfig.json is not there"),
    (config("hyperparameters", "{"), 2, "hyperparameters.json is not JSON"),
    (config("hyperparameters", {"learning_rat": "1"}), 2, "did you mean learning_rate?"),
    (config("hyperparameters", {"learning_rate": "-1"}), 2, "learning_rate"),
    (config("hyperparameters", {"commit": "1" * 40}), 2, "but this image holds"),
    (config("inputdataconfig", {"train": {"TrainingInputMode": "Pipe"}, "test": {}}), 2, "input mode 'Pipe'"),
    (config("resourceconfig", resources(["algo-1", "algo-2"])), 2, "2 hosts: this trains on one"),
    (config("hyperparameters", {"data_sha256": "0" * 64}), 3, "data_sha256: the job is for 000"),
    (config("hyperparameters", {"width": "8"}), 3, "train.txt:1:"),
    (no_training_folder, 3, "channel train: no file"),
    (edit("test/more.txt", ""), 3, "channel test: 2 files (more.txt, test.txt)"),
    (edit("train/train.txt", ""), 3, "the file has no rows"),
    (edit("train/train.txt", "1 qid:1 1:x\n"), 3, "train.txt:1: feature 1 is 'x'"),
    (edit("train/train.txt", "\xff" * 5000), 3, "is not text"),
    (same_query_twice, 3, "a query belongs to one split"),
    (edit("train/train.txt", "".join(f"1 qid:{i} " + " ".join(f"{j}:0" for j in range(1, 10)) + "\n"
                                     for i in range(900, 905))), 4, "of different relevance to tell apart"),
    (model_is_a_file, 5, "model"),
]  # fmt: skip


@pytest.mark.parametrize("case", BAD, ids=[said[:40] for _, _, said in BAD])
def test_what_is_wrong_is_in_the_failure_file(
    case: tuple[Callable[[Path], None], int, str], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, code, said = case
    root = make_tree(tmp_path / "ml", data, QUICK)
    spoil(root)
    assert train(root) == code
    failure = (root / "output" / "failure").read_text()
    assert said in failure
    assert 0 < len(failure) <= 1024
    assert "Traceback" not in failure
    assert "Traceback" not in capsys.readouterr().err
    assert not (root / "model" / MANIFEST).exists()


def test_a_fault_of_ours_is_said_to_be_one(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_tree(tmp_path / "ml", data, QUICK)
    monkeypatch.setenv("PODIUM_COMMIT", "0" * 40)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    assert train(root) == UNEXPECTED
    failure = (root / "output" / "failure").read_text()
    assert failure.startswith("unexpected ValueError: SOURCE_DATE_EPOCH")
    assert "Traceback" in capsys.readouterr().err, "the log is where it can be looked into"


def test_memory_and_disk_are_not_the_jobs_fault() -> None:
    codes = {kind: code for kind, code in EXIT_CODES.items() if kind in (MemoryError, OSError)}
    assert codes == {MemoryError: 5, OSError: 5}
    assert job._reason(MemoryError()).startswith("out of memory: take an instance with more")
    assert job._reason(OSError(28, "No space left on device", "/opt/ml/model/x")) == (
        "/opt/ml/model/x: No space left on device"
    )


def test_the_readme_has_the_exit_codes() -> None:
    table = (ROOT / "README.md").read_text().partition("| exit code |")[2].partition("\n\n")[0]
    said = {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}
    assert said == {0, UNEXPECTED, INTERRUPTED, *EXIT_CODES.values()}


def test_a_tree_that_cannot_be_written_is_said_in_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ml").write_text("a file")
    assert train(tmp_path / "ml") == 5
    assert "the reason cannot be left in" in capsys.readouterr().err


def test_the_commit_and_the_data_are_checked(data: Path, tmp_path: Path) -> None:
    here = current_revision()
    root = make_tree(tmp_path / "ml", data, {**QUICK, "data_sha256": read_fold(data).sha256, "commit": here.commit})
    assert train(root) == 0
    assert verify(root / "model").commit == here.commit


def test_the_handler_is_gone_afterwards(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert train(tmp_path) == 2
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.fixture
def confined() -> list[str]:
    if sys.platform != "linux" or platform.machine() not in no_sockets.SOCKET:
        skip_or_fail("no filter on system calls here")
    return [sys.executable, "-m", "tests.training.no_sockets"]


def test_it_opens_no_socket(confined: list[str], data: Path, tmp_path: Path) -> None:
    forbidden = subprocess.run([*confined, "--socket"], cwd=ROOT, capture_output=True, check=False)
    assert forbidden.returncode == -signal.SIGSYS, forbidden.stderr
    root = make_tree(tmp_path / "ml", data, QUICK)
    command = [*confined, "train", "--root", str(root)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    verify(root / "model")
