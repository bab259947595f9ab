"""The repository's own rules: who imports whom, what lies at the top, what no file may hold."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("ci", "infra", "service", "training")
# An arrow from each package to those that it may import.
MAY_IMPORT = {"service": set[str](), "training": {"service"}, "ci": {"service", "training"}, "infra": set[str]()}
TOP = {
    "infra", "service", "training", "ci", "tests", ".github", "Pulumi.yaml", "README.md",
    "docs", "requirements", "Dockerfile", "Makefile", "pyproject.toml", "LICENSE", "SECURITY.md",
}  # fmt: skip


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_one_way(package: str) -> None:
    forbidden = set(PACKAGES) - MAY_IMPORT[package] - {package} | {"tests"}
    found = {f"{path.relative_to(ROOT)} imports {name}" for path in modules(package) for name in imported(path)
             if name in forbidden}  # fmt: skip
    assert not found


def test_the_import_rule_can_fail(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def f():\n    from training.fit import fit\n")
    assert set(imported(tmp_path / "a.py")) == {"training"}


def test_the_top_level_is_the_designs() -> None:
    names = {path.relative_to(ROOT).parts[0] for path in tracked()}
    assert {name for name in names if not name.startswith(".")} <= TOP
    assert {"service", "training", "tests", "README.md", "LICENSE", "Makefile"} <= names


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_stay_readable(package: str) -> None:
    assert {path.name: path.stat().st_size for path in modules(package) if path.stat().st_size > 16_000} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_says_what_it_is_for(package: str) -> None:
    silent = [
        path.name
        for path in modules(package)
        if path.name != "__init__.py" and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


def test_every_module_has_its_tests() -> None:
    # Named here are those whose behaviour is tested through another module's face.
    through = {
        "infra": {
            "__init__",
            "__main__",
            "balancer",
            "component",
            "consistency",
            "function",
            "github",
            "iam",
            "options",
            "pipelines",
            "program",
            "serving",
            "site",
            "stack",
        },
        "ci": {"__init__", "__main__", "errors"},
        "service": {
            "__init__",
            "__main__",
            "calls",
            "clients",
            "errors",
            "diff",
            "location",
            "middleware",
            "mistakes",
            "problems",
            "staging",
            "tensor_schemas",
            "transfer",
        },
        "training": {
            "__init__",
            "__main__",
            "cli",
            "console",
            "job_errors",
            "lambdarank_worker",
            "parse",
            "queries",
            "report_cards",
            "report_tables",
            "show",
            "wording",
        },
    }
    for package, others in through.items():
        have = {path.stem.removeprefix("test_") for path in (ROOT / "tests" / package).glob("test_*.py")}
        # The policy pack is asked as a whole, each of its rules by a case of its own: tests/infra/test_pack.py.
        stems = {path.stem for path in modules(package) if path.parent.name not in {"cluster", "policies"}}
        assert stems - others - have == set(), package


def test_no_data_set_row_is_in_the_repository() -> None:
    row = re.compile(rb"^[0-4] qid:\d+ 1:[\d.]+ 2:[\d.]+ .* 136:", re.MULTILINE)
    assert [path for path in tracked() if row.search(path.read_bytes())] == []
    assert row.search(b"2 qid:1 1:3 2:0.5 3:1 136:0")


def test_no_registry_address_and_no_machine_path_is_in_the_repository() -> None:
    hosts = [r"py" + r"pi\.org", r"python" + r"hosted\.org", r"registry\.np" + r"mjs", r"deb\.deb" + r"ian\.org"]
    pattern = re.compile("|".join([*hosts, r"(?<![.\w])/(?:work|farm)/"]).encode())
    assert [path for path in tracked() if pattern.search(path.read_bytes())] == []
