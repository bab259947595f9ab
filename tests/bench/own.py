"""The servers of our own environment: the service, and a handler that does nothing."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from tests.bench.http import post
from tests.bench.peer import Floats, Peer, Server, Wire
from tests.bench.prepared import NAME
from tests.bench.served import free_port, running, service

HEADER_LENGTH = "inference-header-content-length"


def _numbers(rows: Floats) -> Any:
    """A matrix as orjson takes it: each number by the shortest decimal of its float32."""
    return np.ascontiguousarray(rows)


def _dumps(document: Any) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def _items(rows: Floats, path: str = "/v1/rank") -> bytes:
    return post(path, _dumps({"items": [{"id": f"doc-{i}", "features": row} for i, row in enumerate(_numbers(rows))]}))


def _columns(rows: Floats) -> bytes:
    ids = [f"doc-{index}" for index in range(len(rows))]
    return post("/v1/rank", _dumps({"item_ids": ids, "features": _numbers(rows)}))


def _ranked(body: bytes, _headers: Mapping[str, str]) -> Sequence[float]:
    scores = {int(item["id"].removeprefix("doc-")): item["score"] for item in orjson.loads(body)["items"]}
    return [scores[index] for index in range(len(scores))]


def _tensor(rows: Floats, **content: Any) -> dict[str, Any]:
    return {"name": "features", "datatype": "FP32", "shape": list(rows.shape), **content}


def _oip(rows: Floats) -> bytes:
    tensor = _tensor(rows, data=_numbers(rows).reshape(-1))
    return post(f"/v2/models/{NAME}/infer", _dumps({"inputs": [tensor]}))


def _oip_scores(body: bytes, _headers: Mapping[str, str]) -> Sequence[float]:
    outputs = {output["name"]: output for output in orjson.loads(body)["outputs"]}
    return outputs["scores"]["data"]


def binary_body(rows: Floats) -> tuple[bytes, bytes]:
    """The JSON, and the tensor that follows it."""
    data = _numbers(rows).astype("<f4").tobytes()
    tensor = _tensor(rows, parameters={"binary_data_size": len(data)})
    return _dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}), data


def _binary(rows: Floats, path: str = f"/v2/models/{NAME}/infer") -> bytes:
    head, data = binary_body(rows)
    return post(path, head + data, f"{HEADER_LENGTH}: {len(head)}")


def _binary_scores(body: bytes, headers: Mapping[str, str]) -> Sequence[float]:
    length = int(headers[HEADER_LENGTH])
    place = length
    for output in orjson.loads(body[:length])["outputs"]:
        size = output["parameters"]["binary_data_size"]
        if output["name"] == "scores":
            return np.frombuffer(body[place : place + size], "<f4").tolist()
        place += size
    raise ValueError("no scores are in the answer")


def _nothing(_body: bytes, _headers: Mapping[str, str]) -> Sequence[float]:
    return ()


def _versions(*names: str) -> Mapping[str, str]:
    return {name: version(name) for name in names}


def _start_service(bundle: Path, core: int) -> AbstractContextManager[Server]:
    return service(bundle, core)


def _start_hello(_bundle: Path, core: int) -> AbstractContextManager[Server]:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "tests.bench.hello:app", "--port", str(port), "--no-access-log"]
    return running([*command, "--log-level", "warning"], port, "/", core)


_HTTP = ("starlette", "uvicorn", "httptools")

OURS = Peer(
    "ours",
    _start_service,
    {
        "json": Wire(_items, _ranked),
        "columns": Wire(_columns, _ranked),
        "oip": Wire(_oip, _oip_scores),
        "binary": Wire(_binary, _binary_scores),
    },
    lambda: _versions(*_HTTP, "orjson", "pysimdjson", "numpy", "xgboost-cpu" if sys.platform == "linux" else "xgboost"),
)
HELLO = Peer(
    "hello",
    _start_hello,
    {
        "json": Wire(lambda rows: _items(rows, "/"), _nothing),
        "binary": Wire(lambda rows: _binary(rows, "/"), _nothing),
    },
    lambda: _versions(*_HTTP),
    limit=True,
)
OWN: dict[str, Peer] = {peer.name: peer for peer in (OURS, HELLO)}
