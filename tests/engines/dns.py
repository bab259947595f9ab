"""A name server on this machine: A records over UDP, as a cluster's for its headless Services."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager

A, OPT, IN = 1, 41, 1
TTL = 1
ANSWER, AUTHORITATIVE, TRUNCATED = 0x8000, 0x0400, 0x0200
NO_SUCH_NAME = 3
SMALLEST = 512


class Zone:
    """Names with their addresses. They may change at any time; no address is no such name, as of a headless Service
    without a Ready pod."""

    def __init__(self) -> None:
        self.asked = 0
        self._names: dict[str, tuple[str, ...]] = {}
        self._lock = threading.Lock()

    def set(self, name: str, addresses: Sequence[str]) -> None:
        with self._lock:
            self._names[name.lower()] = tuple(addresses)

    def add(self, name: str, address: str) -> None:
        with self._lock:
            others = [each for each in self._names.get(name, ()) if each != address]
            self._names[name] = (*others, address)

    def remove(self, name: str, address: str) -> None:
        with self._lock:
            self._names[name] = tuple(each for each in self._names.get(name, ()) if each != address)

    def addresses(self, name: str) -> tuple[str, ...]:
        with self._lock:
            return self._names.get(name.lower(), ())

    def answer(self, query: bytes) -> bytes:
        """A response; to what is no query an IndexError or struct.error."""
        number, _, questions, _, _, more = struct.unpack_from("!6H", query)
        name, kind, end = _question(query)
        room = _payload(query, end) if more else SMALLEST
        found = self.addresses(name)
        self.asked += 1
        records = [_record(address) for address in found] if kind == A else []
        flags = ANSWER | AUTHORITATIVE | (0 if found else NO_SUCH_NAME)
        extra = struct.pack("!BHHIH", 0, OPT, room, 0, 0) if more else b""
        fitting = max(0, room - end - len(extra)) // 16
        if len(records) > fitting:
            # Who is answered so asks again by TCP, or does with less.
            records, flags = records[:fitting], flags | TRUNCATED
        head = struct.pack("!6H", number, flags, questions, len(records), 0, 1 if more else 0)
        return head + query[12:end] + b"".join(records) + extra


@contextmanager
def serving(zone: Zone, port: int) -> Generator[str]:
    """Answers on a thread of its own, so that a busy event loop makes no name late. Yields host:port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", port))
        listener.settimeout(0.1)
        ended = threading.Event()
        thread = threading.Thread(target=_answering, args=(listener, zone, ended))
        thread.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            ended.set()
            thread.join()


def _answering(listener: socket.socket, zone: Zone, ended: threading.Event) -> None:
    while not ended.is_set():
        try:
            query, sender = listener.recvfrom(4096)
            listener.sendto(zone.answer(query), sender)
        except TimeoutError:
            continue
        except (struct.error, IndexError, OSError):
            # Nonsense, or somebody who has gone: a name server outlives both.
            continue


def _question(query: bytes) -> tuple[str, int, int]:
    place, labels = 12, list[str]()
    while length := query[place]:
        labels.append(query[place + 1 : place + 1 + length].decode("ascii", "replace").lower())
        place += 1 + length
    (kind,) = struct.unpack_from("!H", query, place + 1)
    return ".".join(labels), kind, place + 5


def _payload(query: bytes, place: int) -> int:
    root, kind, size = struct.unpack_from("!BHH", query, place)
    return max(size, SMALLEST) if not root and kind == OPT else SMALLEST


def _record(address: str) -> bytes:
    # The name is a pointer to the question's.
    return struct.pack("!HHHIH", 0xC00C, A, IN, TTL, 4) + socket.inet_aton(address)
