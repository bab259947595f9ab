"""The command line of `python -m training`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from service.client import ClientError
from service.errors import BundleError
from service.location import RegistryError
from training import commands, crossval, demo, job, kept, report, sagemaker, tune
from training.job_errors import JobError
from training.mslr import HOW_TO_GET
from training.runs import RunError
from training.sample import SampleCorrupt, SampleUnavailable
from training.server import ServerError

# Bad data, recipes and settings are ValueErrors that say what to do.
EXIT_CODES: dict[type[Exception], int] = {
    RegistryError: 5,
    BundleError: 3,
    JobError: 3,
    RunError: 3,
    ServerError: 3,
    ClientError: 3,
    SampleCorrupt: 3,
    SampleUnavailable: 5,
    ValueError: 2,
}

Verb = Callable[[argparse.Namespace], int]


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m training",
        description="Train a ranker, measure it through the code that serves it, and publish it.",
        epilog=HOW_TO_GET,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)

    def add(name: str, run: Verb, help_text: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}.")
        sub.set_defaults(run=run)
        return sub

    add(
        "sample",
        commands.sample,
        "get 10,000 real MSLR-WEB10K lines (without network: synthetic ones), and print their folder",
    )

    synthetic = add("synthetic", commands.synthetic, "write seeded data of the same shape")
    synthetic.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder")
    synthetic.add_argument("--seed", type=int, default=0)
    synthetic.add_argument("--queries", type=int, default=200)
    synthetic.add_argument("--width", type=int, default=136, metavar="N", help="features (default: 136)")
    synthetic.add_argument(
        "--missing", type=float, default=0.0, metavar="SHARE", help="of values left out (default: 0)"
    )
    synthetic.add_argument("--gz", action="store_true", help="write .txt.gz")

    commands.add_fit_arguments(add("fit", commands.fit_model, "fit a model, and print the run's folder"))

    evaluate = add("evaluate", commands.evaluate_model, "measure a run on its vali and test queries")
    evaluate.add_argument("run_folder", type=Path, metavar="RUN")
    commands.add_data_arguments(evaluate)

    publish = add("publish", commands.publish_model, "publish an evaluated run, and print the model's URI")
    publish.add_argument("run_folder", type=Path, metavar="RUN")
    publish.add_argument(
        "--golden-rows-of-data",
        type=_count,
        metavar="N",
        help="also prove the model with N real test queries (mind the data's terms)",
    )
    commands.add_data_arguments(publish)
    commands.add_registry_argument(publish)

    show = add("show", commands.show, "show a run or a published model")
    show.add_argument("target", metavar="RUN|URI")

    chain = add("run", commands.run_all, "fit, evaluate and publish")
    commands.add_fit_arguments(chain)
    commands.add_registry_argument(chain)

    crossval.add_arguments(add("crossval", crossval.run, "cross-validate a recipe by query"))

    kept.add_arguments(add("cache", kept.run, "list the data that was kept for faster reading, or remove it"))
    tune.add_arguments(add("tune", tune.run, "search a recipe, and judge it on queries that the search never saw"))
    job.add_arguments(add("train", job.run, "what a SageMaker training job runs: from /opt/ml to /opt/ml"))
    report.add_arguments(add("report", report.run, "say whether a model is better, on a page and for a pull request"))

    jobs = add("sagemaker", sagemaker.start, "train on SageMaker: start, wait, logs, stop, fetch")
    sagemaker.add_arguments(jobs)

    demonstration = add("demo", demo.run, "do it all on real queries: train, publish, serve, rank over HTTP")
    commands.add_fit_arguments(demonstration)
    commands.add_registry_argument(demonstration)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a verb and returns the exit code: 0 done, 2 bad usage or data, 3 refused or not found, 4 conflict,
    5 something outside is out of reach; of a job on SageMaker 6 it failed, 7 it was stopped, 8 no instance for it."""
    try:
        args = parser().parse_args(argv)
        return args.run(args)
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else error, 3)
    except tuple(EXIT_CODES) as error:
        return _fail(error, exit_code(error))


def exit_code(error: Exception) -> int:
    if isinstance(error, RegistryError | JobError):
        return error.exit_code
    return next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a count of 1 or more")
    return int(text)


def _fail(message: object, exit_code: int) -> int:
    sys.stderr.write(f"podium: {message}\n")
    return exit_code
