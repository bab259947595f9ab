from __future__ import annotations

import re

import pytest

from tests.bench import hop


def test_both_ways_are_measured(capsys: pytest.CaptureFixture[str]):
    hop.main(20)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("one connection, 20 pairs")
    found = [re.fullmatch(r".* direct +(\d+) .* gateway +(\d+) +more +([+-]\d+)", line) for line in lines[1:]]
    assert len(found) == len(hop.REQUESTS)
    assert all(each and int(each[1]) > 0 and int(each[2]) > 0 for each in found)
