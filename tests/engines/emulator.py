"""S3 over HTTP on this machine: MiniStack, which honours conditions on writes and checks who asks."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tests.engines.environments import python_for, requirement

KEY = SECRET = "test"  # noqa: S105 - the emulator knows it as everybody's
BUCKET = "podium-models"


@dataclass(frozen=True)
class Store:
    """The emulator, and a registry's address in it that is nobody else's."""

    endpoint: str
    prefix: str
    client: Any

    @property
    def uri(self) -> str:
        return f"s3://{BUCKET}/{self.prefix}"

    def read(self, key: str) -> bytes:
        return self.client.get_object(Bucket=BUCKET, Key=f"{self.prefix}/{key}")["Body"].read()

    def write(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=f"{self.prefix}/{key}", Body=data)

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=BUCKET, Key=f"{self.prefix}/{key}")

    def listing(self) -> list[str]:
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=f"{self.prefix}/").get("Contents", [])
        return [each["Key"].removeprefix(f"{self.prefix}/") for each in found]


def client(endpoint: str) -> Any:
    session: Any = boto3.session.Session(KEY, SECRET, region_name="us-east-1")
    return session.client("s3", endpoint_url=endpoint, config=Config(s3={"addressing_style": "path"}))


@contextmanager
def running(folder: Path) -> Generator[str]:
    """Runs the emulator with one bucket in it and yields its endpoint. `folder` takes its log."""
    port = free_port()
    environ = {**os.environ, "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "AUTH": "true"}
    environ["HOME"] = environ["TMPDIR"] = str(folder)
    with (folder / "emulator.log").open("wb") as log:
        command = [python_for(requirement("emulator")), "-m", "ministack"]
        process = subprocess.Popen(command, env=environ, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        try:
            endpoint = f"http://127.0.0.1:{port}"
            _wait(endpoint, process, folder / "emulator.log")
            client(endpoint).create_bucket(Bucket=BUCKET)
            yield endpoint
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port() -> int:
    """A port below those that outgoing connections take."""
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no free port from 20000 to 32000")


def _wait(endpoint: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"{endpoint}/_ministack/health", timeout=5):  # noqa: S310
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"the emulator did not start: {log.read_text()[-2000:]}")
