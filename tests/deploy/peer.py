"""A pod that does what a test asks of it: closes without an answer, refuses, shows what it was sent."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Peer:
    """`behave` gives the answer to a request, or None for a connection that ends without one."""

    behave: Callable[[str, bytes], Answer | None]
    seen: Counter[str] = field(default_factory=Counter[str])
    headers: dict[str, str] = field(default_factory=dict[str, str])
    lock: threading.Lock = field(default_factory=threading.Lock)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    peer: Peer

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:
            # The gateway has what it wanted, or has given up.
            self.close_connection = True

    def do_GET(self) -> None:
        if self.path == "/readyz":
            self._send((200, {}, b"{}"))
        else:
            self._meet(b"")

    def do_POST(self) -> None:
        self._meet(self.rfile.read(int(self.headers["content-length"])))

    def _meet(self, body: bytes) -> None:
        with self.peer.lock:
            self.peer.seen[self.headers.get("x-request-id", "")] += 1
            self.peer.headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.peer.behave(self.path, body)
        if answer is None:
            self.close_connection = True
            return
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        code, headers, body = answer
        self.send_response(code)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def peer(address: str, port: int, behave: Callable[[str, bytes], Answer | None]) -> Generator[Peer]:
    found = Peer(behave)
    server = ThreadingHTTPServer((address, port), type("Bound", (Handler,), {"peer": found}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
