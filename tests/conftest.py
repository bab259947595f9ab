import os
import signal
import uuid
from collections.abc import Generator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from hypothesis import settings

from training.sample import SampleUnavailable, sample_folder

if TYPE_CHECKING:
    from tests.engines.emulator import Store
    from tests.engines.sagemaker import SageMaker

# A busy machine is not a failure.
settings.register_profile("podium", deadline=None)
settings.load_profile("podium")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A shell starts its background jobs deaf to Ctrl-C, and so would be every process that the tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent


def skip_or_fail(reason: str) -> NoReturn:
    """Skips, saying why; where nothing may be skipped (PODIUM_REQUIRE_ALL=1) it fails."""
    if os.environ.get("PODIUM_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def mslr_data() -> Path:
    """The folder of more real MSLR slices than the sample has. Its terms keep it out of this repository, so that most
    machines lack it and skip; one that names it by PODIUM_TEST_DATA must have it."""
    named = os.environ.get("PODIUM_TEST_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if (folder / "mslr-web10k-fold1-5k").is_dir():
        return folder
    reason = f"NO REAL DATA: {folder} has no mslr-web10k-fold1-5k; point PODIUM_TEST_DATA to the MSLR slices"
    if named:
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def crds() -> Path:
    """The folder of the custom resources' schemas, `<group>/<kind>_<version>.json`. They are other projects', so that
    most machines lack them and skip; one that names it by PODIUM_TEST_CRDS must have it."""
    named = os.environ.get("PODIUM_TEST_CRDS")
    folder = Path(named) if named else ROOT.parent / "shared" / "crds"
    if (folder / "argoproj.io").is_dir():
        return folder
    reason = f"NO SCHEMAS: {folder} has no argoproj.io; point PODIUM_TEST_CRDS to the custom resources' schemas"
    if named:
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def mslr_sample() -> Path:
    """The folder of the real sample, fetched once for this machine."""
    try:
        return sample_folder()
    except SampleUnavailable as error:
        skip_or_fail(f"NO NETWORK, so there are no real queries: {error}")


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """Where an S3 emulator listens, one for each process of the tests."""
    from tests.engines.emulator import running

    with running(tmp_path_factory.mktemp("emulator")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def s3_client(s3_endpoint: str) -> Generator[Any]:
    """The emulator's owner, whom nothing is refused."""
    from tests.engines.emulator import client

    asking = client(s3_endpoint)
    yield asking
    asking.close()


@pytest.fixture
def store(s3_endpoint: str, s3_client: Any, monkeypatch: pytest.MonkeyPatch) -> "Store":
    """An empty registry's place in S3, which this process and those that it starts have the credentials for."""
    from tests.engines.emulator import KEY, SECRET, Store

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("PODIUM_S3_ENDPOINT", s3_endpoint)
    return Store(s3_endpoint, f"some/prefix-{uuid.uuid4().hex[:8]}", s3_client)


@cache
def _loader(path: str | None = None) -> Any:
    from botocore.loaders import create_loader

    return create_loader(path)


@pytest.fixture
def sagemaker(store: "Store", monkeypatch: pytest.MonkeyPatch) -> Generator["SageMaker"]:
    """SageMaker on this machine, to which this process's boto3 is pointed. Its jobs run a small program of the tests;
    give it another `runner` for the real one."""
    from tests.engines.sagemaker import running
    from tests.engines.sagemaker_runner import ProcessRunner, contract_command

    # Every client of boto3 reads its service's model anew, which for SageMaker's takes longer than a call.
    monkeypatch.setattr("botocore.session.create_loader", _loader)
    with running(store.client, ProcessRunner(contract_command), grace=10) as fake:
        for name, value in fake.environment().items():
            monkeypatch.setenv(name, value)
        yield fake
