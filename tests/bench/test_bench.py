"""The command: a whole run in moments, one that is interrupted, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench import machine
from tests.bench.plan import CLOSED
from tests.bench.results import Results
from tests.conftest import ROOT
from tests.engines.environments import python_for, requirement
from tests.service.bundles import make_bundle

COMMAND = [sys.executable, "-m", "tests.bench"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench") / "bundle"
    make_bundle(folder, "mine")
    return folder


def test_a_run_ends_in_a_report(bundle: Path, tmp_path: Path):
    arguments = ["--only", "ours,hello", "--plan", "brief", "--no-plots", "--model", bundle, "--out", tmp_path]
    done = subprocess.run([*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"brief.json", "brief.md"}
    results = Results.read(tmp_path / "brief.json")
    assert results.complete
    assert results.asked() == [("ours", "json"), ("ours", "binary"), ("hello", "json"), ("hello", "binary")]
    assert results.about["model"]["features"] == 4
    assert "| ours | binary |" in done.stdout
    assert "left] round 1, 100 documents, 1 connections" in done.stderr


def test_an_interrupted_run_keeps_what_it_has_and_leaves_nothing_running(bundle: Path, tmp_path: Path):
    arguments = ["--only", "ours", "--model", bundle, "--out", tmp_path]
    with subprocess.Popen([*COMMAND, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as popen:
        assert popen.stderr
        while b"100 documents, 16 connections" not in (line := popen.stderr.readline()):
            assert line, "it ended"
        running = machine.tree(popen.pid)
        popen.send_signal(signal.SIGINT)
        popen.communicate(timeout=60)
    assert popen.returncode == 130
    assert len(running) > 1
    assert not [pid for pid in running if Path(f"/proc/{pid}").exists()]
    assert {path.name for path in tmp_path.iterdir()} == {"quick-partial.json", "quick-partial.md"}
    results = Results.read(tmp_path / "quick-partial.json")
    assert not results.complete
    assert {point.loop for point in results.points} == {CLOSED}
    assert "Interrupted" in (tmp_path / "quick-partial.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "ours,theirs"], "no server is called theirs; there are ours, hello"),
        (["--only", ""], "no server is called nothing; there are ours, hello"),
        (["--only", "ours", "--model", "nowhere"], "nowhere"),
        (["--plan", "long"], "invalid choice: 'long'"),
    ],
)
def test_mistakes_are_named(arguments: list[str], said: str):
    done = subprocess.run([*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_make_passes_on_what_it_is_told():
    def printed(*assignments: str) -> str:
        command = ["make", "--no-print-directory", "-n", "bench", *assignments]
        # These tests may themselves run below a make, which would have a say in it.
        environ = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True).stdout

    assert printed().rstrip().endswith("-m tests.bench")
    assert "-m tests.bench --only 'ours,naive' --model 'a folder'" in printed("ONLY=ours,naive", "MODEL=a folder")


def test_plots_are_drawn(tmp_path: Path):
    point: dict[str, Any] = {"peer": "ours", "format": "json", "documents": 100, "goodput": 5.0, "p99": 2.0}
    points = [{**point, "loop": "closed", "load": n} for n in (1, 16)] + [{**point, "loop": "open", "load": 0.7}]
    (tmp_path / "some.json").write_text(json.dumps({"points": points}))
    python = python_for(requirement("bench-plots"))
    script = ROOT / "tests" / "bench" / "plots.py"
    # Fonts are looked for once for each user, which is slow; here nobody's folder is written to.
    environ = {**os.environ, "MPLCONFIGDIR": str(tmp_path / "fonts")}
    subprocess.run([python, script, tmp_path / "some.json", tmp_path / "some"], check=True, env=environ)
    for kind in ("throughput", "tail"):
        # Text is drawn as curves, and stands in comments beside them.
        assert "ours json" in (tmp_path / f"some-{kind}.svg").read_text()
