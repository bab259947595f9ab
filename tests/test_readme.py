"""Every command in the README, run in a fresh copy of the repository."""

import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import ROOT, skip_or_fail
from tests.test_layout import tracked
from training.server import free_port

README = (ROOT / "README.md").read_text()
PYTHON = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
# Lines of the demo's results, without those that hold a version, which is another for every commit.
SHOWN = re.findall(r"^(?:│ +(?:@|\d).*|Query \d.*|All \d.*|NDCG@.*)$", README, re.MULTILINE)
# Run by .ci/run itself: the suite cannot run inside itself.
ELSEWHERE = {"make test"}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a clone would hold, with the environment that the tests run in."""
    environment = Path(sys.prefix)
    for lock in ("training.txt", "dev.txt"):
        made_from = environment / lock
        if not made_from.exists() or made_from.read_bytes() != (ROOT / "requirements" / lock).read_bytes():
            skip_or_fail(f"{environment} was not made from requirements/{lock}: run the tests by `make test`")
    folder = tmp_path_factory.mktemp("readme") / "podium"
    for path in tracked():
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    who = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    for command in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "copy"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    (folder / ".venv").symlink_to(environment)
    return folder


@pytest.fixture
def environ() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PODIUM_", "MAKE"))}
    kept = {name: os.environ[name] for name in ("PODIUM_CACHE", "PODIUM_REQUIRE_ALL") if name in os.environ}
    return {**inherited, **kept, "PODIUM_PORT": str(free_port()), "PYTHON": sys.executable}


def commands(block: str) -> Iterator[str]:
    """The commands of a block; a quote or a backslash makes one go on over lines."""
    text = ""
    for line in block.splitlines(keepends=True):
        text += line
        if text.count("'") % 2 == 0 and not text.endswith("\\\n"):
            yield text.strip()
            text = ""
    assert not text, f"unfinished command: {text}"


def test_every_command_works_as_written(copy: Path, environ: dict[str, str]) -> None:
    running: list[subprocess.Popen[bytes]] = []
    ran: list[str] = []
    try:
        for command in (command for block in BLOCKS for command in commands(block)):
            ran.append(command)
            if command in ELSEWHERE:
                assert command in (ROOT / ".ci" / "run").read_text()
            elif command == "make serve":
                running.append(serve(copy, environ))
            else:
                check(command, copy, environ)
        assert PYTHON
        for example in PYTHON:
            check_python(example, copy, environ)
    finally:
        for process in running:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)
    assert {"make demo", "make serve", "make test"} <= set(ran)
    assert sum(command.startswith("curl") for command in ran) >= 8
    assert (copy / ".podium" / "registry" / "models" / "mslr").is_dir()


def check(command: str, folder: Path, environ: dict[str, str]) -> None:
    port = environ["PODIUM_PORT"]
    done = subprocess.run(
        ["bash", "-c", command.replace("localhost:8000", f"127.0.0.1:{port}")],
        cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert done.stdout, command
    if command == "make demo":
        check_demo(done.stdout, done.stderr)
    if "/infer" in command:
        assert sorted(json.loads(done.stdout)["outputs"][1]["data"]) == [0, 1, 2], done.stdout
    if "/v1/rank" not in command:
        return
    answer = json.loads(done.stdout)
    if "bm25_bdy" in command:
        assert "bm25_body" in answer["detail"], answer
        return
    assert [item["rank"] for item in answer["items"]] == [1, 2], answer


def check_demo(printed: str, said: str) -> None:
    """The results that the README shows are those that come out, where the same bytes of a model do."""
    if "Going on with synthetic data" in said or (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return
    assert len(SHOWN) >= 7
    assert [line for line in SHOWN if line not in printed] == []


def check_python(example: str, folder: Path, environ: dict[str, str]) -> None:
    program = example.replace("localhost:8000", f"127.0.0.1:{environ['PODIUM_PORT']}")
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    best, refused = done.stdout.splitlines()
    assert re.fullmatch(r"doc-[ab] -?\d+\.\d+(e-?\d+)? \d{8}-[0-9a-f]{12}", best), best
    assert refused.startswith('422 invalid-request there is no feature "bm25_bdy"; did you mean "bm25_body"?'), refused


def serve(folder: Path, environ: dict[str, str]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(["make", "serve"], cwd=folder, env=environ, start_new_session=True)
    for _ in range(300):
        assert process.poll() is None, "make serve ended"
        try:
            if httpx.get(f"http://127.0.0.1:{environ['PODIUM_PORT']}/readyz").is_success:
                return process
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    raise AssertionError("make serve was not ready within 30 s")


def test_commands_are_split_as_a_shell_would() -> None:
    assert list(commands("a b\nc 'd\ne' f\ng \\\n  h\n")) == ["a b", "c 'd\ne' f", "g \\\n  h"]


def test_every_make_target_is_listed_by_help_and_works_without_logic() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {f"make {target}" for target in targets} == set(re.findall(r"make [a-z-]+", listed))
    spoken_of = re.findall(r"(?:`|^)make ([a-z-]+)", README, re.MULTILINE)
    assert {"demo", "test", "help", "bench"} <= set(spoken_of)
    for target in spoken_of:
        assert target in targets, f"the README speaks of make {target}"


def test_named_sections_are_there() -> None:
    headings = re.findall(r"^## (.*)$", README, re.MULTILINE)
    for title in ("Dataset", "Training", "Case 1", "Case 2", "Infrastructure", "CI/CD"):
        assert any(title in heading for heading in headings), title


def test_links_to_files_lead_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith("http")]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
