from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from training.hosts import Hosts, HostsError
from training.peers import LINE_LIMIT, Peer, Refused, Terms, introduced, proof

HOSTS = Hosts(("127.0.0.1", "127.0.0.2"), "127.0.0.1")
TERMS = Terms("word")


@asynccontextmanager
async def connected() -> AsyncGenerator[tuple[Peer, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A peer, and the bare other side of its connection."""
    arrived: asyncio.Future[Peer] = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(
        lambda reader, writer: arrived.set_result(Peer(reader, writer)), "127.0.0.1", limit=LINE_LIMIT
    )
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    peer = await arrived
    try:
        yield peer, reader, writer
    finally:
        await peer.close()
        writer.close()
        await writer.wait_closed()
        server.close()


def test_messages_come_and_go_by_the_line() -> None:
    async def talk() -> None:
        async with connected() as (peer, reader, writer):
            peer.say_why("lost", "x" * 10_000, host="a")
            said = json.loads(await reader.readline())
            assert (said["kind"], said["host"], len(said["why"])) == ("lost", "a", 600)
            writer.write(b'{"kind": "alive"}\n{"kind":')
            assert await peer.receive(5) == {"kind": "alive"}
            with pytest.raises(TimeoutError):
                await peer.receive(0.05)
            writer.write(b' "done"}\n')
            assert await peer.receive(5) == {"kind": "done"}
            writer.close()
            with pytest.raises(OSError, match="the connection closed"):
                await peer.receive(5)

    asyncio.run(talk())


@pytest.mark.parametrize(
    "line",
    [b"\n", b"hello\n", b"[]\n", b'"alive"\n', b'{"kind": 1}\n', b"\xff\n", b"[" * 10_000 + b"\n", b"x" * 2**17],
    ids=lambda line: repr(line[:12]),
)
def test_what_is_no_message_is_a_value_error(line: bytes) -> None:
    async def talk() -> None:
        async with connected() as (peer, _, writer):
            writer.write(line)
            with pytest.raises(ValueError):
                await peer.receive(5)

    asyncio.run(talk())


def test_a_proof_is_good_once_for_one_name_and_one_word() -> None:
    async def introduce(answer: dict[str, str], known: list[str] | None = None, terms: Terms = TERMS) -> str:
        async with connected() as (here, reader, writer):
            asking = asyncio.create_task(introduced(here, HOSTS, terms, known or []))
            nonce = json.loads(await reader.readline())["nonce"]
            told = {"host": "127.0.0.2", "hosts": ",".join(HOSTS.names), "nonce": nonce, "word": "word", **answer}
            signed = answer.get("proof") or proof(told["word"], told["nonce"], told.get("signed", told["host"]))
            writer.write(json.dumps({**told, "proof": signed}).encode() + b"\n")
            return await asking

    assert asyncio.run(introduce({})) == "127.0.0.2"
    for answer in ({"word": "other"}, {"nonce": "earlier"}, {"signed": "127.0.0.3"}, {"proof": "0"}, {"proof": "é"}):
        with pytest.raises(Refused, match="its token is not that of"):
            asyncio.run(introduce(answer))
    with pytest.raises(Refused, match=r"127\.0\.0\.1 is here already"):
        asyncio.run(introduce({"host": "127.0.0.1"}))
    with pytest.raises(Refused, match=r"127\.0\.0\.2 is here already"):
        asyncio.run(introduce({}, ["127.0.0.2"]))
    with pytest.raises(Refused, match=r"127\.0\.0\.9 is none of the hosts"):
        asyncio.run(introduce({"host": "127.0.0.9"}))
    with pytest.raises(HostsError, match=r"127\.0\.0\.2 was told of the hosts 127\.0\.0\.2, 127\.0\.0\.1 of 127"):
        asyncio.run(introduce({"hosts": "127.0.0.2"}))
