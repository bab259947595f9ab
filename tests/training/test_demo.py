import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.training.tiny import SMALL
from training.synthetic import synthetic_fold, write_fold


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with data of another width than MSLR's."""
    folder = tmp_path_factory.mktemp("demo")
    write_fold(synthetic_fold(seed=1, queries=15, width=9), folder / "data")
    return folder


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "training", "demo", "--data", "data", *SMALL],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_demo_goes_the_whole_way_and_the_second_run_reuses(folder: Path) -> None:
    process = start(folder)
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    assert re.search(r"Query \d+: \d+ documents, NDCG@10 \d\.\d{3}, in random order \d\.\d{3}", out)
    assert re.search(r"│ +1 │ doc-\d+ +│ +-?\d+\.\d{4} │ +[0-4]", out)
    assert re.search(r"All \d+ scores over HTTP equal those of offline evaluation, bit for bit", out)
    assert re.search(r"Model ranker, version \d{8}-[0-9a-f]{12}", out)
    assert re.search(r"NDCG@10 on test \d\.\d{4} \(95% interval .*\); random order \d\.\d{4}", out)
    assert "Where to look next" in out
    assert '"event":"stopped"' in (folder / ".podium" / "service.log").read_text()

    process = start(folder)
    out_again, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    assert "fitted before" in error
    assert "published before" in error
    assert out_again == out


def test_ctrl_c_stops_the_service_too(folder: Path) -> None:
    process = start(folder)
    assert process.stderr is not None
    said: list[str] = []
    for line in process.stderr:
        said.append(line)
        if "starting the service" in line:
            break
    else:
        pytest.fail("".join(said))
    os.kill(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert "nothing was left half-made" in error
    running = subprocess.run(["ps", "-Ao", "args"], capture_output=True, text=True, check=True).stdout
    assert "ps -Ao args" in running
    assert str(folder) not in running, "the service was left running"
