"""Several hosts against one: what a tree costs, and whether the models differ in what they are for.

    python -m tests.bench.hosts [--queries N | --data DIR] [--trees N] [--hosts N] [--rounds N]

All on this machine, so the hosts share its cores and its loopback stands in for a network: each has one thread, and one
process is measured with as many threads as there are hosts, and with one. Processor time is what hosts of their own
would need, less their network; the time that passed says little where others are at work.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from service.schema import FeatureSchema
from tests.training.several import Job
from training import distributed
from training.evaluate import score_queries
from training.fit import fit, model_bytes
from training.letor import read_fold
from training.ndcg import Convention, interval, ndcg
from training.queries import Queries
from training.recipe import load_recipe
from training.synthetic import synthetic_fold

PARTS = ("features", "relevance", "qids", "offsets")


def grow(arguments: list[str]) -> int:
    """A worker: prints the seconds a tree, passed and of the processor, and leaves the model."""
    folder, trees, threads = Path(arguments[0]), int(arguments[1]), int(arguments[2])
    train = Queries(*(np.load(folder / f"{part}.npy", mmap_mode="r") for part in PARTS))
    recipe = load_recipe("xgboost-defaults").override(f"n_estimators={trees}")
    with distributed.session() as group:
        mine = group.shard(train)
        group.agree({"trees": trees})  # all begin together
        times: list[tuple[float, float]] = []
        ranker = fit(mine, None, recipe, threads=threads, progress=lambda *_: times.append(_clocks()))
        model = group.same(model_bytes(ranker))
    group.leave_to_first()
    Path(arguments[3]).write_bytes(model)
    # From the second on, as the first waits for the bins.
    sys.stdout.write(json.dumps(np.median(np.diff(times, axis=0), axis=0).tolist()))
    return 0


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def grown(folder: Path, trees: int, hosts: int, threads: int) -> tuple[float, float, bytes]:
    names = [f"127.0.0.{number}" for number in range(1, hosts + 1)]
    model = folder / f"model-{hosts}-{threads}.ubj"
    run = "from tests.bench.hosts import grow; from training.distributed import worker; worker(grow)"
    with Job(names, folder) as job:
        for name in names:
            job.start(name, [sys.executable, "-c", run, str(folder), str(trees), str(threads), str(model)])
        if any(job.ended(within=3600).values()):
            sys.exit(job.logs())
        passed, used = json.loads(job.out(names[0]))
    return passed, used, model.read_bytes()


def per_query(model: bytes, test: Queries) -> Any:
    from service.ranker import Ranker

    with tempfile.NamedTemporaryFile(suffix=".ubj") as file:
        Path(file.name).write_bytes(model)
        ranker = Ranker.load(Path(file.name), FeatureSchema.from_names([f"f{i}" for i in range(test.width)]))
    return ndcg(score_queries(ranker, test), test.relevance, test.offsets).column(10, Convention.SKIP)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.hosts")
    parser.add_argument("--queries", type=int, default=1000, help="synthetic, of which three fifths are trained on")
    parser.add_argument("--data", type=Path, help="a folder of real ones instead")
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--hosts", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    fold = read_fold(args.data) if args.data else synthetic_fold(queries=args.queries)
    setups = {(1, 1): "one process, 1 thread", (1, args.hosts): f"one process, {args.hosts} threads"}
    setups[args.hosts, 1] = f"{args.hosts} hosts, 1 thread each"
    found: dict[tuple[int, int], list[tuple[float, float, bytes]]] = {setup: [] for setup in setups}
    with tempfile.TemporaryDirectory() as folder:
        for part in PARTS:
            np.save(Path(folder) / f"{part}.npy", getattr(fold.train, part))
        for _ in range(args.rounds):
            for setup, runs in found.items():  # in turns, so that whatever else runs slows all of them
                runs.append(grown(Path(folder), args.trees, *setup))
    write = sys.stdout.write
    write(f"{fold.train.count} queries, {fold.train.rows} rows, {args.trees} trees; median of {args.rounds} rounds\n")
    scores = {setup: per_query(runs[0][2], fold.test) for setup, runs in found.items()}
    for setup, runs in found.items():
        passed, used = statistics.median(run[0] for run in runs), statistics.median(run[1] for run in runs)
        equal = "equal bytes" if len({run[2] for run in runs}) == 1 else "DIFFERENT BYTES"
        mean = np.nanmean(scores[setup])
        times = f"{used * 1000:6.1f} ms of a processor a tree and host ({passed * 1000:.1f} ms pass)"
        write(f"{setups[setup]:24} {times}, NDCG@10 {mean:.4f}, {equal}\n")
    difference = scores[args.hosts, 1] - scores[1, 1]
    low, high = interval(difference, 0, 0.95)
    spread = f"{np.nanmean(difference):+.4f} (95 % interval {low:+.4f} to {high:+.4f})"
    write(f"{args.hosts} hosts less one: {spread} on {len(difference)} test queries\n")


if __name__ == "__main__":
    main()
