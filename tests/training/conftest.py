from collections.abc import Generator
from pathlib import Path

import pytest

from tests.training.reporting import hostile_findings
from tests.training.tiny import SMALL
from training import lambdarank
from training.cli import main
from training.findings import Findings
from training.runs import Run, open_run
from training.synthetic import synthetic_fold, write_fold


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of synthetic text, 15 queries of another width than MSLR's."""
    folder = tmp_path_factory.mktemp("data") / "fold"
    write_fold(synthetic_fold(seed=1, queries=15, width=9), folder)
    return folder


@pytest.fixture(scope="session")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A small model fitted to `data` and evaluated."""
    runs = tmp_path_factory.mktemp("runs")
    assert main(["fit", "--data", str(data), "--runs", str(runs), *SMALL]) == 0
    (folder,) = runs.iterdir()
    assert main(["evaluate", str(folder)]) == 0
    return open_run(folder)


@pytest.fixture(scope="session", autouse=True)
def without_lightgbm(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    """No test depends on whether somebody made LightGBM's environment in this checkout; its own tests name theirs."""
    nowhere = tmp_path_factory.mktemp("nowhere")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lambdarank, "apart", lambda kind: nowhere / kind)
        yield


@pytest.fixture(scope="session")
def hostile(without_lightgbm: None) -> Findings:
    """Of a good model against a poor champion, with features and models whose names are markup."""
    return hostile_findings()
