"""Lines of a stream, plain or gzip, in bounded memory: one line that is too long costs no more than its end."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

GZIP = ".gz"
SKIP = 1 << 16


class BadStream(ValueError):
    """The bytes are not of their encoding, and will not be the next time. `line` is the one that could not be read."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


@dataclass(frozen=True)
class Line:
    """`text` is None if the line is longer than was allowed. Numbers start at 1 and count blank lines."""

    number: int
    text: bytes | None


def lines(body: BinaryIO, name: str, limit: int) -> Iterator[Line]:
    """The lines of `body` that are not blank, unpacked if `name` says that it is gzip.

    Raises:
        BadStream: it is no gzip, or ends in the middle.
        Exception: what reading `body` raises.
    """
    number = 0
    # A stream of the network gives what has come; gzip takes that for the end of its header.
    source = cast(BinaryIO, io.BufferedReader(cast(Any, body), SKIP))
    if name.endswith(GZIP):
        source = cast(BinaryIO, gzip.GzipFile(fileobj=source))
    try:
        while piece := source.readline(limit + 1):
            number += 1
            if len(piece) > limit and not piece.endswith(b"\n"):
                _skip(source)
                yield Line(number, None)
            elif text := piece.strip(b" \t\r\n"):
                yield Line(number, text)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise BadStream(number + 1, f"{name} is no whole gzip file: {error}") from error


def _skip(source: BinaryIO) -> None:
    while (piece := source.readline(SKIP)) and not piece.endswith(b"\n"):
        pass
