"""Universal Binary JSON (draft 12), as far as XGBoost writes it.

XGBoost 3.2 ends the whole process on some truncated models instead of raising. Reading the bytes here first
turns that into an error, and gives the trees as arrays without a detour over JSON text.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

MAX_DEPTH = 64

# Numbers are big-endian.
_ARRAYS = {b"i": ">i1", b"U": ">u1", b"I": ">i2", b"l": ">i4", b"L": ">i8", b"d": ">f4", b"D": ">f8"}
_SCALARS = {
    marker: struct.Struct(form)
    for marker, form in zip(_ARRAYS, (">b", ">B", ">h", ">i", ">q", ">f", ">d"), strict=True)
}
_LENGTHS = frozenset((b"i", b"U", b"I", b"l", b"L"))
_CONSTANTS = {b"T": True, b"F": False, b"Z": None}


def decode(data: bytes) -> Any:
    """The document as dicts, lists, strings and numbers; a typed array as a numpy array.

    Raises:
        ValueError: it ends early, goes on after its end, or holds a marker that UBJSON does not have.
    """
    reader = _Reader(data)
    try:
        value = reader.value(reader.take(1), 0)
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {reader.position}: {error}") from error
    if reader.position != len(data):
        raise ValueError(f"the document ends at byte {reader.position} of {len(data)}")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def take(self, count: int) -> bytes:
        end = self.position + count
        if count < 0 or end > len(self.data):
            raise ValueError(f"byte {self.position}: the document ends early, at byte {len(self.data)}")
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def value(self, marker: bytes, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise ValueError(f"byte {self.position}: nested more than {MAX_DEPTH} deep")
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        if marker in _SCALARS:
            return self.scalar(marker)
        if marker == b"S":
            return self.text()
        if marker == b"{":
            return self.fields(depth)
        if marker == b"[":
            return self.items(depth)
        raise ValueError(f"byte {self.position - 1}: {marker!r} starts no value")

    def scalar(self, marker: bytes) -> Any:
        form = _SCALARS[marker]
        return form.unpack(self.take(form.size))[0]

    def numbers(self, marker: bytes, count: int) -> Any:
        if marker not in _ARRAYS:
            raise ValueError(f"byte {self.position}: {marker!r} is no number type")
        dtype = np.dtype(_ARRAYS[marker])
        return np.frombuffer(self.take(count * dtype.itemsize), dtype).astype(dtype.newbyteorder("="))

    def length(self) -> int:
        marker = self.take(1)
        if marker not in _LENGTHS:
            raise ValueError(f"byte {self.position - 1}: {marker!r} is no length")
        return self.scalar(marker)

    def text(self) -> str:
        return self.take(self.length()).decode()

    def fields(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while (marker := self.take(1)) != b"}":
            self.position -= len(marker)
            key = self.text()
            found[key] = self.value(self.take(1), depth + 1)
        return found

    def items(self, depth: int) -> Any:
        marker = self.take(1)
        if marker == b"$":
            kind = self.take(1)
            if self.take(1) != b"#":
                raise ValueError(f"byte {self.position - 1}: a typed array needs its count")
            return self.numbers(kind, self.length())
        if marker == b"#":
            return [self.value(self.take(1), depth + 1) for _ in range(self.length())]
        found: list[Any] = []
        while marker != b"]":
            found.append(self.value(marker, depth + 1))
            marker = self.take(1)
        return found
