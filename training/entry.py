"""One entry of the cache: a folder with the arrays of a `Queries` and what they were made from.

Every byte is compared with a fingerprint when an entry is opened: a multilinear hash that runs at the speed of memory,
several times that of SHA-256. It finds what disks, full file systems and power cuts do, not what an attacker does:
who can write the cache can write the code as well.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.queries import Queries
from training.rows import FEATURES, mapped

ABOUT = "about.json"
_HEADS = ("relevance", "qids", "offsets")
_WORDS = 8192
_BLOCKS_A_STEP = 512
_THREADS = 2
# Odd, so that a change of a single word always changes the sum; different, so that a swap of two does.
_WEIGHTS = np.arange(1, _WORDS + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) | np.uint64(1)


class Damaged(Exception):
    """A folder that is no entry, or not as it was written."""


def save_entry(folder: Path, queries: Queries, about: Mapping[str, Any]) -> None:
    """Completes `folder`, in which the features lie already. Not flushed to disk: what is lost is found by opening."""
    for name in _HEADS:
        np.save(folder / f"{name}.npy", getattr(queries, name))
    content = {"rows": queries.rows, "width": queries.width, "sha256": queries.sha256, "check": _fingerprints(queries)}
    (folder / ABOUT).write_text(json.dumps({**about, **content}, indent=1, sort_keys=True))


def open_entry(folder: Path) -> Queries:
    """The queries, their features mapped read-only. Raises Damaged."""
    try:
        about = describe_entry(folder)
        rows, width = int(about["rows"]), int(about["width"])
        if (folder / FEATURES).stat().st_size != rows * width * 4:
            raise Damaged(f"{folder / FEATURES} has another size than it was written with")
        features = mapped(folder, rows, width)
        heads = (np.load(folder / f"{name}.npy", allow_pickle=False) for name in _HEADS)
        queries = Queries(features, *heads, known_sha256=str(about["sha256"]))
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise Damaged(f"{folder} cannot be opened: {error}") from error
    if _fingerprints(queries) != about["check"]:
        raise Damaged(f"{folder} does not hold the bytes that were written")
    return queries


def describe_entry(folder: Path) -> dict[str, Any]:
    """What `save_entry` wrote about the entry. Raises OSError, ValueError or TypeError."""
    return dict(json.loads((folder / ABOUT).read_text()))


def _fingerprints(queries: Queries) -> dict[str, str]:
    return {name: fingerprint(getattr(queries, name)) for name in ("features", *_HEADS)}


def fingerprint(array: NDArray[Any]) -> str:
    """A hash of an array's bytes, type and shape; the array must be in C order."""
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    flat = array.reshape(-1).view(np.uint8)
    whole = len(flat) // (_WORDS * 8) * _WORDS * 8
    blocks = flat[:whole].view(np.uint64).reshape(-1, _WORDS)
    steps = [blocks[start : start + _BLOCKS_A_STEP] for start in range(0, len(blocks), _BLOCKS_A_STEP)]
    with ThreadPoolExecutor(_THREADS) as pool:
        for sums in pool.map(_sums, steps):
            digest.update(sums.data)
    digest.update(flat[whole:].data)
    return digest.hexdigest()


def _sums(blocks: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return blocks @ _WEIGHTS
