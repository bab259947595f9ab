import random

import pytest

from tests.infra.layers import crossings, layers, ordered, reduced, ways


def test_an_edge_that_a_longer_way_says_too_is_left_out() -> None:
    assert reduced({("a", "b"), ("b", "c"), ("a", "c"), ("a", "d")}) == {("a", "b"), ("b", "c"), ("a", "d")}


def test_each_stands_behind_all_that_it_needs() -> None:
    edges = {("a", "b"), ("b", "c"), ("a", "d"), ("d", "e")}
    found = layers(["e", "d", "c", "b", "a", "alone"], edges)
    assert found == {"a": 0, "alone": 0, "b": 1, "d": 1, "c": 2, "e": 2}


def test_an_edge_has_a_place_in_each_layer_that_it_crosses() -> None:
    assert ways({("a", "z")}, {"a": 0, "z": 3}) == {("a", "z"): ["a", "a>z@1", "a>z@2", "z"]}


def test_crossings_are_counted() -> None:
    chains = [["a", "y"], ["b", "x"]]
    assert crossings([["a", "b"], ["x", "y"]], chains) == 1
    assert crossings([["a", "b"], ["y", "x"]], chains) == 0


@pytest.mark.parametrize("seed", range(5))
def test_an_order_loses_nobody_and_crosses_no_more_than_before(seed: int) -> None:
    chooser = random.Random(seed)
    nodes = {f"{layer}{index}": layer for layer in range(4) for index in range(5)}
    chains = [
        [f"{layer}{chooser.randrange(5)}", f"{layer + 1}{chooser.randrange(5)}"] for layer in range(3) for _ in "abcdef"
    ]
    before = [[node for node, at in nodes.items() if at == layer] for layer in range(4)]
    after = ordered(nodes, chains)
    assert [sorted(layer) for layer in after] == before
    assert crossings(after, chains) < crossings(before, chains)
    assert ordered(nodes, chains) == after


def test_nothing_is_drawn_of_nothing() -> None:
    assert ordered({}, []) == []
