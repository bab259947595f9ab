"""Is a searched recipe better than defaults, and than LightGBM searched as long? `python -m tests.bench.quality`

Nested cross-validation on real queries: every query is scored by models that never saw it, with parameters that were
chosen without it. Both libraries get as many trials, on the same folds, of spaces with as many names, and each begins
with its own defaults. Differences are judged query by query. A run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from tests.conftest import ROOT
from tests.engines.environments import made_for, requirement
from training import console
from training.crossval import fold_members, read_qids
from training.lambdarank import worker_command
from training.letor import read_fold
from training.ndcg import PerQuery, interval, ndcg
from training.plan import Plan
from training.queries import Queries, concat
from training.recipe import Value, load_recipe
from training.runs import libraries
from training.search import Fitter, Found, Tell
from training.significance import difference, holm
from training.space import Space, load_space
from training.study import storage
from training.tuning import Searches, XGBoost

LIGHTGBM = Path(__file__).with_name("spaces") / "lightgbm.toml"
DATA = ROOT.parent / "shared" / "data"
OURS = "XGBoost, searched"
CHOSEN_HERE = "recipe mslr-small"
CUTOFF = 10


@dataclass(frozen=True, eq=False)
class Contestant:
    name: str
    found: PerQuery
    searches: tuple[Found, ...] = ()


class LightGBM:
    """A `training.search.Fitter`: LightGBM in a process of its own, since its environment is not ours."""

    def __init__(self, process: subprocess.Popen[str], folder: Path, seed: int, threads: int) -> None:
        self._process = process
        self._folder = folder
        self._own = {"seed": seed, "num_threads": threads}

    def __call__(
        self, parameters: Mapping[str, Value], train: Queries, vali: Queries | None, scored: Queries, tell: Tell | None
    ) -> NDArray[np.float32]:
        chosen = {**parameters, **self._own}
        arrays = {
            "features": self._kept(train, "features", train.features),
            "relevance": self._kept(train, "relevance", train.relevance),
            "sizes": self._kept(train, "sizes", train.group_sizes),
            "scored": self._kept(scored, "features", scored.features),
        }
        scores = self._folder / "scores.npy"
        job = {"parameters": chosen, "trees": chosen.pop("n_estimators"), "arrays": arrays, "scores": str(scores)}
        answer = self._ask(job)
        if "error" in answer:
            raise ValueError(f"LightGBM: {answer['error']}")
        return np.load(scores)

    def _kept(self, queries: Queries, name: str, array: NDArray[Any]) -> str:
        path = self._folder / f"{queries.sha256[:16]}.{name}.npy"
        if not path.exists():
            np.save(path, array)
        return str(path)

    def _ask(self, job: Mapping[str, Any]) -> dict[str, Any]:
        to, back = self._process.stdin, self._process.stdout
        assert to is not None
        assert back is not None
        to.write(json.dumps(job) + "\n")
        to.flush()
        line = back.readline()
        if not line:
            raise ValueError(f"LightGBM's process ended with {self._process.wait()}")
        return json.loads(line)


@contextmanager
def lightgbm(seed: int, threads: int) -> Generator[LightGBM]:
    """Raises NoEnvironment where LightGBM cannot be had."""
    command = worker_command(made_for(requirement("lightgbm")))
    with (
        tempfile.TemporaryDirectory(prefix="podium-lightgbm-") as folder,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
    ):
        try:
            yield LightGBM(process, Path(folder), seed, threads)
        finally:
            process.kill()


def contest(queries: Queries, plan: Plan, study: Path, threads: int, *, ours: Space, theirs: Space) -> list[Contestant]:
    """All contestants on the same queries and folds, the searched XGBoost first."""
    done: dict[str, int] = {}

    with console.bar("searching", "trials") as bar, lightgbm(plan.seed, threads) as fitter:

        def tell(name: str, trials: int) -> None:
            done[name] = trials
            bar(sum(done.values()), 2 * plan.outer * plan.trials)

        def searched(name: str, fit: Fitter, space: Space, about: Mapping[str, Any]) -> Contestant:
            with storage(study.with_name(f"{study.name}-{space.name}.log")) as store:
                searches = Searches(space, fit, plan, store, lambda search, trials: tell(name + search, trials), about)
                scores = searches.nested(queries)
            return Contestant(name, ndcg(scores, queries.relevance, queries.offsets), tuple(searches.found))

        lock = hashlib.sha256(requirement("lightgbm").read_bytes()).hexdigest()
        return [
            searched(OURS, XGBoost(plan.seed, threads), ours, libraries()),
            searched("LightGBM, searched", fitter, theirs, {**libraries(), "lightgbm": lock}),
            _defaults(
                "XGBoost, defaults",
                XGBoost(plan.seed, threads),
                load_recipe("xgboost-defaults").parameters,
                queries,
                plan,
            ),
            _defaults("LightGBM, defaults", fitter, theirs.parameters(theirs.start), queries, plan),
            _defaults(CHOSEN_HERE, XGBoost(plan.seed, threads), load_recipe("mslr-small").parameters, queries, plan),
        ]


def table(contestants: Sequence[Contestant], plan: Plan) -> Table:
    """Every contestant, and by how much the first is better than it."""
    first, *others = contestants
    found = [difference(first.found.column(CUTOFF) - each.found.column(CUTOFF), seed=plan.seed) for each in others]
    shown = Table(title=f"NDCG@{CUTOFF}, blank queries skipped, {plan.outer} outer folds", title_justify="left")
    shown.add_column("", no_wrap=True)
    for column in ("NDCG@10", "95 % interval", "trials\n(pruned)", "first minus it", "95 % interval", "p", "Holm"):
        shown.add_column(column, justify="right")
    shown.add_row(*_alone(first, plan), "", "", "", "")
    for each, by, adjusted in zip(others, found, holm([by.p for by in found]), strict=True):
        low, high = by.interval
        shown.add_row(
            *_alone(each, plan), f"{by.mean:+.4f}", f"{low:+.4f} to {high:+.4f}", f"{by.p:.3f}", f"{adjusted:.3f}"
        )
    seen = f"{found[0].queries} queries count, and {found[0].detectable:.3f} is what so many show in 4 of 5 cases"
    shown.caption = f"{seen}. {CHOSEN_HERE} was chosen on these very queries, so it looks too good."
    shown.caption_justify = "left"
    return shown


def _defaults(name: str, fitter: Fitter, parameters: Mapping[str, Value], queries: Queries, plan: Plan) -> Contestant:
    members = fold_members(queries.count, plan.outer, plan.seed)
    scores = np.empty(queries.rows, np.float32)
    for fold in range(plan.outer):
        hidden = members == fold
        train, scored = queries.select(~hidden), queries.select(hidden)
        scores[np.repeat(hidden, queries.group_sizes)] = fitter(parameters, train, None, scored, None)
    return Contestant(name, ndcg(scores, queries.relevance, queries.offsets))


def _alone(each: Contestant, plan: Plan) -> tuple[str, str, str, str]:
    values = each.found.column(CUTOFF)
    low, high = interval(values, plan.seed)
    trials, pruned = sum(one.trials for one in each.searches), sum(one.pruned for one in each.searches)
    return each.name, f"{values.mean():.4f}", f"{low:.4f} to {high:.4f}", f"{trials} ({pruned})" if trials else "-"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.quality", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA / "mslr-web30k-fold1-mini", metavar="DIR")
    parser.add_argument(
        "--exclude", type=Path, default=DATA / "mslr-web10k-fold1-5k" / "test.txt.gz", metavar="FILE",
        help="queries that no recipe may be chosen on (default: the test queries of the WEB10K sample)",
    )  # fmt: skip
    parser.add_argument("--trials", type=int, default=12, help="of each library in each outer fold (default: 12)")
    parser.add_argument("--outer", type=int, default=5)
    parser.add_argument("--inner", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--studies", type=Path, default=Path(".podium/studies"), metavar="DIR")
    args = parser.parse_args(argv)
    plan = Plan(args.outer, args.inner, args.trials, None, args.seed)
    pooled = reduce(concat, (split for _, split in read_fold(args.data).splits))
    queries = pooled.select(~np.isin(pooled.qids, list(read_qids(args.exclude))))
    study = args.studies / f"quality-{queries.sha256[:8]}-{plan.outer}-{plan.inner}-{plan.seed}"
    ours, theirs = load_space(), load_space(LIGHTGBM)
    contestants = contest(queries, plan, study, args.threads, ours=ours, theirs=theirs)
    console.results().print(f"{queries.count} of {pooled.count} queries ({pooled.count - queries.count} excluded)")
    console.results().print(table(contestants, plan))
    return 0


if __name__ == "__main__":
    sys.exit(main())
