import gzip
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.letor import DataError, Queries, concat, read_files, read_fold, read_split
from training.parse import BadLine, Rows, Rules, parse, parse_exact, parse_fast

TWO = b"2 qid:7 1:0.5 2:3\n0 qid:7 1:0 2:-1\n"


def write(folder: Path, text: bytes, name: str = "train.txt") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text, mtime=0) if name.endswith(".gz") else text)
    return path


def read(folder: Path, text: bytes, **options: object) -> Queries:
    return read_split(write(folder, text), **options)  # pyright: ignore[reportArgumentType]


def bits(features: np.ndarray) -> list[int]:
    return features.view(np.uint32).ravel().tolist()


def same(a: Rows, b: Rows) -> bool:
    return (
        bits(a.features) == bits(b.features)
        and a.relevance.tolist() == b.relevance.tolist()
        and a.qids.tolist() == b.qids.tolist()
    )


def test_rows_are_grouped_by_query_in_file_order(tmp_path: Path):
    split = read(tmp_path, b"0 qid:16 1:1\n1 qid:4 1:2\n2 qid:16 1:3\n3 qid:1 1:4\n4 qid:4 1:5\n")
    assert split.qids.tolist() == [1, 4, 16]
    assert split.offsets.tolist() == [0, 1, 3, 5]
    assert split.features.ravel().tolist() == [4, 2, 5, 1, 3]
    assert split.relevance.tolist() == [3, 1, 4, 0, 2]
    assert split.row_qids().tolist() == [1, 4, 4, 16, 16]
    assert (split.rows, split.width, split.count) == (5, 1, 3)
    assert split.features.dtype == np.float32
    assert split.features.flags.c_contiguous


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.sampled_from([10, 50, 10_000]))
def test_any_order_of_rows_is_sorted_stably(tmp_path_factory: pytest.TempPathFactory, qids: list[int], piece: int):
    text = "".join(f"{row % 3} qid:{qid} 1:{row} 2:{qid}\n" for row, qid in enumerate(qids)).encode()
    split = read(tmp_path_factory.getbasetemp(), text, piece_bytes=piece)
    assert split.features.tolist() == [[row, qid] for qid, row in sorted(zip(qids, range(len(qids)), strict=True))]
    assert split.relevance.tolist() == [int(row) % 3 for row in split.features[:, 0]]
    assert split.row_qids().tolist() == sorted(qids)


@pytest.mark.parametrize(
    "text",
    [
        TWO.replace(b"\n", b"\r\n"),
        TWO.replace(b"\n", b" \n"),
        TWO.replace(b"\n", b" \r\n"),
        TWO.replace(b"\n", b"  \t \n"),
        TWO.replace(b" ", b"\t"),
        TWO.replace(b" ", b"   "),
        TWO.replace(b"\n", b" # docid = GX000-00-0 inc = 1 prob = 0.02\n"),
        TWO.replace(b"\n", " # caf\xe9: 日本\n".encode()),
        TWO.replace(b":3", b":+3").replace(b"2 qid", b"+2 qid").replace(b":7", b":+7"),
        TWO.replace(b":3", b":3.000e0").replace(b"0.5", b".5"),
        TWO.replace(b":3", b":3."),
        TWO[:-1],
        TWO + b"\n\n \r\n",
        b"# a comment line\n\n" + TWO,
        b"\xef\xbb\xbf" + TWO,
    ],
)
def test_every_real_layout_reads_the_same(tmp_path: Path, text: bytes):
    plain = read(tmp_path, TWO)
    split = read(tmp_path, text)
    assert split.features.tolist() == [[0.5, 3], [0, -1]]
    assert split.sha256 == plain.sha256


def test_digest_is_of_the_content(tmp_path: Path):
    plain = read_split(write(tmp_path, TWO))
    assert read_split(write(tmp_path, TWO, "packed.txt.gz")).sha256 == plain.sha256
    assert read(tmp_path, TWO.replace(b"\n", b" \r\n")).sha256 == plain.sha256
    changed = [(b":3", b":4"), (b"2 qid", b"1 qid"), (b"qid:7", b"qid:8"), (b"2:-1\n", b"2:-1\n1 qid:7 1:1 2:1\n")]
    others = {read(tmp_path, TWO.replace(old, new)).sha256 for old, new in changed}
    assert len(others | {plain.sha256}) == 5


BAD = {
    "label-text": (b"x qid:1 1:1 2:1", "label 'x' is not a whole number"),
    "label-fraction": (b"1.5 qid:1 1:1 2:1", "label '1.5' is not a whole number"),
    "label-negative": (b"-1 qid:1 1:1 2:1", "out of range 0 to 31"),
    "label-large": (b"32 qid:1 1:1 2:1", "out of range 0 to 31"),
    "label-huge": (b"9" * 5000 + b" qid:1 1:1 2:1", "out of range 0 to 31"),
    "label-missing": (b"qid:1 1:1 2:1", "label 'qid:1' is not a whole number"),
    "qid-missing": (b"1 1:1 2:1", "no query id: the second field is '1:1'"),
    "qid-absent": (b"1", "no query id"),
    "qid-other-name": (b"1 did:1 1:1 2:1", "no query id: the second field is 'did:1'"),
    "qid-empty": (b"1 qid: 1:1 2:1", "query id '' is not a number"),
    "qid-text": (b"1 qid:a7 1:1 2:1", "query id 'a7' is not a number"),
    "qid-fraction": (b"1 qid:1.0 1:1 2:1", "query id '1.0' is not a number"),
    "qid-negative": (b"1 qid:-1 1:1 2:1", "query id '-1' is out of range"),
    "qid-beyond-int64": (b"1 qid:9223372036854775808 1:1 2:1", "query id '9223372036854775808' is out of range"),
    "index-zero": (b"1 qid:1 0:1 1:1", "indices start at 1"),
    "index-order": (b"1 qid:1 1:1 2:1 1:1", "index 1 comes after 2"),
    "index-swapped": (b"1 qid:1 2:1 1:1", "index 1 is left out"),
    "index-twice": (b"1 qid:1 1:1 1:1", "index 1 appears twice"),
    "index-beyond": (b"1 qid:1 1:1 2:1 3:1", "index 3 is out of range 1 to 2"),
    "index-far-beyond": (b"1 qid:1 1:1 99999999999999999999:1", "is out of range 1 to 2"),
    "index-gap": (b"1 qid:1 2:1", "index 1 is left out"),
    "index-fraction": (b"1 qid:1 1.0:1 2:1", "'1.0:1' is not <index>:<value>"),
    "index-negative": (b"1 qid:1 -1:1 2:1", "indices start at 1"),
    "no-colon": (b"1 qid:1 1 1 2:1", "'1' is not <index>:<value>"),
    "too-few": (b"1 qid:1 1:1", "1 features, but 2 are expected"),
    "no-features": (b"1 qid:1", "no features"),
    "nan": (b"1 qid:1 1:NaN 2:1", "feature 1 is 'NaN'; a missing value"),
    "infinite": (b"1 qid:1 1:1 2:-inf", "feature 2 is '-inf'; a missing value"),
    "overflow": (b"1 qid:1 1:1 2:3.5e38", "feature 2 is '3.5e38', beyond float32"),
    "overflow-of-double": (b"1 qid:1 1:1 2:1e999", "feature 2 is '1e999', beyond float32"),
    "value-text": (b"1 qid:1 1:1 2:two", "feature 2 is 'two', which is not a number"),
    "value-empty": (b"1 qid:1 1: 2:1", "feature 1 is '', which is not a number"),
    "value-two-colons": (b"1 qid:1 1:1:1 2:1", "feature 1 is '1:1', which is not a number"),
    "value-underscore": (b"1 qid:1 1:1_0 2:1", "feature 1 is '1_0', which is not a number"),
    "value-hex": (b"1 qid:1 1:0x1 2:1", "feature 1 is '0x1', which is not a number"),
    "value-half-exponent": (b"1 qid:1 1:1e 2:1", "feature 1 is '1e', which is not a number"),
    "comma": (b"1,qid:1,1:1,2:1", "label '1,qid:1,1:1,2:1' is not a whole number"),
    "nul": (b"1 qid:1 1:1\x00 2:1", "byte 0x00 at position 12 is not text"),
    "not-ascii": ("1 qid:1 1:1 2:½".encode(), "byte 0xc2 at position 15 is not text"),
}


@pytest.mark.parametrize(("line", "reason"), BAD.values(), ids=BAD.keys())
def test_a_bad_line_is_refused_by_number_and_reason(tmp_path: Path, line: bytes, reason: str):
    text = b"0 qid:1 1:1 2:1\n" * 40
    good = read(tmp_path, text, piece_bytes=100)
    assert good.rows == 40
    with pytest.raises(DataError) as error:
        read(tmp_path, text + line + b"\n" + text, piece_bytes=100)
    assert error.value.line == 41
    assert reason in error.value.reason
    assert str(error.value) == f"{tmp_path / 'train.txt'}:41: {error.value.reason}"


def test_width_may_be_given(tmp_path: Path):
    assert read(tmp_path, TWO, width=2).width == 2
    with pytest.raises(DataError, match=r":1: 2 features, but 3 are expected"):
        read(tmp_path, TWO, width=3)
    with pytest.raises(DataError, match=r":1: feature index 2 is out of range 1 to 1"):
        read(tmp_path, TWO, width=1)
    with pytest.raises(ValueError, match="width is 0"):
        read(tmp_path, TWO, width=0)


def test_the_largest_label_follows_the_width(tmp_path: Path):
    line = b"%d qid:1 " + b" ".join(b"%d:1" % index for index in range(1, 137)) + b"\n"
    assert read(tmp_path, line % 4).relevance.tolist() == [4]
    with pytest.raises(DataError, match="out of range 0 to 4"):
        read(tmp_path, line % 5)
    assert read(tmp_path, line % 5, max_relevance=5).relevance.tolist() == [5]
    assert read(tmp_path, b"31 qid:1 1:1\n").relevance.tolist() == [31]
    with pytest.raises(DataError, match="out of range 0 to 1"):
        read(tmp_path, TWO, max_relevance=1)


def test_missing_features_are_nan_when_allowed(tmp_path: Path):
    text = b"1 qid:1 2:5\n0 qid:1\n2 qid:2 1:1 2:2 4:4\n"
    split = read(tmp_path, text, allow_missing=True, piece_bytes=10)
    assert split.width == 4
    expected = np.array([[np.nan, 5, np.nan, np.nan], [np.nan] * 4, [1, 2, np.nan, 4]], np.float32)
    assert bits(split.features) == bits(expected)
    assert read(tmp_path, text, allow_missing=True, width=6).width == 6
    with pytest.raises(DataError, match=r":3: feature index 4 is out of range 1 to 3"):
        read(tmp_path, text, allow_missing=True, width=3)
    with pytest.raises(DataError, match=r":1: feature index 2 comes after 3"):
        read(tmp_path, b"1 qid:1 3:1 2:1\n", allow_missing=True)
    with pytest.raises(DataError, match=r":1: feature index 65537 is out of range"):
        read(tmp_path, b"1 qid:1 65537:1\n", allow_missing=True)
    with pytest.raises(DataError, match="no features"):
        read(tmp_path, b"1 qid:1\n", allow_missing=True)


def test_too_wide_a_first_line_is_refused(tmp_path: Path):
    line = b"1 qid:1 " + b" ".join(b"%d:1" % index for index in range(1, 65538)) + b"\n"
    with pytest.raises(DataError, match=":1: 65537 features, but at most 65536"):
        read(tmp_path, line)


@pytest.mark.parametrize(
    ("name", "content", "line", "reason"),
    [
        ("empty.txt", b"", None, "no rows"),
        ("blank.txt", b"\n \r\n# nothing\n", None, "no rows"),
        ("empty.txt.gz", b"", None, "no rows"),
        ("packed.txt", gzip.compress(TWO), None, "end in .gz"),
        ("plain.txt.gz", TWO, 1, "damaged"),
        ("utf16.txt", TWO.decode().encode("utf-16"), 1, "byte 0xff at position 1 is not text"),
        ("crc.txt.gz", gzip.compress(TWO)[:-8] + b"\0" * 8, 3, "damaged"),
        ("tail.txt.gz", gzip.compress(TWO) + b"junk", 3, "damaged"),
    ],
    ids=["empty", "blank", "empty-gz", "gz-named-txt", "txt-named-gz", "utf-16", "checksum", "trailing-junk"],
)
def test_a_bad_file_is_refused(tmp_path: Path, name: str, content: bytes, line: int | None, reason: str):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=reason) as error:
        read_split(path)
    assert error.value.line == line


def test_a_truncated_gzip_is_refused_where_it_ends(tmp_path: Path):
    rng = np.random.default_rng(0)
    text = b"".join(b"0 qid:1 1:%d\n" % value for value in rng.integers(0, 10**9, 20_000))
    whole = gzip.compress(text)
    path = tmp_path / "train.txt.gz"
    path.write_bytes(whole)
    assert read_split(path).rows == 20_000
    for size in (len(whole) - 4, len(whole) // 2, 15):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match="truncated here") as error:
            read_split(path)
        assert error.value.line == pytest.approx(20_000 * size / len(whole), abs=600)


def test_no_file_and_no_permission_are_told_apart(tmp_path: Path):
    with pytest.raises(DataError, match="there is no such file"):
        read_split(tmp_path / "train.txt")
    with pytest.raises(DataError, match="cannot be read"):
        read_split(tmp_path)


def test_an_endless_line_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("training.text.MAX_LINE_BYTES", 1000)
    with pytest.raises(DataError, match=":3: a line of more than 1000 bytes"):
        read(tmp_path, TWO + b"1" * 2000, piece_bytes=64)


def test_progress_reaches_the_total(tmp_path: Path):
    seen: list[tuple[int, int]] = []
    for name in ("plain.txt", "packed.txt.gz"):
        seen.clear()
        path = write(tmp_path, TWO * 500, name)
        read_split(path, progress=lambda done, total: seen.append((done, total)), piece_bytes=1000)
        assert len(seen) > 5
        assert seen == sorted(seen)
        assert seen[-1] == (path.stat().st_size,) * 2


def fill(folder: Path, **files: bytes) -> Path:
    for name, text in files.items():
        write(folder, text, f"{name.removesuffix('_gz')}.txt" + (".gz" if name.endswith("_gz") else ""))
    return folder


def test_a_fold_is_read_plain_or_packed(tmp_path: Path):
    seen: list[tuple[int, int]] = []
    fill(tmp_path, train_gz=TWO, test=TWO.replace(b":7", b":8"))
    fold = read_fold(tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert fold.vali is None
    assert (fold.train.qids.tolist(), fold.test.qids.tolist()) == ([7], [8])
    assert seen[-1][0] == seen[-1][1] == sum(path.stat().st_size for path in tmp_path.iterdir())
    assert [name for name, _ in fold.splits] == ["train", "test"]
    with_vali = read_fold(fill(tmp_path, vali=TWO.replace(b":7", b":9")))
    assert with_vali.vali is not None
    assert with_vali.vali.qids.tolist() == [9]
    assert with_vali.sha256 != fold.sha256


def test_a_query_split_over_files_is_refused(tmp_path: Path):
    fill(tmp_path, train=TWO, test=b"1 qid:70 1:0 2:0\n" + TWO.replace(b"qid:7", b"qid:007"))
    with pytest.raises(DataError, match=r"query 7 is in train\.txt as well") as error:
        read_fold(tmp_path)
    assert (error.value.path.name, error.value.line) == ("test.txt", 2)
    fill(tmp_path, vali=TWO, test=TWO.replace(b":7", b":8"))
    with pytest.raises(DataError, match=r"vali\.txt:1: query 7 is in train\.txt"):
        read_fold(tmp_path)


def test_a_fold_with_files_missing_or_twice_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="there is no such folder"):
        read_fold(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"train\.txt: there is no such file"):
        read_fold(tmp_path)
    fill(tmp_path, train=TWO)
    with pytest.raises(DataError, match=r"test\.txt: there is no such file"):
        read_fold(tmp_path)
    fill(tmp_path, test=TWO, test_gz=TWO)
    with pytest.raises(DataError, match=r"test\.txt\.gz is there as well"):
        read_fold(tmp_path)


def test_the_folder_above_the_folds_is_pointed_out(tmp_path: Path):
    (tmp_path / "Fold1").mkdir()
    write(tmp_path / "Fold1", TWO)
    with pytest.raises(DataError, match=r"such as .*Fold1"):
        read_fold(tmp_path)


def test_splits_of_another_width_are_refused(tmp_path: Path):
    fill(tmp_path, train=TWO, test=b"1 qid:8 1:1\n")
    with pytest.raises(DataError, match=r"test\.txt:1: 1 features, but 2 are expected"):
        read_fold(tmp_path)


def test_select_and_concat(tmp_path: Path):
    split = read(tmp_path, b"0 qid:1 1:1\n1 qid:2 1:2\n2 qid:2 1:3\n3 qid:3 1:4\n")
    odd = split.select(np.array([True, False, True]))
    even = split.select(np.array([False, True, False]))
    assert (odd.qids.tolist(), odd.offsets.tolist(), odd.relevance.tolist()) == ([1, 3], [0, 1, 2], [0, 3])
    assert concat(even, odd).sha256 == split.sha256
    with pytest.raises(ValueError, match="query 1 is in both"):
        concat(odd, split)
    with pytest.raises(ValueError, match="3 queries"):
        split.select(np.array([True]))
    with pytest.raises(ValueError, match="1 features in one split, 2 in the other"):
        concat(odd, read(tmp_path, TWO))


@pytest.mark.parametrize(
    ("name", "rows", "queries", "labels"),
    [
        ("mslr-web10k-fold1-5k/train.txt.gz", 5000, 43, [2792, 1458, 665, 55, 30]),
        ("mslr-web10k-fold1-5k/test.txt.gz", 5000, 43, [2847, 1442, 579, 98, 34]),
        ("mslr-web30k-fold1-mini/train.txt.gz", 14302, 128, [8108, 4109, 1781, 215, 89]),
        ("mslr-web30k-fold1-mini/vali.txt.gz", 1837, 19, [1039, 518, 248, 27, 5]),
        ("mslr-web30k-fold1-mini/test.txt.gz", 1900, 18, [1023, 604, 243, 20, 10]),
    ],
)
def test_real_files(mslr_data: Path, name: str, rows: int, queries: int, labels: list[int]):
    path = mslr_data / name
    read_ = read_split(path)
    assert (read_.rows, read_.count, read_.width) == (rows, queries, 136)
    assert np.bincount(read_.relevance).tolist() == labels
    with gzip.open(path) as source:
        text = b"".join(source.readlines()[:600])
    fast = parse_fast(text, Rules())
    assert fast is not None, "real MSLR text must take the fast path"
    assert same(fast, parse_exact(text, Rules()))


# Numbers as people and programs write them, and exact float32 midpoints, where reading through a double shows.
NUMBERS = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr),
    st.floats(-3e38, 3e38).map(lambda value: f"{value:.25g}"),
    st.integers(0, 2**24).map(lambda value: str(2 * value + 1 + 2**25)),
    st.integers(-(10**9), 10**9).map(str),
    st.sampled_from(["+1", "-0", "1.", ".5", "1E5", "1e-400", "1e-45", "7.006492321624085e-46", "3.4028235e38", "007"]),
)


@st.composite
def texts(draw: st.DrawFn) -> tuple[str, list[int], list[int], list[list[str]]]:
    width = draw(st.integers(1, 6))
    count = draw(st.integers(1, 12))
    labels = draw(st.lists(st.integers(0, 31), min_size=count, max_size=count))
    qids = draw(st.lists(st.integers(0, 2**63 - 1) | st.integers(0, 3), min_size=count, max_size=count))
    row = st.lists(NUMBERS, min_size=width, max_size=width)
    rows = draw(st.lists(row, min_size=count, max_size=count))
    lines = (
        f"{label} qid:{qid} " + " ".join(f"{index}:{value}" for index, value in enumerate(values, 1))
        for label, qid, values in zip(labels, qids, rows, strict=True)
    )
    return "".join(f"{line}\n" for line in lines), labels, qids, rows


@given(texts())
def test_reading_gives_back_what_was_written(written: tuple[str, list[int], list[int], list[list[str]]]):
    text, labels, qids, rows = written
    read_ = parse(text.encode(), Rules())
    assert read_.relevance.tolist() == labels
    assert read_.qids.tolist() == qids
    assert bits(read_.features) == bits(np.array([[float(value) for value in row] for row in rows]).astype(np.float32))


@given(texts())
def test_both_paths_read_the_same_bits(written: tuple[str, list[int], list[int], list[list[str]]]):
    text = written[0].encode()
    fast = parse_fast(text, Rules())
    assert fast is not None
    assert same(fast, parse_exact(text, Rules()))


# Text near the grid, where the fast path must not take what the exact one refuses.
LABELS = ["1", "0", "+2", "-1", "", "1.0", "1e0", "2-"]
QIDS = ["qid:1", "qid:1", "qid:+3", "qid:1e1", "qid:", "did:1", "qid:9223372036854775808", "1:1"]
FEATURES = [
    "1:0",
    "2:1",
    "1:1",
    "01:5",
    "1.0:1",
    "+1:2",
    "2:1e",
    "1:.",
    "2:-",
    "1:1e5",
    "2:+.5",
    "2:1-1",
    "1:q",
    "2:e5",
]
LINE = st.tuples(
    st.sampled_from(LABELS), st.sampled_from(QIDS), st.lists(st.sampled_from(FEATURES), min_size=1, max_size=3)
)


@settings(max_examples=500)
@given(st.lists(LINE, min_size=1, max_size=3), st.booleans())
def test_the_fast_path_takes_nothing_that_the_exact_one_refuses(
    lines: list[tuple[str, str, list[str]]], allow_missing: bool
):
    text = "".join(f"{label} {qid} {' '.join(features)}\n" for label, qid, features in lines).encode()
    rules = Rules(allow_missing=allow_missing)
    fast = parse_fast(text, rules)
    if fast is not None:
        assert same(fast, parse_exact(text, rules))


@settings(max_examples=300)
@given(st.binary(max_size=200) | st.text("0123456789 :.\tqid\n\r#e-+", max_size=80).map(str.encode), st.booleans())
def test_no_bytes_raise_anything_but_bad_line(text: bytes, allow_missing: bool):
    try:
        parse(text, Rules(allow_missing=allow_missing))
    except BadLine as error:
        assert 0 <= error.line <= text.count(b"\n")


@settings(max_examples=100)
@given(content=st.binary(max_size=200), packed=st.booleans(), cut=st.integers(0, 40), real=st.booleans())
def test_no_file_raises_anything_but_data_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, packed: bool, cut: int, real: bool
):
    path = tmp_path_factory.getbasetemp() / ("any.txt.gz" if packed else "any.txt")
    text = gzip.compress(TWO * 3 + content) if real else content
    path.write_bytes(text[: len(text) - cut])
    try:
        read_split(path, piece_bytes=64)
    except DataError as error:
        assert error.path == path


def test_files_may_be_streams_and_lie_anywhere(data: Path, tmp_path: Path) -> None:
    streams: list[Path] = []
    for number, name in enumerate(("train", "vali", "test")):
        content = (data / f"{name}.txt").read_bytes()
        stream = tmp_path / (f"{number}.gz" if name == "vali" else str(number))
        os.mkfifo(stream)
        packed = gzip.compress(content) if name == "vali" else content
        threading.Thread(target=stream.write_bytes, args=[packed], daemon=True).start()
        streams.append(stream)
    assert read_files(*streams).sha256 == read_fold(data).sha256


def test_a_query_twice_in_streams_is_refused_without_reading_again(tmp_path: Path) -> None:
    streams = [tmp_path / "train", tmp_path / "test"]
    for stream in streams:
        os.mkfifo(stream)
        threading.Thread(target=stream.write_bytes, args=[b"1 qid:7 1:0\n"], daemon=True).start()
    with pytest.raises(DataError, match=r"test: query 7 is in train as well") as caught:
        read_files(streams[0], None, streams[1])
    assert caught.value.line is None
