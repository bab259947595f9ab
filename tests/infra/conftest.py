from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Literal

import pytest

from tests.infra import stacks
from tests.infra.graph import Graph, record

if TYPE_CHECKING:
    from tests.engines.aws import Aws
    from tests.infra.live import Deployed

Variant = Literal["day 0", "released", "everything"]
Graphs = Callable[..., Graph]
"""(stack, variant) -> its graph, recorded once for all tests of a process."""
Deployments = Callable[..., "Deployed"]
"""(stack, variant) -> the stack in an account of its own, deployed once for all tests of a process."""


@pytest.fixture(scope="session")
def graphs() -> Graphs:
    @cache
    def recorded(stack: str, variant: Variant = "released") -> Graph:
        values = stacks.values(stack, everything=variant == "everything")
        return record(stack, values=values, released=variant != "day 0")

    return recorded


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Aws"]:
    """An emulated AWS with all accounts, one for each process of the tests; it has denied what it must."""
    from tests.engines.aws import running

    with running(tmp_path_factory.mktemp("aws")) as emulated:
        yield emulated


@pytest.fixture(scope="session")
def deployed(aws: "Aws") -> Deployments:
    from tests.infra.live import deploy

    @cache
    def once(stack: str, variant: Variant = "released") -> "Deployed":
        return deploy(aws, stack, variant)

    return once
