"""The tables of the report that carry its verdicts: means with intervals, differences with p values."""

from __future__ import annotations

from collections.abc import Sequence

from training.findings import CUTOFF, Findings
from training.markup import Content, Markup, join, table, tag
from training.ndcg import Convention, PerQuery, interval
from training.significance import Verdict
from training.wording import LEVEL, NO_NUMBER, number, probability, signed, span, versus

OURS = "this model"
VERDICT = "this model is"


def ndcg_table(found: Findings, convention: Convention) -> Markup:
    """Means by cut-off with their intervals, a line a system."""
    ours = found.evaluation.ours
    systems: list[tuple[str, PerQuery | None]] = [(OURS, ours), *((each.name, each.found) for each in found.systems)]
    rows = [
        [tag("b", name) if name == OURS else name, *_means(measured, ours.cutoffs, convention, found.evaluation.seed)]
        for name, measured in systems
    ]
    count = len(ours.column(CUTOFF, convention))
    head = ["", *(f"NDCG@{cutoff}" for cutoff in ours.cutoffs)]
    caption = f"Means over {count} queries, {LEVEL} intervals below. Whether two differ is for the differences to say."
    return table(head, rows, caption)


def systems_table(found: Findings) -> Markup:
    """The model against each: paired differences."""
    rows = [
        [join([each.name, tag("br"), tag("span", each.about, class_="faint")]), *_cells(versus(each))]
        for each in found.systems
    ]
    head = ["", f"NDCG@{CUTOFF} difference", f"{LEVEL} interval", "p", VERDICT]
    caption = (
        f"Paired over {found.comparison.difference.queries} queries. p of the randomisation test; "
        f"by Holm over all but the {found.reference}, which the page's verdict is about."
    )
    return table(head, rows, caption)


def slice_table(found: Findings) -> Markup:
    rows = [
        [
            each.name,
            each.difference.queries,
            *_cells(
                (
                    signed(each.difference.mean),
                    span(each.difference.interval, sign=True),
                    probability(each.adjusted),
                    str(each.verdict) if each.adjusted is not None else "too few queries",
                )
            ),
        ]
        for each in found.comparison.slices
    ]
    head = ["queries with", "queries", f"NDCG@{CUTOFF} difference", f"{LEVEL} interval", "p (Holm)", VERDICT]
    return table(head, rows, f"This model minus the {found.reference}")


def _means(found: PerQuery | None, cutoffs: Sequence[int], convention: Convention, seed: int) -> list[Content]:
    if found is None:
        return [NO_NUMBER if place else "not measured" for place in range(len(cutoffs))]
    spans = (interval(found.column(cutoff, convention), seed) for cutoff in cutoffs)
    return [
        tag("span", number(found.mean(cutoff, convention)), tag("br"), tag("span", span(edges, 3), class_="faint"))
        for cutoff, edges in zip(cutoffs, spans, strict=True)
    ]


def _cells(cells: tuple[str, str, str, str]) -> list[Content]:
    verdict = {str(Verdict.BETTER): "better", str(Verdict.WORSE): "worse"}.get(cells[3])
    return [*cells[:3], tag("b", cells[3], class_=verdict) if verdict else cells[3]]
