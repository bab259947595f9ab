"""Files over HTTP, by `sendfile`, with as much of S3 as a fetch needs.

`python -m tests.bench.fileserver PORT FOLDER SECONDS`: each megabyte of a request takes SECONDS more.

An emulator reads, hashes and checks in Python, on the cores that the client needs. Here the server is not what is slow:
a plain client and ours ask the same process for the same file. Nobody is asked who they are.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from tests.conftest import ROOT
from tests.engines.emulator import free_port

OBJECT = (
    "<Contents><Key>{}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>x</ETag><Size>{}</Size>"
    "</Contents>"
)


# Of a slow answer, so that it trickles and does not come at once after a pause.
PIECE = 64 << 10


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # The head and the file are two writes: the second would wait for the client to acknowledge the first.
    disable_nagle_algorithm = True
    folder: Path
    seconds: float

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        path = self.folder / unquote(url.path).lstrip("/")
        if "list-type=2" in url.query:
            self._list(path, parse_qs(url.query).get("prefix", [""])[0])
        elif path.is_file():
            self._send(path)
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"<Error><Code>NoSuchKey</Code></Error>")

    def _list(self, bucket: Path, prefix: str) -> None:
        files = ((path.relative_to(bucket).as_posix(), path) for path in sorted(bucket.rglob("*")) if path.is_file())
        found = [OBJECT.format(key, path.stat().st_size) for key, path in files if key.startswith(prefix)]
        head = "<?xml version='1.0'?><ListBucketResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'>"
        self._answer(HTTPStatus.OK, f"{head}{''.join(found)}</ListBucketResult>".encode())

    def _send(self, path: Path) -> None:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("range", ""))
            start, stop = (int(asked[1]), min(int(asked[2]) + 1, size)) if asked else (0, size)
            if asked and start >= size:
                self._answer(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"<Error><Code>InvalidRange</Code></Error>")
                return
            self.send_response(HTTPStatus.PARTIAL_CONTENT if asked else HTTPStatus.OK)
            self.send_header("content-length", str(stop - start))
            self.send_header("content-range", f"bytes {start}-{stop - 1}/{size}")
            self.end_headers()
            step = PIECE if self.seconds else size or 1
            for at in range(start, stop, step):
                piece = min(step, stop - at)
                time.sleep(self.seconds * piece / 1e6)
                self.connection.sendfile(file, at, piece)

    def _answer(self, status: HTTPStatus, data: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def serving(folder: Path, seconds: float = 0.0) -> Generator[str]:
    """Runs the server, each folder in `folder` being a bucket, and yields its endpoint."""
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.fileserver", str(port), folder, str(seconds)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        _wait(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
            return
        time.sleep(0.02)
    raise RuntimeError("the file server did not start")


def main() -> None:
    Handler.folder, Handler.seconds = Path(sys.argv[2]), float(sys.argv[3])
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()


if __name__ == "__main__":
    main()
