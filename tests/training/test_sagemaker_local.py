from pathlib import Path

import pytest

from service.registry import open_registry
from tests.conftest import skip_or_fail
from tests.engines.images import COMMIT, EngineMissing, require_engine
from tests.engines.sagemaker_local import main

TREES = ("--set", "n_estimators=200", "--set", "segment_trees=10", "--set", "max_depth=3")


def test_the_whole_way_in_the_image_with_an_interruption(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    try:
        require_engine()
    except EngineMissing as missing:
        skip_or_fail(str(missing))
    registry = str(tmp_path / "registry")
    assert main(["--container", "--interrupt", "--data", str(data), "--registry", registry, "--", *TREES]) == 0
    found = capfd.readouterr()
    order = ["sagemaker start", "taking the spot instance away", "Interrupted", "Completed", "published: "]
    assert [found.err.index(word) for word in order] == sorted(found.err.index(word) for word in order)
    (entry,) = open_registry(registry).list()
    assert found.out.splitlines()[-1] == entry.uri
    assert entry.manifest is not None
    assert entry.manifest.commit == COMMIT
    assert "verified ranker/" in found.out


def test_a_step_that_fails_ends_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path / "nowhere"), "--registry", str(tmp_path / "registry")]) == 1
    assert "python -m training sagemaker ended with" in capfd.readouterr().err
    assert not (tmp_path / "registry").exists()
