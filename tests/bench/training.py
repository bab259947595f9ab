"""Reading and training at full size: `python -m tests.bench.training [PART ...] [--data DIR] [--queries N]`.

Parts: `read` (text, against scikit-learn's reader on its first rows), `cached` (again, from the cache), `memory` (peaks
of child processes, as multiples of the float32 matrix), `overhead` (`fit` against bare XGBoost on the same rows, in
turns) and `ndcg` (against scikit-learn's). Without DIR, synthetic text of MSLR-WEB30K's size is written first and
removed afterwards: 4.3 GB of text and 2 GB of cache.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb
from sklearn.datasets import load_svmlight_file
from sklearn.metrics import ndcg_score

from tests.conftest import ROOT
from training import matrix
from training.cache import DataCache
from training.fit import fit, model_bytes, usable_cpus
from training.letor import read_split
from training.matrix import Form
from training.ndcg import ndcg
from training.queries import Queries
from training.recipe import Recipe
from training.synthetic import write_synthetic

PARTS = ("read", "cached", "memory", "overhead", "ndcg")
WEB30K_QUERIES = 31_531
ROUNDS = 5
RECIPE = Recipe("bench", {"n_estimators": 20, "lambdarank_pair_method": "topk", "lambdarank_num_pair_per_sample": 16})

Status = dict[str, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument("--data", type=Path, help="a folder with train.txt")
    parser.add_argument("--queries", type=int, default=WEB30K_QUERIES, help="of the synthetic text")
    parser.add_argument("--rows", type=int, default=300_000, help="to compare readers and training on")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        _say(child(args.child, args.data))
        return
    unknown = set(args.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}")
    with tempfile.TemporaryDirectory(prefix="podium-bench-") as scratch:
        folder = args.data or Path(scratch, "text")
        if not args.data:
            write_synthetic(folder, queries=args.queries)
        _say({"load": os.getloadavg(), "cpus": os.cpu_count()})
        for part in args.parts or PARTS:
            _say({part: measure(part, folder / "train.txt", Path(scratch), args.rows)})


def measure(part: str, text: Path, scratch: Path, rows: int) -> dict[str, Any]:
    cache = scratch / "cache"
    if part == "read":
        return reading(head(text, scratch / "head.txt", rows))
    if part == "memory":
        # The first one finds no entry, and makes the one that training takes.
        ways = ("read", "no-cache", "train", "train-files")
        with tempfile.TemporaryDirectory(dir=scratch) as fresh:
            return {way: in_child(way, text, Path(fresh)) for way in ways}
    queries = read_split(text, cache=DataCache(cache))
    if part == "cached":
        seconds = [timed(lambda: read_split(text, cache=DataCache(cache))) for _ in range(ROUNDS)]
        return {"GB/s": queries.features.nbytes / 1e9 / statistics.median(seconds), "rows": queries.rows}
    return overhead(first_rows(queries, rows)) if part == "overhead" else ndcg_speed(queries)


def reading(text: Path) -> dict[str, Any]:
    """Seconds, in turns; the compiled parser has been compiled before, as it has after the first run on a machine."""
    ours: list[float] = []

    def read() -> None:
        with tempfile.TemporaryDirectory(dir=text.parent) as fresh:
            read_split(text, cache=DataCache(Path(fresh)))

    read()
    ours += [timed(read) for _ in range(ROUNDS)]
    theirs = timed(lambda: load_svmlight_file(str(text), query_id=True))
    ours += [timed(read) for _ in range(ROUNDS)]
    seconds = statistics.median(ours)
    size = text.stat().st_size / 1e6
    return {"seconds": seconds, "MB/s": size / seconds, "scikit-learn": theirs, "times": theirs / seconds}


def overhead(queries: Queries) -> dict[str, Any]:
    """Seconds of `fit` and of the two calls that it comes down to; the models must be equal."""
    ours: list[float] = []
    bare: list[float] = []
    parameters = {**RECIPE.arguments(), "nthread": usable_cpus(), "seed": 0}
    del parameters["n_estimators"]

    def plain() -> xgb.Booster:
        data = xgb.QuantileDMatrix(queries.features, queries.relevance, group=queries.group_sizes)
        return xgb.train(parameters, data, RECIPE.trees)

    model = model_bytes(fit(queries, None, RECIPE))
    if bytes(plain().save_raw("ubj")) != model:
        raise AssertionError("bare XGBoost makes another model")
    for _ in range(ROUNDS):
        ours.append(timed(lambda: fit(queries, None, RECIPE)))
        bare.append(timed(plain))
    pairs = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
    return {"seconds": statistics.median(ours), "bare": statistics.median(bare), "median of pairs": pairs}


def ndcg_speed(queries: Queries) -> dict[str, Any]:
    few = first_rows(queries, int(queries.offsets[min(10_000, queries.count)]))
    scores = np.random.default_rng(0).random(few.rows, np.float32)
    gains = np.exp2(few.relevance) - 1

    def theirs() -> None:
        # A tenth of the queries, for it takes the same time for each.
        for start, stop in islice(pairwise(few.offsets.tolist()), 0, None, 10):
            ndcg_score(gains[None, start:stop], scores[None, start:stop], k=10)

    ours = [timed(lambda: ndcg(scores, few.relevance, few.offsets, (10,))) for _ in range(ROUNDS)]
    others = [timed(theirs) * 10 for _ in range(3)]
    seconds, other = statistics.median(ours), statistics.median(others)
    return {"queries": few.count, "seconds": seconds, "scikit-learn": other, "times": other / seconds}


def in_child(way: str, text: Path, cache: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.bench.training", "--child", way, "--data", str(text)]
    environment = {**os.environ, "PODIUM_CACHE": str(cache)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def child(way: str, text: Path) -> dict[str, Any]:
    """Peaks above what the process had before, as multiples of the matrix; RSS counts pages of mapped files as well."""
    cache = DataCache(Path(os.environ["PODIUM_CACHE"]))
    queries = read_split(text, cache=cache) if way.startswith("train") else None
    before, began = status(), time.perf_counter()
    # The kernel's own record of the peak, from here on.
    Path("/proc/self/clear_refs").write_text("5")
    watch = Watch()
    if queries is None:
        queries = read_split(text, cache=None if way == "no-cache" else cache)
    else:
        if way == "train-files":
            matrix.choose = lambda *_, **__: Form(True, "")
        fit(queries, None, RECIPE.override("n_estimators=3"))
    seconds, size = time.perf_counter() - began, queries.features.nbytes
    return {
        "seconds": seconds,
        "matrix GB": size / 1e9,
        "anonymous": (watch.stop() - before["RssAnon"]) / size,
        "RSS": (status()["VmHWM"] - before["VmRSS"]) / size,
    }


class Watch:
    """The highest anonymous memory, of which the kernel keeps no record, looked at by a child every 10 ms."""

    LOOK = """
import re, sys, time, select
peak = 0
while not select.select([sys.stdin], [], [], 0.01)[0]:
    text = open(f"/proc/{sys.argv[1]}/status").read()
    peak = max(peak, int(re.search(r"RssAnon:\\s+(\\d+)", text)[1]) * 1024)
print(peak)
"""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", self.LOOK, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def stop(self) -> int:
        return int(self._process.communicate("\n")[0])


def status() -> Status:
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return {line[0].rstrip(":"): int(line[1]) * 1024 for line in lines if line[-1] == "kB"}


def head(text: Path, target: Path, rows: int) -> Path:
    with text.open("rb") as source, target.open("wb") as file:
        file.writelines(islice(source, rows))
    return target


def first_rows(queries: Queries, rows: int) -> Queries:
    """Whole queries, about so many rows; their features are not copied."""
    count = int(np.searchsorted(queries.offsets, rows))
    end = int(queries.offsets[min(count, queries.count)])
    offsets = queries.offsets[: min(count, queries.count) + 1]
    return Queries(queries.features[:end], queries.relevance[:end], queries.qids[: len(offsets) - 1], offsets)


def timed(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def _say(found: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
