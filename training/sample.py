"""10,000 real lines of MSLR-WEB10K, fetched from where they are already public and kept outside the repository.

They lie in the test data of the source package `rankeval`. pip fetches it from whatever index the user's pip is
set up for, checks it against a locked hash before any of its code runs, and two files are taken out of the archive.
pip asks a source package for its name before it hands it over, and this one needs numpy, scipy and cython to answer;
hence an environment of its own, thrown away afterwards.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.files import sync_folder, write_file

Status = Callable[[str], None]
"""Called with a short text as each step begins."""

_REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements"
_ASIDE = ".unfinished-"
# A user's pip settings are kept, but for those that would send packages elsewhere or hide what went wrong.
_DROPPED = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_QUIET", "PIP_PYTHON", "PYTHONPATH", "PYTHONHOME")


class SampleError(Exception):
    """The sample is not there; the message says why and what to do."""


class SampleUnavailable(SampleError):
    """It could not be fetched, mostly for lack of a network. Synthetic data can take its place."""


class SampleCorrupt(SampleError):
    """What was fetched is not what was published. This must stop whoever asked."""


@dataclass(frozen=True)
class Member:
    name: str
    path: str
    """In the archive."""
    sha256: str


@dataclass(frozen=True)
class Source:
    """A hash-locked source package with data in it, and what pip needs in order to look at it."""

    name: str
    requirement: Path
    build_requirements: Path | None
    archive_sha256: str
    members: tuple[Member, ...]


RANKEVAL = Source(
    "mslr-web10k-fold1-5k",
    _REQUIREMENTS / "sample-data.txt",
    _REQUIREMENTS / "sample.txt",
    "c7d71602ab7fe0a0281976c1f0e883cb16431f72e4e946e5fd83790449bb21a9",
    (
        Member(
            "train.txt",
            "rankeval-0.8.2/rankeval/test/data/msn1.fold1.train.5k.txt",
            "6d1721de961a35fbaef7085dc5b41e2940f0ddb04bab5f7a8566cf7db4158fa6",
        ),
        Member(
            "test.txt",
            "rankeval-0.8.2/rankeval/test/data/msn1.fold1.test.5k.txt",
            "13d3c638edd23e482c38f4316c2680c938c2eaedbe096970ab30a48e364463d3",
        ),
    ),
)


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """`$PODIUM_CACHE`, else `podium` in `$XDG_CACHE_HOME` or `~/.cache`."""
    if environ.get("PODIUM_CACHE"):
        return Path(environ["PODIUM_CACHE"]).expanduser()
    return Path(environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "podium"


def sample_folder(cache: Path | None = None, progress: Status | None = None, source: Source = RANKEVAL) -> Path:
    """The folder with the sample's `train.txt` and `test.txt`, fetched if it is not in the cache as published.

    Raises SampleUnavailable, or SampleCorrupt when a hash is not the locked one. It can be killed at any point:
    the folder appears complete or not at all, and the next call clears what was left.
    """
    cache = (cache or cache_folder()).absolute()
    folder = cache / source.name
    status = progress or _silent
    try:
        if _complete(folder, source):
            return folder
        cache.mkdir(parents=True, exist_ok=True)
        with _alone(cache / f"{source.name}.lock", status):
            if not _complete(folder, source):
                _clear(cache)
                _fetch(folder, source, status)
    except OSError as error:
        reason = f"cannot use the cache {cache}: {error}; set PODIUM_CACHE to a folder that can be written"
        raise SampleUnavailable(reason) from error
    return folder


def _silent(_: str) -> None:
    pass


def _complete(folder: Path, source: Source) -> bool:
    return all(_sha256(folder / member.name) == member.sha256 for member in source.members)


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


@contextmanager
def _alone(path: Path, status: Status) -> Generator[None, None, None]:
    """One fetch at a time. The lock is the kernel's, so a killed process holds none."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            status("waiting for another process that is fetching the sample")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _clear(cache: Path) -> None:
    for left in cache.glob(f"{_ASIDE}*"):
        shutil.rmtree(left, ignore_errors=True)


def _fetch(folder: Path, source: Source, status: Status) -> None:
    aside = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=folder.parent))
    try:
        ready = aside / "ready"
        ready.mkdir()
        _unpack(_download(aside, source, status), ready, source, status)
        status(f"moving the sample to {folder}")
        if folder.exists():
            folder.rename(aside / "replaced")
        ready.rename(folder)
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _download(aside: Path, source: Source, status: Status) -> Path:
    for path in (source.requirement, source.build_requirements):
        if path is not None and not path.is_file():
            raise SampleUnavailable(f"{path} is missing; run from a checkout of the repository")
    status("making an environment for the download")
    # Without pip in it, the package's set-up code cannot install more than what is locked.
    _run([sys.executable, "-m", "venv", "--without-pip", "venv"], aside)
    pip = [sys.executable, "-m", "pip", "--python", str(aside / "venv" / "bin" / "python")]
    pip += ["--no-input", "--disable-pip-version-check"]
    locked = ["--progress-bar", "off", "--require-hashes"]
    if source.build_requirements is not None:
        status("installing numpy, scipy and cython, which the source package needs to be looked at")
        _run([*pip, "install", "--no-compile", *locked, "-r", str(source.build_requirements)], aside)
    status("downloading the source package that has the sample in it")
    # pip's metadata step would build in isolation from newer tools than the package was written for.
    only_source = ["--no-deps", "--no-binary", ":all:", "--no-build-isolation"]
    _run([*pip, "download", *locked, *only_source, "-r", str(source.requirement), "-d", "download"], aside)
    return next((aside / "download").iterdir())


def _run(command: Sequence[str], folder: Path) -> None:
    """Runs in `folder`, so that nothing in the user's own is imported or written."""
    environment = {key: value for key, value in os.environ.items() if key not in _DROPPED}
    # pip's own five retries of 15 seconds are long for somebody who is merely offline.
    environment.setdefault("PIP_RETRIES", "2")
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode == 0:
        return
    words = _last_words(done.stdout)
    if "DO NOT MATCH THE HASHES" in done.stdout:
        raise SampleCorrupt(
            f"pip fetched a package whose hash is not the locked one, and stopped before using it:\n{words}\n"
            "Do not go on with it: find out what your package index serves, or try another one."
        )
    raise SampleUnavailable(
        f"pip could not fetch the sample:\n{words}\n"
        "Check the network and pip's settings (index, proxy, certificate) and run this again, or use synthetic data."
    )


def _last_words(output: str) -> str:
    """The last lines in which pip says what is wrong."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    retries = [line for line in lines if line.startswith("WARNING: Retrying")]
    errors = [line for line in lines if line.lower().startswith("error")]
    hashes = [line for line in lines if line.startswith(("Expected sha256", "Got"))]
    telling = [*retries[-1:], *errors[-3:], *hashes[-2:]] or lines[-3:]
    return "\n".join(f"  {line}" for line in telling)


def _unpack(archive: Path, ready: Path, source: Source, status: Status) -> None:
    status("unpacking and checking the sample")
    if _sha256(archive) != source.archive_sha256:
        raise _corrupt(archive.name, str(_sha256(archive)), source.archive_sha256)
    try:
        with tarfile.open(archive) as tar:
            for member in source.members:
                # Read, never extracted: no path, link or mode of the archive reaches the disk.
                stream = tar.extractfile(member.path)
                data = stream.read() if stream else b""
                found = hashlib.sha256(data).hexdigest()
                if found != member.sha256:
                    raise _corrupt(member.path, found, member.sha256)
                write_file(ready / member.name, data)
    except (KeyError, tarfile.TarError) as error:
        raise SampleCorrupt(f"{archive.name} is not the archive expected: {error}; report this") from error


def _corrupt(name: str, found: str, expected: str) -> SampleCorrupt:
    return SampleCorrupt(f"{name} has sha256 {found}, but {expected} was published; do not use it")
