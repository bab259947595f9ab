from collections.abc import Callable
from functools import cache
from typing import Literal

import pytest

from tests.infra import stacks
from tests.infra.graph import Graph, record

Variant = Literal["day 0", "released", "everything"]
Graphs = Callable[..., Graph]
"""(stack, variant) -> its graph, recorded once for all tests of a process."""


@pytest.fixture(scope="session")
def graphs() -> Graphs:
    @cache
    def recorded(stack: str, variant: Variant = "released") -> Graph:
        values = stacks.values(stack, everything=variant == "everything")
        return record(stack, values=values, released=variant != "day 0")

    return recorded
