import gzip
import io
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.bucket import Bucket
from service.errors import BundleError
from service.manifest import Manifest
from service.settings import Settings
from tests.engines.emulator import BUCKET, Store
from tests.service.bundles import make_bundle
from training import artifact
from training.artifact import ArtifactError, check_origin, fetched, model_bucket, unpack

Members = list[tuple[tarfile.TarInfo, bytes]]


def plain(name: str, data: bytes = b"x", **changes: Any) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for key, value in changes.items():
        setattr(member, key, value)
    return member, data


def packed(members: Members, path: Path, form: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w:gz", format=form) as tar:
        for member, data in members:
            tar.addfile(member, io.BytesIO(data))
    return path


def raw(*blocks: bytes) -> bytes:
    return gzip.compress(b"".join(blocks))


def claiming(size: int, kind: bytes) -> bytes:
    """A header that says that so many bytes follow."""
    member = tarfile.TarInfo("manifest.json")
    member.size, member.type = size, kind
    return member.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["manifest.json", "model.ubj"], id="as SageMaker packs"),
        pytest.param([".", "./manifest.json", "./model.ubj"], id="as tar packs a folder"),
    ],
)
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_what_a_bundle_may_be(names: list[str], form: int, tmp_path: Path) -> None:
    # A fraction of a second makes Python write a header of its own before the file's.
    members = [
        plain(name, b"" if name == "." else b"data", mtime=1.5 if form == tarfile.PAX_FORMAT else 1) for name in names
    ]
    if names[0] == ".":
        members[0][0].type = tarfile.DIRTYPE
    (tmp_path / "out").mkdir()
    unpack(packed(members, tmp_path / "model.tar.gz", form), tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {
        "manifest.json": b"data",
        "model.ubj": b"data",
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.tar.gz", "out"]


HOSTILE: dict[str, tuple[Members, str]] = {
    "parent": ([plain("../evil")], "no folders"),
    "deep parent": ([plain("a/../../evil")], "no folders"),
    "absolute": ([plain("/podium-evil")], "no folders"),
    "folder": ([plain("sub", b"", type=tarfile.DIRTYPE)], "no plain file"),
    "in a folder": ([plain("sub/model.ubj")], "no folders"),
    "hidden": ([plain(".bashrc")], "no folders"),
    "newline": ([plain("a\nb")], "no folders"),
    "escape": ([plain("a\x1b[2J")], "no folders"),
    "symbolic link": ([plain("model.ubj", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")], "no plain file"),
    "link to a folder, then through it": (
        [plain("x", b"", type=tarfile.SYMTYPE, linkname="/"), plain("x/evil")],
        "no plain file",
    ),
    "hard link": (
        [plain("a"), plain("model.ubj", b"", type=tarfile.LNKTYPE, linkname="a")],
        "no plain file",
    ),
    "character device": ([plain("null", b"", type=tarfile.CHRTYPE, devmajor=1, devminor=3)], "no plain file"),
    "block device": ([plain("disk", b"", type=tarfile.BLKTYPE)], "no plain file"),
    "pipe": ([plain("pipe", b"", type=tarfile.FIFOTYPE)], "no plain file"),
    "contiguous": ([plain("a", type=tarfile.CONTTYPE)], "no plain file"),
    "twice": ([plain("a"), plain("./a")], "twice"),
    "many": ([plain(f"f{number}") for number in range(65)], "more than 64 files"),
    "sparse": (
        [plain("a", b"1\n0\n1\nx", pax_headers={"GNU.sparse.map": "0,1", "GNU.sparse.size": str(1 << 40)})],
        "no plain file",
    ),
    "long name": ([plain("a" * 200)], "no folders"),
    "header of a name of megabytes": ([plain("a" * (2 << 20))], "a header of"),
    "header of megabytes": ([plain("a", pax_headers={"comment": "x" * (2 << 20)})], "a header of"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_refused(case: str, tmp_path: Path) -> None:
    members, message = HOSTILE[case]
    (tmp_path / "out").mkdir()
    archive = packed(members, tmp_path / "model.tar.gz")
    with pytest.raises(ArtifactError, match=message):
        unpack(archive, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.tar.gz", "out"]
    assert not Path("/podium-evil").exists()


DAMAGED: dict[str, tuple[bytes, str]] = {
    "no gzip": (b"hello", "damaged"),
    "nothing": (b"", "no sound tar"),
    "cut off": (raw(claiming(5, tarfile.REGTYPE), b"hello".ljust(512, b"\0"))[:-12], "damaged"),
    "no tar": (raw(b"hello" * 1000), "no sound tar"),
    "file that is not there": (raw(claiming(5000, tarfile.REGTYPE), b"a" * 512), "no sound tar|cut off"),
    "name of a terabyte": (raw(claiming(1 << 40, tarfile.GNUTYPE_LONGNAME), b"a" * 512), "a header of"),
    "pax header of a terabyte": (raw(claiming(1 << 40, tarfile.XHDTYPE), b"a" * 512), "a header of"),
    "global header of a terabyte": (raw(claiming(1 << 40, tarfile.XGLTYPE), b"a" * 512), "a header of"),
    "old sparse file": (raw(claiming(512, tarfile.GNUTYPE_SPARSE), b"a" * 512), "no plain file|no sound tar"),
    "trailing rubbish": (raw(claiming(0, tarfile.REGTYPE)) + b"rubbish", "damaged"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_what_is_damaged(case: str, tmp_path: Path) -> None:
    data, message = DAMAGED[case]
    (tmp_path / "model.tar.gz").write_bytes(data)
    (tmp_path / "out").mkdir()
    with pytest.raises(ArtifactError, match=message):
        unpack(tmp_path / "model.tar.gz", tmp_path / "out")


def test_a_bomb_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifact, "MAX_BYTES", 3 << 20)
    (tmp_path / "out").mkdir()
    archive = packed([plain("model.ubj", bytes(64 << 20))], tmp_path / "model.tar.gz")
    assert archive.stat().st_size < 1 << 17
    with pytest.raises(ArtifactError, match="more than 3145728 bytes"):
        unpack(archive, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    assert not (tmp_path / "model.tar").exists()


@pytest.fixture
def uploaded(store: Store, tmp_path: Path) -> Callable[[Path], dict[str, Any]]:
    def upload(folder: Path) -> dict[str, Any]:
        archive = tmp_path / "made.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            for path in sorted(folder.iterdir()):
                tar.add(path, path.name)
        store.write("job/output/model.tar.gz", archive.read_bytes())
        uri = f"{store.uri}/job/output/model.tar.gz"
        return {"TrainingJobName": "job", "ModelArtifacts": {"S3ModelArtifacts": uri}}

    return upload


def test_a_bundle_comes_out_as_it_went_in(uploaded: Callable[[Path], dict[str, Any]], tmp_path: Path) -> None:
    manifest = make_bundle(tmp_path / "bundle")
    about = uploaded(tmp_path / "bundle") | {"HyperParameters": {"commit": manifest.commit, "name": manifest.name}}
    told: list[int] = []
    with fetched(_bucket(), about, lambda done, total: told.append(total - done)) as (folder, found):
        assert found == manifest
        assert (folder / "model.ubj").read_bytes() == (tmp_path / "bundle" / "model.ubj").read_bytes()
    assert told[-1] == 0
    assert not folder.exists()


def test_of_a_changed_bundle_nothing_is_left(uploaded: Callable[[Path], dict[str, Any]], tmp_path: Path) -> None:
    make_bundle(tmp_path / "bundle")
    (tmp_path / "bundle" / "model.ubj").write_bytes(b"other")
    with pytest.raises(BundleError, match=r"model\.ubj"), fetched(_bucket(), uploaded(tmp_path / "bundle")):
        pytest.fail("it was let through")


def test_what_is_too_large_is_not_fetched(
    uploaded: Callable[[Path], dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_bundle(tmp_path / "bundle")
    monkeypatch.setattr(artifact, "MAX_PACKED_BYTES", 100)
    with pytest.raises(ArtifactError, match="above the 100"), fetched(_bucket(), uploaded(tmp_path / "bundle")):
        pytest.fail("it was let through")


def test_what_is_gone(store: Store) -> None:
    about = {"TrainingJobName": "job", "ModelArtifacts": {"S3ModelArtifacts": f"{store.uri}/x/model.tar.gz"}}
    with pytest.raises(ArtifactError, match="not there any more"), fetched(_bucket(), about):
        pytest.fail("it was let through")


@pytest.mark.parametrize("uri", ["", "https://host/model.tar.gz", "s3://bucket/other", "s3://bucket"])
def test_addresses_of_no_model(uri: str) -> None:
    with pytest.raises(ArtifactError, match="left no model"):
        model_bucket(uri)


@pytest.mark.parametrize(
    ("given", "good"),
    [
        ({}, True),
        ({"commit": "a" * 40, "data_sha256": "d", "name": "mslr", "seed": "7"}, True),
        ({"commit": "a" * 40 + "-dirty"}, True),
        ({"commit": "b" * 40}, False),
        ({"data_sha256": "e"}, False),
        ({"name": "other"}, False),
    ],
)
def test_a_model_of_other_inputs(given: dict[str, str], good: bool, tmp_path: Path) -> None:
    manifest: Manifest = replace(make_bundle(tmp_path / "b"), commit="a" * 40, data={"sha256": "d"}, name="mslr")
    if good:
        check_origin(manifest, given, "job")
        return
    with pytest.raises(ArtifactError, match="it is not published"):
        check_origin(manifest, given, "job")
    assert given


def _bucket() -> Bucket:
    return Bucket(BUCKET, Settings.from_env(prefix="s3_"))
