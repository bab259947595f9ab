"""The report for a pull request: the verdict first, and little else; names out of data stand in code spans, where
neither tags nor mentions nor links work."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from training.findings import CUTOFF, Findings
from training.significance import Verdict
from training.wording import LEVEL, counted, headline, number, probability, signed, slices_line, span, versus

MOVERS = 3
SIGNS = {Verdict.BETTER: "🟢", Verdict.WORSE: "🔴", Verdict.NONE: "⚪"}


def markdown(found: Findings, commands: Sequence[str] = ()) -> str:
    """The whole text, GitHub's flavour."""
    return "\n".join(_lines(found, commands)) + "\n"


def code(text: str) -> str:
    """A code span that shows `text`, whatever is in it, also within a table."""
    flat = " ".join(text.split())
    fence = "`" * (max((len(run) for run in re.findall("`+", flat)), default=0) + 1)
    # A blank keeps backticks at the ends from joining the fence; GitHub takes it away again.
    padded = f" {flat} " if "`" in flat or not flat else flat
    return f"{fence}{padded}{fence}".replace("|", "\\|")


def _lines(found: Findings, commands: Sequence[str]) -> Iterator[str]:
    verdict = found.comparison.verdict
    yield f"### {SIGNS[verdict]} {headline(found)}"
    yield ""
    against = f" against {code(found.champion.label)}" if found.champion is not None else ""
    yield f"Model {code(found.model.label)}{against}, on {counted(found)}."
    yield ""
    yield from (f"- {reason}" for reason in found.comparison.reasons)
    yield f"- {slices_line(found)}"
    yield from (f"- **Mind:** {caveat}" for caveat in found.caveats)
    yield ""
    yield from _table(
        ["", f"NDCG@{CUTOFF}", "model minus it", f"{LEVEL} interval", "p", "the model is"], _systems(found)
    )
    yield ""
    yield from _slices(found)
    yield from _movers(found)
    yield "<details><summary>Reproduce</summary>"
    yield ""
    yield from (f"    {' '.join(command.splitlines())}" for command in commands)
    yield ""
    yield "</details>"
    yield ""
    yield (
        "Gain 2^relevance - 1, blank queries skipped; paired bootstrap intervals, randomisation test, Holm over the "
        "baselines beside the reference and over the slices. The page `report.html` has the rest."
    )


def _systems(found: Findings) -> Iterator[list[str]]:
    yield ["**this model**", number(found.evaluation.ours.mean(CUTOFF)), "", "", "", ""]
    for each in found.systems:
        mean = None if each.found is None else each.found.mean(CUTOFF)
        yield [each.name, number(mean), *versus(each)]
    for each in found.systems:
        if each.found is None:
            yield [f"{each.name}: {code(each.about)}", "", "", "", "", ""]


def _slices(found: Findings) -> Iterator[str]:
    told = [each for each in found.comparison.slices if each.verdict is not Verdict.NONE]
    if not told:
        return
    rows = [
        [
            each.name,
            str(each.difference.queries),
            signed(each.difference.mean),
            span(each.difference.interval, sign=True),
            probability(each.adjusted),
            str(each.verdict),
        ]
        for each in told
    ]
    yield from _table(["slice", "queries", "difference", f"{LEVEL} interval", "p (Holm)", ""], rows)
    yield ""


def _movers(found: Findings) -> Iterator[str]:
    if not found.movers:
        return
    yield "<details><summary>Biggest movers</summary>"
    yield ""
    for each in found.movers[:MOVERS]:
        features = ", ".join(f"{code(name)} {push:+.2f}" for name, push in each.features) or "no feature of its own"
        yield (
            f"- query {each.qid}, document {each.document} (relevance {each.relevance}): "
            f"rank {each.before} to {each.after}, {each.effect:+.4f} of the query's NDCG@{CUTOFF}; {features}"
        )
    yield ""
    yield "</details>"
    yield ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'|'.join('---' if not column else '---:' for column in range(len(head)))}|"
    yield from (f"| {' | '.join(row)} |" for row in rows)
