"""`python -m training report`: a page and a Markdown summary that say whether a model is better, and how sure that is.

Equal inputs give equal bytes: no clock is read.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from pathlib import Path

from service.commands import resolve
from service.files import replace_file
from training import commands, console
from training.baselines import LAMBDARANK
from training.findings import gather
from training.models import open_model
from training.report_html import page
from training.report_markdown import markdown
from training.reproduce import commands_of
from training.runs import ABOUT, open_run

HTML, MARKDOWN = "report.html", "report.md"
REPORTS = Path(".podium/reports")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `python -m training report`."""
    parser.add_argument("target", metavar="RUN|MODEL", help="a run's folder; or a model's name, NAME/VERSION or URI")
    parser.add_argument("--champion", metavar="RUN|MODEL", help="whom to compare with (default: XGBoost's defaults)")
    parser.add_argument("--out", type=Path, metavar="DIR", help=f"where the two files go (default: below {REPORTS})")
    parser.add_argument(
        "--minimum", type=_minimum, default=0.0, metavar="NDCG", help="smaller differences are called none"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the baselines and of the statistics")
    parser.add_argument("--threads", type=int, help="default: all CPUs that the process may use")
    commands.add_data_arguments(parser)
    commands.add_registry_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Writes the page and the Markdown, prints where they are, and returns 0 whatever the verdict."""
    # By address, which still names the same model when there is a newer one.
    args.target, args.champion = (each and _address(each, args) for each in (args.target, args.champion))
    known = open_run(Path(args.target)) if _is_run(args.target) else None
    with tempfile.TemporaryDirectory(prefix="podium-report-") as scratch:
        model = open_model(args.target, Path(scratch, "model"))
        champion = open_model(args.champion, Path(scratch, "champion")) if args.champion else None
    fold = commands.read_data(args, known)
    found = gather(model, fold, champion, seed=args.seed, threads=args.threads, minimum=args.minimum)
    apart = any(each.name == LAMBDARANK and each.found is not None for each in found.systems)
    again = commands_of(model, fold, args, lightgbm=apart)
    folder = args.out or REPORTS / (Path(args.target).name if known else f"{model.name}-{model.version}")
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / HTML, page(found, again).encode())
    replace_file(folder / MARKDOWN, markdown(found, again).encode())
    console.messages().print(found.comparison.verdict, *found.comparison.reasons, sep="\n", markup=False)
    sys.stdout.write(f"{folder / HTML}\n{folder / MARKDOWN}\n")
    return 0


def _minimum(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no difference in NDCG: give a number from 0 to 1")
    return found


def _is_run(target: str) -> bool:
    return Path(target, ABOUT).exists()


def _address(target: str, args: argparse.Namespace) -> str:
    return target if _is_run(target) else resolve(target, commands.registry_uri(args)).uri
