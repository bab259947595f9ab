"""The report's charts as inline SVG. Pure functions of our own: four plain kinds of chart are about two hundred lines,
while matplotlib would triple the training environment and could not follow the reader's light or dark theme.

Colours and fonts come from the page's style by class. Every chart carries its message as text (`role="img"`, title and
description); the numbers themselves stand in a table beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import NamedTuple

import numpy as np

from training.markup import Markup, join, tag
from training.ndcg import Doubles

WIDTH = 720
LABELS = 262
"""Left of charts with a line a name."""
MARGIN = 52
LINE = 26
MAX_LABEL = 32


class Interval(NamedTuple):
    """A line of `intervals`: NaN where there is no number."""

    label: str
    mean: float
    low: float
    high: float
    kind: str = "none"
    """Its class in the page's style: better, worse or none."""


class Scale(NamedTuple):
    """From values to pixels."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start), 2)


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers, 1, 2 or 5 times a power of ten apart, from at or below `low` to at or above `high`."""
    low, high = (low, high) if high > low else (low - 0.5, low + 0.5)
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = max(0, 1 - math.floor(math.log10(step)))
    return [round(number * step, digits) for number in range(first, last + 1)]


def deltas(values: Doubles, title: str, description: str) -> Markup:
    """Per-query differences [queries], sorted: one thin bar each, gains up and losses down."""
    height, bottom = 260, 240
    ordered = np.sort(values)
    marks = ticks(min(0.0, float(ordered.min(initial=0))), max(0.0, float(ordered.max(initial=0))))
    y = Scale(marks[0], marks[-1], bottom, 12)
    slot = (WIDTH - MARGIN - 10) / max(1, ordered.size)
    places = MARGIN + (np.arange(ordered.size) + 0.5) * slot
    # One path for all bars of a colour: thousands of queries stay a small page.
    paths = [
        tag(
            "path",
            d=" ".join(f"M{x:.1f} {y(0)}V{y(float(v))}" for x, v in zip(places, ordered, strict=True) if v * sign > 0),
            class_=f"bar {kind}",
            stroke_width=round(max(0.5, slot * 0.8), 2),
        )
        for sign, kind in ((-1, "worse"), (1, "better"))
    ]
    zero = tag("line", x1=MARGIN, x2=WIDTH - 10, y1=y(0), y2=y(0), class_="zero")
    return _chart(height, title, description, _y_axis(marks, y, "+"), *paths, zero)


def intervals(lines: Sequence[Interval], title: str, description: str, origin: float | None = 0.0) -> Markup:
    """A dot with its interval a line; with an `origin`, an upright through it, such as no difference at 0."""
    edges = [edge for line in lines for edge in (line.mean, line.low, line.high) if math.isfinite(edge)]
    edges += [] if origin is None else [origin]
    marks = ticks(min(edges, default=0.0), max(edges, default=1.0))
    x = Scale(marks[0], marks[-1], LABELS, WIDTH - 24)
    bottom = 10 + LINE * len(lines)
    parts = [_x_axis(marks, x, bottom, "" if origin is None else "+")]
    if origin is not None:
        parts.append(tag("line", x1=x(origin), x2=x(origin), y1=6, y2=bottom, class_="zero"))
    for line, middle in zip(lines, _middles(), strict=False):
        parts.append(_label(line.label, middle))
        if math.isfinite(line.low) and math.isfinite(line.high):
            ends = (x(line.low), x(line.high))
            kind = f"whisker {line.kind}"
            parts.append(tag("line", x1=ends[0], x2=ends[1], y1=middle, y2=middle, class_=kind))
        if math.isfinite(line.mean):
            parts.append(tag("circle", cx=x(line.mean), cy=middle, r=5, class_=f"dot {line.kind}"))
    return _chart(bottom + 26, title, description, *parts)


def bars(values: Mapping[str, float], title: str, description: str) -> Markup:
    """Sizes from 0, a bar a name, in the given order."""
    marks = ticks(0.0, max(values.values(), default=0.0) or 1.0)
    x = Scale(marks[0], marks[-1], LABELS, WIDTH - 24)
    bottom = 10 + LINE * len(values)
    parts = [_x_axis(marks, x, bottom)]
    for (label, value), middle in zip(values.items(), _middles(), strict=False):
        width = max(0.0, round(x(value) - LABELS, 2))
        parts.append(_label(label, middle))
        parts.append(tag("rect", x=LABELS, y=middle - 8, width=width, height=16, class_="size"))
    return _chart(bottom + 26, title, description, *parts)


def curves(series: Mapping[str, Sequence[tuple[float, float]]], across: str, title: str, description: str) -> Markup:
    """Lines over a common x axis that `across` names; the legend stands at their right ends."""
    points = [point for line in series.values() for point in line if math.isfinite(point[1])]
    x_marks = ticks(0.0, max((x for x, _ in points), default=1.0))
    y_marks = ticks(min((y for _, y in points), default=0.0), max((y for _, y in points), default=1.0))
    right, bottom = WIDTH - 110, 240
    x, y = Scale(x_marks[0], x_marks[-1], MARGIN, right), Scale(y_marks[0], y_marks[-1], bottom, 14)
    parts = [_y_axis(y_marks, y, right=right), _x_axis(x_marks, x, bottom, grid=False)]
    parts.append(tag("text", across, x=(MARGIN + right) / 2, y=bottom + 38, class_="middle"))
    taken: list[float] = []
    for number, (name, line) in enumerate(series.items(), 1):
        drawn = [(x(a), y(b)) for a, b in line if math.isfinite(b)]
        if not drawn:
            continue
        parts.append(tag("polyline", points=" ".join(f"{a},{b}" for a, b in drawn), class_=f"curve line{number}"))
        end = drawn[-1][1]
        # Two curves that end together must not write their names over each other.
        while any(abs(end - other) < 16 for other in taken):
            end += 16
        taken.append(end)
        parts.append(tag("text", name, x=drawn[-1][0] + 8, y=end + 4, class_=f"name{number}"))
    return _chart(bottom + 46, title, description, *parts)


def _middles() -> Iterable[float]:
    return count(10 + LINE / 2, LINE)


def _label(text: str, middle: float) -> Markup:
    # Names of features differ at their beginning and their end.
    half = MAX_LABEL // 2
    short = text if len(text) <= MAX_LABEL else f"{text[: half - 1]}…{text[-half:]}"
    return tag("text", tag("title", text), short, x=LABELS - 12, y=middle + 4, class_="end")


def _chart(height: float, title: str, description: str, *parts: Markup) -> Markup:
    picture = tag(
        "svg",
        tag("title", title),
        tag("desc", description),
        *parts,
        viewBox=f"0 0 {WIDTH} {height:g}",
        role="img",
        aria_label=f"{title}. {description}",
    )
    return tag("div", picture, class_="chart", tabindex="0", role="group", aria_label=title)


def _y_axis(marks: Sequence[float], y: Scale, sign: str = "", right: float = WIDTH - 10) -> Markup:
    lines = (tag("line", x1=MARGIN, x2=right, y1=y(mark), y2=y(mark), class_="grid") for mark in marks)
    texts = (tag("text", _number(mark, sign), x=MARGIN - 8, y=y(mark) + 4, class_="end") for mark in marks)
    return join([*lines, *texts])


def _x_axis(marks: Sequence[float], x: Scale, bottom: float, sign: str = "", grid: bool = True) -> Markup:
    lines = (tag("line", x1=x(mark), x2=x(mark), y1=6, y2=bottom, class_="grid") for mark in marks if grid)
    texts = (tag("text", _number(mark, sign), x=x(mark), y=bottom + 18, class_="middle") for mark in marks)
    return join([*lines, *texts])


def _number(value: float, sign: str) -> str:
    return f"{value:{sign}g}" if value else "0"
