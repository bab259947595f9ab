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
        # The listing takes time, in which a number may have become another's.
        found += [child for child in children.get(process, []) if child not in found]
    return found


def memory_mib(pid: int, proc: Path = PROC) -> dict[str, float]:
    """Of the process tree. In "pss" a page counts once however many processes of the machine map it, in "rss" for each
    process of the tree: alone on a machine, a tree takes something between the two."""
    total = {"pss": 0, "rss": 0}
    for process in tree(pid, proc):
        # It may have ended since it was listed.
        with suppress(OSError):
            rollup = (proc / str(process) / "smaps_rollup").read_text()
            for kind in total:
                total[kind] += sum(map(int, re.findall(rf"^{kind.title()}:\s+(\d+) kB", rollup, re.MULTILINE)))
    return {kind: kib / 1024 for kind, kib in total.items()}


def cpu_seconds(pid: int, proc: Path = PROC) -> float:
    """What the processes of the tree have used, each to a hundredth."""
    ticks = 0
    for process in tree(pid, proc):
        with suppress(OSError):
            ticks += sum(map(int, _stat(proc / str(process))[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


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
