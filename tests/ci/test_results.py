from pathlib import Path

import pytest

from ci.results import publish


def read(path: Path) -> dict[str, str]:
    """As GitHub reads the file (workflow commands, "Setting an output parameter")."""
    found: dict[str, str] = {}
    lines = iter(path.read_text().splitlines())
    for line in lines:
        name, mark, value = line.partition("=")
        if "<<" in name or not mark:
            name, _, end = line.partition("<<")
            value = "\n".join(iter(lambda: next(lines), end))
        found[name] = value
    return found


def test_results_are_json_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    publish({"b": [1], "a": "x"}, "summary", {})
    assert capsys.readouterr().out == '{\n  "a": "x",\n  "b": [\n    1\n  ]\n}\n'


def test_a_workflow_gets_outputs_and_a_summary(tmp_path: Path) -> None:
    outputs, summary = tmp_path / "outputs", tmp_path / "summary"
    outputs.write_text("earlier=1\n")
    environ = {"GITHUB_OUTPUT": str(outputs), "GITHUB_STEP_SUMMARY": str(summary)}
    publish({"changed": True, "path": "a b=c", "changes": ["x"]}, "# Done", environ)
    publish({"later": 2}, "", environ)
    assert read(outputs) == {
        "earlier": "1", "changed": "true", "path": "a b=c", "changes": '["x"]', "later": "2",
    }  # fmt: skip
    assert summary.read_text() == "# Done\n"


def test_no_value_can_end_itself_and_begin_another(tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    text = "line\nEOF\nevil=1\nghadelimiter"
    for _ in range(2):
        publish({"text": text}, "", {"GITHUB_OUTPUT": str(outputs)})
    assert read(outputs) == {"text": text}
    ends = {line.partition("<<")[2] for line in outputs.read_text().splitlines() if "<<" in line}
    assert len(ends) == 2
