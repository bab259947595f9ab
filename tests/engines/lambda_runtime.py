"""Lambda's runtime API over HTTP, and a function below it: a process that asks it for events, as in a container of AWS.

After the Lambda developer guide, "Using the Lambda runtime API for custom runtimes". The function's file system is
read-only but for its /tmp, as AWS has it; here an audit hook of Python refuses the writes.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.conftest import ROOT
from tests.engines.emulator import free_port

PREFIX = "/2018-06-01/runtime"
TIMEOUT_SECONDS = 60

# Runs the module that is named first, as `python -m` does, where nothing outside TMPDIR can be written.
GUARDED = """
import os, runpy, sys
free = os.environ["TMPDIR"]
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Each with the place of the folder that the path may be relative to.
CHANGES = {"os.mkdir": 2, "os.remove": 1, "os.rmdir": 1, "os.rename": 2, "os.link": 2, "os.symlink": 2}
def hook(event, args):
    if event == "open" and isinstance(args[0], (str, bytes)) and args[2] & WRITES or event in CHANGES:
        folder = args[CHANGES[event]] if event in CHANGES else -1
        base = os.readlink(f"/proc/self/fd/{folder}") if folder is not None and folder >= 0 else os.getcwd()
        path = os.path.join(base, os.fsdecode(args[0]))
        if not path.startswith((free + os.sep, "/dev/")) and path != free:
            raise OSError(30, "Read-only file system", path)
sys.addaudithook(hook)
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


class FunctionError(Exception):
    """What a function answered instead of a result; `document` is as it told the runtime."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        super().__init__(document.get("errorMessage", ""))
        self.document = document


@dataclass
class Runtime:
    """Lambda's side. `initialised` is when the function first asked for an event, on the monotonic clock."""

    process: subprocess.Popen[bytes]
    began: float
    log: Path
    events: queue.Queue[tuple[str, bytes]] = field(default_factory=queue.Queue[tuple[str, bytes]])
    answers: queue.Queue[tuple[str, bytes]] = field(default_factory=queue.Queue[tuple[str, bytes]])
    ready: threading.Event = field(default_factory=threading.Event)
    initialised: float = 0.0
    seconds: float = 60.0

    def invoke(self, event: Any, *, seconds: float = 60.0) -> Any:
        """The function's result.

        Args:
            seconds: the time-out that the function is told.

        Raises:
            FunctionError: it failed, in its start or at this event.
        """
        self.seconds = seconds
        self.events.put((uuid.uuid4().hex, json.dumps(event).encode()))
        return self._answer()

    def wait(self) -> None:
        """Returns once the function has started, or raises as `invoke`."""
        until = time.monotonic() + TIMEOUT_SECONDS
        while not self.ready.wait(0.02):
            if not self.answers.empty():
                self._answer()
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()

    def _answer(self) -> Any:
        until = time.monotonic() + TIMEOUT_SECONDS
        while True:
            try:
                kind, body = self.answers.get(timeout=0.1)
            except queue.Empty:
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < until, self.log.read_text()
                continue
            document = json.loads(body)
            if kind == "response":
                return document
            raise FunctionError(document)


@contextmanager
def running(handler: str, folder: Path, environ: Mapping[str, str]) -> Generator[Runtime]:
    """A process that serves `handler` by awslambdaric, and the API that it asks.

    Args:
        folder: takes its log; below it is the only place that it can write to.
        environ: its variables, beside those that Lambda sets.
    """
    port = free_port()
    scratch = folder / "tmp"
    scratch.mkdir()
    lambdas = {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
        "AWS_LAMBDA_FUNCTION_NAME": "podium-test",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "AWS_REGION": "us-east-1",
    }
    # As the image has it.
    image = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", GUARDED, "awslambdaric", handler]
    server: Any = None
    with (folder / "function.log").open("wb") as log:
        server = _Server(("127.0.0.1", port), _Api)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        began = time.monotonic()
        process = subprocess.Popen(
            command,
            env={**image, **lambdas, "TMPDIR": str(scratch), **environ},
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        server.runtime = runtime = Runtime(process, began, folder / "function.log")
        try:
            yield runtime
        finally:
            process.kill()
            process.wait()
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A function that was killed leaves its connection as it is."""


class _Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        runtime = self._runtime()
        assert self.path == f"{PREFIX}/invocation/next", self.path
        if not runtime.ready.is_set():
            runtime.initialised = time.monotonic()
            runtime.ready.set()
        while True:
            try:
                number, event = runtime.events.get(timeout=0.1)
                break
            except queue.Empty:
                # A server that was shut down must not wait for a function that was killed.
                if runtime.process.poll() is not None:
                    return
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", number)
        self.send_header("Lambda-Runtime-Deadline-Ms", str(int((time.time() + runtime.seconds) * 1000)))
        self.send_header(
            "Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:000000000000:function:podium-test"
        )
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(event)))
        self.end_headers()
        self.wfile.write(event)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._runtime().answers.put((self.path.rpartition("/")[2], body))
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def _runtime(self) -> Runtime:
        server: Any = self.server
        return server.runtime
