from __future__ import annotations

import math
import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.charts import WIDTH, Interval, bars, curves, deltas, intervals, ticks
from training.markup import Markup

HOSTILE = "<script>alert(1)</script> \"&'] ]>"


def parsed(markup: Markup) -> ET.Element:
    return ET.fromstring(markup)  # noqa: S314


def by_class(chart: ET.Element, name: str) -> list[ET.Element]:
    return [each for each in chart.iter() if name in each.get("class", "").split()]


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_round_and_cover(low: float, span: float) -> None:
    high = low + span
    if high - low < abs(low) * 1e-6:
        return
    marks = ticks(low, high)
    step = (marks[-1] - marks[0]) / (len(marks) - 1)
    assert marks[0] <= low + step * 1e-6
    assert marks[-1] >= high - step * 1e-6
    assert 2 <= len(marks) <= 9
    assert any(math.isclose(step / 10 ** round(math.log10(step / each)), each, rel_tol=1e-3) for each in (1, 2, 5))


def test_ticks_by_hand() -> None:
    assert ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert ticks(-0.031, 0.02) == [-0.04, -0.02, 0, 0.02]
    assert len(ticks(3, 3)) > 1


def test_bars_of_queries_go_the_right_way() -> None:
    chart = parsed(deltas(np.array([0.2, -0.1, 0.0, 0.4]), "Per query", "d"))
    zero = float(by_class(chart, "zero")[0].get("y1", ""))
    tops = {kind: re.findall(r"V([\d.]+)", by_class(chart, kind)[0].get("d", "")) for kind in ("better", "worse")}
    assert [float(each) < zero for each in tops["better"]] == [True, True]
    assert [float(each) > zero for each in tops["worse"]] == [True]
    # Twice the gain, twice the height.
    heights = [zero - float(each) for each in tops["better"]]
    assert heights[1] == pytest.approx(2 * heights[0], abs=0.1)


def test_intervals_lie_where_their_numbers_are() -> None:
    lines = [
        Interval("a", 0.1, 0.0, 0.2, "better"),
        Interval("b", -0.1, math.nan, math.nan),
        Interval("c", math.nan, math.nan, math.nan),
    ]
    chart = parsed(intervals(lines, "t", "d"))
    zero = float(by_class(chart, "zero")[0].get("x1", ""))
    (whisker,) = by_class(chart, "whisker")
    first, second = by_class(chart, "dot")
    assert float(whisker.get("x1", "")) == zero
    assert float(first.get("cx", "")) - zero == pytest.approx(zero - float(second.get("cx", "")), abs=0.1)
    assert float(whisker.get("x2", "")) - zero == pytest.approx(2 * (float(first.get("cx", "")) - zero), abs=0.1)
    assert {text.text or text[0].tail for text in by_class(chart, "end")} == {"a", "b", "c"}


def test_bars_are_as_long_as_their_values() -> None:
    chart = parsed(bars({"one": 2.0, "two": 1.0, "none": 0.0}, "t", "d"))
    widths = [float(each.get("width", "")) for each in by_class(chart, "size")]
    assert widths[0] == pytest.approx(2 * widths[1], abs=0.1)
    assert widths[2] == 0


def test_curves_skip_what_is_no_number_and_keep_their_names_apart() -> None:
    series = {"train": [(1.0, 0.5), (2.0, 0.6)], "test": [(1.0, math.nan), (2.0, 0.6)], "none": []}
    chart = parsed(curves(series, "trees", "t", "d"))
    assert [len(each.get("points", "").split()) for each in by_class(chart, "curve")] == [2, 1]
    names = [float(by_class(chart, f"name{number}")[0].get("y", "")) for number in (1, 2)]
    assert abs(names[0] - names[1]) >= 16


@pytest.mark.parametrize(
    "markup",
    [
        deltas(np.array([0.1]), HOSTILE, HOSTILE),
        intervals([Interval(HOSTILE, 0.1, 0, 0.2)], HOSTILE, HOSTILE),
        bars({HOSTILE: 1.0}, HOSTILE, HOSTILE),
        curves({HOSTILE: [(0.0, 1.0)]}, HOSTILE, HOSTILE, HOSTILE),
        deltas(np.zeros(0), "t", "d"),
        intervals([], "t", "d"),
        intervals([Interval("a", 0.5, 0.5, 0.5)], "t", "d", origin=None),
        bars({}, "t", "d"),
        curves({}, "x", "t", "d"),
    ],
)
def test_odd_input_gives_a_well_formed_chart_within_its_frame(markup: Markup) -> None:
    chart = parsed(markup)
    assert {each.tag for each in chart.iter()} <= {
        "div", "svg", "title", "desc", "text", "path", "line", "circle", "rect", "polyline"
    }  # fmt: skip
    assert "<script" not in markup
    svg = chart[0]
    assert (svg.get("role"), svg[0].tag, svg[1].tag) == ("img", "title", "desc")
    across = [float(each.get(key, "")) for each in svg.iter() for key in ("x", "x1", "x2", "cx") if each.get(key)]
    assert all(0 <= each <= WIDTH for each in across)
