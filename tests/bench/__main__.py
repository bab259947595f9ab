"""`python -m tests.bench`: the service beside other servers on this machine, and a report of it."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service.revision import current_revision
from tests.bench.machine import machine
from tests.bench.measure import Bench
from tests.bench.peer import Peer
from tests.bench.peers import PEERS, chosen
from tests.bench.plan import FULL, PLANS, QUICK, Plan
from tests.bench.prepared import cached_bundle, described, renamed_bundle
from tests.bench.progress import Progress, interruptible
from tests.bench.report import goals, markdown, overview
from tests.bench.results import Results
from tests.conftest import ROOT
from tests.engines.environments import NoEnvironment, made_for, requirement

RESULTS = Path(__file__).parent / "results"
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 1 no server could be measured, 2 wrong arguments, 130 interrupted."""
    args = _arguments(arguments)
    try:
        peers = chosen(args.only, PEERS)
        plan = PLANS[args.plan or (QUICK if args.only else FULL).name]
        with tempfile.TemporaryDirectory(prefix="podium-bench-") as scratch:
            return _measured(args, peers, plan, Path(scratch))
    except (ValueError, OSError) as error:
        sys.stderr.write(f"podium: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("\npodium: interrupted before anything was measured\n")
        return INTERRUPTED


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", metavar="NAME,...", help=f"of {', '.join(PEERS)}; fewer points, other files")
    parser.add_argument("--model", type=Path, metavar="BUNDLE", help="instead of one trained on synthetic queries")
    parser.add_argument("--plan", choices=PLANS, help="how much is measured; quick with --only, else full")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FOLDER", help="where the results go")
    parser.add_argument("--no-plots", action="store_true", help="which need an environment of their own")
    return parser.parse_args(arguments)


def _measured(args: argparse.Namespace, peers: dict[str, Peer], plan: Plan, scratch: Path) -> int:
    progress = Progress(sys.stderr, plan.seconds(peers.values()))
    cores = _cores(progress)
    bundle = renamed_bundle(args.model or _trained(progress), scratch / "bundle")
    results = Results(_about(bundle, plan, cores))
    code = 0
    try:
        with interruptible() as interrupted:
            Bench(bundle, peers, plan, cores=cores, results=results, progress=progress, interrupted=interrupted).run()
    except KeyboardInterrupt:
        code = INTERRUPTED
    progress.end()
    if not results.points:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in results.left_out.items())
        sys.stderr.write(f"podium: nothing was measured. {reasons}\n")
        return code or 1
    _write(results, args.out / _stem(args, plan, results), plots=not args.no_plots and not code)
    return code


def _stem(args: argparse.Namespace, plan: Plan, results: Results) -> str:
    """Only a full run to its end is what the repository keeps; git ignores the others."""
    whole = "results" if plan is FULL and not args.only else plan.name
    return whole if results.complete else f"{whole}-partial"


def _trained(progress: Progress) -> Path:
    def tell(done: int, total: int) -> None:
        if done % 50 == 0:
            progress.note(f"training the model, once: {done} of {total} trees")

    return cached_bundle(tell)


def _cores(progress: Progress) -> tuple[int, int]:
    """Of the servers, and of the load generator."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) == 1:
        progress.note("WARNING: there is one core, so the load generator takes its time from the servers")
    return cores[0], cores[-1]


def _about(bundle: Path, plan: Plan, cores: tuple[int, int]) -> dict[str, Any]:
    source = current_revision()
    return {
        "command": shlex.join(["python", "-m", "tests.bench", *sys.argv[1:]]),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": source.commit[:12] + ("-dirty" if source.dirty else ""),
        "machine": machine(),
        "model": described(bundle),
        "plan": plan.name,
        "rounds": plan.rounds,
        "cores": list(cores),
    }


def _write(results: Results, stem: Path, *, plots: bool) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    raw, report = Path(f"{stem}.json"), Path(f"{stem}.md")
    results.write(raw)
    report.write_text(markdown(results))
    sys.stdout.write("\n".join([*overview(results), *goals(results), "", f"written: {report} and {raw}", ""]))
    sys.stdout.flush()
    if plots:
        _plot(raw, stem)


def _plot(raw: Path, stem: Path) -> None:
    try:
        python = made_for(requirement("bench-plots"))
    except NoEnvironment as error:
        sys.stderr.write(f"podium: no plots: {error}\n")
        return
    subprocess.run([python, ROOT / "tests/bench/plots.py", raw, stem], check=True)


if __name__ == "__main__":
    sys.exit(main())
