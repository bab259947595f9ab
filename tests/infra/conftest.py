from collections.abc import Callable
from functools import cache
from typing import Literal

import pytest

from tests.infra import stacks
from tests.infra.graph import Graph, record

Variant = Literal["as committed", "everything"]
Graphs = Callable[..., Graph]
"""(stack, variant) -> its graph, recorded once for all tests of a process."""


@pytest.fixture(scope="session")
def graphs() -> Graphs:
    @cache
    def recorded(stack: str, variant: Variant = "as committed") -> Graph:
        return record(stack, values=stacks.values(stack, everything=variant == "everything"))

    return recorded
