from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.bench import memory
from tests.conftest import ROOT
from tests.service.bundles import make_bundle


def test_what_a_process_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    make_bundle(tmp_path / "bundle")
    monkeypatch.setattr(memory, "DOCUMENTS", 50)
    monkeypatch.setattr(memory, "ROUNDS", 1)
    memory.main([str(tmp_path / "bundle")])
    said = re.match(r"ready (\d+) MiB; at the most (\d+) MiB, .* (\d+) were ranked", capsys.readouterr().out)
    assert said
    assert 20 < int(said[1]) <= int(said[2]) < 1000
    assert int(said[3]) > 0


def test_as_many_at_once_as_a_pod_lets_in():
    deployment = (ROOT / "infra/deploy/base/deployment.yaml").read_text()
    assert re.search(rf'PODIUM_MAX_IN_FLIGHT\s+value: "{memory.AT_ONCE}"', deployment)
