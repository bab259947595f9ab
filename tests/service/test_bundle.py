import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.bundle import GOLDEN, MANIFEST, MODEL, read_manifest, replay, verify, write_bundle
from service.errors import BundleMissing, DigestMismatch, GoldenMismatch, ManifestInvalid, SchemaMismatch
from service.manifest import FileEntry
from service.ranker import Ranker
from tests.service.bundles import make_bundle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


def load(folder: Path) -> Ranker:
    return Ranker.load(folder / MODEL, read_manifest(folder).schema)


def rewrite_golden(folder: Path, *lines: Any) -> None:
    (folder / GOLDEN).write_text("".join(json.dumps(line) + "\n" for line in lines))


def golden_lines(folder: Path) -> list[Any]:
    return [json.loads(line) for line in (folder / GOLDEN).read_text().splitlines()]


def test_a_bundle_verifies_and_replays(folder: Path) -> None:
    manifest = verify(folder)
    assert sorted(manifest.files) == [GOLDEN, MODEL]
    assert replay(load(folder), folder) == 145


def test_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    make_bundle(tmp_path / "a")
    make_bundle(tmp_path / "b")
    for name in (MANIFEST, MODEL, GOLDEN):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_an_existing_bundle_is_left_alone(folder: Path) -> None:
    before = (folder / MANIFEST).read_bytes()
    with pytest.raises(FileExistsError):
        make_bundle(folder, seed=1)
    assert (folder / MANIFEST).read_bytes() == before
    assert [path.name for path in folder.parent.iterdir()] == ["bundle"], "nothing half-made is left"


@pytest.mark.parametrize("prefix", ["", "sha256:"])
def test_a_pin_that_agrees(folder: Path, prefix: str) -> None:
    digest = read_manifest(folder).digest.removeprefix("sha256:")
    assert verify(folder, prefix + digest).digest == f"sha256:{digest}"


def test_a_pin_that_differs(folder: Path) -> None:
    with pytest.raises(DigestMismatch, match=f"pinned digest is {'0' * 64}"):
        verify(folder, "0" * 64)


@pytest.mark.parametrize("name", [MODEL, GOLDEN])
@pytest.mark.parametrize("position", [0, 0.3, 0.7, 1])
def test_a_flipped_byte_is_seen(folder: Path, name: str, position: float) -> None:
    data = bytearray((folder / name).read_bytes())
    data[int(position * (len(data) - 1))] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(DigestMismatch, match=f"{name} hashes to"):
        verify(folder)


def test_a_flipped_byte_in_the_manifest_is_seen_wherever_it_is(folder: Path) -> None:
    data = (folder / MANIFEST).read_bytes()
    genuine = read_manifest(folder)
    accepted: list[int] = []
    for position in range(len(data)):
        (folder / MANIFEST).write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        try:
            if verify(folder) != genuine:
                accepted.append(position)
        except (DigestMismatch, ManifestInvalid, SchemaMismatch):
            continue
    assert accepted == [], "only blanks between values may change, and then the content is the same"


@pytest.mark.parametrize("name", [MODEL, GOLDEN])
def test_truncated_missing_and_linked_files_are_seen(folder: Path, name: str) -> None:
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[:-1])
    with pytest.raises(DigestMismatch, match=f"{name} has {len(data) - 1} bytes, the manifest says {len(data)}"):
        verify(folder)
    (folder / name).unlink()
    with pytest.raises(DigestMismatch, match=f"{name} is listed in the manifest and not there"):
        verify(folder)
    elsewhere = folder.parent / "elsewhere"
    elsewhere.write_bytes(data)
    (folder / name).symlink_to(elsewhere)
    with pytest.raises(DigestMismatch, match="not there as a plain file"):
        verify(folder)


LIES: list[tuple[str, dict[str, Any]]] = [
    ("digest", {"digest": "sha256:" + "0" * 64}),
    ("version", {"version": "20200101-000000000000"}),
    ("metrics", {"metrics": {"ndcg@10": 0.99}}),
    ("name", {"name": "better"}),
    ("commit", {"source": {"commit": "f" * 40, "dirty": False}}),
]


@pytest.mark.parametrize(("what", "lie"), LIES)
def test_a_manifest_that_lies_is_seen(folder: Path, what: str, lie: dict[str, Any]) -> None:
    document = json.loads((folder / MANIFEST).read_bytes())
    (folder / MANIFEST).write_text(json.dumps(document | lie))
    with pytest.raises(DigestMismatch):
        verify(folder)


def test_a_manifest_must_list_model_and_golden(folder: Path) -> None:
    manifest = read_manifest(folder)
    only = replace(manifest, files={MODEL: manifest.files[MODEL]}).seal()
    (folder / MANIFEST).write_bytes(only.to_json())
    with pytest.raises(ManifestInvalid, match=r"lists no golden\.jsonl"):
        verify(folder)
    with pytest.raises(ManifestInvalid, match=r"needs golden\.jsonl"):
        write_bundle(folder.parent / "other", manifest, {MODEL: b"x"})


def test_further_files_are_covered_and_welcome(tmp_path: Path) -> None:
    make_bundle(tmp_path / "bundle", contents={"forest.npz": b"later"})
    assert verify(tmp_path / "bundle").files["forest.npz"] == FileEntry.of(b"later")
    (tmp_path / "bundle" / "forest.npz").write_bytes(b"LATER")
    with pytest.raises(DigestMismatch, match=r"forest\.npz"):
        verify(tmp_path / "bundle")


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir(), lambda p: p.write_text("x")])
def test_no_bundle_there(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "none")
    with pytest.raises(BundleMissing, match="no model at"):
        read_manifest(tmp_path / "none")


def test_a_huge_manifest_is_not_read_to_its_end(folder: Path) -> None:
    with (folder / MANIFEST).open("ab") as file:
        file.truncate((16 << 20) + 1)
    with pytest.raises(ManifestInvalid, match="larger than 16 MiB"):
        read_manifest(folder)


def test_one_score_off_by_the_last_bit_is_named(folder: Path) -> None:
    lines = golden_lines(folder)
    score = np.float32(lines[2]["scores"][5])
    lines[2]["scores"][5] = float(np.nextafter(score, np.float32(9)))
    rewrite_golden(folder, *lines)
    with pytest.raises(GoldenMismatch, match=r"'golden-2', item 'golden-2-5': score .* \(1 of 13 items differ\)"):
        replay(load(folder), folder)


def test_names_moved_against_the_model_are_seen(folder: Path) -> None:
    # Hashes and widths agree after this: only replaying named features can tell.
    manifest = read_manifest(folder)
    moved = type(manifest.schema).from_names(manifest.schema.names[::-1])
    with pytest.raises(GoldenMismatch):
        replay(Ranker.load(folder / MODEL, moved), folder)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "holds no query"),
        (["{"], "does not fit"),
        (['{"request":{"id":"q","items":[]},"scores":[]}'], "holds no query"),
        (['{"request":{"id":"q","items":[{"id":"a","features":[1]}]},"scores":[1]}'], "does not fit"),
        (['{"request":{"id":"q","items":[{"id":"a","features":{"nope":1}}]},"scores":[1]}'], "does not fit"),
        (['{"request":{"id":"q","items":[{"id":"a","features":[1,2,3,4]}]},"scores":[]}'], "0 scores for 1 items"),
        (["[1]"], "does not fit"),
    ],
)
def test_golden_files_that_prove_nothing_are_refused(folder: Path, lines: list[str], said: str) -> None:
    (folder / GOLDEN).write_text("".join(line + "\n" for line in lines))
    with pytest.raises(GoldenMismatch, match=said):
        replay(load(folder), folder)


def test_another_model_does_not_replay(folder: Path, tmp_path: Path) -> None:
    make_bundle(tmp_path / "other", seed=1)
    shutil.copy(tmp_path / "other" / MODEL, folder / MODEL)
    with pytest.raises(GoldenMismatch, match="does not compute what it did"):
        replay(load(folder), folder)
