"""The lock files: complete, hashed, free of addresses, and of one mind about versions."""

import re
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements"
LOCKS = sorted(path.name for path in REQUIREMENTS.glob("*.txt"))
PIN = re.compile(r"^([A-Za-z0-9][\w.-]*(?:\[\w+\])?)==(\S+?)(?: ; (.*?))?(?: \\)?$", re.MULTILINE)


def pins(name: str) -> dict[tuple[str, str], str]:
    """(package, marker) -> version."""
    return {(package, marker): version for package, version, marker in PIN.findall((REQUIREMENTS / name).read_text())}


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_has_hashes(name: str) -> None:
    entries = re.split(r"(?m)^(?=[A-Za-z0-9])", (REQUIREMENTS / name).read_text())[1:]
    assert len(entries) == len(pins(name)) > 0
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("name", LOCKS)
def test_no_lock_names_an_index(name: str) -> None:
    text = (REQUIREMENTS / name).read_text()
    assert re.findall(r"https?://\S+|--index-url|--extra-index-url|--find-links", text) == []


@pytest.mark.parametrize("name", ["service.txt", "training.txt", "dev.txt"])
def test_exactly_one_xgboost_on_every_platform(name: str) -> None:
    found = {key: version for key, version in pins(name).items() if key[0].startswith("xgboost")}
    assert found == {
        ("xgboost-cpu", "sys_platform == 'linux'"): "3.2.0",
        ("xgboost", "sys_platform != 'linux'"): "3.2.0",
    }


PEERS = ["bench-naive", "bench-mlserver", "bench-kserve", "bench-bentoml"]


@pytest.mark.parametrize("name", PEERS)
def test_peers_score_with_the_same_xgboost(name: str) -> None:
    # Cores are given out on Linux alone, so there is no other platform to lock for; `xgboost` beside it would be
    # another copy of the same modules, with 700 MB of CUDA.
    found = {
        key: version for key, version in pins(f"{name}.txt").items() if key[0].startswith(("xgboost", "nvidia-nccl"))
    }
    assert found == {("xgboost-cpu", ""): "3.2.0"}


@pytest.mark.parametrize(
    ("smaller", "larger"), [("service.txt", "training.txt"), ("training.txt", "dev.txt"), ("infra.txt", "dev.txt")]
)
def test_locks_agree_about_versions(smaller: str, larger: str) -> None:
    # The larger environment is made by adding to the smaller one, so a differing pin would change it under foot.
    versions = [{(package, version) for (package, _), version in pins(name).items()} for name in (smaller, larger)]
    assert versions[0] <= versions[1]


CLIENTS = ["tritonclient", "kserve-client"]
ENGINES = ["emulator", "moto", "haproxy", "checkov", "manifests"]
TOOLS = ["sample", *CLIENTS, *ENGINES, "bench-plots", "lightgbm", "infra"]
LOCKED = ["service", "training", "dev", *TOOLS, *PEERS]


@pytest.mark.parametrize("name", LOCKED)
def test_what_is_asked_for_is_locked(name: str) -> None:
    asked = re.findall(r"^([a-z][\w-]*)", (REQUIREMENTS / f"{name}.in").read_text(), re.MULTILINE)
    locked = {package.partition("[")[0] for package, _ in pins(f"{name}.txt")}
    assert set(asked) <= locked


def test_the_service_needs_no_training_library() -> None:
    locked = {package for package, _ in pins("service.txt")}
    assert not locked & {"scikit-learn", "pandas", "polars", "rich", "httpx", "nvidia-nccl-cu12"}
