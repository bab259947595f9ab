"""What is read of processes, on real ones."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.bench import machine

CHILD = "import sys; held = bytearray(b'x' * (40 << 20)); [i for i in range(4000000)]; print('up'); sys.stdin.read()"
PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"


@pytest.fixture
def parent() -> Generator[int]:
    """A process with a child that holds 40 MiB and has worked for some time."""
    command = [sys.executable, "-c", PARENT, CHILD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as popen:
        assert popen.stdout and popen.stdin
        assert popen.stdout.readline() == b"up\n"
        yield popen.pid
        popen.stdin.close()


def test_a_tree_is_weighed_whole(parent: int):
    assert len(machine.tree(parent)) == 2
    memory = machine.memory_mib(parent)
    assert 40 < memory["pss"] < memory["rss"] < 200
    assert machine.memory_mib(os.getpid()).keys() == memory.keys()
    assert machine.cpu_seconds(parent) >= 0.05


def test_an_age_is_that_of_the_process(parent: int):
    first = machine.age(parent)
    time.sleep(0.2)
    assert 0 < first < 30
    assert machine.age(parent) - first == pytest.approx(0.2, abs=0.15)


def test_a_process_may_have_any_name_and_no_listing_goes_in_circles(tmp_path: Path):
    (tmp_path / "7").mkdir()
    (tmp_path / "8").mkdir()
    (tmp_path / "7" / "stat").write_text("7 (a) S 1 (b) R 8 " + "0 " * 40)
    (tmp_path / "8" / "stat").write_text("8 (c d) S 7 " + "0 " * 40)
    assert machine.tree(8, tmp_path) == [8, 7]
    assert machine.tree(7, tmp_path) == [7, 8]


def test_who_has_ended_weighs_nothing(tmp_path: Path):
    assert machine.memory_mib(7, tmp_path) == {"pss": 0, "rss": 0}
    assert machine.cpu_seconds(7, tmp_path) == 0


def test_the_machine_is_named():
    about = machine.machine()
    assert about["cores"] == str(len(os.sched_getaffinity(0)))
    assert about["memory"].endswith(" GiB")
    assert all(about.values())
