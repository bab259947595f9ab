"""A graph as a picture for the docs: components as boxes with what they make, from the top as they are made."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from tests.conftest import ROOT
from tests.infra.graph import Graph, Resource
from tests.infra.layers import Edge, layers, ordered, reduced, ways

DOCS = ROOT / "docs"
GAP, PAD, LINE, HEAD = 60, 14, 19, 46
# Of a letter, on average and not below it: nobody can measure a reader's font here.
LETTER = 6.9
BETWEEN, PASSING, MARGIN, TOP = 30, 10, 28, 92
STYLE = """
svg { font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
.page { fill: #ffffff; } .box { fill: #f6f8fa; stroke: #8c959f; } .head { fill: #ddf4ff; }
.title { font-size: 19px; font-weight: 600; } .name { font-size: 14px; font-weight: 600; }
text { fill: #1f2328; } .quiet { fill: #59636e; }
.way { fill: none; stroke: #57606a; stroke-width: 1.4; } .tip { fill: #57606a; }
.kept { fill: #9a6700; }
@media (prefers-color-scheme: dark) {
  .page { fill: #0d1117; } .box { fill: #161b22; stroke: #6e7681; } .head { fill: #12304f; }
  text { fill: #e6edf3; } .quiet { fill: #9198a1; }
  .way { stroke: #8b949e; } .tip { fill: #8b949e; } .kept { fill: #e3b341; }
}
"""
MADE_FIRST = "what an arrow leaves is made first"
LOCK = "M2 5.5V4a3 3 0 0 1 6 0v1.5h1V12H1V5.5Zm1.4 0h3.2V4a1.6 1.6 0 0 0-3.2 0Z"


@dataclass(frozen=True)
class Row:
    """So many resources of a type, of which some are protected."""

    count: int
    what: str
    kept: bool


@dataclass(frozen=True)
class Place:
    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        return self.x + self.width / 2


def drawing(graph: Graph) -> str:
    """The text of `docs/infrastructure-<stack>.svg`."""
    names = sorted({_component(graph, each) for each in graph.resources if each.custom} - {""})
    rows = {name: _rows(graph, name) for name in names}
    edges = reduced(_edges(graph))
    layer = layers(names, edges)
    chains = ways(edges, layer)
    passing = {point: layer[chain[0]] + index for chain in chains.values() for index, point in enumerate(chain)}
    layered = ordered({**passing, **layer}, list(chains.values()))
    places, width, height = _places(layered, rows, _box_width(rows))
    parts = [
        f'<rect class="page" width="{width:g}" height="{height:g}" rx="8"/>',
        *_heading(graph, rows, width),
        *(_way([places[point] for point in chain]) for chain in chains.values()),
        *(part for name in names for part in _box(name, rows[name], places[name])),
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
            f'height="{height:g}" role="img" aria-label="The components of {escape(graph.stack)}">',
            f"<style>{STYLE}</style>",
            *parts,
            "</svg>\n",
        ]
    )


def _component(graph: Graph, each: Resource) -> str:
    """The name of the component at the root of the stack that the resource is in."""
    above = graph.above(each)
    return above[-1].name if above else ""


def _rows(graph: Graph, name: str) -> list[Row]:
    own = [each for each in graph.resources if each.custom and _component(graph, each) == name]
    counts = Counter(_words(each.type) for each in own)
    kept = {_words(each.type) for each in own if each.protect}
    return [Row(count, what, what in kept) for what, count in sorted(counts.items(), key=lambda it: (-it[1], it[0]))]


def _words(type_: str) -> str:
    """aws:s3/bucketPolicy:BucketPolicy -> bucket policy."""
    package, _, rest = type_.partition(":")
    kind = rest.rpartition(":")[2]
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", kind).lower().removesuffix(" configuration")
    if package == "pulumi":
        return f"{kind} provider"
    module = rest.partition("/")[0]
    # A cluster, service or policy of what?
    short = words if words.startswith(module) or len(words.split()) > 1 else f"{module} {words}"
    return {"ec2 vpc": "VPC", "ec2 eip": "elastic IP"}.get(short, short)


def _box_width(rows: Mapping[str, Sequence[Row]]) -> float:
    letters = max((len(row.what) for each in rows.values() for row in each), default=0)
    # Before it the count, behind it a lock.
    return round(PAD + 27 + LETTER * letters + 18 + PAD)


def _edges(graph: Graph) -> set[Edge]:
    """Between components: what an arrow leaves is made first."""
    within = {each.urn: _component(graph, each) for each in graph.resources}
    return {
        (within[urn], within[each.urn])
        for each in graph.resources
        for urn in each.dependencies
        if within.get(urn) and within[each.urn] and within[urn] != within[each.urn]
    }


def _places(
    layered: Sequence[Sequence[str]], rows: Mapping[str, Sequence[Row]], box: float
) -> tuple[dict[str, Place], float, float]:
    """Where each box is, and each line that passes one; the page's width and height."""

    def width(node: str) -> float:
        return box if node in rows else PASSING

    widths = [sum(map(width, layer)) + BETWEEN * (len(layer) - 1) for layer in layered]
    widest = max(widths, default=0)
    places: dict[str, Place] = {}
    y = TOP
    for layer, wide in zip(layered, widths, strict=True):
        x = MARGIN + (widest - wide) / 2
        tall = max(HEAD + LINE * len(rows.get(node, ())) for node in layer)
        for node in layer:
            places[node] = Place(x, y, width(node), HEAD + LINE * len(rows[node]) if node in rows else tall)
            x += width(node) + BETWEEN
        y += tall + GAP
    return places, 2 * MARGIN + widest, y - GAP + MARGIN


def _heading(graph: Graph, rows: Mapping[str, Sequence[Row]], width: float) -> list[str]:
    made = sum(row.count for each in rows.values() for row in each)
    legend = width - MARGIN - LETTER * len(MADE_FIRST)
    return [
        f'<text class="title" x="{MARGIN}" y="42">{escape(graph.stack)}</text>',
        f'<text class="quiet" x="{MARGIN}" y="64">{made} resources in {len(rows)} components</text>',
        f'<path class="way" d="M{legend - 34:g} 38h18"/><path class="tip" d="M{legend - 10:g} 38l-8 -4v8z"/>',
        f'<text class="quiet" x="{legend:g}" y="42">{MADE_FIRST}</text>',
        _lock(legend - 22, 53),
        f'<text class="quiet" x="{legend:g}" y="64">protected against deletion</text>',
    ]


def _box(name: str, rows: Sequence[Row], at: Place) -> list[str]:
    parts = [
        f'<rect class="box" x="{at.x:g}" y="{at.y:g}" width="{at.width:g}" height="{at.height:g}" rx="8"/>',
        f'<path class="head" d="M{at.x + 0.5:g} {at.y + 32:g}v-24a7.5 7.5 0 0 1 7.5 -7.5h{at.width - 16:g}'
        f'a7.5 7.5 0 0 1 7.5 7.5v24z"/>',
        f'<text class="name" x="{at.x + PAD:g}" y="{at.y + 21:g}">{escape(name)}</text>',
    ]
    for index, row in enumerate(rows):
        y = at.y + HEAD + 6 + LINE * index
        parts.append(f'<text class="quiet" x="{at.x + PAD + 18:g}" y="{y:g}" text-anchor="end">{row.count}</text>')
        parts.append(f'<text x="{at.x + PAD + 27:g}" y="{y:g}">{escape(row.what)}</text>')
        if row.kept:
            parts.append(_lock(at.x + at.width - PAD - 10, y - 11))
    return parts


def _lock(x: float, y: float) -> str:
    return f'<path class="kept" transform="translate({x:g} {y:g})" d="{LOCK}"/>'


def _way(chain: Sequence[Place]) -> str:
    """A line through the layers between, to the top of the box that it ends at."""
    first, *between, last = chain
    x, y = first.middle, first.y + first.height
    path = f"M{x:g} {y:g}"
    for place in [*between, last]:
        end = place.y - (7 if place is last else 0)
        # As steep where it arrives as the gap between layers is high, and straight down before.
        start = max(y, end - GAP)
        bend = (end - start) / 2
        path += f"V{start:g}C{x:g} {start + bend:g} {place.middle:g} {end - bend:g} {place.middle:g} {end:g}"
        x, y = place.middle, end
        if place is not last:
            y = place.y + place.height
            path += f"V{y:g}"
    return f'<path class="way" d="{path}"/><path class="tip" d="M{x:g} {y + 7:g}l-4 -8h8z"/>'
