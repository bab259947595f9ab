"""`python -m tests.bench.download`: how fast a 15 MB model comes from S3, beside plain HTTP clients in the same run.

Two servers: a file server that speaks S3's GET (`tests/bench/fileserver.py`), and the emulator, which is Python that
reads, hashes and logs on the cores that the client needs. What a server takes for the bytes alone, with nothing done to
them, has a row of its own: only the file server shows what a client can do.

The plain client takes the file by one GET. "Our ranges" takes the whole bundle: two ranges of the file, two small ones,
and the list that tells whether more is there. "The whole fetch" is what a pod does: the manifest before, and the
install after, which flushes the manifest and the folders too.

All but the bytes alone are written to a new file, hashed, and on disk at the end. Rounds are interleaved: what else
runs disturbs all alike. A share is of the plain client's speed on the file server: of the medians, and of the best.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from service.registry import open_registry
from service.s3 import S3Registry
from service.settings import Settings
from tests.bench.fileserver import serving
from tests.engines.emulator import BUCKET, KEY, SECRET, client, running
from tests.service.bundles import make_bundle

FILE, SIZE = "forest.npz", 15_000_000
REFERENCE = "file server, plain client"

Work = Callable[[Path], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=31)
    rounds = parser.parse_args().rounds
    os.environ |= {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_EC2_METADATA_DISABLED": "true"}
    with tempfile.TemporaryDirectory() as scratch:
        seconds = measure(Path(scratch), rounds)
    median, best = statistics.median(seconds[REFERENCE]), min(seconds[REFERENCE])
    for name, each in seconds.items():
        middle, least = statistics.median(each), min(each)
        sys.stdout.write(
            f"{name:30} median {1000 * middle:5.1f} ms = {SIZE / 1e6 / middle:4.0f} MB/s ({median / middle:4.0%})"
        )
        sys.stdout.write(f", best {1000 * least:5.1f} ms = {SIZE / 1e6 / least:4.0f} MB/s ({best / least:4.0%})\n")


def measure(folder: Path, rounds: int, size: int = SIZE) -> dict[str, list[float]]:
    """Seconds of each round of each row."""
    manifest = make_bundle(folder / "source", contents={FILE: random.Random(0).randbytes(size)})
    prefix = f"bench/models/tiny/{manifest.version}"
    shutil.copytree(folder / "source", folder / "served" / BUCKET / prefix)
    with running(folder) as emulator, serving(folder / "served") as files:
        open_registry(f"s3://{BUCKET}/bench", Settings(s3_endpoint=emulator)).publish(folder / "source")
        key = f"{prefix}/{FILE}"
        signed = client(emulator).generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": key})
        servers = {"file server": (files, f"{files}/{BUCKET}/{key}"), "emulator": (emulator, signed)}
        works = {f"{name}, {row}": work for name, each in servers.items() for row, work in _rows(*each).items()}
        return _columns([_round(works, folder / "into") for _ in range(rounds)])


def _rows(endpoint: str, url: str) -> dict[str, Work]:
    registry = open_registry(f"s3://{BUCKET}/bench", Settings(s3_endpoint=endpoint))
    assert isinstance(registry, S3Registry)
    version = registry.newest().version
    data, manifest = registry._manifest("tiny", version)
    key = registry._key("tiny", version)
    return {
        "bytes alone": lambda _: bytes_alone(url),
        "plain client": lambda into: plain(url, into / FILE),
        "our ranges": lambda into: registry._download(key, manifest, data, into),
        "the whole fetch": lambda into: registry.fetch("tiny", version, into),
    }


def _round(works: dict[str, Work], into: Path) -> dict[str, float]:
    seconds: dict[str, float] = {}
    for name, work in works.items():
        into.mkdir()
        began = time.perf_counter()
        work(into)
        seconds[name] = time.perf_counter() - began
        shutil.rmtree(into)
    return seconds


def _columns(rows: list[dict[str, float]]) -> dict[str, list[float]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def bytes_alone(url: str) -> None:
    with urllib.request.urlopen(url) as response:  # noqa: S310
        while response.read(1 << 20):
            pass


def plain(url: str, path: Path) -> None:
    digest = hashlib.sha256()
    with urllib.request.urlopen(url) as response, path.open("wb") as file:  # noqa: S310
        while chunk := response.read(1 << 20):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


if __name__ == "__main__":
    main()
