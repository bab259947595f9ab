import gzip
import hashlib
import threading
from pathlib import Path

import pytest

from training.text import DataError, ahead, digested, pieces, size_of

LINES = b"".join(b"line %d\n" % number for number in range(1000))


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
@pytest.mark.parametrize("piece", [1, 100, 10**6])
def test_pieces_are_whole_lines_with_their_numbers(tmp_path: Path, name: str, piece: int):
    path = tmp_path / name
    data = gzip.compress(LINES) if name.endswith(".gz") else LINES
    path.write_bytes(data)
    with digested(path) as file:
        found = list(pieces(path, piece, file))
        assert file.sha256.hexdigest() == hashlib.sha256(data).hexdigest()
    assert b"".join(text for text, _, _ in found) == LINES
    for text, line, _ in found:
        assert text.startswith(b"line %d\n" % (line - 1))
        assert text.endswith(b"\n")
    assert found[-1][2] == size_of(path) == len(data)


def test_what_is_not_there_is_said(tmp_path: Path):
    for look in (digested, size_of, lambda path: next(pieces(path))):
        with pytest.raises(DataError, match="there is no such file"):
            look(tmp_path / "none")


def test_reading_ahead_gives_the_same_and_the_same_error(tmp_path: Path):
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(LINES)[:-4])
    plain: list[object] = []
    threaded: list[object] = []
    for texts, found in ((pieces(path, 100), plain), (ahead(pieces(path, 100)), threaded)):
        with pytest.raises(DataError, match="truncated here"):
            found.extend(texts)
    assert plain == threaded != []


def test_reading_ahead_can_be_left(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_bytes(LINES)
    texts = ahead(pieces(path, 100))
    next(texts)
    before = threading.active_count()
    texts.close()
    assert threading.active_count() == before - 1
