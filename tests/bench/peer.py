"""A server that is measured: how it is started, asked, and understood."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Server:
    """A server that answers, in a process (with children, perhaps) that is bound to one core."""

    port: int
    pid: int


@dataclass(frozen=True)
class Wire:
    """A way to ask a server for the scores of one query.

    Attributes:
        request: a whole HTTP/1.1 request for the scores of the rows, of shape (documents, features).
        scores: what an answer's body and headers (names in lower case) say, in the order of the rows.
    """

    request: Callable[[Floats], bytes]
    scores: Callable[[bytes, Mapping[str, str]], Sequence[float]]


@dataclass(frozen=True)
class Peer:
    """A server by the name that reports give it.

    Attributes:
        started: runs it with the bundle in a folder, on a core, until the block ends; enters once it answers.
        wires: by format: "json" is each server's usual one, "columns" one matrix in JSON, "binary" float32.
        versions: of what it is made of, by distribution.
        limit: answers without scoring, so its scores mean nothing.
    """

    name: str
    started: Callable[[Path, int], AbstractContextManager[Server]]
    wires: Mapping[str, Wire]
    versions: Callable[[], Mapping[str, str]]
    limit: bool = False
