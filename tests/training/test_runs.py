import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from service.bundle import GOLDEN, read_manifest, replay, verify
from service.registry import open_registry
from training.__main__ import main
from training.publish import build_bundle, first_queries, publish
from training.runs import Run, RunError, open_run, save_run
from training.synthetic import synthetic_fold, write_fold

SMALL = ("--set", "n_estimators=8", "--set", "max_depth=3")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "fold"
    write_fold(synthetic_fold(seed=1, queries=15, width=9), folder)
    return folder


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    runs = tmp_path_factory.mktemp("runs")
    assert main(["fit", "--data", str(data), "--runs", str(runs), *SMALL]) == 0
    (folder,) = runs.iterdir()
    assert main(["evaluate", str(folder)]) == 0
    return open_run(folder)


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


def test_a_bundle_says_where_it_comes_from(run: Run, tmp_path: Path) -> None:
    manifest = build_bundle(run, tmp_path / "bundle")
    assert verify(tmp_path / "bundle") == manifest
    assert replay(run.ranker(), tmp_path / "bundle") == 145
    assert manifest.name == "ranker"
    assert manifest.objective == "rank:ndcg"
    assert manifest.parameters["parameters"]["n_estimators"] == 8
    assert manifest.parameters["seed"] == 0
    assert manifest.data["splits"]["train"]["queries"] == 9
    assert manifest.metrics["test"]["ndcg@10"]["skip"] > manifest.metrics["test"]["ndcg@10"]["random"]
    assert manifest.metrics["vali"]["queries"] == 3
    assert manifest.libraries["xgboost"] == "3.2.0"
    assert str(run.folder) not in (tmp_path / "bundle" / "manifest.json").read_text(), "no path of a machine travels"


def test_golden_rows_of_data_only_when_asked(run: Run, data: Path, tmp_path: Path) -> None:
    from training.letor import read_fold

    queries = first_queries(read_fold(data).test, 2)
    build_bundle(run, tmp_path / "plain")
    build_bundle(run, tmp_path / "real", queries)
    plain, real = ((tmp_path / name / GOLDEN).read_text().splitlines() for name in ("plain", "real"))
    assert real[: len(plain)] == plain
    assert [json.loads(line)["request"]["id"] for line in real[len(plain) :]] == [
        f"query-{qid}" for qid in queries.qids
    ]
    assert replay(run.ranker(), tmp_path / "real") == 145 + queries.rows


def test_publishing_twice_is_one_version(run: Run, tmp_path: Path) -> None:
    registry = open_registry(str(tmp_path / "registry"))
    first, second = publish(run, registry), publish(run, registry)
    assert (first.existed, second.existed) == (False, True)
    assert first.uri == second.uri
    assert len(registry.list()) == 1


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


def test_publishing_before_evaluating_says_what_to_do(data: Path, tmp_path: Path) -> None:
    assert main(["fit", "--data", str(data), "--runs", str(tmp_path / "runs"), *SMALL]) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    with pytest.raises(RunError, match="python -m training evaluate"):
        build_bundle(open_run(folder), tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_the_manifest_can_be_shown(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build_bundle(run, tmp_path / "bundle")
    for target in (tmp_path / "bundle", run.folder):
        assert main(["show", str(target)]) == 0
        shown = capsys.readouterr().out
        assert "n_estimators = 8" in shown
        assert "NDCG, test" in shown
        assert "@10" in shown
    assert read_manifest(tmp_path / "bundle").digest
