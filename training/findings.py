"""What a report says, in numbers: a model against champion and baselines, on queries that none of them learned from.

As far as the data's digest can tell, that is. Equal inputs give equal findings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from service.schema import FeatureSchema
from training import console
from training.anatomy import Importance, importance, learning_curve
from training.baselines import DEFAULTS, Baseline, Yardsticks
from training.evaluate import Evaluation, measured, score_queries
from training.models import Model
from training.movers import Mover, movers
from training.ndcg import PerQuery
from training.orders import Likeness, likeness
from training.queries import Fold, Queries
from training.significance import (
    MIN_QUERIES,
    Comparison,
    Difference,
    Verdict,
    compare,
    difference,
    holm,
    slice_queries,
)

CUTOFF = 10
CHAMPION = "champion"


@dataclass(frozen=True, eq=False)
class System:
    """A ranker that the model is compared with."""

    name: str
    about: str
    found: PerQuery | None
    """None where it was not measured; `about` says why."""
    versus: Difference | None = None
    """The model minus this one, in NDCG@10."""
    adjusted: float | None = None
    """p by Holm over the systems beside the reference; the reference's own p."""
    verdict: Verdict = Verdict.NONE
    """Of the model against this one, by `adjusted`."""


@dataclass(frozen=True, eq=False)
class Findings:
    """All that the page says."""

    model: Model
    evaluation: Evaluation
    reference: str
    """Whom the verdict, the slices and the movers compare the model with."""
    champion: Model | None
    comparison: Comparison
    deltas: Mapping[int, float]
    """NDCG@10 of the model minus the reference, by query id, without blank queries."""
    systems: Sequence[System]
    """The champion first, where there is one, then the baselines."""
    likeness: Likeness
    movers: Sequence[Mover]
    importance: Sequence[Importance]
    curves: Mapping[str, Sequence[tuple[float, float]]]
    fold: Fold
    caveats: Sequence[str]


def gather(
    model: Model,
    fold: Fold,
    champion: Model | None = None,
    *,
    seed: int = 0,
    threads: int | None = None,
    minimum: float = 0.0,
) -> Findings:
    """Measures everything on the test queries of `fold`, whose training queries the baselines learn from.

    Args:
        minimum: a difference in NDCG@10 nearer to 0 than this is called none.

    Raises:
        ValueError: the data has other features than the model, or lacks one of the champion's; FitError among them.
    """
    test, names = fold.test, model.schema
    scores = score_queries(model.ranker, test)
    ours = measured(scores, test, split="test", tried=model.about["recipe"].get("tried"), seed=seed)
    yardsticks = Yardsticks(fold, names, model.about["recipe"]["parameters"], model.trees, seed, threads)
    with console.bar("measuring baselines", "baselines") as tell:
        others = yardsticks.measure(tell)
    if champion is not None:
        others = [_measured_champion(champion, test, names), *others]
    reference = others[0] if champion is not None else next(each for each in others if each.name == DEFAULTS)
    if reference.model is None or reference.found is None or reference.scores is None:
        raise AssertionError(f"{reference.name} was not measured")
    compared = compare(
        reference.found,
        ours.ours,
        slice_queries(test.relevance, test.offsets),
        cutoff=CUTOFF,
        minimum=minimum,
        seed=seed,
    )
    change = ours.ours.column(CUTOFF) - reference.found.column(CUTOFF)
    both = (reference.scores, scores)
    return Findings(
        model=model,
        evaluation=ours,
        reference=reference.name,
        champion=champion,
        comparison=compared,
        deltas=dict(zip(test.qids[~ours.ours.blank].tolist(), change.tolist(), strict=True)),
        systems=_systems(ours.ours, others, reference.name, compared, seed),
        likeness=likeness(*both, test.offsets),
        movers=movers((reference.model, model), both, test, names, cutoff=CUTOFF),
        importance=importance(model, test),
        curves={"training": learning_curve(model, fold.train), "test": learning_curve(model, test)},
        fold=fold,
        caveats=_caveats(model, champion, fold, ours),
    )


def _measured_champion(champion: Model, test: Queries, names: FeatureSchema) -> Baseline:
    view = champion.view(test, names)
    scores = score_queries(champion.ranker, view)
    found = measured(scores, view, split="test")
    return Baseline(CHAMPION, champion.label, found.ours, scores, champion)


def _systems(
    ours: PerQuery, others: Sequence[Baseline], reference: str, compared: Comparison, seed: int
) -> list[System]:
    versus = {
        each.name: difference(ours.column(CUTOFF) - each.found.column(CUTOFF), seed=seed)
        for each in others
        if each.found is not None and each.name != reference
    }
    tested = [name for name, each in versus.items() if each.queries >= MIN_QUERIES]
    adjusted = dict(zip(tested, holm([versus[name].p for name in tested]), strict=True))
    found: list[System] = []
    for each in others:
        system = System(each.name, each.about, each.found)
        if each.name == reference:
            # The one question that was asked first is not one of several.
            system = replace(
                system, versus=compared.difference, adjusted=compared.difference.p, verdict=compared.verdict
            )
        elif each.name in versus:
            p = adjusted.get(each.name)
            system = replace(system, versus=versus[each.name], adjusted=p, verdict=versus[each.name].verdict(p=p))
        found.append(system)
    return found


def _caveats(model: Model, champion: Model | None, fold: Fold, found: Evaluation) -> list[str]:
    told: list[str] = []
    for who, each in (("The model", model), ("The champion", champion)):
        if each is not None and each.about["data"].get("sha256") != fold.sha256:
            told.append(
                f"{who} was fitted on other data than lies here. If it saw some of these test queries, "
                "its numbers are too good, and nothing here can tell."
            )
        if each is not None and each.about["source"]["dirty"]:
            told.append(f"{who} was made from code with uncommitted changes: it cannot be made again from its commit.")
    if found.tried is None:
        told.append("How many recipes were compared to choose this model's is not known.")
    elif found.tried > 1:
        told.append(
            f"{found.tried} recipes were compared to choose this model's. Where that was done on these test queries, "
            "the best of them looks better than it is."
        )
    if np.isnan(found.ours.mean(CUTOFF)):
        told.append("No test query has a relevant document: nothing can be measured.")
    return told
