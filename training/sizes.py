"""Amounts of memory and disk as people write them: `4GB`, `512MiB`, `1.5g`, or a plain number of bytes."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(i?)(b?)", re.IGNORECASE)
_UNITS = "kmgt"


def parse_size(text: str) -> int:
    """Bytes; k, M, G and T are powers of 1000, with an `i` (GiB) of 1024. Raises ValueError."""
    found = _SIZE.fullmatch(text.strip())
    if not found or (found[3] and not found[2]):
        raise ValueError(f"{text!r} is not a size; write it as 4GB, 512MiB or a number of bytes")
    power = _UNITS.index(found[2].lower()) + 1 if found[2] else 0
    size = int(float(found[1]) * (1024 if found[3] else 1000) ** power)
    if size < 1:
        raise ValueError(f"{text!r} is no space at all; write a size such as 4GB")
    return size


def size_argument(text: str) -> int:
    """`parse_size` for argparse, which shows the reason only of its own exception."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def show_size(size: float) -> str:
    """Three digits and a unit of powers of 1000: `1.24 GB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
