from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.tiny import tiny_queries
from training import entry
from training.entry import Damaged, describe_entry, fingerprint, open_entry, save_entry


def test_an_entry_gives_back_the_queries(tmp_path: Path):
    queries = tiny_queries(20)
    queries.features.tofile(tmp_path / "features.f32")
    save_entry(tmp_path, queries, {"source": "train.txt"})
    found = open_entry(tmp_path)
    assert found.known_sha256 == queries.sha256 == replace(found, known_sha256=None).sha256
    assert describe_entry(tmp_path)["source"] == "train.txt"
    (tmp_path / "about.json").write_text((tmp_path / "about.json").read_text().replace('"width": 4', '"width": 2'))
    with pytest.raises(Damaged, match="another size"):
        open_entry(tmp_path)


@given(st.integers(0, 200_000), st.data())
def test_every_changed_byte_changes_the_fingerprint(size: int, data: st.DataObject):
    array = np.random.default_rng(size).integers(0, 256, size, np.uint8)
    before = fingerprint(array)
    assert fingerprint(array.copy()) == before
    if size:
        place = data.draw(st.integers(0, size - 1))
        array[place] ^= data.draw(st.integers(1, 255))
        assert fingerprint(array) != before


def test_what_disks_do_changes_the_fingerprint():
    words = np.random.default_rng(0).integers(0, 2**63, 3 * 8192, np.uint64)
    torn, swapped, blocks = words.copy(), words.copy(), words.copy()
    torn[512:1024] = 0
    swapped[:2] = words[1::-1]
    blocks[:8192], blocks[8192:16384] = words[8192:16384], words[:8192]
    shapes = [words.reshape(3, -1), words.view(np.int64)]
    assert len({fingerprint(array) for array in (words, torn, swapped, blocks, words[:-1], *shapes)}) == 7


def test_the_fingerprint_stays_what_it_is(monkeypatch: pytest.MonkeyPatch):
    # Another one would have all that was kept read again.
    words = np.arange(5 * 8192 + 3, dtype=np.uint64)
    expected = fingerprint(words)
    assert expected.startswith("7d026a5c59793ea1")
    monkeypatch.setattr(entry, "_BLOCKS_A_STEP", 2)
    assert fingerprint(words) == expected
