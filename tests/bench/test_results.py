"""Arithmetic on what was measured, and the report of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.bench.plan import ALIKE, CLOSED
from tests.bench.report import goals, markdown, overview
from tests.bench.results import Measured, Results, Spread, ratio

ABOUT: dict[str, Any] = {
    "command": "python -m tests.bench",
    "date": "2026-01-02 03:04 UTC",
    "commit": "0123456789ab",
    "machine": {"processor": "a fast one", "cores": "2"},
    "model": {"trees": 500},
    "plan": "full",
    "rounds": 2,
    "cores": [0, 1],
}
POINT = Measured(
    peer="ours", format="json", round=1, loop=CLOSED, documents=100, load=1, rate=None, goodput=100, shares={"200": 1},
    p50=1, p99=2, most=3, per_cpu=110, server=0.95, generator=0.1, late=0, sent_bytes=9,
)  # fmt: skip


def results(*points: Measured, **fields: Any) -> Results:
    peers: dict[str, Any] = {p.peer: {"versions": {"it": "1.0"}, "limit": False, "scores": {}} for p in points}
    return replace(Results(ABOUT, True, peers, points=list(points)), **fields)


def points(peer: str, form: str, *goodputs: float, **fields: Any) -> list[Measured]:
    """One a round."""
    return [
        replace(POINT, peer=peer, format=form, round=number, goodput=goodput, per_cpu=2 * goodput, **fields)
        for number, goodput in enumerate(goodputs, 1)
    ]


def test_a_spread_is_over_rounds():
    assert Spread.of([3, 1, 2]) == Spread(2, 1, 3)
    assert Spread.of([]) is None


def test_a_capacity_is_the_most_of_a_round():
    found = results(
        *points("ours", "json", 100, 300, load=1),
        *points("ours", "json", 200, 250, load=16),
        *points("ours", "json", 900, 900, load=16, documents=10),
        *points("ours", "binary", 800, 800),
        *points("ours", "json", 999, 999, loop="open", load=0.7),
    )
    assert found.capacities(("ours", "json")) == {1: 200, 2: 300}
    assert found.capacities(("ours", "json"), 10) == {1: 900, 2: 900}
    assert found.capacities(("ours", "json"), per_cpu=True) == {1: 400, 2: 600}
    assert found.capacities(("naive", "json")) == {}


def test_what_used_too_little_to_tell_has_no_capacity_by_processor():
    assert results(replace(POINT, per_cpu=None)).capacities(("ours", "json"), per_cpu=True) == {1: 0}


@pytest.mark.parametrize(
    ("ones", "others", "expected"),
    [
        ({1: 2.0, 2: 9.0}, {1: 1.0, 2: 3.0}, Spread(2.5, 2, 3)),
        ({1: 2.0, 2: 9.0}, {2: 3.0}, Spread(3, 3, 3)),
        ({1: 2.0}, {1: 0.0}, None),
        ({1: 2.0}, {2: 1.0}, None),
        ({}, {}, None),
    ],
)
def test_a_ratio_is_of_the_same_round(ones: dict[int, float], others: dict[int, float], expected: Spread | None):
    assert ratio(ones, others) == expected


def test_results_are_kept_as_they_are(tmp_path: Path):
    whole = results(POINT, starts={"ours": [0.5]}, memory={"ours": {"pss": [1.0]}}, alone={"score": {"10": [3.5]}})
    whole.write(tmp_path / "a.json")
    assert Results.read(tmp_path / "a.json") == whole


def test_goals_are_reached_or_not():
    found = results(
        *points("ours", "json", 140, 150),
        *points("mlserver", "json", 100, 100),
        *points("naive", "json", 70, 70),
        *points("ours", "binary", 279, 279),
        *points("ours", "json", 70, 70, loop=ALIKE, load=0.7, p99=5),
        *points("mlserver", "json", 70, 70, loop=ALIKE, load=0.7, p99=20),
    )
    rows = {row[1].strip(): [cell.strip() for cell in row[2:6]] for row in cells(goals(found))[2:]}
    assert rows == {
        "JSON: requests/s, times MLServer's": [">= 1.4", "1.45 (1.40 - 1.50)", "1.45 (1.40 - 1.50)", "yes"],
        "JSON: requests/s, times naive FastAPI's": [">= 2.3", "2.07 (2.00 - 2.14)", "2.07 (2.00 - 2.14)", "**no**"],
        "binary: requests/s, times MLServer's by JSON": [
            ">= 2.8",
            "2.79 (2.79 - 2.79)",
            "2.79 (2.79 - 2.79)",
            "**no**",
        ],
        "JSON at 70 % of MLServer's capacity: MLServer's p99, times ours": [">= 2.0", "4.00 (4.00 - 4.00)", "-", "yes"],
    }


def test_goals_need_who_they_compare_with():
    assert list(goals(results(POINT))) == []


def test_the_overview_compares():
    hello = points("hello", "json", 1000)
    table = cells(overview(results(*points("ours", "json", 140), *points("mlserver", "json", 100), *hello)))
    assert [cell.strip() for cell in table[2][1:8]] == ["ours", "json", "140", "280", "1.4x", "-", "14.0%"]
    assert {len(row) for row in table} == {len(table[0])}


def test_a_busy_load_generator_is_named():
    assert "was the limit at some points of: ours json." in markdown(results(replace(POINT, load=16, generator=0.95)))
    assert "at some points had: ours json." in markdown(results(replace(POINT, load=16, server=0.5)))
    assert "at some points" not in markdown(results(replace(POINT, load=16)))


def test_refusals_stand_beside_what_was_answered():
    refusing = replace(POINT, load=64, shares={"200": 0.6, "503": 0.375, "lost": 0.025}, p99=None)
    assert "| 100; 1 / -; 37.5% 503; 2.5% lost |" in markdown(results(refusing))


def test_the_report_says_what_it_is_of():
    text = markdown(results(POINT, left_out={"naive": "no network"}, alone={"score": {"10": [3.0, 5.0]}}))
    for part in ("a fast one", "trees 500", "2026-01-02", "0123456789ab", "`python -m tests.bench`", "it 1.0"):
        assert part in text
    assert "**naive is left out** (no network)." in text
    assert "| score | 4 (3 - 5) |" in text
    assert "Interrupted" not in text
    assert "Interrupted" in markdown(replace(results(POINT), complete=False))


def cells(lines: Any) -> list[list[str]]:
    return [line.split("|") for line in lines if line.startswith("|")]
