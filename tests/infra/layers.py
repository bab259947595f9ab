"""A layered drawing's places: who stands in which layer, and in which order there (after Sugiyama)."""

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
    """The layer of each: behind all that it needs."""
    before: dict[str, list[str]] = {node: [start for start, end in edges if end == node] for node in nodes}
    found: dict[str, int] = {}

    def layer(node: str) -> int:
        if node not in found:
            found[node] = 1 + max((layer(each) for each in before[node]), default=-1)
        return found[node]

    for node in nodes:
        layer(node)
    return found


def ways(edges: set[Edge], layer: Mapping[str, int]) -> dict[Edge, list[str]]:
    """Each edge as a chain of places, one in every layer that it crosses; those between are named after the edge."""
    return {
        (start, end): [
            start,
            *(f"{start}>{end}@{between}" for between in range(layer[start] + 1, layer[end])),
            end,
        ]
        for start, end in sorted(edges)
    }


def ordered(nodes: Mapping[str, int], chains: Sequence[Sequence[str]]) -> list[list[str]]:
    """The layers, each in such an order that few lines cross: each place goes to the middle of those that it is
    joined to, back and forth."""
    layered: list[list[str]] = [[] for _ in range(max(nodes.values(), default=-1) + 1)]
    for node, layer in nodes.items():
        layered[layer].append(node)
    joined: dict[str, list[str]] = {node: [] for node in nodes}
    for chain in chains:
        for start, end in pairwise(chain):
            joined[start].append(end)
            joined[end].append(start)
    best, fewest = [list(each) for each in layered], crossings(layered, chains)
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        for number in range(len(layered)) if forward else reversed(range(len(layered))):
            side = number - 1 if forward else number + 1
            if not 0 <= side < len(layered):
                continue
            place = {node: index for index, node in enumerate(layered[side])}
            layered[number].sort(key=lambda node, place=place: _middle(node, joined[node], place))
        if (found := crossings(layered, chains)) < fewest:
            best, fewest = [list(each) for each in layered], found
    return best


def crossings(layered: Sequence[Sequence[str]], chains: Sequence[Sequence[str]]) -> int:
    at = {node: (number, index) for number, layer in enumerate(layered) for index, node in enumerate(layer)}
    links = [(at[start], at[end]) for chain in chains for start, end in pairwise(chain)]
    return sum(
        1
        for number, ((layer, start), (_, end)) in enumerate(links)
        for (other, first), (_, last) in links[number + 1 :]
        if layer == other and (start - first) * (end - last) < 0
    )


def _middle(node: str, joined: Sequence[str], place: Mapping[str, int]) -> tuple[float, str]:
    found = [place[each] for each in joined if each in place]
    # The name settles ties, so that a drawing is the same each time.
    return (sum(found) / len(found) if found else len(place) / 2, node)
