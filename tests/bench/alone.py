"""What decoding and scoring take without a server around them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from time import perf_counter
from typing import Any

import numpy as np
import orjson

from service import api, tensors
from service.mistakes import Limits
from service.ranker import Ranker
from tests.bench.own import OURS, binary_body
from tests.bench.peer import Floats

DOCUMENTS = (10, 100, 1000)
LEAST_CALLS = 5


def works(ranker: Ranker, queries: Sequence[Floats]) -> dict[str, list[Callable[[], object]]]:
    """By name, the same work for each of the queries."""
    limits, schema = Limits(), ranker.schema

    def parse(body: bytes) -> Callable[[], object]:
        return lambda: api.parse(body, schema, limits)

    def read(head: bytes, data: bytes) -> Callable[[], object]:
        whole = head + data

        def work() -> object:
            view = memoryview(whole)
            tensor: Any = orjson.loads(view[: len(head)])["inputs"][0]
            return tensors.read_features(tensor, view[len(head) :], schema, limits)

        return work

    def body_of(form: str, rows: Floats) -> bytes:
        return OURS.wires[form].request(rows).partition(b"\r\n\r\n")[2]

    return {
        "decode json": [parse(body_of("json", rows)) for rows in queries],
        "decode columns": [parse(body_of("columns", rows)) for rows in queries],
        "decode binary": [read(*binary_body(rows)) for rows in queries],
        "score": [lambda rows=rows: ranker.score(rows) for rows in queries],
    }


def microseconds(calls: Sequence[Callable[[], object]], seconds: float) -> float:
    """The median of as many calls as fit, in turn: one repeated trains the branch predictor."""
    taken: list[float] = []
    ends = perf_counter() + seconds
    for call in cycle(calls):
        before = perf_counter()
        call()
        after = perf_counter()
        taken.append(after - before)
        if after > ends and len(taken) >= LEAST_CALLS:
            break
    return float(np.median(taken)) * 1e6
