from __future__ import annotations

from pathlib import Path

import pytest

from service.registry import open_registry
from training.cli import main
from training.publish import publish
from training.runs import Run


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_run_against_a_published_champion(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    champion = publish(run, open_registry(str(tmp_path / "registry"))).uri
    command = ["report", str(run.folder), "--champion", champion, "--threads", "1", "--out", "out"]
    assert main(command) == 0
    told = capsys.readouterr()
    assert told.out.splitlines() == [str(Path("out", "report.html")), str(Path("out", "report.md"))]
    assert "no difference shown" in told.err
    pages = [path.read_bytes() for path in sorted(Path("out").iterdir())]
    assert b"No difference shown to the champion" in pages[0]
    assert pages[1].startswith("### ⚪ No difference shown to the champion".encode())
    assert champion.encode() in pages[1]
    assert main(command) == 0
    assert [path.read_bytes() for path in sorted(Path("out").iterdir())] == pages


def test_a_bundle_with_the_data_named(run: Run, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    published = publish(run, open_registry(str(tmp_path / "registry")))
    words = ["--registry", str(tmp_path / "registry"), "--data", str(data), "--threads", "1"]
    assert main(["report", run.about["name"], *words]) == 0
    written = Path(capsys.readouterr().out.splitlines()[0])
    assert written == Path(".podium/reports") / f"{run.about['name']}-{published.version}" / "report.html"
    assert "baseline (XGBoost defaults)" in written.read_text()
    assert published.uri in written.read_text(), "the name may mean another version tomorrow"


@pytest.mark.parametrize(
    ("words", "exit_code", "message"),
    [
        (["./nothing"], 3, "is no folder"),
        (["{run}", "--champion", "s3:/x"], 2, "s3:/x"),
        (["{run}", "--data", "none"], 2, "there is no such folder"),
        (["{run}", "--seed", "-1"], 2, "seed"),
    ],
)
def test_refusals(run: Run, words: list[str], exit_code: int, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", *(word.format(run=run.folder) for word in words)]) == exit_code
    assert message in capsys.readouterr().err
    assert not Path(".podium/reports").exists()


@pytest.mark.parametrize("word", ["-1", "1.5", "nan", "much"])
def test_a_minimum_that_is_no_difference(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["report", "./nothing", "--minimum", word])
    assert f"{word} is no difference in NDCG" in capsys.readouterr().err


def test_real_queries(mslr_sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On 43 real queries XGBoost's defaults cannot be told from themselves, and are better than a random order."""
    words = ["--data", str(mslr_sample), "--recipe", "xgboost-defaults", "--runs", str(tmp_path / "runs")]
    assert main(["fit", *words]) == 0
    made = capsys.readouterr().out.strip()
    assert main(["report", made]) == 0
    text = Path(capsys.readouterr().out.splitlines()[1]).read_text()
    assert text.startswith("### ⚪ No difference shown to the baseline (XGBoost defaults)")
    assert [line for line in text.splitlines() if line.startswith("| random order") and line.endswith("better |")]
