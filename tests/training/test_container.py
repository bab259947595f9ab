from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import Loader

from service.bundle import MANIFEST, read_manifest, verify
from tests.service.bundles import make_bundle
from tests.training.killed import survives
from tests.training.opt_ml import make_tree, resources, write_config
from training.container import FAILURE_LIMIT, ChannelError, ConfigError, Tree
from training.hyperparameters import MAX_COUNT, MAX_KEY, MAX_VALUE


@pytest.fixture
def tree(tmp_path: Path, data: Path) -> Tree:
    return Tree(make_tree(tmp_path / "ml", data))


def test_limits_are_sagemakers() -> None:
    shapes = Loader().load_service_model("sagemaker", "service-2")["shapes"]
    assert shapes["HyperParameters"]["max"] == MAX_COUNT
    assert shapes["HyperParameterKey"]["max"] == MAX_KEY
    assert shapes["HyperParameterValue"]["max"] == MAX_VALUE
    assert shapes["FailureReason"]["max"] == FAILURE_LIMIT


def test_a_job_as_sagemaker_gives_it(tree: Tree) -> None:
    assert tree.channels() == ["train", "validation", "test"]
    assert tree.host() == "algo-1"
    assert [tree.channel_file(name).name for name in tree.channels()] == ["train.txt", "vali.txt", "test.txt"]


FILE: dict[str, Any] = {"TrainingInputMode": "File"}
BAD_CHANNELS: list[tuple[Any, str]] = [
    ({"train": FILE}, "there is no channel 'test'; a job needs train and test"),
    ({"test": FILE}, "there is no channel 'train'"),
    ({"train": FILE, "test": FILE, "vali": FILE}, r"a channel 'vali' \(did you mean validation\?\)"),
    ({"training": FILE, "test": FILE}, r"'training' \(did you mean train\?\)"),
    (
        {"train": {"TrainingInputMode": "Pipe"}, "test": FILE},
        "channel train: input mode 'Pipe' cannot be read",
    ),
    ({"train": {**FILE, "RecordWrapperType": "RecordIO"}, "test": FILE}, "set RecordWrapperType to None"),
    ("{", "inputdataconfig.json is not JSON"),
    ("\xff", "inputdataconfig.json is not JSON"),
    ([], "must hold an object"),
]


@pytest.mark.parametrize(("document", "message"), BAD_CHANNELS, ids=[message[:30] for _, message in BAD_CHANNELS])
def test_bad_channels(tree: Tree, document: Any, message: str) -> None:
    write_config(tree.root, "inputdataconfig", document)
    with pytest.raises(ConfigError, match=message):
        tree.channels()


def test_no_configuration_at_all(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"inputdataconfig\.json is not there: SageMaker writes it; `run` trains"):
        Tree(tmp_path).channels()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (resources(["algo-1", "algo-2"]), "2 hosts: this trains on one; set InstanceCount to 1"),
        (resources(["algo-2"]), "must name current_host, and hosts with it among them"),
        ({"hosts": ["algo-1"]}, "must name current_host"),
        ({"current_host": "algo-1", "hosts": "algo-1"}, "must name current_host"),
    ],
)
def test_bad_hosts(tree: Tree, document: Any, message: str) -> None:
    write_config(tree.root, "resourceconfig", document)
    with pytest.raises(ConfigError, match=message):
        tree.host()


def test_a_channels_file_may_have_any_name_and_lie_deeper(tree: Tree) -> None:
    folder = tree.data / "train"
    (folder / "train.txt").rename(folder / "part-0000.txt.gz")
    (folder / ".s3-marker").touch()
    (folder / "empty").mkdir()
    assert tree.channel_file("train").name == "part-0000.txt.gz"
    (folder / "part-0000.txt.gz").rename(folder / "empty" / "deeper")
    assert tree.channel_file("train").name == "deeper"


def test_a_channel_without_a_file(tree: Tree) -> None:
    (tree.data / "train" / "train.txt").unlink()
    with pytest.raises(ChannelError, match=r"channel train: no file in .*; check the S3 prefix"):
        tree.channel_file("train")
    with pytest.raises(ChannelError, match="channel recipe: no file"):
        tree.channel_file("recipe")


def test_a_channel_with_several_files(tree: Tree) -> None:
    for name in "abcd":
        (tree.data / "train" / name).touch()
    with pytest.raises(ChannelError, match=r"channel train: 5 files \(a, b, c, \.\.\.\), but it must be one"):
        tree.channel_file("train")


def test_the_bundle_arrives_whole(tree: Tree, tmp_path: Path) -> None:
    make_bundle(tmp_path / "bundle")
    # A volume of its own: it keeps its identity, and what others put there.
    before = tree.model.stat().st_ino
    (tree.model / "note.txt").write_text("kept")
    tree.put_model(tmp_path / "bundle")
    tree.put_model(tmp_path / "bundle")
    assert verify(tree.model) == verify(tmp_path / "bundle")
    assert tree.model.stat().st_ino == before
    assert sorted(path.name for path in tree.model.iterdir()) == [
        "golden.jsonl", "manifest.json", "model.ubj", "note.txt",
    ]  # fmt: skip


def test_what_an_earlier_attempt_left_is_no_bundle(tree: Tree, tmp_path: Path) -> None:
    make_bundle(tmp_path / "bundle")
    tree.put_model(tmp_path / "bundle")
    (tree.model / ".model.ubj.x8s").write_bytes(b"half")
    tree.clear_model()
    assert sorted(path.name for path in tree.model.iterdir()) == ["golden.jsonl", "model.ubj"]


PUT = """
from training.container import Tree
armed(lambda: Tree(pathlib.Path(sys.argv[2])).put_model(pathlib.Path(sys.argv[3])))
"""


def test_kill_9_at_any_moment_leaves_a_whole_bundle_or_none(tmp_path: Path) -> None:
    make_bundle(tmp_path / "old", seed=1)
    make_bundle(tmp_path / "new", seed=2)
    old, new = read_manifest(tmp_path / "old").digest, read_manifest(tmp_path / "new").digest
    assert old != new
    seen: set[str | None] = set()
    for moment in count(step=3):
        tree = Tree(tmp_path / str(moment))
        tree.put_model(tmp_path / "old")
        survived = survives(PUT, moment, tree.root, tmp_path / "new")
        found = verify(tree.model).digest if (tree.model / MANIFEST).exists() else None
        seen.add(found)
        # Whatever was left, the next attempt makes it good.
        tree.put_model(tmp_path / "new")
        assert verify(tree.model).digest == new
        assert len(list(tree.model.iterdir())) == 3
        if survived:
            break
    assert seen == {old, None, new}


@pytest.mark.parametrize(
    "reason",
    ["short", "x" * 1024, "x" * 1025, "x" * 100_000, "\N{EURO SIGN}" * 2000, "two\n lines", "\x00 and \udc80"],
)
def test_failure_stays_within_its_limit(tree: Tree, reason: str) -> None:
    tree.fail(reason)
    said = tree.failure.read_text()
    assert len(said) <= FAILURE_LIMIT
    assert tree.failure.stat().st_size <= FAILURE_LIMIT
    assert "\n" not in said
    assert said.startswith(reason.split(maxsplit=1)[0][:300])
    assert said.endswith(" ...") == (len(reason) > FAILURE_LIMIT)
