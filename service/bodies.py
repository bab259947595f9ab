"""Request bodies: read within a limit, and unpacked within the same limit."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from service.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request

# What zlib calls the two. A client that says deflate means zlib's own format, as RFC 9110 does (8.4.1.2).
_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


async def read_body(request: Request, limit: int, *, unpack: bool = False) -> bytes:
    """The body of `request`, unpacked as its Content-Encoding says if `unpack`; `limit` is for both sizes.

    Raises:
        Problem: 413, before reading if the client says how much it sends, else as soon as it is too much;
            415 for an encoding that is not taken, or bytes that are not of it.
        ClientDisconnect: the client left while sending.
    """
    unpacker = _unpacker(request, limit) if unpack else None
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > 18 or int(declared) > limit):
        raise _too_large(limit)
    size = 0
    chunks: list[bytes] = []
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk if unpacker is None else unpacker.feed(chunk))
    if unpacker is not None:
        unpacker.end()
    # A body that came in one piece is not copied; the stream ends with an empty one.
    whole = [chunk for chunk in chunks if chunk]
    return whole[0] if len(whole) == 1 else b"".join(whole)


class Unpacker:
    """Unpacks a body as it comes, and never more than `limit` bytes of it: a kilobyte can stand for a megabyte.

    Args:
        encoding: a key of `_WINDOWS`.
    """

    def __init__(self, encoding: str, limit: int) -> None:
        self._encoding = encoding
        self._limit = limit
        self._left = limit
        self._stream = zlib.decompressobj(_WINDOWS[encoding])

    def feed(self, chunk: bytes) -> bytes:
        """
        Raises:
            Problem: 413 when it unpacks to more than the limit, 415 when it is not of the encoding.
        """
        if not chunk:
            return b""
        try:
            # One byte more than is left tells too much from just enough. Zero would mean no bound at all.
            unpacked = self._stream.decompress(chunk, self._left + 1)
        except zlib.error:
            raise self._refusal("the body is not") from None
        self._left -= len(unpacked)
        if self._left < 0:
            raise _too_large(self._limit)
        if self._stream.unused_data:
            raise self._refusal("the body goes on after what is")
        return unpacked

    def end(self) -> None:
        """
        Raises:
            Problem: 415 when the body ended too early.
        """
        if not self._stream.eof:
            raise self._refusal("the body ends in the middle of what is")

    def _refusal(self, what: str) -> Problem:
        return Problem("unsupported-media-type", f"{what} {self._encoding}, which Content-Encoding says it is")


def _unpacker(request: Request, limit: int) -> Unpacker | None:
    given = request.headers.get("content-encoding", "identity")
    encoding = given.strip().lower()
    if encoding == "identity":
        return None
    if encoding not in _WINDOWS:
        raise Problem(
            "unsupported-media-type", f"the body is encoded as {given[:100]!r}: send gzip, deflate, or as it is"
        )
    return Unpacker(encoding, limit)


def _too_large(limit: int) -> Problem:
    return Problem("body-too-large", f"this service takes at most {limit} bytes a body", members={"max_bytes": limit})
