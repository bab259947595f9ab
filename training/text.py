"""Text files in pieces of whole lines, plain or gzip-compressed: what a reader of many gigabytes works on."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BufferedReader
from pathlib import Path
from typing import Any

PIECE_BYTES = 16 * 1024 * 1024
MAX_LINE_BYTES = 16 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_GZIP_MAGIC = b"\x1f\x8b"
_DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error)


class DataError(ValueError):
    """Data that cannot be used: which file, which line (from 1; None when it is about the file), why, what to do."""

    def __init__(self, path: Path, line: int | None, reason: str) -> None:
        super().__init__(f"{path}:{line}: {reason}" if line is not None else f"{path}: {reason}")
        self.path = path
        self.line = line
        self.reason = reason


class Digested(io.FileIO):
    """A file to read from its beginning to its end, and the SHA-256 of what was read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.sha256 = hashlib.sha256()

    def readinto(self, buffer: Any, /) -> int:
        count = super().readinto(buffer) or 0
        self.sha256.update(memoryview(buffer)[:count])
        return count


def digested(path: Path) -> Digested:
    """Raises DataError."""
    try:
        return Digested(path)
    except OSError as error:
        raise unreadable(path, error) from None


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(path, None, "there is no such file; check the path")
    return DataError(path, None, f"cannot be read ({error.strerror or error}); check what it is and its permissions")


def pieces(
    path: Path, piece_bytes: int = PIECE_BYTES, opened: io.FileIO | None = None
) -> Iterator[tuple[bytes, int, int]]:
    """Whole lines, about `piece_bytes` at a time, the number of the first, and the file's bytes consumed (0: a stream).

    They come from `opened`, at its start, where that is given. Raises DataError.
    """
    try:
        with BufferedReader(opened or io.FileIO(path)) as raw:
            if path.suffix != ".gz" and raw.peek(2).startswith(_GZIP_MAGIC):
                raise DataError(path, None, "the content is gzip-compressed; let its name end in .gz")
            for text, line in _whole_lines(path, raw, piece_bytes):
                yield text, line, raw.tell() if raw.seekable() else 0
    except OSError as error:
        raise unreadable(path, error) from None


def ahead(texts: Iterator[tuple[bytes, int, int]]) -> Generator[tuple[bytes, int, int]]:
    """The same, the next piece being read and hashed while the last one is used. Close it when it is left early."""
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, texts, None)
        while (piece := following.result()) is not None:
            following = pool.submit(next, texts, None)
            yield piece


def _whole_lines(path: Path, raw: BufferedReader[io.FileIO], piece_bytes: int) -> Iterator[tuple[bytes, int]]:
    source = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
    line, rest = 1, b""
    while True:
        more, damage = _fill(source, piece_bytes)
        text = rest + more
        if line == 1:
            text = text.removeprefix(_BOM)
        cut = text.rfind(b"\n") + 1
        if cut:
            yield text[:cut], line
        line += text.count(b"\n")
        rest = text[cut:]
        if damage is not None:
            raise DataError(path, line, f"{_damage_reason(damage)}; fetch or compress the file again")
        if len(rest) > MAX_LINE_BYTES:
            raise DataError(path, line, f"a line of more than {MAX_LINE_BYTES} bytes; this is not LETOR text")
        if not more:
            break
    if rest:
        yield rest + b"\n", line


def _fill(source: BufferedReader[io.FileIO] | gzip.GzipFile, size: int) -> tuple[bytes, Exception | None]:
    """Up to `size` bytes; what was read before the damage, and the damage, of a broken gzip stream."""
    chunks: list[bytes] = []
    while size > 0:
        try:
            chunk = source.read1(size)
        except _DAMAGE as error:
            return b"".join(chunks), error
        if not chunk:
            break
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks), None


def _damage_reason(error: Exception) -> str:
    if isinstance(error, EOFError):
        return "the gzip stream is truncated here"
    return f"the gzip stream is damaged at or after this line ({error})"
