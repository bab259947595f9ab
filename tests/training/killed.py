"""Kills a process at a chosen one of the steps on the disk that its work consists of."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

# `armed` runs the work, and ends the process just before (and after, for a flush) the given step.
_PRELUDE = """
import os, pathlib, signal, sys
left = None
def step(*_):
    global left
    if left is not None:
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sync = os.fsync
def fsync(descriptor):
    step()
    sync(descriptor)
    step()
os.fsync = fsync
sys.addaudithook(lambda event, _: step() if event in ("open", "os.rename", "os.remove", "os.chmod") else None)
def armed(work):
    global left
    left = int(sys.argv[1])
    work()
    left = None
"""


def survives(work: str, moment: int, *arguments: Path) -> bool:
    """Whether `work`, which calls `armed`, got to its end. It finds `arguments` from sys.argv[2] on."""
    command = [sys.executable, "-c", _PRELUDE + work, str(moment), *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode == 0
