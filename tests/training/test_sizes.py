from argparse import ArgumentTypeError

import pytest

from training.sizes import parse_size, show_size, size_argument


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4GB", 4 * 10**9),
        ("4GiB", 4 * 2**30),
        ("1.5g", 1_500_000_000),
        ("512 MiB", 512 * 2**20),
        ("2k", 2000),
        ("1T", 10**12),
        ("123", 123),
        ("123B", 123),
    ],
)
def test_sizes_are_read(text: str, size: int):
    assert parse_size(text) == size_argument(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "4 apples", "4GBs", "1e9", "4ib", "0", "0.4", "nan", "1,5GB"])
def test_what_is_no_size_is_refused(text: str):
    with pytest.raises(ValueError, match=r"is not a size|no space at all"):
        parse_size(text)
    with pytest.raises(ArgumentTypeError, match="write"):
        size_argument(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (20, "20 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (1_236_000_000, "1.24 GB"),
        (10**13, "10 TB"),
    ],
)
def test_sizes_are_shown(size: int, text: str):
    assert show_size(size) == text
