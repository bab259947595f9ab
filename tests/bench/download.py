"""`python -m tests.bench.download`: how fast a 15 MB model comes from S3, beside plain HTTP clients in the same run.

All write what they get, hash it and flush it to disk. Rounds are interleaved: what else runs disturbs all alike.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from service.registry import open_registry
from service.s3 import S3Registry
from service.settings import Settings
from tests.engines.emulator import BUCKET, KEY, SECRET, client, free_port, running
from tests.service.bundles import make_bundle

FILE, SIZE = "forest.npz", 15_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    os.environ |= {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_EC2_METADATA_DISABLED": "true"}
    with tempfile.TemporaryDirectory() as scratch, running(Path(scratch)) as endpoint:
        for name, seconds in measure(Path(scratch), endpoint, rounds).items():
            median, best = statistics.median(seconds), min(seconds)
            sys.stdout.write(f"{name:32} median {1000 * median:4.0f} ms = {SIZE / 1e6 / median:4.0f} MB/s, ")
            sys.stdout.write(f"best {1000 * best:4.0f} ms = {SIZE / 1e6 / best:4.0f} MB/s\n")


def measure(folder: Path, endpoint: str, rounds: int) -> dict[str, list[float]]:
    manifest = make_bundle(folder / "source", contents={FILE: random.Random(0).randbytes(SIZE)})
    registry = open_registry(f"s3://{BUCKET}/bench", Settings(s3_endpoint=endpoint))
    assert isinstance(registry, S3Registry)
    registry.publish(folder / "source")
    key = registry._key("tiny", manifest.version)
    signed = client(endpoint).generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": key + FILE})
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", folder / "source"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1)

    def ranged(number: int) -> None:
        into = folder / f"ranged-{number}"
        into.mkdir()
        registry._download(key, manifest, manifest.to_json(), into)
        flush(into / FILE)

    works: dict[str, Callable[[int], object]] = {
        "file server, plain client": lambda _: plain(f"http://127.0.0.1:{port}/{FILE}", folder / "plain"),
        "emulator, plain client": lambda _: plain(signed, folder / "plain"),
        "emulator, our ranges": ranged,
        "emulator, the whole fetch": lambda n: registry.fetch("tiny", manifest.version, folder / f"fetch-{n}"),
    }
    try:
        return _columns([_round(works, number) for number in range(rounds)])
    finally:
        server.terminate()
        server.wait()


def _round(works: dict[str, Callable[[int], object]], number: int) -> dict[str, float]:
    seconds: dict[str, float] = {}
    for name, work in works.items():
        began = time.perf_counter()
        work(number)
        seconds[name] = time.perf_counter() - began
    return seconds


def _columns(rows: list[dict[str, float]]) -> dict[str, list[float]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def plain(url: str, path: Path) -> None:
    digest = hashlib.sha256()
    with urllib.request.urlopen(url) as response, path.open("wb") as file:  # noqa: S310
        while chunk := response.read(256 << 10):
            digest.update(chunk)
            file.write(chunk)
    flush(path)


def flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


if __name__ == "__main__":
    main()
