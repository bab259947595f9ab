import gzip
import hashlib
from pathlib import Path

import pytest

from training.text import DataError, digested, pieces, size_of

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
