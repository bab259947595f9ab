"""Other people's inference clients against a real served process."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.bundle import read_manifest
from service.ranker import Ranker
from tests.conftest import ROOT
from tests.engines.environments import python_for, requirement
from tests.service.bundles import make_bundle
from tests.service.test_serve import Process, serving

ROWS: list[list[float | None]] = [[1, 2, 3, 4], [None, 0.1, -2.5, None], [1e-7, 3e38, 0, -1], [1, 2, 3, 4]]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clients") / "bundle"
    make_bundle(folder)
    return folder


@pytest.fixture(scope="module")
def process(bundle: Path) -> Generator[Process]:
    with serving(bundle) as process:
        assert process.settled().status_code == 200
        yield process


def run(client: str, script: str, process: Process, bundle: Path) -> dict[str, Any]:
    python = python_for(requirement(client))
    manifest = read_manifest(bundle)
    command = [python, ROOT / "tests" / "engines" / script, process.base, manifest.name, manifest.version]
    done = subprocess.run(
        command, input=json.dumps(ROWS), capture_output=True, text=True, timeout=120, check=False, cwd=bundle
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def expected(bundle: Path, rows: np.ndarray[Any, Any]) -> dict[str, Any]:
    ranker = Ranker.load(bundle / "model.ubj", read_manifest(bundle).schema)
    ranking = ranker.rank(rows.astype(np.float32))
    return {
        "scores": {"dtype": "float32", "values": [float(score) for score in ranking.scores]},
        "order": {"dtype": "int64", "values": ranking.order.tolist()},
    }


def test_tritonclient(process: Process, bundle: Path):
    found = run("tritonclient", "triton_client.py", process, bundle)
    version = read_manifest(bundle).version
    right = expected(bundle, np.array(ROWS, np.float64))
    for question in ("live", "ready", "model_ready", "version_ready"):
        assert found[question] is True, question
    assert found["other_ready"] is False
    assert found["server"] == {"name": "podium", "version": "c0ffee", "extensions": ["binary_tensor_data"]}
    assert found["model"]["versions"] == [version]
    assert found["model"]["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 4]}]
    assert found["model"]["outputs"] == [
        {"name": "scores", "datatype": "FP32", "shape": [-1]},
        {"name": "order", "datatype": "INT64", "shape": [-1]},
    ]
    for question in ("binary", "mixed", "gzip", "deflate", "doubles", "custom"):
        assert {name: found[question][name] for name in right} == right, question
    about = found["binary"]["response"]
    assert (about["model_name"], about["model_version"], about["id"]) == ("tiny", version, "42")
    assert [output["name"] for output in found["mixed"]["response"]["outputs"]] == ["order", "scores"]
    assert "data" in found["mixed"]["response"]["outputs"][0]
    assert found["json"]["scores"] == expected(bundle, np.nan_to_num(np.array(ROWS, np.float64)))["scores"]
    assert "order" not in found["json"]
    assert found["json_nan"]["status"] == "422"
    assert "NaN is not JSON: send null for a missing value" in found["json_nan"]["error"]
    assert found["infinite"]["status"] == "422"
    assert 'item 0, feature "bm25": inf overflows float32' in found["infinite"]["error"]
    assert found["other"]["status"] == "404"
    assert "there is no model 'other'" in found["other"]["error"]


def test_kserve(process: Process, bundle: Path):
    found = run("kserve-client", "kserve_client.py", process, bundle)
    right = expected(bundle, np.array(ROWS, np.float64))
    for question in ("live", "ready", "model_ready"):
        assert found[question] is True, question
    assert found["other_ready"] is False
    for question in ("json", "binary"):
        assert found[question] == {"model": "tiny", "id": "42", **right}, question
    assert found["mixed"] == {"model": "tiny", "id": "42", "scores": right["scores"]}
    assert found["infinite"]["status"] == 422
    assert "inf overflows float32" in found["infinite"]["error"]
    assert found["other"]["status"] == 404
