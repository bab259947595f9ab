from pathlib import Path

import pytest

from tests.deploy.render import ENVIRONMENTS, Rendered, rendered, tree


@pytest.fixture(scope="session")
def deploy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifests, with a release and the facts of a platform in each environment."""
    return tree(tmp_path_factory.mktemp("deploy") / "deploy")


@pytest.fixture(scope="session", params=ENVIRONMENTS)
def found(request: pytest.FixtureRequest, deploy: Path) -> Rendered:
    """What one environment's cluster gets."""
    return rendered(deploy, request.param)
