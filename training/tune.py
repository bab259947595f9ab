"""`python -m training tune`: the command line of the search for a recipe."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from service import files
from training import commands, console
from training.crossval import read_qids
from training.evaluate import evaluation_table
from training.recipe import Recipe, RecipeError, load_recipe
from training.space import DEFAULT, load_space, space_names
from training.toml import dumps

if TYPE_CHECKING:
    from training.plan import Plan
    from training.tuning import Tuned

STUDIES = Path(".podium/studies")
RECIPES = Path(".podium/recipes")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `python -m training tune`."""
    commands.add_data_arguments(parser)
    parser.add_argument(
        "--space", default=DEFAULT, help=f"{', '.join(space_names())} or a .toml file (default: {DEFAULT})"
    )
    parser.add_argument(
        "--outer",
        default="test",
        metavar="test|K",
        help="judge the winner on the test queries, which the search never sees (default), or nest everything in "
        "K-fold cross-validation over all queries",
    )
    parser.add_argument(
        "--inner",
        default="3",
        metavar="vali|K",
        help="score trials on the validation queries, or by K-fold cross-validation (default: 3)",
    )
    parser.add_argument("--trials", type=int, default=40, help="of each search (default: 40)")
    parser.add_argument("--minutes", type=float, help="of all searches together; a rerun goes on (default: no limit)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="default: all CPUs that the process may use")
    parser.add_argument(
        "--exclude", type=Path, metavar="FILE", help="leave these queries out: a data file, or one query id a line"
    )
    parser.add_argument(
        "--study", type=Path, metavar="FILE", help=f"where trials are kept (default: one a search in {STUDIES})"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help=f"the recipe, a .toml (default: in {RECIPES})")


def run(args: argparse.Namespace) -> int:
    """Searches, prints what came of it, and last the recipe's path. Raises ValueErrors that say what to do."""
    # Optuna takes longer to load than most verbs take to run.
    from training.plan import seen_and_hidden, study_key  # noqa: PLC0415
    from training.tuning import tune  # noqa: PLC0415

    plan = _plan(args)
    space = load_space(args.space)
    space.check()
    if args.out:
        check_target(args.out)
    excluded = read_qids(args.exclude) if args.exclude else set[int]()
    seen, hidden = seen_and_hidden(commands.read_data(args), plan, excluded)
    key = study_key(seen, hidden, space, plan)
    study = args.study or STUDIES / f"{key}.log"
    out: Path = args.out or RECIPES / f"tuned-{key}.toml"
    say = console.messages().print
    say(f"The search sees {seen.count} queries ({seen.sha256[:12]}), scored by {plan.how}.")
    never = "its outer fold" if hidden is None else f"the {hidden.count} test queries ({hidden.sha256[:12]})"
    say(f"It never sees {never}{f'; {len(excluded)} queries are excluded' if excluded else ''}. Trials: {study}")
    ended: dict[str, int] = {}
    with console.bar("searching", "trials") as bar:

        def tell(name: str, done: int) -> None:
            ended[name] = done
            bar(sum(ended.values()), plan.trials * plan.searches)

        found = tune(seen, hidden, space, plan, study, name=out.stem, threads=args.threads, tell=tell)
    write_recipe(found.recipe, out)
    console.results().print(chosen_table(found, plan), evaluation_table(found.outer.to_json()))
    sys.stdout.write(f"{out}\n")
    return 0


def chosen_table(found: Tuned, plan: Plan) -> Table:
    """The winner's parameters and what it was chosen by."""
    low, high = found.inner_interval
    last = found.searches[-1]
    caption = (
        f"Best of {last.trials} trials ({last.pruned} pruned) by NDCG@10 on {plan.how}: {found.inner:.4f} "
        f"({low:.4f} to {high:.4f}), which looks too good because it is the best of many."
    )
    if found.looks > 1:
        caption += (
            f" {found.looks} recipes of this study were scored on the test queries: they are no holdout any more."
        )
    table = Table(title="recipe", caption=caption, caption_justify="left", title_justify="left", show_header=False)
    for name, value in found.recipe.parameters.items():
        table.add_row(name, str(value))
    return table


def write_recipe(recipe: Recipe, path: Path) -> None:
    """Raises RecipeError as `check_target` does."""
    check_target(path)
    about = {"description": recipe.description, "tried": recipe.tried, "chosen_on": recipe.chosen_on}
    tables: Mapping[str, Mapping[str, object]] = {
        "recipe": about,
        "parameters": recipe.parameters,
        "provenance": recipe.provenance,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    files.replace_file(path, dumps(tables).encode())


def check_target(path: Path) -> None:
    """Before hours have passed: raises RecipeError for a file that a recipe must not be written to."""
    if path.suffix != ".toml":
        raise RecipeError(f"{path}: recipes are .toml files")
    if path.exists() and not load_recipe(path).provenance:
        raise RecipeError(f"{path} was not written by a search (it has no [provenance]): write to another file")


def _plan(args: argparse.Namespace) -> Plan:
    from training.plan import TEST, VALI, Plan  # noqa: PLC0415

    outer = TEST if args.outer == "test" else _folds("--outer", args.outer, "test")
    inner = VALI if args.inner == "vali" else _folds("--inner", args.inner, "vali")
    return Plan(outer, inner, args.trials, args.minutes, args.seed)


def _folds(option: str, text: str, word: str) -> int:
    if not text.isdecimal() or int(text) < 2:
        raise ValueError(f"{option} must be {word} or a number of folds from 2, not {text!r}")
    return int(text)
