"""A connection between the supervisors of two hosts, and how they recognise each other.

It listens on the training network, so nothing counts before a proof that the token is known, and lines are bounded.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import socket
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, cast

from training.hosts import Hosts, HostsError

LINE_LIMIT = 16 * 1024
REASON_LIMIT = 600
ANSWER_WITHIN = 5.0
RETRY_AFTER = 0.1


@dataclass(frozen=True)
class Terms:
    """What the hosts have agreed on beforehand; the same on each."""

    token: str
    """Shared by the hosts of one job, so that no stranger's connection and no other job's counts."""
    port: int = 9100
    """The supervisors', on the first host. The workers have the next, and their tracker one of the 16 after that."""
    join_within: float = 600.0
    silent_for: float = 10.0
    """Seconds. Long beside a beat: a false alarm costs the whole job, and a killed process is noticed without it."""


class Refused(ValueError):
    """Whoever connected is no host of this job, or one too many."""


class Peer:
    """The other side: JSON objects of strings come and go, a line each."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def address(self) -> str:
        return str((self._writer.get_extra_info("peername") or ["?"])[0])

    def send(self, **message: str) -> None:
        if not self._writer.is_closing():
            self._writer.write(json.dumps(message).encode() + b"\n")

    def say_why(self, kind: str, why: str, **more: str) -> None:
        self.send(kind=kind, why=why[:REASON_LIMIT], **more)

    async def receive(self, within: float) -> dict[str, str]:
        """Raises TimeoutError, OSError when the connection is gone, ValueError for what is no message."""
        async with asyncio.timeout(within):
            line = await self._reader.readline()
        if not line.endswith(b"\n"):
            raise ConnectionResetError("the connection closed")
        try:
            found: object = json.loads(line)
        except RecursionError:
            raise ValueError("nested too deep") from None
        if not isinstance(found, dict):
            raise ValueError("not an object")  # noqa: TRY004
        message = cast(dict[str, Any], found)
        if not all(isinstance(value, str) for value in message.values()):
            raise ValueError("not an object of strings")
        return message

    async def close(self) -> None:
        try:
            async with asyncio.timeout(0.5):
                await self._writer.drain()
                self._writer.close()
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            self._writer.transport.abort()


async def connect(hosts: Hosts, terms: Terms) -> Peer:
    """Connects to the first host, as soon as it listens, and says who this is."""
    while True:
        try:
            reader, writer = await asyncio.open_connection(address(hosts.first), terms.port, limit=LINE_LIMIT)
        except (OSError, HostsError):
            await asyncio.sleep(RETRY_AFTER)
            continue
        peer = Peer(reader, writer)
        try:
            nonce = (await peer.receive(ANSWER_WITHIN))["nonce"]
        except (OSError, TimeoutError, ValueError, KeyError):
            await peer.close()
            await asyncio.sleep(RETRY_AFTER)
            continue
        signed = proof(terms.token, nonce, hosts.current)
        peer.send(kind="here", host=hosts.current, hosts=",".join(hosts.names), proof=signed)
        return peer


async def introduced(peer: Peer, hosts: Hosts, terms: Terms, known: Collection[str]) -> str:
    """The name of the host that has connected, which knows the token.

    Raises:
        Refused: it knows another token, or is one of the `known` hosts or this one.
        HostsError: it knows the token and was told of other hosts.
        OSError, TimeoutError, ValueError: it does not say who it is.
    """
    nonce = secrets.token_hex(16)
    peer.send(kind="who", nonce=nonce)
    answer = await peer.receive(ANSWER_WITHIN)
    name, told, signed = (answer.get(key, "") for key in ("host", "hosts", "proof"))
    if not hmac.compare_digest(signed.encode(), proof(terms.token, nonce, name).encode()):
        raise Refused(f"its token is not that of {hosts.current}")
    if told != ",".join(hosts.names):
        raise HostsError(f"{name} was told of the hosts {told}, {hosts.current} of {','.join(hosts.names)}")
    if name not in hosts.names:
        raise Refused(f"{name} is none of the hosts {told}")
    if name == hosts.current or name in known:
        raise Refused(f"{name} is here already: start one process on each host")
    return name


def address(host: str) -> str:
    try:
        return socket.gethostbyname(host)
    except OSError as error:
        raise HostsError(f"host {host} has no address: {error}") from None


def proof(token: str, nonce: str, host: str) -> str:
    return hmac.digest(token.encode(), f"podium {nonce} {host}".encode(), "sha256").hex()
