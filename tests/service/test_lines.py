import gzip
import io
from typing import BinaryIO, cast

import pytest

from service.lines import BadStream, Line, lines

TEXT = b'{"a":1}\n\n  \r\n{"b":2}\r\nlast'
FOUND = [Line(1, b'{"a":1}'), Line(4, b'{"b":2}'), Line(5, b"last")]


class Drip(io.RawIOBase):
    """Gives a few bytes at a time, as a network does."""

    def __init__(self, data: bytes) -> None:
        self.data = io.BytesIO(data)
        self.most = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.most = max(self.most, len(buffer))
        return self.data.readinto(buffer[:7])


def read(data: bytes, name: str = "a.ndjson", limit: int = 100) -> list[Line]:
    return list(lines(cast(BinaryIO, Drip(data)), name, limit))


def test_lines_are_numbered_as_an_editor_does() -> None:
    assert read(TEXT) == FOUND


def test_gzip_reads_the_same() -> None:
    assert read(gzip.compress(TEXT), "a.ndjson.gz") == FOUND
    # Parts that were packed one by one are one file.
    assert read(gzip.compress(TEXT[:9]) + gzip.compress(TEXT[9:]), "a.ndjson.gz") == FOUND


def test_an_empty_file_has_no_lines() -> None:
    assert read(b"") == read(b"\n\n") == read(gzip.compress(b""), "a.gz") == []


@pytest.mark.parametrize("name", ["a.ndjson", "a.ndjson.gz"])
def test_a_line_that_is_too_long_costs_only_itself(name: str) -> None:
    text = b"x" * 10 + b"\n" + b"y" * 11 + b"\n" + b"z" * 300_000 + b"\n" + b"w" * 10
    data = gzip.compress(text) if name.endswith(".gz") else text
    assert read(data, name, 10) == [Line(1, b"x" * 10), Line(2, None), Line(3, None), Line(4, b"w" * 10)]


def test_the_last_line_may_be_too_long() -> None:
    assert read(b"ok\n" + b"x" * 11, limit=10) == [Line(1, b"ok"), Line(2, None)]


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"no gzip at all", 1),
        (gzip.compress(TEXT)[:-9], None),
        (gzip.compress(b"a\n" * 10)[:-6] + b"\0\0\0\0\0\0", None),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\0garbage", None),
    ],
)
def test_a_broken_gzip_is_refused_with_the_line_it_broke_at(data: bytes, line: int | None) -> None:
    with pytest.raises(BadStream, match=r"a\.ndjson\.gz is no whole gzip file") as refused:
        read(data, "a.ndjson.gz")
    assert refused.value.line == line or line is None


def test_what_reading_raises_is_not_taken_for_a_broken_file() -> None:
    class Lost(Drip):
        def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        list(lines(cast(BinaryIO, Lost(b"")), "a.ndjson.gz", 10))
