"""The verbs of `python -m training` that lead from data to a published model."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.commands import default_registry
from service.registry import Published, manifest_of, open_registry, parse_model_uri
from service.revision import current_revision
from service.schema import FeatureSchema
from training import console, distributed
from training.evaluate import Evaluation, evaluate
from training.fit import fit, model_bytes
from training.kept import user_cache
from training.letor import read_fold
from training.mslr import feature_names
from training.publish import check_name, first_queries, publish
from training.queries import Fold, Queries
from training.recipe import DEFAULT, Recipe, load_recipe
from training.runs import Run, RunError, describe, open_run, run_folder, save_run
from training.sample import SampleUnavailable, cache_folder, sample_folder
from training.show import model_lines, run_lines
from training.sizes import size_argument
from training.synthetic import synthetic_fold, write_fold, write_synthetic

RUNS = Path(".podium/runs")
SAMPLE = "sample"
SYNTHETIC = "synthetic-0"


def add_fit_arguments(parser: argparse.ArgumentParser) -> None:
    """Which data, which recipe, and where the run goes."""
    add_data_arguments(parser)
    parser.add_argument("--recipe", default=DEFAULT, help=f"name or .toml file (default: {DEFAULT})")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change a parameter of the recipe; repeatable"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="default: all CPUs that the process may use")
    parser.add_argument(
        "--memory-budget",
        type=size_argument,
        metavar="SIZE",
        help="such as 4GB: where training needs more, its matrix goes to files (same model, slower)",
    )
    parser.add_argument("--name", help="the model's name (default: mslr for 136 features, else ranker)")
    parser.add_argument("--runs", type=Path, default=RUNS, metavar="DIR", help=f"where runs are kept (default: {RUNS})")


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        default=SAMPLE,
        metavar="DIR",
        help="folder with train.txt, vali.txt (optional) and test.txt, plain or .gz; "
        f"or the word {SAMPLE} for real MSLR queries (default)",
    )
    parser.add_argument("--width", type=int, metavar="N", help="features a line (default: as many as the first has)")
    parser.add_argument(
        "--max-relevance", type=int, metavar="N", help="largest label (default: 4 for 136 features, else 31)"
    )
    parser.add_argument("--allow-missing", action="store_true", help="an index that is left out is a missing value")
    parser.add_argument(
        "--no-cache", action="store_true", help="read large files again, into memory (see `python -m training cache`)"
    )


def add_registry_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--registry",
        metavar="URI",
        help="s3://bucket/prefix or a folder (default: PODIUM_REGISTRY, else .podium/registry)",
    )


def sample(args: argparse.Namespace) -> int:
    """Gets the real sample, or says why not and makes synthetic data; prints the folder."""
    folder, _ = sample_or_synthetic()
    sys.stdout.write(f"{folder}\n")
    return 0


def sample_or_synthetic() -> tuple[Path, bool]:
    """The sample's folder, and whether it is real. Raises SampleCorrupt."""
    say = console.messages().print
    try:
        return sample_folder(progress=say), True
    except SampleUnavailable as error:
        say(f"{error}\nGoing on with synthetic data: its numbers say nothing about real queries.")
    folder = cache_folder() / SYNTHETIC
    if not folder.exists():
        write_fold(synthetic_fold(), folder)
    return folder, False


def synthetic(args: argparse.Namespace) -> int:
    """Writes MSLR-shaped text and prints its folder."""
    write_synthetic(args.out, seed=args.seed, queries=args.queries, width=args.width, missing=args.missing, gz=args.gz)
    sys.stdout.write(f"{args.out}\n")
    return 0


def fit_model(args: argparse.Namespace) -> int:
    sys.stdout.write(f"{fitted(args).folder}\n")
    return 0


def evaluate_model(args: argparse.Namespace) -> int:
    run = open_run(args.run_folder)
    for found in evaluated(run, read_data(args, run)):
        console.results().print(found.table())
    return 0


def publish_model(args: argparse.Namespace) -> int:
    run = open_run(args.run_folder)
    real = None
    if args.golden_rows_of_data:
        console.messages().print(
            "Rows of the data set become part of the model. Where its terms forbid to pass them on "
            "(MSLR is for research), keep this model to yourself."
        )
        real = first_queries(read_data(args, run).test, args.golden_rows_of_data)
    done = publish(run, open_registry(registry_uri(args)), real)
    console.messages().print(published_line(done))
    sys.stdout.write(f"{done.uri}\n")
    return 0


def run_all(args: argparse.Namespace) -> int:
    """fit, evaluate and publish; prints the tables and, last, the model's URI."""
    chain = chained(args)
    for found in chain.evaluations:
        console.results().print(found.table())
    console.messages().print(f"run: {chain.run.folder}")
    console.messages().print(published_line(chain.published))
    sys.stdout.write(f"{chain.published.uri}\n")
    return 0


def show(args: argparse.Namespace) -> int:
    """Prints a run or a published model: what it was made of and how good it is."""
    if Path(args.target, "run.json").exists():
        console.results().print(*run_lines(open_run(Path(args.target))), sep="\n")
        return 0
    console.results().print(*model_lines(manifest_of(parse_model_uri(args.target))), sep="\n")
    return 0


@dataclass(frozen=True, eq=False)
class Chain:
    """What came of data, fit, evaluation and publication."""

    fold: Fold
    run: Run
    evaluations: list[Evaluation]
    published: Published


def chained(args: argparse.Namespace) -> Chain:
    """What `run` and `demo` share. Raises as the steps do."""
    registry = open_registry(registry_uri(args))
    fold = read_data(args)
    run = fitted(args, fold)
    evaluations = evaluated(run, fold)
    return Chain(fold, run, evaluations, publish(run, registry))


def fitted(args: argparse.Namespace, fold: Fold | None = None) -> Run:
    """The run of these arguments: found if it is there, fitted if not."""
    recipe: Recipe = load_recipe(args.recipe).override(*args.set)
    recipe.check()
    fold = read_data(args) if fold is None else fold
    about = described(fold, recipe, name=args.name, seed=args.seed)
    with distributed.session() as group:
        about = group.describe(about)
        group.agree(about)
        folder = run_folder(args.runs, about)
        there = group.first_host_says(b"yes" if folder.exists() else b"") == b"yes"
        model = b"" if there else group.same(_grown(args, recipe, group.shard(fold.train), group.shard(fold.vali)))
    group.leave_to_first()
    if there:
        console.messages().print(f"fitted before with this data, recipe, seed and code: {folder}")
        return open_run(folder)
    return save_run(folder, about, model, fold.folder or Path())


def _grown(args: argparse.Namespace, recipe: Recipe, train: Queries, vali: Queries | None) -> bytes:
    with console.bar(f"fitting {train.count} queries", "trees") as tell:
        ranker = fit(
            train,
            vali,
            recipe,
            seed=args.seed,
            threads=args.threads,
            progress=lambda done, total, _: tell(done, total),
            memory_budget=args.memory_budget,
            say=console.messages().print,
        )
    return model_bytes(ranker)


def described(fold: Fold, recipe: Recipe, *, name: str | None, seed: int) -> dict[str, Any]:
    """All that the model of these will depend on."""
    width = fold.train.width
    return describe(
        fold,
        recipe,
        name=check_name(name or default_name(width)),
        seed=seed,
        features=FeatureSchema.from_names(feature_names(width)),
        revision=current_revision(),
    )


def evaluated(run: Run, fold: Fold) -> list[Evaluation]:
    """Scores every split that the model did not learn from, and keeps the result in the run."""
    if fold.sha256 != run.about["data"]["sha256"]:
        raise RunError(f"{fold.folder} is not the data that {run.folder} was fitted on: its content hashes differently")
    ranker = run.ranker()
    tried: int = run.about["recipe"]["tried"]
    found: list[Evaluation] = []
    for split, queries in fold.splits[1:]:
        with console.bar(f"evaluating on {split}", "queries") as tell:
            found.append(evaluate(ranker, queries, split=split, tried=tried, progress=tell))
    run.save_evaluation({each.split: each.to_json() for each in found})
    return found


def read_data(args: argparse.Namespace, run: Run | None = None) -> Fold:
    """The fold that `--data` names; without it, the one that the run was fitted on."""
    folder = run.data_folder if run is not None and args.data == SAMPLE else data_folder(args.data)
    with console.bar(f"reading {folder.name}", "bytes") as tell:
        return read_fold(
            folder,
            width=args.width,
            max_relevance=args.max_relevance,
            allow_missing=args.allow_missing,
            progress=tell,
            cache=None if args.no_cache else user_cache(),
        )


def data_folder(named: str) -> Path:
    return sample_folder(progress=console.messages().print) if named == SAMPLE else Path(named)


def registry_uri(args: argparse.Namespace) -> str:
    return args.registry or os.environ.get("PODIUM_REGISTRY") or default_registry()


def default_name(width: int | None) -> str:
    """A model's name where none was given."""
    return "mslr" if width == 136 else "ranker"


def published_line(done: Published) -> str:
    return f"{'published before' if done.existed else 'published'}: {done.uri} ({done.digest})"
