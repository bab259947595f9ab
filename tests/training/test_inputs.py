import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from service.bucket import Bucket
from service.settings import Settings
from tests.conftest import ROOT
from tests.engines.emulator import BUCKET, Store
from training.inputs import find_inputs, stage
from training.job_errors import JobClash, JobSettingsError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "fold"
    made.mkdir()
    (made / "train.txt").write_text("a")
    (made / "test.txt.gz").write_bytes(b"bb")
    return made


def bucket() -> Bucket:
    return Bucket(BUCKET, Settings.from_env(prefix="s3_"))


def test_splits_become_channels_under_their_digest(folder: Path) -> None:
    told: list[tuple[int, int]] = []
    (folder / "vali.txt").write_text("a")
    recipe = folder / "mine.toml"
    recipe.write_text("x = 1")
    found = find_inputs(folder, recipe, lambda done, total: told.append((done, total)))
    assert [each.channel for each in found] == ["train", "validation", "test", "recipe"]
    train, vali, test, told_recipe = found
    digest = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
    assert train.key("some/prefix") == f"some/prefix/inputs/{digest}/data.txt"
    assert vali.key("some/prefix") == train.key("some/prefix"), "one object, and so one file in each channel"
    assert train.staged("s3://b/p").uri == f"s3://b/p/inputs/{digest}/"
    assert train.key("") == f"inputs/{digest}/data.txt"
    assert test.key("").endswith("/data.txt.gz")
    assert told_recipe.key("").endswith("/recipe.toml")
    assert told[-1] == (9, 9)


@pytest.mark.parametrize(
    ("gone", "message"), [("train.txt", "neither train.txt nor"), ("test.txt.gz", "neither test.txt nor")]
)
def test_a_missing_split(gone: str, message: str, folder: Path) -> None:
    (folder / gone).unlink()
    with pytest.raises(JobSettingsError, match=message):
        find_inputs(folder)


def test_no_folder_and_an_empty_file(folder: Path) -> None:
    with pytest.raises(JobSettingsError, match="no folder"):
        find_inputs(folder / "train.txt")
    (folder / "train.txt").write_text("")
    with pytest.raises(JobSettingsError, match="is empty"):
        find_inputs(folder)


def test_what_is_there_is_not_sent_again(store: Store, folder: Path) -> None:
    train, test = find_inputs(folder)
    assert [stage(each, bucket(), store.prefix) for each in (train, test, train)] == [True, True, False]
    assert len(store.listing()) == 2


def test_what_others_put_there_is_refused(store: Store, folder: Path) -> None:
    train, _ = find_inputs(folder)
    store.write(train.key(""), b"other content")
    with pytest.raises(JobClash, match="put there by other means"):
        stage(train, bucket(), store.prefix)


def test_an_upload_that_is_killed_leaves_nothing_to_be_seen(store: Store, folder: Path) -> None:
    with (folder / "train.txt").open("wb") as file:
        for _ in range(24):
            file.write(os.urandom(1 << 20))
    program = (
        "import sys; from pathlib import Path; from training.inputs import *; from service.bucket import *\n"
        f"train, _ = find_inputs(Path({str(folder)!r})); print('sending', flush=True)\n"
        f"stage(train, Bucket({BUCKET!r}, Settings.from_env(prefix='s3_')), {store.prefix!r})\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"sending\n"
    # The parts are on their way once S3 knows of them.
    until = time.monotonic() + 30
    while not store.client.list_multipart_uploads(Bucket=BUCKET, Prefix=store.prefix).get("Uploads"):
        assert time.monotonic() < until
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert store.listing() == [], "killed too late for this test to tell"
    train, _ = find_inputs(folder)
    assert stage(train, bucket(), store.prefix)
    assert not stage(train, bucket(), store.prefix)
