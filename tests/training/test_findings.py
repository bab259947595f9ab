from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.training.reporting import GOOD, NAMES, POOR, fold, model
from training import baselines
from training.baselines import DEFAULTS
from training.evaluate import evaluate
from training.findings import CHAMPION, CUTOFF, Findings, gather
from training.queries import Fold, Queries
from training.significance import Verdict


@pytest.fixture(scope="module")
def data() -> Fold:
    return fold()


@pytest.fixture(scope="module")
def found(data: Fold) -> Findings:
    return gather(model(data, GOOD), data, model(data, POOR), threads=1)


def test_the_numbers_are_evaluations(found: Findings, data: Fold) -> None:
    ours = evaluate(found.model.ranker, data.test, tried=4)
    assert found.evaluation.to_json() == ours.to_json()
    assert found.champion is not None
    theirs = evaluate(found.champion.ranker, data.test)
    assert (found.systems[0].name, found.systems[0].about) == (CHAMPION, "poor")
    assert found.systems[0].found is not None
    assert found.systems[0].found.mean(CUTOFF) == theirs.ours.mean(CUTOFF)
    assert found.comparison.difference.mean == pytest.approx(ours.ours.mean(CUTOFF) - theirs.ours.mean(CUTOFF))
    assert np.mean(list(found.deltas.values())) == pytest.approx(found.comparison.difference.mean)
    assert list(found.deltas) == data.test.qids[~ours.ours.blank].tolist()
    assert not {5, 10} & set(found.deltas), "the first two are blank"


def test_the_reference_keeps_its_own_p_and_the_others_share_holms(found: Findings) -> None:
    first, *others = found.systems
    assert (first.adjusted, first.verdict) == (found.comparison.difference.p, found.comparison.verdict)
    assert [each.name for each in others] == list(baselines.NAMES)
    for each in others:
        if each.versus is not None and each.adjusted is not None:
            assert each.adjusted >= each.versus.p
            assert each.verdict is each.versus.verdict(p=each.adjusted)


def test_without_a_champion_the_defaults_are_the_reference(data: Fold) -> None:
    found = gather(model(data, POOR), data, threads=1)
    assert (found.reference, found.champion) == (DEFAULTS, None)
    assert found.comparison.verdict is Verdict.WORSE
    assert next(each for each in found.systems if each.name == DEFAULTS).verdict is Verdict.WORSE


def test_a_model_is_not_better_than_itself(data: Fold) -> None:
    same = model(data, GOOD)
    found = gather(same, data, same, threads=1)
    assert found.comparison.verdict is Verdict.NONE
    assert not found.movers
    assert set(found.deltas.values()) == {0.0}
    np.testing.assert_allclose(found.likeness.overlap, 1)


def test_caveats(data: Fold) -> None:
    dirty = {"commit": "x", "dirty": True, "created": ""}
    other = model(data, POOR, data={"sha256": "f" * 64}, source=dirty)
    unknown = model(data, POOR)
    unknown = replace(unknown, about={**unknown.about, "recipe": {"parameters": {}}})
    told = gather(unknown, data, other, threads=1).caveats
    assert [any(part in each for each in told) for part in (
        "The champion was fitted on other data",
        "The champion was made from code with uncommitted changes",
        "is not known",
    )] == [True] * 3  # fmt: skip
    assert not any(each.startswith("The model") for each in told)


def test_only_blank_queries_show_nothing(data: Fold) -> None:
    test = data.test
    blank = Queries(test.features, np.zeros_like(test.relevance), test.qids, test.offsets)
    found = gather(model(data, GOOD), replace(data, test=blank), model(data, POOR), threads=1)
    assert found.comparison.verdict is Verdict.NONE
    assert found.deltas == {}
    assert any("No test query has a relevant document" in each for each in found.caveats)


def test_other_features_are_refused(data: Fold) -> None:
    with pytest.raises(ValueError, match="which the data has not"):
        gather(model(data, GOOD), data, model(data, POOR, ("x", *NAMES[1:])), threads=1)
