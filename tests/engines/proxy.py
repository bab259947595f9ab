"""A proxy before an HTTP server that does to a request what networks and busy stores do, over real sockets."""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.engines.emulator import free_port

HOP_BY_HOP = frozenset({"connection", "expect", "keep-alive", "transfer-encoding"})


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def relay(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        fault = self.proxy.fault_for(f"{self.command} {self.path}")
        (fault or passing)(self, body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = relay  # noqa: N815

    def forward(self, body: bytes) -> tuple[HTTPResponse, bytes]:
        connection = HTTPConnection("127.0.0.1", self.proxy.upstream, timeout=30)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        try:
            connection.request(self.command, self.path, body or None, headers)
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    def answer(self, response: HTTPResponse, data: bytes, length: int | None = None) -> None:
        self.send_response(response.status)
        for name, value in response.getheaders():
            if name.lower() not in {*HOP_BY_HOP, "content-length", "date", "server"}:
                self.send_header(name, value)
        declared = response.headers["content-length"] if self.command == "HEAD" else str(len(data))
        self.send_header("content-length", declared if length is None else str(length))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


Fault = Callable[[Handler, bytes], None]


@dataclass
class Proxy:
    """Hands requests on to the port `upstream`, but for those that `faults` say something else about."""

    upstream: int
    port: int
    seen: list[str] = field(default_factory=list[str])
    faults: list[tuple[re.Pattern[str], int, Fault]] = field(default_factory=list[tuple[re.Pattern[str], int, Fault]])
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def fail(self, fault: Fault, times: int = 1_000_000, what: str = "") -> None:
        """The next `times` requests whose `METHOD /path` matches `what` meet `fault`; it replaces the one before."""
        with self.lock:
            self.faults = [(re.compile(what), times, fault)]

    def fault_for(self, request: str) -> Fault | None:
        with self.lock:
            self.seen.append(request)
            for index, (pattern, times, fault) in enumerate(self.faults):
                if pattern.search(request) and times:
                    self.faults[index] = (pattern, times - 1, fault)
                    return fault
        return None


@contextmanager
def proxied(url: str) -> Generator[Proxy]:
    proxy = Proxy(int(url.rpartition(":")[2]), free_port())
    handler = type("Bound", (Handler,), {"proxy": proxy})
    server = ThreadingHTTPServer(("127.0.0.1", proxy.port), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def passing(handler: Handler, body: bytes) -> None:
    handler.answer(*handler.forward(body))


def error(status: int, code: str, message: str = "said so", **headers: str) -> Fault:
    """What S3 answers: a status, and a document with a code."""

    def fault(handler: Handler, _: bytes) -> None:
        data = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
        data = b"" if handler.command == "HEAD" else data
        handler.send_response_only(status)
        for name, value in {"content-type": "application/xml", "content-length": str(len(data)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data)

    return fault


def reset(handler: Handler, _: bytes) -> None:
    """The connection breaks at once, as when a host dies."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def silence(handler: Handler, _: bytes) -> None:
    """No answer, until the client has given up."""
    handler.connection.settimeout(30)
    handler.connection.recv(1)
    handler.close_connection = True


def stalled(handler: Handler, body: bytes) -> None:
    """Half of a body, then nothing."""
    response, data = handler.forward(body)
    handler.answer(response, data[: len(data) // 2], len(data))
    silence(handler, body)


def truncated(handler: Handler, body: bytes) -> None:
    """Half of a body, then the end."""
    response, data = handler.forward(body)
    handler.answer(response, data[: len(data) // 2], len(data))
    handler.close_connection = True


def flipped(handler: Handler, body: bytes) -> None:
    """One bit of the body is another."""
    response, data = handler.forward(body)
    handler.answer(response, bytes((*data[:-1], data[-1] ^ 1)))


def done_and_lost(handler: Handler, body: bytes) -> None:
    """What was asked for is done, and the answer does not arrive."""
    handler.forward(body)
    reset(handler, body)


def no_xml(handler: Handler, _: bytes) -> None:
    handler.send_response(200)
    handler.send_header("content-length", "9")
    handler.end_headers()
    handler.wfile.write(b"<html>hi!"[:9])
