from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.parse import Rows
from training.queries import Queries
from training.rows import InMemory, OnDisk, Sink, mapped

ROOT = Path(__file__).resolve().parents[2]


def in_memory(_: Path) -> Sink:
    return InMemory()


def on_disk(folder: Path) -> Sink:
    return OnDisk(folder, lambda _: None)


def part(first: int, qids: list[int], width: int = 2) -> Rows:
    numbers = np.arange(first, first + len(qids), dtype=np.float32)
    return Rows(np.repeat(numbers[:, None], width, 1), numbers.astype(np.int32), np.array(qids, np.int64))


def grouped(make: Callable[[Path], Sink], folder: Path, parts: list[list[int]]) -> Queries:
    sink, first = make(folder), 0
    for qids in parts:
        sink.append(part(first, qids), 1.0)
        first += len(qids)
    return sink.queries(2)


@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=9), min_size=1, max_size=5))
@pytest.mark.parametrize("make", [in_memory, on_disk])
def test_parts_become_queries(
    make: Callable[[Path], Sink], tmp_path_factory: pytest.TempPathFactory, parts: list[list[int]]
):
    found = grouped(make, tmp_path_factory.mktemp("rows"), parts)
    rows = sorted(enumerate(qid for qids in parts for qid in qids), key=lambda row: row[1])
    assert found.features.tolist() == [[number, number] for number, _ in rows]
    assert found.relevance.tolist() == [number for number, _ in rows]
    assert found.row_qids().tolist() == [qid for _, qid in rows]
    assert found.features.dtype == np.float32


@pytest.mark.parametrize("make", [in_memory, on_disk])
def test_narrow_parts_lack_the_rest(make: Callable[[Path], Sink], tmp_path: Path):
    sink = make(tmp_path)
    sink.append(part(0, [2], 1), 0.5)
    sink.append(part(1, [1, 2], 3), 1.0)
    expected = [[1, 1, 1], [0, np.nan, np.nan], [2, 2, 2]]
    np.testing.assert_array_equal(sink.queries(3).features, np.array(expected, np.float32))


def test_one_file_is_left_and_its_size_was_announced(tmp_path: Path):
    asked: list[int] = []
    sink = OnDisk(tmp_path, asked.append)
    sink.append(part(0, [2, 1, 2]), 0.5)
    sink.append(part(3, [1, 2, 2]), 1.0)
    found = sink.queries(2)
    assert asked == [2 * 6 * 2 * 4]
    assert [(path.name, path.stat().st_size) for path in tmp_path.iterdir()] == [("features.f32", 6 * 2 * 4)]
    np.testing.assert_array_equal(found.features, mapped(tmp_path, 6, 2))
    assert not found.features.flags.writeable


PEAK = """
import re, sys
import numpy as np
from pathlib import Path
from training.parse import Rows
from training.rows import InMemory, OnDisk
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
sink = InMemory() if sys.argv[1] == "memory" else OnDisk(Path(sys.argv[1]), lambda _: None)
rng = np.random.default_rng(0)
before = peak()
for step in range(100):
    qids = np.repeat(rng.permutation(100)[:50] + 100 * (99 - step), 100)
    sink.append(Rows(rng.random((5000, 50), np.float32), np.zeros(5000, np.int32), qids), (step + 1) / 100)
print((peak() - before) / 1e8)
queries = sink.queries(50)
print((peak() - before) / 1e8)
assert queries.features.nbytes == 1e8
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel for the peak")
@pytest.mark.parametrize("way", ["memory", "disk"])
def test_the_peak_is_one_matrix(tmp_path: Path, way: str):
    command = [sys.executable, "-c", PEAK, "memory" if way == "memory" else str(tmp_path)]
    read, done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    # The rows' own numbers take 0.2 here; pages of the mapped file count, but the system can take them back.
    assert float(read) < (1.15 if way == "memory" else 0.2)
    assert float(done) < 1.45
