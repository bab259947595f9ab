"""The report as one page that needs nothing else: no script, font or address. For a screen, a phone, or paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training.charts import Interval, bars, curves, deltas, intervals
from training.evaluate import HEADLINE
from training.findings import CUTOFF, Findings
from training.markup import Content, Markup, join, table, tag
from training.ndcg import Convention
from training.report_cards import data_card, model_card, statistics_card
from training.report_tables import ndcg_table, slice_table, systems_table
from training.significance import Slice, Verdict
from training.wording import LEVEL, counted, headline, number, slices_line

STYLE = Path(__file__).with_name("report.css")
IMPORTANT = 15


def page(found: Findings, commands: Sequence[str] = ()) -> str:
    """The whole document."""
    title = f"Model report: {found.model.label}"
    sections = {
        "NDCG": _ndcg(found),
        "Against each system": _systems(found),
        "Query by query": _queries(found),
        "Slices": _slices(found),
        "How alike the orders are": _orders(found),
        "Biggest movers": _movers(found),
        "What the model uses": _importance(found),
        "Learning curve": _curve(found),
        "Data card": data_card(found),
        "Model card": model_card(found),
        "How this was measured": statistics_card(found),
        "How to reproduce": join(
            [_text("From a clone of the repository:"), tag("pre", tag("code", "\n".join(commands)))]
        ),
    }
    places = {name: f"s{number}" for number, name in enumerate(sections, 1)}
    links = (tag("li", tag("a", name, href=f"#{place}")) for name, place in places.items())
    body = (
        tag("header", tag("h1", title), tag("p", _against(found), class_="faint"), _verdict(found)),
        tag("nav", tag("ul", *links), aria_label="Sections"),
        tag(
            "main",
            *(
                tag("section", tag("h2", name, id=f"{places[name]}"), content, aria_labelledby=places[name])
                for name, content in sections.items()
            ),
        ),
    )
    head = (
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        # Nothing is asked of anybody, even if something slipped in.
        tag("meta", http_equiv="Content-Security-Policy", content="default-src 'none'; style-src 'unsafe-inline'"),
        tag("title", title),
        tag("style", Markup(STYLE.read_text(encoding="utf-8"))),
    )
    return f"<!doctype html>\n{tag('html', tag('head', *head), tag('body', *body), lang='en')}\n"


def _against(found: Findings) -> str:
    whom = f"the champion {found.champion.label}" if found.champion is not None else "XGBoost's defaults"
    return f"Compared with {whom} on {counted(found)}."


def _verdict(found: Findings) -> Markup:
    reasons = (tag("li", f"{each[0].upper()}{each[1:]}.") for each in found.comparison.reasons)
    minds = (tag("li", tag("b", "Mind: "), each) for each in found.caveats)
    listed = tag("ul", *reasons, tag("li", slices_line(found)), *minds)
    return tag("div", tag("strong", headline(found)), listed, class_=f"verdict {_kind(found.comparison.verdict)}")


def _ndcg(found: Findings) -> Markup:
    blank = found.evaluation.blank
    if not blank:
        note = "No test query is blank (without a relevant document), so all three conventions give these numbers."
        return join([_text(note), ndcg_table(found, HEADLINE)])
    told = {
        Convention.SKIP: "Blank queries skipped (the headline)",
        Convention.ZERO: "Blank queries count 0",
        Convention.ONE: "Blank queries count 1, as in XGBoost's and LightGBM's own metric",
    }
    parts = (join([tag("h3", text), ndcg_table(found, convention)]) for convention, text in told.items())
    return join(
        [
            _text(f"{blank} test queries are blank: without a relevant document, no order is better than another."),
            *parts,
        ]
    )


def _systems(found: Findings) -> Markup:
    lines = [
        Interval(each.name, each.versus.mean, *each.versus.interval, _kind(each.verdict))
        for each in found.systems
        if each.versus is not None
    ]
    title = f"NDCG@{CUTOFF} of this model minus each system's"
    return join([
        _text(f"Right of 0 this model is better. Filled dots are differences shown; lines are {LEVEL} intervals."),
        intervals(lines, title, "The numbers stand in the table below."),
        systems_table(found),
    ])  # fmt: skip


def _queries(found: Findings) -> Markup:
    values = np.array(list(found.deltas.values()))
    won, lost = int((values > 0).sum()), int((values < 0).sum())
    told = f"{won} queries gained, {lost} lost, {len(values) - won - lost} stayed equal"
    worst = sorted(found.deltas.items(), key=lambda each: each[1])
    ends = [*worst[:5], *worst[max(5, len(worst) - 5) :]]
    rows = ([f"query {qid}", f"{delta:+.4f}"] for qid, delta in ends)
    return join([
        _text(f"NDCG@{CUTOFF} of this model minus the {found.reference}, sorted: {told}."),
        deltas(values, f"Difference in NDCG@{CUTOFF} by query", told),
        tag("details", tag("summary", "The queries at both ends"), table(["", "difference"], rows)),
    ])  # fmt: skip


def _slices(found: Findings) -> Markup:
    slices = found.comparison.slices
    if not slices:
        return _text("The queries do not fall into slices: they are too few or too alike.")
    lines = [
        Interval(each.name, each.difference.mean, *each.difference.interval, _kind(each.verdict)) for each in slices
    ]
    return join([
        _text(f"Difference to the {found.reference} where queries are short or long, hard or easy. {_alone(slices)}"),
        intervals(lines, f"Difference in NDCG@{CUTOFF} by slice", slices_line(found)),
        slice_table(found),
    ])  # fmt: skip


def _alone(slices: Sequence[Slice]) -> str:
    drawn = "Several slices are several chances to be wrong: p is adjusted by Holm, the intervals are not."
    untested = sum(each.adjusted is None for each in slices)
    return drawn if not untested else f"{drawn} {untested} of them hold too few queries to be tested."


def _orders(found: Findings) -> Markup:
    alike = found.likeness
    kinds = {
        "rank-biased overlap (p = 0.9)": alike.overlap,
        "Kendall's tau": alike.tau,
        "same documents among the first 10": alike.shared,
    }
    rows: list[list[Content]] = []
    for name, values in kinds.items():
        some = values[np.isfinite(values)]
        edges = np.quantile(some, [0.1, 0.5, 0.9]).tolist() if some.size else [float("nan")] * 3
        mean = float(some.mean()) if some.size else float("nan")
        rows.append([name, number(mean, 3), *(number(edge, 3) for edge in edges), len(some)])
    head = ["", "mean", "10 % of queries below", "median", "10 % above", "queries"]
    told = (
        f"How much the order changes against the {found.reference}, for better or worse. Rank-biased overlap weighs "
        "the top most and is 1 for equal orders; tau weighs all pairs of documents alike and is 0 for unrelated orders."
    )
    return join([_text(told), table(head, rows)])


def _movers(found: Findings) -> Markup:
    if not found.movers:
        return _text("No document moved in a way that changes NDCG.")
    rows = (
        [
            f"query {each.qid}, document {each.document}",
            tag("span", join((f"{name} {push:+.2f}" for name, push in each.features), tag("br")), class_="names"),
            each.relevance,
            each.before,
            each.after,
            f"{each.effect:+.4f}",
        ]
        for each in found.movers
    )
    told = (
        f"The effect is the document's part in the difference of its query's NDCG@{CUTOFF}: its gain by the change of "
        "its rank's discount. It was moved by the features whose contributions (TreeSHAP) differ most between the two "
        "models in the direction of the move, in spreads of the query's scores: that is what the models do, not why "
        "the document is relevant."
    )
    head = ["document", "moved by", "relevance", "rank before", "rank now", "effect"]
    return join([_text(told), table(head, rows, text_columns=2)])


def _importance(found: Findings) -> Markup:
    top = found.importance[:IMPORTANT]
    rest = sum(each.contribution for each in found.importance[IMPORTANT:])
    rows = ([each.feature, f"{each.contribution:.1%}", f"{each.gain:.1%}"] for each in top)
    unused = sum(each.gain == 0 for each in found.importance)
    told = (
        f"Share of each feature in the scores of the test queries (mean absolute TreeSHAP contribution). The other "
        f"{max(0, len(found.importance) - IMPORTANT)} features have {rest:.1%} together; {unused} of "
        f"{len(found.importance)} are used by no tree."
    )
    chart = bars({each.feature: 100 * each.contribution for each in top}, "Share of contributions, %", told)
    head = ["feature", "of contributions", "of gain in training"]
    return join([_text(told), chart, tag("details", tag("summary", "As a table"), table(head, rows))])


def _curve(found: Findings) -> Markup:
    told = (
        "By number of trees, blank queries skipped. A widening gap is overfitting. Reading the best number of trees "
        "off the test curve would make every number on this page too good."
    )
    test = dict(found.curves["test"])
    rows = ([int(trees), number(value), number(test.get(trees))] for trees, value in found.curves["training"])
    return join([
        _text(told),
        curves(found.curves, "trees", f"NDCG@{CUTOFF} by number of trees", "Training and test queries."),
        tag("details", tag("summary", "As a table"), table(["trees", "training", "test"], rows)),
    ])  # fmt: skip


def _text(text: str) -> Markup:
    return tag("p", text)


def _kind(verdict: Verdict) -> str:
    return {Verdict.BETTER: "better", Verdict.WORSE: "worse", Verdict.NONE: "none"}[verdict]
