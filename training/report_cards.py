"""What the report's numbers rest on: the data, the model, and the way of measuring."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from training.findings import CUTOFF, Findings
from training.markup import Content, Markup, join, table, tag
from training.orders import PERSISTENCE
from training.queries import Queries
from training.significance import ALPHA, FEW_RELEVANT, FLIPS, MIN_QUERIES
from training.wording import LEVEL


def data_card(found: Findings) -> Markup:
    """Sizes and labels of every split. No row and no value of the data is shown."""
    splits = found.fold.splits
    labels = range(max(int(split.relevance.max(initial=0)) for _, split in splits) + 1)
    rows = ([name, *_sizes(split), *_shares(split, labels)] for name, split in splits)
    head = ["", "queries", "blank", "rows", "documents a query", *(f"label {label}" for label in labels)]
    facts = [
        ("Digest", tag("code", found.fold.sha256)),
        ("Features", f"{found.model.schema.width}, {_missing(found.fold.test)} of the test values missing"),
        ("Gain", "2^relevance - 1"),
        ("Splits", "by query; no query is in two of them"),
    ]
    return join([_facts(facts), table(head, rows, "Median documents a query with the range; share of rows by label")])


def model_card(found: Findings) -> Markup:
    """What the model is, what it is for, and what it was made from."""
    about = found.model.about
    recipe, source = about["recipe"], about["source"]
    changes = " with uncommitted changes" if source["dirty"] else ""
    facts = [
        ("Model", found.model.label),
        ("Kind", f"XGBoost, {found.model.trees} trees, objective {recipe['parameters'].get('objective', 'unknown')}"),
        ("For", "ordering the documents of one query. A score means nothing by itself or between queries."),
        ("Not for", "queries or features unlike the data card's: nothing here was measured on them."),
        ("Recipe", f"{recipe.get('recipe', 'unknown')}, {recipe.get('tried', 'an unknown number of')} tried"),
        ("Chosen on", recipe.get("chosen_on") or "not recorded"),
        ("Seed", about["seed"]),
        ("Commit", join([tag("code", source["commit"]), f"{changes}, {source['created']}"])),
        ("Fitted on", tag("code", about["data"].get("sha256", "unknown"))),
        ("Libraries", ", ".join(f"{name} {version}" for name, version in sorted(about["libraries"].items()))),
    ]
    rows = ([name, str(value)] for name, value in sorted(recipe["parameters"].items()))
    names = tag("p", tag("code", ", ".join(found.model.schema.names)))
    return join([
        _facts(facts),
        tag("details", tag("summary", "Parameters"), table(["parameter", "value"], rows)),
        tag("details", tag("summary", f"The {found.model.schema.width} features"), names),
    ])  # fmt: skip


def statistics_card(found: Findings) -> Markup:
    """What the words of the verdict mean, and where the methods are from."""
    least = found.comparison.minimum
    told = [
        f"A difference is called shown when the randomisation test's p is at most {ALPHA:g}, the {LEVEL} interval "
        f"leaves out 0, and it is over {MIN_QUERIES} queries or more"
        + (f", and at least {least:g} in NDCG@{CUTOFF}." if least else "."),
        f"Randomisation test (Smucker, Allan and Carterette 2007): {FLIPS:,} draws of signs for the queries' "
        "differences, or all signs where those are no more.",
        "Intervals: percentile bootstrap over queries (Efron 1979), 2,000 draws, paired for differences.",
        f"Several tests at once are adjusted by Holm (1979). Queries with {FEW_RELEVANT} or fewer relevant documents "
        "are a slice of their own, because there it matters most to find them.",
        f"Rank-biased overlap (Webber, Moffat and Zobel 2010) with p = {PERSISTENCE:g}, extrapolated.",
        "Intervals cover which queries were drawn. They do not cover which recipe was chosen, whether the labels are "
        "right, or whether tomorrow's queries are like these.",
        f"Seed of all draws: {found.evaluation.seed}.",
    ]
    return tag("ul", *(tag("li", each) for each in told))


def _sizes(split: Queries) -> list[Content]:
    relevant = np.add.reduceat(split.relevance > 0, split.offsets[:-1]) if split.count else np.zeros(0)
    sizes = split.group_sizes
    spread = f"{np.median(sizes):.0f} ({sizes.min()} to {sizes.max()})" if split.count else "-"
    return [f"{split.count:,}", f"{int((relevant == 0).sum()):,}", f"{split.rows:,}", spread]


def _shares(split: Queries, labels: Iterable[int]) -> list[Content]:
    return [f"{(split.relevance == label).mean():.1%}" if split.rows else "-" for label in labels]


def _missing(split: Queries) -> str:
    return f"{np.isnan(split.features).mean():.1%}" if split.rows else "none"


def _facts(facts: Iterable[tuple[str, Content]]) -> Markup:
    return table([], ([name, value] for name, value in facts), text_columns=2)
