import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ci.__main__ import main
from tests.ci.test_platform_values import GOOD
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def outside_a_workflow(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)


def given(folder: Path, **changes: Any) -> str:
    path = folder / "outputs.json"
    path.write_text(json.dumps({**GOOD, **{name.replace("_", "-"): value for name, value in changes.items()}}))
    return str(path)


def run(folder: Path, *options: str, **changes: Any) -> int:
    source = given(folder, **changes)
    return main(["outputs", "--environment", "staging", "--from", source, "--deploy", str(folder), *options])


def written(folder: Path) -> Path:
    return folder / "staging" / "platform.yaml"


def test_the_file_is_a_config_map_that_never_reaches_the_cluster(tmp_path: Path) -> None:
    assert run(tmp_path) == 0
    document = yaml.safe_load(written(tmp_path).read_text())
    assert document == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "platform", "annotations": {"config.kubernetes.io/local-config": "true"}},
        "data": {**GOOD, "job-subnets": "subnet-0a,subnet-0b,subnet-0c"},
    }
    # Kubernetes takes no ConfigMap with a number in it.
    assert all(type(value) is str for value in document["data"].values())
    assert list(document["data"]) == sorted(document["data"])
    assert "python -m ci outputs --environment staging" in written(tmp_path).read_text().splitlines()[0]


def test_it_says_what_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path)
    capsys.readouterr()
    assert run(tmp_path, table="podium-staging-rankings-2") == 0
    said = capsys.readouterr()
    lines = ["- table: podium-staging-rankings", "+ table: podium-staging-rankings-2"]
    assert said.err.splitlines()[:2] == lines
    result = json.loads(said.out)
    assert result == {"path": str(written(tmp_path)), "changed": True, "changes": lines}


def test_the_same_outputs_write_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path)
    before = written(tmp_path).stat()
    capsys.readouterr()
    assert run(tmp_path) == 0
    assert json.loads(capsys.readouterr().out)["changed"] is False
    assert written(tmp_path).stat().st_ino == before.st_ino


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--dry-run") == 0
    assert not written(tmp_path).parent.exists()
    said = capsys.readouterr()
    assert json.loads(said.out)["changed"] is True
    assert "would be written" in said.err


@pytest.mark.parametrize("text", ["", "nope: [", "- 1", "data: 3", "data: null"])
def test_a_file_that_is_none_of_ours_is_replaced(tmp_path: Path, text: str) -> None:
    written(tmp_path).parent.mkdir()
    written(tmp_path).write_text(text)
    assert run(tmp_path) == 0
    assert yaml.safe_load(written(tmp_path).read_text())["data"]["table"] == GOOD["table"]


def test_a_file_whose_form_was_changed_is_written_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path)
    whole = written(tmp_path).read_bytes()
    written(tmp_path).write_bytes(whole + b"# edited\n")
    capsys.readouterr()
    run(tmp_path)
    result = json.loads(capsys.readouterr().out)
    assert (result["changed"], result["changes"]) == (True, [])
    assert written(tmp_path).read_bytes() == whole


def test_nothing_is_left_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path)
    before = written(tmp_path).read_bytes()

    def fails(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("os.fsync", fails)
    with pytest.raises(OSError, match="full"):
        run(tmp_path, table="podium-staging-other")
    assert written(tmp_path).read_bytes() == before
    assert [path.name for path in written(tmp_path).parent.iterdir()] == ["platform.yaml"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no JSON"),
        ("[]", "no object of outputs but list"),
        ("{}", "the stack has no output account"),
        (json.dumps({**GOOD, "table": "[secret]"}), "table looks like a secret"),
        ("{\xff", "no JSON"),
    ],
)
def test_bad_outputs_are_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    source = tmp_path / "outputs.json"
    source.write_text(text)
    arguments = ["outputs", "--environment", "staging", "--from", str(source), "--deploy", str(tmp_path)]
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert says in said.err
    assert said.err.startswith("ci: ")
    assert said.out == ""
    assert not written(tmp_path).parent.exists()


def test_a_source_that_is_not_there_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for source in (tmp_path / "none.json", tmp_path):
        assert main(["outputs", "--environment", "staging", "--from", str(source)]) == 2
        assert str(source) in capsys.readouterr().err


def test_outputs_come_from_standard_input_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(GOOD)))
    assert main(["outputs", "--environment", "staging", "--from", "-", "--deploy", str(tmp_path)]) == 0
    assert written(tmp_path).exists()


def pulumi(folder: Path, script: str) -> str:
    """A program named pulumi that does what `script` says, and a PATH with nothing else on it."""
    path = folder / "bin" / "pulumi"
    path.parent.mkdir()
    path.write_text(f"#!{sys.executable}\nimport json, sys\n{script}\n")
    path.chmod(0o755)
    return str(path.parent)


def test_pulumi_is_asked_for_the_environments_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = tmp_path / "asked"
    script = f"open({str(asked)!r}, 'w').write(' '.join(sys.argv[1:]))\nprint({json.dumps(GOOD)!r})"
    monkeypatch.setenv("PATH", pulumi(tmp_path, script))
    assert main(["outputs", "--environment", "staging", "--deploy", str(tmp_path)]) == 0
    assert asked.read_text() == "stack output --json --non-interactive --stack staging"
    assert written(tmp_path).exists()


def test_a_pulumi_that_fails_or_is_missing_has_its_own_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["outputs", "--environment", "staging", "--deploy", str(tmp_path)]
    monkeypatch.setenv("PATH", pulumi(tmp_path, "sys.exit('error: no stack named staging found')"))
    assert main(arguments) == 5
    assert "no stack named staging found" in capsys.readouterr().err
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(arguments) == 3
    assert "no pulumi on PATH" in capsys.readouterr().err


def test_an_unknown_environment_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["outputs", "--environment", "stage", "--from", "-"])
    assert refused.value.code == 2
    assert "staging" in capsys.readouterr().err


def test_it_runs_as_a_module(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ci", "outputs", "--environment", "staging", "--from", given(tmp_path)]
    done = subprocess.run([*command, "--deploy", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, f"{written(tmp_path)}: written")
