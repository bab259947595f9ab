"""Findings as words and figures, the same ones on the page and in the pull request."""

from __future__ import annotations

import math
from collections.abc import Sequence

from training.findings import Findings, System
from training.significance import ALPHA, Difference, Verdict

NO_NUMBER = "-"
LEVEL = f"{1 - ALPHA:.0%}"


def headline(found: Findings) -> str:
    """The verdict in one sentence, without the names of models, which come from outside."""
    verdict = {
        Verdict.BETTER: "Better than the",
        Verdict.WORSE: "Worse than the",
        Verdict.NONE: "No difference shown to the",
    }[found.comparison.verdict]
    whom = "champion" if found.champion is not None else "baseline (XGBoost defaults)"
    return f"{verdict} {whom}"


def slices_line(found: Findings) -> str:
    """What the slices add to the verdict."""
    tested = [each for each in found.comparison.slices if each.adjusted is not None]
    better = sum(each.verdict is Verdict.BETTER for each in tested)
    worse = len(found.comparison.regressions)
    if not tested:
        return "No slice of the queries is large enough to be tested."
    rest = len(tested) - better - worse
    return f"Slices tested: {len(tested)}; better on {better}, worse on {worse}, no difference shown on {rest}."


def counted(found: Findings) -> str:
    queries, blank = found.evaluation.queries, found.evaluation.blank
    left_out = f"; {blank} blank (no relevant document) left out" if blank else ""
    return f"{queries - blank} test queries{left_out}"


def number(value: float | None, digits: int = 4) -> str:
    return NO_NUMBER if value is None or math.isnan(value) else f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 4) -> str:
    return NO_NUMBER if value is None or math.isnan(value) else f"{value:+.{digits}f}"


def span(edges: Sequence[float], digits: int = 4, sign: bool = False) -> str:
    write = signed if sign else number
    return NO_NUMBER if any(map(math.isnan, edges)) else " to ".join(write(edge, digits) for edge in edges)


def probability(p: float | None) -> str:
    return "not tested" if p is None else f"{p:.4f}"


def versus(system: System) -> tuple[str, str, str, str]:
    """Difference, interval, p and verdict of the model against a system."""
    found: Difference | None = system.versus
    if found is None:
        return (NO_NUMBER, NO_NUMBER, NO_NUMBER, "not measured")
    cells = (signed(found.mean), span(found.interval, sign=True), probability(system.adjusted))
    return (*cells, str(system.verdict))
