"""Whether the ladder would notice: every control broken once, each rung asked that must see it."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from functools import cache

import pytest

from tests.infra.conftest import Graphs
from tests.infra.graph import Graph
from tests.infra.mutations import MUTATIONS, Mutation
from tests.infra.settings_table import PAGE

Rung = Callable[[Graph], list[str]]
# Rungs that judge a graph by itself, and fast enough to be asked for each mutation.
MODULES = {name: f"tests.infra.{name}" for name in ("rules", "pack", "lint", "promises")}


def rung(name: str) -> Rung:
    return importlib.import_module(MODULES[name]).findings


@pytest.fixture(scope="session")
def graph(graphs: Graphs) -> Graph:
    return graphs("production", "everything")


@pytest.fixture(scope="session")
def known(graph: Graph) -> Callable[[str], set[str]]:
    """What a rung finds in the graph as it is."""
    return cache(lambda name: set(rung(name)(graph)))


CASES = [pytest.param(each, name, id=f"{each.control}-{each.what}-{name}") for each in MUTATIONS for name in each.rungs]


@pytest.mark.parametrize(("mutation", "name"), CASES)
def test_a_broken_control_is_noticed(
    mutation: Mutation, name: str, graph: Graph, known: Callable[[str], set[str]]
) -> None:
    assert set(rung(name)(mutation.edit(graph))) - known(name), f"{name} does not see that {mutation.what}"


def test_nothing_is_found_where_nothing_is_broken(known: Callable[[str], set[str]]) -> None:
    assert {name: known(name) for name in MODULES} == {name: set() for name in MODULES}


def test_each_control_that_a_graph_shows_is_broken() -> None:
    controls = PAGE.read_text().partition("| # | control | source |")[2].partition("###")[0]
    documented = {int(number) for number in re.findall(r"^\| (\d+) \|", controls, re.MULTILINE)}
    elsewhere = {18, 19}  # workflows, and the bootstrap's template
    assert {each.control for each in MUTATIONS} == documented - elsewhere
