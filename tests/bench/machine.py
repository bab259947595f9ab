"""What the measuring ran on, and what a process costs: read from the kernel."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")


def machine(proc: Path = PROC) -> dict[str, str]:
    cpu = re.search(r"^model name\s*: (.*)$", (proc / "cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+) kB", (proc / "meminfo").read_text(), re.MULTILINE)
    return {
        "processor": cpu[1] if cpu else platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{int(memory[1]) / 1024**2:.1f} GiB" if memory else "unknown",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load before": (proc / "loadavg").read_text().split()[0],
    }


def tree(pid: int, proc: Path = PROC) -> list[int]:
    """A process and all that it started, and they."""
    children: dict[int, list[int]] = {}
    for each, parent in _parents(proc):
        children.setdefault(parent, []).append(each)
    found = [pid]
    for process in found:
        found += children.get(process, [])
    return found


def proportional_mib(pid: int, proc: Path = PROC) -> float:
    """PSS of the process tree: memory that processes share counts once."""
    total = 0
    for process in tree(pid, proc):
        # It may have ended since it was listed.
        with suppress(OSError):
            rollup = (proc / str(process) / "smaps_rollup").read_text()
            total += sum(map(int, re.findall(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)))
    return total / 1024


def age(pid: int, proc: Path = PROC) -> float:
    """Seconds since the process was started, to a hundredth."""
    fields = _stat(proc / str(pid))
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _parents(proc: Path) -> Iterator[tuple[int, int]]:
    for folder in proc.iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                yield int(folder.name), int(_stat(folder)[1])


def _stat(folder: Path) -> list[str]:
    """The fields after the name, which may hold anything, brackets and blanks too."""
    return (folder / "stat").read_text().rpartition(")")[2].split()
