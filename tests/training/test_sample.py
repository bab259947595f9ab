import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import ROOT, skip_or_fail
from training.letor import read_fold
from training.sample import (
    RANKEVAL,
    Member,
    SampleCorrupt,
    SampleUnavailable,
    Source,
    cache_folder,
    sample_folder,
)

TRAIN, TEST = b"1 qid:1 1:0.5\n0 qid:1 1:0\n", b"2 qid:2 1:3\n"
# A build backend inside the archive, so that pip can look at the package with nothing else installed.
BACKEND = """
import pathlib
def prepare_metadata_for_build_wheel(folder, settings=None):
    info = pathlib.Path(folder, "tinysample-1.0.dist-info")
    info.mkdir()
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\\nName: tinysample\\nVersion: 1.0\\n")
    return info.name
def build_wheel(*_): raise RuntimeError
def build_sdist(*_): raise RuntimeError
"""
FILES = {
    "pyproject.toml": b'[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
    "backend.py": BACKEND.encode(),
    "PKG-INFO": b"Metadata-Version: 2.1\nName: tinysample\nVersion: 1.0\n",
    "data/train.txt": TRAIN,
    "data/test.txt": TEST,
}


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def tiny_source(folder: Path) -> Source:
    """A source package like the real one, and the index it lies in, both in `folder`."""
    folder.mkdir(exist_ok=True)
    archive = folder / "tinysample-1.0.tar.gz"
    if not archive.exists():
        with tarfile.open(archive, "w:gz") as tar:
            for name, data in FILES.items():
                entry = tarfile.TarInfo(f"tinysample-1.0/{name}")
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    sha256 = digest(archive.read_bytes())
    requirement = folder / "requirement.txt"
    requirement.write_text(f"tinysample==1.0 --hash=sha256:{sha256}\n")
    members = (
        Member("train.txt", "tinysample-1.0/data/train.txt", digest(TRAIN)),
        Member("test.txt", "tinysample-1.0/data/test.txt", digest(TEST)),
    )
    return Source("tiny", requirement, None, sha256, members)


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    for name, value in offline(tmp_path / "index").items():
        monkeypatch.setenv(name, value)
    return tiny_source(tmp_path / "index")


def offline(index: Path) -> dict[str, str]:
    return {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "PIP_NO_CACHE_DIR": "1"}


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_fetched_once_then_taken_from_the_cache(tmp_path: Path, source: Source):
    cache, steps = tmp_path / "cache", list[str]()
    folder = sample_folder(cache, steps.append, source)
    assert folder == cache / "tiny"
    assert content(folder) == {"train.txt": TRAIN, "test.txt": TEST}
    assert read_fold(folder).train.rows == 2
    assert len(steps) == 4
    assert {path.name for path in cache.iterdir()} == {"tiny", "tiny.lock"}
    shutil.rmtree(tmp_path / "index")
    assert sample_folder(cache, steps.append, source) == folder
    assert len(steps) == 4


def test_two_at_once_fetch_once(tmp_path: Path, source: Source):
    steps: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: sample_folder(tmp_path / "cache", steps.append, source), range(2)))
    assert both == [tmp_path / "cache" / "tiny"] * 2
    assert len([step for step in steps if "downloading" in step]) == 1
    assert len([step for step in steps if "waiting" in step]) == 1


@pytest.mark.parametrize("damage", ["flipped", "short", "absent"])
def test_a_damaged_cache_is_replaced(tmp_path: Path, source: Source, damage: str):
    cache = tmp_path / "cache"
    (cache / "tiny").mkdir(parents=True)
    (cache / "tiny" / "train.txt").write_bytes(TRAIN)
    (cache / "tiny" / "old.txt").touch()
    broken = {"flipped": TEST.replace(b"3", b"4"), "short": TEST[:-1]}.get(damage)
    if broken is not None:
        (cache / "tiny" / "test.txt").write_bytes(broken)
    assert content(sample_folder(cache, source=source)) == {"train.txt": TRAIN, "test.txt": TEST}


def die_at(step: int, cache: Path, index: Path) -> None:
    """Runs in a process of its own, which is killed as the given step begins."""
    seen: list[str] = []

    def progress(text: str) -> None:
        seen.append(text)
        if len(seen) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    sample_folder(cache, progress, tiny_source(index))


@pytest.mark.parametrize("step", [2, 4])
def test_killed_half_way_leaves_nothing_that_looks_complete(tmp_path: Path, source: Source, step: int):
    cache = tmp_path / "cache"
    code = f"""
        from pathlib import Path
        from tests.training.test_sample import die_at
        die_at({step}, Path({str(cache)!r}), Path({str(tmp_path / "index")!r}))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (cache / "tiny").exists()
    assert any(path.name.startswith(".unfinished-") for path in cache.iterdir())
    assert content(sample_folder(cache, source=source)) == {"train.txt": TRAIN, "test.txt": TEST}
    assert {path.name for path in cache.iterdir()} == {"tiny", "tiny.lock"}


def test_interrupted_leaves_nothing(tmp_path: Path, source: Source):
    def interrupt(text: str) -> None:
        if "downloading" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample_folder(tmp_path / "cache", interrupt, source)
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {"tiny.lock"}


def test_a_wrong_hash_stops_pip_before_the_package_runs(tmp_path: Path, source: Source):
    ran = tmp_path / "ran"
    archive = tmp_path / "index" / "tinysample-1.0.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name, data in FILES.items():
            code = f"open({str(ran)!r}, 'w')\n".encode() if name == "backend.py" else b""
            entry = tarfile.TarInfo(f"tinysample-1.0/{name}")
            entry.size = len(code + data)
            tar.addfile(entry, io.BytesIO(code + data))
    with pytest.raises(SampleCorrupt, match="hash is not the locked one") as error:
        sample_folder(tmp_path / "cache", source=source)
    assert source.archive_sha256 in str(error.value)
    assert digest(archive.read_bytes()) in str(error.value)
    assert not ran.exists()
    assert not (tmp_path / "cache" / "tiny").exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"archive_sha256": "0" * 64}, r"tinysample-1\.0\.tar\.gz has sha256"),
        ({"members": (Member("train.txt", "tinysample-1.0/data/train.txt", "0" * 64),)}, r"data/train\.txt has sha256"),
        ({"members": (Member("train.txt", "tinysample-1.0/absent", "0" * 64),)}, "not the archive expected"),
        ({"members": (Member("train.txt", "tinysample-1.0/data", "0" * 64),)}, "not the archive expected"),
    ],
)
def test_what_is_not_as_published_is_refused(tmp_path: Path, source: Source, change: dict[str, str], reason: str):
    with pytest.raises(SampleCorrupt, match=reason):
        sample_folder(tmp_path / "cache", source=replace(source, **change))  # pyright: ignore[reportArgumentType]
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {"tiny.lock"}


def test_no_network_says_so_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    settings = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    start = time.monotonic()
    with pytest.raises(SampleUnavailable, match="pip could not fetch the sample") as error:
        sample_folder(tmp_path)
    assert time.monotonic() - start < 30
    assert "No matching distribution found for cython" in str(error.value)
    assert "use synthetic data" in str(error.value)
    assert {path.name for path in tmp_path.iterdir()} == {f"{RANKEVAL.name}.lock"}


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, source: Source):
    (tmp_path / "file").touch()
    with pytest.raises(SampleUnavailable, match="set PODIUM_CACHE"):
        sample_folder(tmp_path / "file" / "cache", source=source)


def test_locked_requirements_must_be_there(tmp_path: Path, source: Source):
    with pytest.raises(SampleUnavailable, match="run from a checkout"):
        sample_folder(tmp_path / "cache", source=replace(source, requirement=tmp_path / "nowhere"))


def test_the_cache_is_where_the_user_says():
    assert cache_folder({"PODIUM_CACHE": "/c", "XDG_CACHE_HOME": "/x"}) == Path("/c")
    assert cache_folder({"XDG_CACHE_HOME": "/x"}) == Path("/x/podium")
    assert cache_folder({}) == Path.home() / ".cache" / "podium"


def test_requirements_are_locked_and_name_no_index():
    for path in (RANKEVAL.requirement, RANKEVAL.build_requirements):
        assert path is not None
        text = path.read_text()
        assert "://" not in text
        assert text.count("==") <= text.count("--hash=sha256:")
    assert RANKEVAL.archive_sha256 in RANKEVAL.requirement.read_text()


def test_the_real_sample(tmp_path: Path):
    try:
        folder = sample_folder(tmp_path)
    except SampleUnavailable as error:
        skip_or_fail(f"NO NETWORK, so the real MSLR sample is not tested: {error}")
    fold = read_fold(folder)
    assert (fold.train.rows, fold.train.count, fold.test.rows, fold.test.count) == (5000, 43, 5000, 43)
    assert fold.train.width == 136
