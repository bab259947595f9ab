from __future__ import annotations

import socket
import struct

import pytest

from tests.engines import dns
from tests.engines.dns import Zone
from tests.engines.emulator import free_port

NAME = "rank-pods.podium.svc.cluster.local"


def query(name: str = NAME, kind: int = dns.A, payload: int | None = None) -> bytes:
    labels = b"".join(bytes((len(each),)) + each.encode() for each in name.split(".")) + b"\0"
    extra = b"" if payload is None else struct.pack("!BHHIH", 0, dns.OPT, payload, 0, 0)
    head = struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0 if payload is None else 1)
    return head + labels + struct.pack("!HH", kind, dns.IN) + extra


def read(answer: bytes) -> tuple[int, list[str]]:
    """Flags, and addresses."""
    number, flags, questions, answers, _, _ = struct.unpack_from("!6H", answer)
    assert (number, questions) == (7, 1)
    start = len(query())
    records = [answer[start + 16 * each : start + 16 * each + 16] for each in range(answers)]
    return flags, [socket.inet_ntoa(record[-4:]) for record in records]


def test_names_come_and_go():
    zone = Zone()
    assert read(zone.answer(query()))[0] & 0xF == dns.NO_SUCH_NAME
    zone.add(NAME, "127.0.0.2")
    zone.add(NAME, "127.0.0.3")
    zone.add(NAME, "127.0.0.2")
    flags, found = read(zone.answer(query(NAME.upper())))
    assert sorted(found) == ["127.0.0.2", "127.0.0.3"]
    assert flags == dns.ANSWER | dns.AUTHORITATIVE
    zone.remove(NAME, "127.0.0.3")
    zone.remove(NAME, "127.0.0.9")
    assert read(zone.answer(query()))[1] == ["127.0.0.2"]
    # There is the name, and nothing of another kind.
    assert read(zone.answer(query(kind=28))) == (dns.ANSWER | dns.AUTHORITATIVE, [])


@pytest.mark.parametrize(("payload", "fitting"), [(None, 28), (512, 28), (100, 28), (8192, 40)])
def test_an_answer_is_as_long_as_the_client_takes(payload: int | None, fitting: int):
    zone = Zone()
    zone.set(NAME, [f"127.0.0.{number}" for number in range(1, 41)])
    answer = zone.answer(query(payload=payload))
    flags, found = read(answer)
    assert len(answer) <= max(payload or 0, 512)
    assert len(found) == fitting
    assert bool(flags & dns.TRUNCATED) == (fitting < 40)


@pytest.mark.parametrize(
    "nonsense", [b"", b"x", b"\0" * 11, b"\0" * 12 + b"\x3f", query()[:-3], query()[:20], b"\xff" * 40]
)
def test_nonsense_ends_no_server(nonsense: bytes):
    zone, port = Zone(), free_port()
    zone.add(NAME, "127.0.0.2")
    with dns.serving(zone, port), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.sendto(nonsense, ("127.0.0.1", port))
        client.sendto(query(), ("127.0.0.1", port))
        answer = client.recv(4096)
        # A malformed head may well be answered; what matters is that the next is.
        while struct.unpack_from("!H", answer)[0] != 7:
            answer = client.recv(4096)
        assert read(answer)[1] == ["127.0.0.2"]
