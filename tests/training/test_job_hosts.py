"""One training job on two hosts: as many loopback addresses, each with an /opt/ml of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from service.bundle import verify
from tests.conftest import ROOT
from tests.training.opt_ml import make_tree, result, write_config
from tests.training.several import FIRST, SECOND, free_ports
from training.job import INTERRUPTED, PORT
from training.synthetic import synthetic_fold, write_fold

HOSTS = (FIRST, SECOND)
QUICK = {"n_estimators": "12", "max_depth": "3", "segment_trees": "4", "subsample": "0.7", "name": "two-hosts"}
SECONDS = 120.0


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("job-hosts") / "data"
    write_fold(synthetic_fold(1, queries=60, width=6), folder)
    return folder


def trees(folder: Path, data: Path, **more: str) -> list[Path]:
    roots = [make_tree(folder / host, data, {**QUICK, **more}) for host in HOSTS]
    for host, root in zip(HOSTS, roots, strict=True):
        write_config(root, "resourceconfig", {"current_host": host, "hosts": list(HOSTS)})
    return roots


def start(roots: Sequence[Path]) -> list[subprocess.Popen[str]]:
    environ = {**os.environ, "PODIUM_COMMIT": "1" * 40, "SOURCE_DATE_EPOCH": "1700000000", PORT: str(free_ports())}
    command = [sys.executable, "-m", "training", "train", "--root"]
    return [
        subprocess.Popen(
            [*command, str(root)], cwd=ROOT, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for root in roots
    ]


def ended(processes: Sequence[subprocess.Popen[str]]) -> tuple[list[int], str]:
    try:
        said = [process.communicate(timeout=SECONDS)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [process.returncode for process in processes], "\n".join(said)


def test_the_first_host_keeps_the_model_that_both_have_grown(data: Path, tmp_path: Path) -> None:
    roots = trees(tmp_path, data)
    codes, said = ended(start(roots))
    assert codes == [0, 0], said
    assert verify(roots[0] / "model").name == "two-hosts"
    assert "2 hosts are connected" in said
    assert [sorted(path.name for path in (root / "checkpoints").iterdir()) != [] for root in roots] == [True, False]
    assert result(roots[1]) == {}


def test_stopped_together_they_go_on_to_the_same_bytes(data: Path, tmp_path: Path) -> None:
    whole = trees(tmp_path / "whole", data, n_estimators="100")
    codes, said = ended(start(whole))
    assert codes == [0, 0], said
    cut = trees(tmp_path / "cut", data, n_estimators="100")
    processes = start(cut)
    until = time.monotonic() + SECONDS
    while not list((cut[0] / "checkpoints").glob("*.checkpoint")) and time.monotonic() < until:
        time.sleep(0.02)
    for process in processes:
        process.send_signal(signal.SIGTERM)
    codes, said = ended(processes)
    assert set(codes) == {INTERRUPTED}, said
    assert not any((root / "output" / "failure").exists() for root in cut)
    codes, said = ended(start(cut))
    assert codes == [0, 0], said
    assert "going on from the checkpoint of" in said
    assert result(cut[0]) == result(whole[0])


def test_other_data_on_one_host_is_named_on_both(data: Path, tmp_path: Path) -> None:
    roots = trees(tmp_path, data)
    with (roots[1] / "input/data/train/train.txt").open("a") as file:
        file.write("1 qid:9999 " + " ".join(f"{number}:0.5" for number in range(1, 7)) + "\n")
    codes, said = ended(start(roots))
    assert codes == [3, 3], said
    for root in roots:
        assert "the hosts do not agree on data" in (root / "output" / "failure").read_text()
        assert list((root / "model").iterdir()) == []
