from __future__ import annotations

import asyncio
import gzip
import random
import tracemalloc
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from service.bodies import Unpacker, read_body
from service.problems import Problem

LIMIT = 10_000
PACKED = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress}


def read(chunks: Sequence[bytes], headers: Mapping[str, str], *, unpack: bool = True) -> bytes:
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    request = Request({"type": "http", "headers": pairs}, receive)
    return asyncio.run(read_body(request, LIMIT, unpack=unpack))


@pytest.mark.parametrize("encoding", list(PACKED))
@pytest.mark.parametrize("body", [b"", b"{}", bytes(LIMIT), random.Random(0).randbytes(9000)])
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_what_was_packed_is_read(encoding: str, body: bytes, step: int):
    packed = PACKED[encoding](body)
    assert read([packed[at : at + step] for at in range(0, len(packed), step)], {"content-encoding": encoding}) == body
    assert read([packed], {"content-encoding": f" {encoding.upper()} "}) == body


@pytest.mark.parametrize("given_", [{}, {"content-encoding": "identity"}])
def test_a_body_that_is_not_packed_is_itself_and_one_piece_is_not_copied(given_: dict[str, str]):
    body = b"x" * LIMIT
    assert read([body], given_) is body
    assert read([b"a", b"", b"b"], given_) == b"ab"
    assert read([], given_) == b""


def test_unpacking_must_be_asked_for():
    packed = gzip.compress(b"{}")
    assert read([packed], {"content-encoding": "gzip"}, unpack=False) == packed


BOMB = gzip.compress(bytes(50_000_000))
REFUSED: list[tuple[str, str, list[bytes], dict[str, str]]] = [
    ("too large as it comes", "body-too-large", [bytes(LIMIT), b"x"], {}),
    ("declared too large", "body-too-large", [], {"content-length": str(LIMIT + 1)}),
    ("declared absurdly large", "body-too-large", [], {"content-length": "9" * 4000}),
    ("a byte more once unpacked", "body-too-large", [gzip.compress(bytes(LIMIT + 1))], {"content-encoding": "gzip"}),
    ("packed itself too large", "body-too-large", [BOMB], {"content-encoding": "gzip"}),
    ("a bomb", "body-too-large", [BOMB[:9000]], {"content-encoding": "gzip"}),
    ("a bomb of zlib", "body-too-large", [zlib.compress(bytes(5_000_000))], {"content-encoding": "deflate"}),
    ("no gzip", "unsupported-media-type", [b"{}"], {"content-encoding": "gzip"}),
    ("zlib as gzip", "unsupported-media-type", [zlib.compress(b"{}")], {"content-encoding": "gzip"}),
    ("gzip as zlib", "unsupported-media-type", [gzip.compress(b"{}")], {"content-encoding": "deflate"}),
    ("cut off", "unsupported-media-type", [gzip.compress(b"{}")[:-1]], {"content-encoding": "gzip"}),
    ("empty", "unsupported-media-type", [], {"content-encoding": "gzip"}),
    ("goes on", "unsupported-media-type", [gzip.compress(b"{}") + b"x"], {"content-encoding": "gzip"}),
    ("goes on later", "unsupported-media-type", [gzip.compress(b"{}"), b"x"], {"content-encoding": "gzip"}),
    ("wrong sum", "unsupported-media-type", [gzip.compress(b"{}")[:-8] + bytes(8)], {"content-encoding": "gzip"}),
    ("brotli", "unsupported-media-type", [b"{}"], {"content-encoding": "br"}),
    ("twice", "unsupported-media-type", [b"{}"], {"content-encoding": "gzip, gzip"}),
]


@pytest.mark.parametrize(("slug", "chunks", "headers"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_is_refused(slug: str, chunks: list[bytes], headers: dict[str, str]):
    with pytest.raises(Problem) as caught:
        read(chunks, headers)
    assert caught.value.slug == slug


def test_a_bomb_takes_no_more_memory_than_the_limit():
    tracemalloc.start()
    try:
        with pytest.raises(Problem):
            Unpacker("gzip", LIMIT).feed(BOMB)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < len(BOMB) + 10 * LIMIT


@given(st.lists(st.binary(max_size=50), max_size=5), st.sampled_from(list(PACKED)))
def test_random_bytes_are_read_or_refused(chunks: list[bytes], encoding: str):
    try:
        read(chunks, {"content-encoding": encoding})
    except Problem as problem:
        assert problem.slug == "unsupported-media-type"
