"""`python3 -m training.environment`: makes `.venv` from a locked requirement file, with the standard library alone.

The environment keeps a copy of each file that it was made from. It is made anew when the base file differs from its
copy, added to when only a further one does, and left alone when all agree: time stamps do not matter, and a set-up
that was stopped half-way has no copy and starts over.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

MINIMUM = (3, 11)
ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BASE = "training"
KINDS = (BASE, "dev")
APART = ("lightgbm", "infra")
"""Each in an environment that nothing else shares: a program that is measured against, and what Pulumi runs."""


HELP = "dev adds what tests and checks need; lightgbm (the report's baseline) and infra (Pulumi) lie apart"


class SetupError(Exception):
    """The environment cannot be made; the message says what to do."""


def main(argv: list[str] | None = None) -> int:
    """Exit codes: 0 done or nothing to do, 2 wrong Python, 5 a package could not be had, 130 interrupted."""
    parser = argparse.ArgumentParser(prog="python3 -m training.environment", description="Make or refresh .venv.")
    parser.add_argument("kind", nargs="?", choices=(*KINDS, *APART), default=BASE, help=HELP)
    args = parser.parse_args(argv)
    if sys.version_info < MINIMUM:
        found = ".".join(str(part) for part in sys.version_info[:3])
        return _fail(f"Podium needs Python 3.11 or newer, this is {found}: name another, make PYTHON=python3.13 ...", 2)
    try:
        if args.kind in APART:
            set_up_apart(ROOT / "requirements" / f"{args.kind}.txt", apart(args.kind))
        else:
            set_up(ROOT / "requirements", VENV, args.kind)
    except SetupError as error:
        return _fail(str(error), 5)
    except KeyboardInterrupt:
        return _fail("interrupted; the next run starts the set-up over", 130)
    return 0


def set_up(requirements: Path, target: Path, kind: str = BASE) -> bool:
    """Makes `target` hold what the lock files of `kind` say; returns whether anything had to be done.

    Raises:
        SetupError: no venv module, or pip failed.
    """
    changed = set_up_apart(requirements / f"{BASE}.txt", target)
    if kind != BASE and not _same(requirements / f"{kind}.txt", target):
        _install(requirements / f"{kind}.txt", target)
        changed = True
    return changed


def set_up_apart(lock: Path, target: Path) -> bool:
    """Makes `target` hold what one lock file says and nothing else. Returns and raises as `set_up`."""
    if _same(lock, target):
        return False
    _create(target)
    _install(lock, target)
    return True


def apart(kind: str) -> Path:
    """Where the environment of a foreign program lies."""
    return ROOT / ".podium" / "environments" / kind


def python_of(target: Path) -> Path:
    return target / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def _same(lock: Path, target: Path) -> bool:
    copy = target / lock.name
    return copy.exists() and copy.read_bytes() == lock.read_bytes() and python_of(target).exists()


def _create(target: Path) -> None:
    _say(f"making {target.name} with Python {sys.version.split()[0]}\n")
    shutil.rmtree(target, ignore_errors=True)
    venv.create(target, symlinks=sys.platform != "win32")
    lines: list[str] = []
    with _child([python_of(target), "-m", "ensurepip", "--default-pip"]) as ensurepip:
        lines.extend(ensurepip.stdout or ())
    if ensurepip.returncode != 0:
        reason = lines[-1].strip() if lines else "no reason given"
        raise SetupError(
            f"Python cannot put pip into {target.name} ({reason}): on Debian and Ubuntu, `apt install python3-venv`"
        )


def _install(lock: Path, target: Path) -> None:
    total = len(re.findall(r"^[A-Za-z0-9]\S*==", lock.read_text(), re.MULTILINE))
    command = [python_of(target), "-m", "pip", "install", "--disable-pip-version-check", "--no-deps"]
    command += ["--require-hashes", "-r", lock]
    lines: list[str] = []
    with _child(command) as pip:
        for number, line in enumerate(_packages(pip.stdout or (), lines), 1):
            _progress(f"installing {lock.stem} packages: {min(number, total)} of {total}, {line}")
    _progress("")
    if pip.returncode != 0:
        reason = "\n  ".join(lines[-8:])
        raise SetupError(
            f"pip could not install {lock.name}:\n  {reason}\nIs there a network, and does pip know the index to use?"
        )
    # Last of all: without the copy the next run starts over.
    shutil.copyfile(lock, target / lock.name)
    _say(f"installed {lock.name}\n")


@contextmanager
def _child(command: list[str | Path]) -> Generator[subprocess.Popen[str]]:
    """A process whose output is read in the block, and that has ended when the block has, Ctrl-C included: one that
    lived on would write into the environment that the next run makes."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
    except BaseException:
        process.terminate()
        raise
    finally:
        process.communicate()


def _packages(output: Iterable[str], lines: list[str]) -> Iterator[str]:
    """The package that pip is at; every line it prints is kept in `lines`, the last ones being its reasons."""
    for line in output:
        lines.append(line.rstrip())
        found = re.match(r"(?:Collecting|Requirement already satisfied:) ([^=; ]+)", line)
        if found:
            yield found[1]
        elif line.startswith("Installing"):
            yield "unpacking them all"


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        _say(f"\r\x1b[K{text}")


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _fail(message: str, exit_code: int) -> int:
    _say(f"podium: {message}\n")
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
