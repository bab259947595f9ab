"""How each peer is asked for the scores of one query, and how its answer is understood.

All get the same float32 values: four digits after the point are what a bench's features have, so that JSON is not
longer for one than for another. No value is missing: not every peer's JSON can say so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from tests.bench.peer import Floats, Wire

DIGITS = 4
HEADER_LENGTH = "inference-header-content-length"


def rounded(rows: Floats) -> list[list[float]]:
    """As they are printed: `2.1`, where float32's own value is 2.0999999."""
    return rows.astype(np.float64).round(DIGITS).tolist()


def _post(path: str, body: bytes, kind: str = "application/json", *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: bench", f"content-type: {kind}", f"content-length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _json(path: str, body: Callable[[Floats], Any], scores: Callable[[Any], Sequence[float]]) -> Wire:
    return Wire(
        request=lambda rows: _post(path, orjson.dumps(body(rows))),
        scores=lambda answer, _: scores(orjson.loads(answer)),
    )


def _documents(rows: Floats) -> Any:
    values = rounded(rows)
    return {"documents": [{"id": f"doc-{place}", "features": row} for place, row in enumerate(values)]}


def _by_place(ranked: Sequence[Mapping[str, Any]]) -> Sequence[float]:
    scores = {document["id"]: document["score"] for document in ranked}
    return [scores[f"doc-{place}"] for place in range(len(ranked))]


def _tensor(rows: Floats) -> Any:
    data = [value for row in rounded(rows) for value in row]
    return {"inputs": [{"name": "features", "shape": list(rows.shape), "datatype": "FP32", "data": data}]}


def _binary_tensor(path: str) -> Wire:
    """The protocol's binary tensor extension, both ways."""

    def request(rows: Floats) -> bytes:
        data = rows.astype("<f4").tobytes()
        about: dict[str, Any] = {"name": "features", "shape": list(rows.shape), "datatype": "FP32"}
        about["parameters"] = {"binary_data_size": len(data)}
        header = orjson.dumps({"inputs": [about], "parameters": {"binary_data_output": True}})
        return _post(path, header + data, "application/octet-stream", f"{HEADER_LENGTH}: {len(header)}")

    def scores(answer: bytes, headers: Mapping[str, str]) -> Sequence[float]:
        length = int(headers[HEADER_LENGTH])
        (output,) = orjson.loads(answer[:length])["outputs"]
        if output["parameters"]["binary_data_size"] != len(answer) - length or output["datatype"] != "FP32":
            raise ValueError(f"the answer's bytes are not what it says of them: {output}")
        return np.frombuffer(answer, "<f4", offset=length).tolist()

    return Wire(request, scores)


NAIVE = {"json": _json("/rank", _documents, _by_place)}
# Its 1.7.1 has no binary tensors over HTTP.
MLSERVER = {"json": _json("/v2/models/ranker/infer", _tensor, lambda answer: answer["outputs"][0]["data"])}
KSERVE = {
    "json": _json(
        "/v1/models/ranker:predict", lambda rows: {"instances": rounded(rows)}, lambda answer: answer["predictions"]
    ),
    # Slower than its JSON: it makes a list of Python's floats from the bytes, and an array from the list again.
    "binary": _binary_tensor("/v2/models/ranker/infer"),
}
# Between its own services it speaks pickle, which it refuses from anyone else.
BENTOML = {"json": _json("/score", lambda rows: {"features": rounded(rows)}, lambda answer: answer)}
