import os
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import settings

# A busy machine is not a failure.
settings.register_profile("podium", deadline=None)
settings.load_profile("podium")

ROOT = Path(__file__).resolve().parent.parent


def skip_or_fail(reason: str) -> NoReturn:
    """Skips, saying why; where nothing may be skipped (PODIUM_REQUIRE_ALL=1) it fails."""
    if os.environ.get("PODIUM_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def mslr_data() -> Path:
    """The folder of real MSLR slices, which research terms keep out of this repository."""
    folder = Path(os.environ.get("PODIUM_TEST_DATA") or ROOT.parent / "shared" / "data")
    if not (folder / "mslr-web10k-fold1-5k").is_dir():
        skip_or_fail(f"NO REAL DATA: {folder} has no mslr-web10k-fold1-5k; point PODIUM_TEST_DATA to the MSLR slices")
    return folder
