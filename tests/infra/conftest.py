from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Literal

import pytest

from tests.infra import stacks
from tests.infra.graph import Graph, record

if TYPE_CHECKING:
    from tests.engines.aws import Aws
    from tests.infra.live import Deployed

Variant = Literal["as committed", "everything"]
Graphs = Callable[..., Graph]
"""(stack, variant) -> its graph, recorded once for all tests of a process."""
Deployments = Callable[..., "Deployed"]


@pytest.fixture(scope="session")
def graphs() -> Graphs:
    @cache
    def recorded(stack: str, variant: Variant = "as committed") -> Graph:
        return record(stack, values=stacks.values(stack, everything=variant == "everything"))

    return recorded


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Aws"]:
    """An emulated AWS with all accounts, one for each process of the tests; it has denied what it must."""
    from tests.engines.aws import running

    with running(tmp_path_factory.mktemp("aws")) as emulated:
        yield emulated


@pytest.fixture(scope="session")
def deployed(aws: "Aws") -> Deployments:
    """(stack, settings) -> the stack in an account of its own, deployed once for all tests of a process."""
    from tests.infra.live import deploy

    return cache(lambda stack, **settings: deploy(aws, stack, **settings))
