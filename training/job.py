"""`python -m training train`: a SageMaker training job, from /opt/ml to /opt/ml, by the code that trains on a laptop.

It publishes nothing and opens no connection: whoever started it fetches the bundle and publishes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from service import files
from service.revision import current_revision
from training import commands, distributed
from training.checkpoints import Checkpoint, Checkpoints
from training.container import ChannelError, ConfigError, Tree
from training.distributed import Group
from training.fit import FitError, fit, model_bytes
from training.hosts import HostLost, Hosts, HostsError, worker_hosts
from training.hyperparameters import Hyperparameters, check_commit, read_hyperparameters
from training.letor import DataError, read_files
from training.metrics import evaluation_line, progress_line
from training.peers import Terms
from training.publish import build_bundle
from training.queries import Fold
from training.recipe import RecipeError
from training.runs import Run, RunError, run_key, save_run
from training.supervisor import supervise, worker_command

ROOT = Path("/opt/ml")
# On several hosts, where the first listens for the others; as of `training.peers.Terms`.
PORT = "PODIUM_HOSTS_PORT"

INTERRUPTED = 143
UNEXPECTED = 1
EXIT_CODES: dict[type[Exception], int] = {
    ConfigError: 2,
    RecipeError: 2,
    ChannelError: 3,
    DataError: 3,
    HostsError: 3,
    RunError: 3,
    FitError: 4,
    MemoryError: 5,
    OSError: 5,
}

# SageMaker kills 120 s after SIGTERM. Half of it is for ending a segment, the rest for the last upload.
GRACE_SECONDS = 60.0
# How often progress is printed, in seconds.
EVERY_SECONDS = 1.0


class Interrupted(Exception):
    """SIGTERM came."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, default=ROOT, metavar="DIR", help=f"instead of {ROOT}")


def run(args: argparse.Namespace) -> int:
    """Exit codes: 0 done, 2 described wrongly, 3 bad data, 4 not trainable, 5 memory or disk, 143 by SIGTERM."""
    tree = Tree(args.root)
    try:
        hosts = tree.hosts()
    except (ConfigError, OSError) as error:
        return _failed(tree, _reason(error), exit_code(error))
    if hosts.world > 1 and worker_hosts() is None:
        return _supervised(tree, hosts)
    with terminations() as stop:
        try:
            tree.failure.unlink(missing_ok=True)
            tree.clear_model()
            train(tree, stop)
        except Interrupted as interrupted:
            # No failure file: SageMaker calls such a job stopped, or starts it again.
            say(f"interrupted: {interrupted}")
            return INTERRUPTED
        except tuple(EXIT_CODES) as error:
            return _failed(tree, _reason(error), exit_code(error))
        except Exception as error:  # noqa: BLE001 - nobody sees more of a job than what it says here
            traceback.print_exc()
            reason = f"unexpected {type(error).__name__}: {error}. This is a fault of the program; its log says where"
            return _failed(tree, reason, UNEXPECTED)
    return 0


def _supervised(tree: Tree, hosts: Hosts) -> int:
    """The job as one of several hosts: the worker that is started here is this verb again."""
    # Not a secret, but the same on all hosts and another for each job: SageMaker tells it only to them.
    token = hashlib.sha256(json.dumps([os.environ.get("TRAINING_JOB_NAME"), hosts.names]).encode()).hexdigest()
    terms = Terms(token, int(os.environ.get(PORT, Terms.port)))
    try:
        supervise(hosts, terms, worker_command(["train", "--root", str(tree.root)]))
    except HostLost as lost:
        if lost.exit_code == INTERRUPTED or tree.failure.exists():
            # SageMaker calls it stopped, or this host's worker has said what was wrong here.
            say(f"{lost}; the job ends on every host")
            return lost.exit_code
        return _failed(tree, f"{lost}; the job ends on every host", lost.exit_code)
    except HostsError as error:
        return _failed(tree, str(error), exit_code(error))
    return 0


def exit_code(error: Exception) -> int:
    return next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))


class Stop:
    """SIGTERM, noted when it comes and heeded where nothing is lost by it."""

    def __init__(self) -> None:
        self._asked: float | None = None
        self._last = time.monotonic()

    def ask(self, *_: object) -> None:
        self._asked = self._asked or time.monotonic()

    def check(self, *_: object, kept: str = "nothing is trained yet") -> None:
        """Raises Interrupted where SIGTERM has come."""
        if self._asked is not None:
            raise Interrupted(kept)

    def after_tree(self, left: int | None, kept: str) -> None:
        """As `check`, unless the `left` trees up to the next checkpoint can still be grown in time."""
        now = time.monotonic()
        pace, self._last = now - self._last, now
        if self._asked is not None and (left is None or now + left * pace > self._asked + GRACE_SECONDS):
            raise Interrupted(kept)


@contextmanager
def terminations() -> Generator[Stop]:
    stop = Stop()
    before = signal.signal(signal.SIGTERM, stop.ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)


def train(tree: Tree, stop: Stop) -> None:
    """All of the job. Raises what has an exit code, and Interrupted."""
    channels = tree.channels()
    asked = read_hyperparameters(tree, channels)
    check_commit(asked.commit, current_revision())
    fold = read_channels(tree, channels, asked, stop)
    about = commands.described(fold, asked.recipe, name=asked.name, seed=asked.seed)
    with distributed.session() as group:
        about = group.describe(about)
        group.agree(about)
        model = group.same(fitted(tree, fold, asked, about, stop, group))
    group.leave_to_first()
    stop.check(kept="all trees are grown, and kept where the recipe sets segment_trees")
    with tempfile.TemporaryDirectory(prefix="podium-job-") as scratch:
        made = save_run(Path(scratch, "run"), about, model, tree.data)
        for found in commands.evaluated(made, fold):
            say(evaluation_line(found.split, found.to_json()))
        _put(tree, made, Path(scratch, "bundle"))


def read_channels(tree: Tree, channels: list[str], asked: Hyperparameters, stop: Stop) -> Fold:
    """
    Raises:
        ChannelError, DataError: what is there cannot be used, or is other data than the job is for.
    """
    vali = tree.channel_file("validation") if "validation" in channels else None
    fold = read_files(
        tree.channel_file("train"),
        vali,
        tree.channel_file("test"),
        tree.data,
        width=asked.width,
        max_relevance=asked.max_relevance,
        allow_missing=asked.allow_missing,
        progress=stop.check,
    )
    if asked.data_sha256 not in (None, fold.sha256):
        raise ChannelError(
            f"data_sha256: the job is for {asked.data_sha256}, but the channels' content hashes to {fold.sha256}"
        )
    counts = ", ".join(f"{name} {split.count} queries of {split.rows} rows" for name, split in fold.splits)
    say(f"data {fold.sha256}: {counts}")
    return fold


def fitted(  # noqa: PLR0917
    tree: Tree, fold: Fold, asked: Hyperparameters, about: dict[str, Any], stop: Stop, group: Group
) -> bytes:
    """The model, from the newest checkpoint on where the first host has one."""
    segment = asked.recipe.segment_trees
    kept = "the recipe sets no segment_trees, so no checkpoint is kept and training starts again from its first tree"
    found: Checkpoint | None = None
    store = Checkpoints(tree.checkpoints, run_key(about), say)
    if segment is None:
        say(f"no checkpoints: {kept}")
    elif group.rank == 0:
        tree.checkpoints.mkdir(parents=True, exist_ok=True)
        found = store.load()
    if segment is not None:
        kept = f"training goes on from the last checkpoint in {tree.checkpoints}"
    if found:
        say(f"going on from the checkpoint of {found.trees} trees")
    began = told = time.monotonic()

    def progress(done: int, total: int, ndcg: float | None) -> None:
        nonlocal told
        now = time.monotonic()
        if done in (1, total) or now - told >= EVERY_SECONDS:
            told = now
            say(progress_line(done, total, now - began, ndcg))
        stop.after_tree(min(-done % segment, total - done) if segment else None, kept)

    def save(done: int, model: bytes) -> None:
        if group.rank:
            return
        try:
            store.save(done, model)
        except OSError as error:
            # The training itself is worth more than the insurance.
            say(f"no checkpoint of {done} trees: {error}")
            stop.check(kept="its last checkpoint could not be written")
            return
        say(f"checkpoint of {done} trees")
        stop.check(kept=kept)

    ranker = fit(
        group.shard(fold.train),
        group.shard(fold.vali),
        asked.recipe,
        seed=asked.seed,
        progress=progress,
        resume=group.first_host_says(found.model if found else b"") or None,
        save=save,
    )
    return model_bytes(ranker)


def say(line: str) -> None:
    """To the job's log, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _put(tree: Tree, made: Run, bundle: Path) -> None:
    manifest = build_bundle(made, bundle)
    for name, document in (("run.json", made.about), ("evaluation.json", made.evaluation)):
        files.replace_file(tree.output / name, json.dumps(document, indent=1, sort_keys=True).encode() + b"\n")
    tree.put_model(bundle)
    say(f"model {manifest.name} {manifest.version} {manifest.digest}")


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "out of memory: take an instance with more of it, or fewer queries"
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return str(error)


def _failed(tree: Tree, reason: str, code: int) -> int:
    sys.stderr.write(f"podium: {reason}\n")
    try:
        tree.fail(reason)
    except OSError as error:
        sys.stderr.write(f"podium: the reason cannot be left in {tree.failure}: {error.strerror}\n")
    return code
