from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.test_letor import BAD, LINE, NUMBERS, TWO, bits, same, texts
from training import kernel, letor
from training.kernel import parse_compiled
from training.letor import DataError, read_split
from training.parse import BadLine, Rules, parse_exact
from training.synthetic import write_synthetic

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files are like large ones."""
    monkeypatch.setattr(letor, "COMPILED_FROM", 0)


@pytest.mark.parametrize(
    "text",
    [
        TWO.replace(b"\n", b"\r\n"),
        TWO.replace(b"\n", b" \r\n"),
        TWO.replace(b"\n", b"  \t \n"),
        TWO.replace(b" ", b"\t"),
        TWO.replace(b" ", b"   "),
        TWO.replace(b"\n", b" # docid = GX000-00-0 inc = 1 prob = 0.02\n"),
        TWO.replace(b"\n", "#caf\xe9: 日本\n".encode()),
        TWO.replace(b":3", b":+3").replace(b"0.5", b".5"),
        TWO.replace(b":3", b":3.000e0").replace(b"0.5", b"50E-2"),
        TWO + b"\n\n \r\n",
        TWO.replace(b"0 qid", b"# a comment: line\n\n0 qid"),
    ],
)
def test_real_layouts_are_taken(text: bytes):
    rows = parse_compiled(text, Rules())
    assert rows is not None
    assert same(rows, parse_exact(text, Rules()))
    assert rows.features.tolist() == [[0.5, 3], [0, -1]]


@given(texts(), st.integers(1, 5))
def test_it_reads_the_exact_bits_in_any_number_of_threads(
    written: tuple[str, list[int], list[int], list[list[str]]], threads: int
):
    text = written[0].encode()
    before, kernel._THREADS = kernel._THREADS, threads
    try:
        found = parse_compiled(text, Rules())
    finally:
        kernel._THREADS = before
    if found is not None:
        assert same(found, parse_exact(text, Rules()))


@given(st.lists(NUMBERS, min_size=1, max_size=1))
def test_each_number_is_the_nearest(numbers: list[str]):
    found = parse_compiled(f"1 qid:1 1:{numbers[0]}\n".encode(), Rules())
    if found is not None:
        assert bits(found.features) == bits(np.array([[float(numbers[0])]]).astype(np.float32))


@pytest.mark.parametrize(
    "number",
    ["0.123456", "123456.789", "-0", "-0.0", "1e22", "1E-22", "9007199254740992", "0.9007199254740992", "00012", "5."],
)
def test_common_numbers_are_taken(number: str):
    found = parse_compiled(f"1 qid:1 1:{number}\n".encode(), Rules())
    assert found is not None
    assert bits(found.features) == bits(np.array([[float(number)]]).astype(np.float32))


@settings(max_examples=500)
@given(st.lists(LINE, min_size=1, max_size=3), st.sampled_from([None, 1, 2, 3]), st.booleans())
def test_it_takes_nothing_that_the_exact_path_refuses(
    lines: list[tuple[str, str, list[str]]], width: int | None, allow_missing: bool
):
    text = "".join(f"{label} {qid} {' '.join(features)}\n" for label, qid, features in lines).encode()
    rules = Rules(width, allow_missing=allow_missing)
    found = parse_compiled(text, rules)
    if found is not None:
        assert same(found, parse_exact(text, rules))


@settings(max_examples=500)
@given(st.binary(max_size=200) | st.text("0123456789 :.\tqid\n\r#e-+", max_size=80).map(str.encode), st.booleans())
def test_it_reads_no_bytes_that_are_no_data(text: bytes, allow_missing: bool):
    rules = Rules(2 if allow_missing else None, allow_missing=allow_missing)
    found = parse_compiled(text, rules)
    if found is not None:
        assert same(found, parse_exact(text, rules))


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(("line", "reason"), BAD.values(), ids=BAD.keys())
def test_a_bad_line_is_refused_as_without_it(tmp_path: Path, line: bytes, reason: str):
    path = tmp_path / "train.txt"
    good = b"0 qid:1 1:1 2:1\n" * 40
    assert parse_compiled(line + b"\n", Rules(2)) is None
    path.write_bytes(good + line + b"\n" + good)
    with pytest.raises(DataError) as error:
        read_split(path, piece_bytes=100)
    assert error.value.line == 41
    assert reason in error.value.reason


def test_missing_features():
    text = b"1 qid:1 2:5\n0 qid:1\n2 qid:2 1:1 2:2 4:4\n"
    rules = Rules(4, allow_missing=True)
    found = parse_compiled(text, rules)
    assert found is not None
    assert same(found, parse_exact(text, rules))
    assert parse_compiled(text, Rules(None, allow_missing=True)) is None, "the width is only known at the end"
    assert parse_compiled(text, Rules(4)) is None


def test_the_last_line_ends():
    assert parse_compiled(TWO[:-1], Rules()) is None
    with pytest.raises(BadLine):
        parse_exact(b"1 qid:", Rules())
    assert parse_compiled(b"1 qid:\n", Rules(1)) is None
    assert parse_compiled(b"1 q\n", Rules(1)) is None


@pytest.mark.usefixtures("always")
def test_large_files_take_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_synthetic(tmp_path, queries=20)
    path = tmp_path / "train.txt"
    compiled = read_split(path, piece_bytes=1_000_000)
    monkeypatch.setattr(letor, "COMPILED_FROM", path.stat().st_size + 1)
    assert compiled.sha256 == read_split(path).sha256
    monkeypatch.setattr(letor, "COMPILED_FROM", path.stat().st_size)
    monkeypatch.setattr(letor, "parse", None)
    assert read_split(path, piece_bytes=1_000_000).sha256 == compiled.sha256, "no piece went another way"


def test_small_files_do_not_wait_for_it(tmp_path: Path):
    path = tmp_path / "train.txt"
    path.write_bytes(TWO)
    code = "import sys; from training.letor import read_split; from pathlib import Path; read_split(Path(sys.argv[1]));"
    code += "assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, check=True)


def test_without_a_folder_for_machine_code_it_compiles_anyway(monkeypatch: pytest.MonkeyPatch):
    real: Any = kernel.numba.njit

    def njit(**options: Any) -> object:
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    monkeypatch.setattr(kernel.numba, "njit", njit)
    assert kernel._compile(lambda: 7)() == 7
