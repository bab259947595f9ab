"""`python -m training report`: a page and a Markdown summary that say whether a model is better, and how sure that is.

Equal inputs give equal bytes: no clock is read.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from service.files import replace_file
from training import commands, console
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
    parser.add_argument("target", metavar="RUN|URI", help="a run's folder, a bundle's folder or a model's URI")
    parser.add_argument("--champion", metavar="RUN|URI", help="the model to compare with (default: XGBoost's defaults)")
    parser.add_argument("--out", type=Path, metavar="DIR", help=f"where the two files go (default: below {REPORTS})")
    parser.add_argument(
        "--minimum", type=float, default=0.0, metavar="NDCG", help="smaller differences are called none"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the baselines and of the statistics")
    parser.add_argument("--threads", type=int, help="default: all CPUs that the process may use")
    commands.add_data_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Writes the page and the Markdown, prints where they are, and returns 0 whatever the verdict."""
    known = open_run(Path(args.target)) if Path(args.target, ABOUT).exists() else None
    with tempfile.TemporaryDirectory(prefix="podium-report-") as scratch:
        model = open_model(args.target, Path(scratch, "model"))
        champion = open_model(args.champion, Path(scratch, "champion")) if args.champion else None
    fold = commands.read_data(args, known)
    found = gather(model, fold, champion, seed=args.seed, threads=args.threads, minimum=args.minimum)
    again = commands_of(model, fold, args)
    folder = args.out or REPORTS / (Path(args.target).name if known else f"{model.name}-{model.version}")
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / HTML, page(found, again).encode())
    replace_file(folder / MARKDOWN, markdown(found, again).encode())
    console.messages().print(found.comparison.verdict, *found.comparison.reasons, sep="\n", markup=False)
    sys.stdout.write(f"{folder / HTML}\n{folder / MARKDOWN}\n")
    return 0
