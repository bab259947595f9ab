"""A layered drawing's places: who stands in which column, and in which order from the top (after Sugiyama)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

Edge = tuple[str, str]
SWEEPS = 24


def reduced(edges: set[Edge]) -> set[Edge]:
    """Without those edges that a longer way says too."""
    after: dict[str, set[str]] = {}
    for start, end in edges:
        after.setdefault(start, set()).add(end)

    def reaches(start: str, end: str) -> bool:
        return any(each == end or reaches(each, end) for each in after.get(start, ()))

    return {(start, end) for start, end in edges if not any(reaches(each, end) for each in after[start] if each != end)}


def layers(nodes: Sequence[str], edges: set[Edge]) -> dict[str, int]:
    """The column of each: behind all that it needs."""
    before: dict[str, list[str]] = {node: [start for start, end in edges if end == node] for node in nodes}
    found: dict[str, int] = {}

    def layer(node: str) -> int:
        if node not in found:
            found[node] = 1 + max((layer(each) for each in before[node]), default=-1)
        return found[node]

    for node in nodes:
        layer(node)
    return found


def ways(edges: set[Edge], column: Mapping[str, int]) -> dict[Edge, list[str]]:
    """Each edge as a chain of places, one in every column that it crosses; those between are named after the edge."""
    return {
        (start, end): [
            start,
            *(f"{start}>{end}@{between}" for between in range(column[start] + 1, column[end])),
            end,
        ]
        for start, end in sorted(edges)
    }


def ordered(nodes: Mapping[str, int], chains: Sequence[Sequence[str]]) -> list[list[str]]:
    """The columns, each from the top, so that few lines cross: each place goes to the middle of those that it is
    joined to, back and forth."""
    columns: list[list[str]] = [[] for _ in range(max(nodes.values(), default=-1) + 1)]
    for node, column in nodes.items():
        columns[column].append(node)
    joined: dict[str, list[str]] = {node: [] for node in nodes}
    for chain in chains:
        for start, end in pairwise(chain):
            joined[start].append(end)
            joined[end].append(start)
    best, fewest = [list(each) for each in columns], crossings(columns, chains)
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        for number in range(len(columns)) if forward else reversed(range(len(columns))):
            side = number - 1 if forward else number + 1
            if not 0 <= side < len(columns):
                continue
            place = {node: index for index, node in enumerate(columns[side])}
            columns[number].sort(key=lambda node, place=place: _middle(node, joined[node], place))
        if (found := crossings(columns, chains)) < fewest:
            best, fewest = [list(each) for each in columns], found
    return best


def crossings(columns: Sequence[Sequence[str]], chains: Sequence[Sequence[str]]) -> int:
    at = {node: (number, index) for number, column in enumerate(columns) for index, node in enumerate(column)}
    links = [(at[start], at[end]) for chain in chains for start, end in pairwise(chain)]
    return sum(
        1
        for number, ((column, start), (_, end)) in enumerate(links)
        for (other, first), (_, last) in links[number + 1 :]
        if column == other and (start - first) * (end - last) < 0
    )


def _middle(node: str, joined: Sequence[str], place: Mapping[str, int]) -> tuple[float, str]:
    found = [place[each] for each in joined if each in place]
    # The name settles ties, so that a drawing is the same each time.
    return (sum(found) / len(found) if found else len(place) / 2, node)
