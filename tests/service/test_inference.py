from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.app import create_app
from service.oip import HEADER_LENGTH
from service.settings import Settings
from tests.service.asgi import Client, running
from tests.service.bundles import make_bundle
from tests.service.test_app import assert_identified, assert_problem, loading_client, records

__all__ = ["loading_client"]

MATRIX = np.array([[1, 2, 3, 4], [np.nan, 0, 0, 1]], np.float32)
DATA = [[1, 2, 3, 4], [None, 0, 0, 1]]
GOOD = {"id": "q", "inputs": [{"name": "features", "datatype": "FP32", "shape": [2, 4], "data": DATA}]}
HEAD = json.dumps(
    {"inputs": [{"name": "features", "datatype": "FP32", "shape": [2, 4], "parameters": {"binary_data_size": 32}}]}
).encode()
RAW = HEAD + MATRIX.tobytes()
INFER = "/v2/models/tiny/infer"
LENGTH = {HEADER_LENGTH: str(len(HEAD))}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inference") / "bundle"
    make_bundle(folder)
    return folder


@pytest.fixture(scope="module")
def client(bundle: Path) -> Generator[Client]:
    """A ready service that takes 10 items and 20 kB."""
    with running(create_app(Settings(model=str(bundle), max_items=10, max_body_bytes=20_000, commit="c0ffee"))) as own:
        assert own.settled().status_code == 200
        yield own


@pytest.fixture(scope="module")
def order(client: Client) -> list[int]:
    """What /v1/rank makes of the same items."""
    items = [{"id": str(place), "features": row} for place, row in enumerate(DATA)]
    return [int(item["id"]) for item in client.post("/v1/rank", json={"items": items}).json()["items"]]


def outputs(answer: httpx.Response) -> dict[str, Any]:
    return {output["name"]: output for output in answer.json()["outputs"]}


def test_a_tensor_of_json_is_ranked(client: Client, order: list[int]):
    answer = client.post(INFER, json=GOOD)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert HEADER_LENGTH not in answer.headers
    assert_identified(answer)
    assert answer.json()["id"] == "q"
    assert outputs(answer)["order"] == {"name": "order", "datatype": "INT64", "shape": [2], "data": order}


def test_a_tensor_of_bytes_is_ranked(client: Client, order: list[int]):
    answer = client.post(INFER, content=RAW, headers=LENGTH)
    assert outputs(answer)["order"]["data"] == order
    head = json.dumps({**json.loads(HEAD), "parameters": {"binary_data_output": True}}).encode()
    answer = client.post(INFER, content=head + MATRIX.tobytes(), headers={HEADER_LENGTH: str(len(head))})
    assert answer.headers["content-type"] == "application/octet-stream"
    length = int(answer.headers[HEADER_LENGTH])
    assert json.loads(answer.content[:length])["outputs"][1]["parameters"] == {"binary_data_size": 16}
    assert np.frombuffer(answer.content[-16:], "<i8").tolist() == order


@pytest.mark.parametrize("packed", [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_packed_body_is_ranked(client: Client, order: list[int], packed: Any):
    headers = {**LENGTH, "content-encoding": packed[0]}
    assert outputs(client.post(INFER, content=packed[1](RAW), headers=headers))["order"]["data"] == order


@pytest.mark.parametrize("path", ["/v2/models/tiny", "/v2/models/tiny/ready", INFER])
@pytest.mark.parametrize("wrong", ["name", "version", "both"])
def test_another_model_is_not_here(client: Client, path: str, wrong: str):
    version = client.get("/readyz").json()["model"]["version"]
    path = path.replace("tiny", ("tiny" if wrong == "version" else "o%0Ather") + "/versions/9")
    path = path.replace("versions/9", f"versions/{version}" if wrong == "name" else "versions/9")
    answer = client.post(path, json=GOOD) if path.endswith("infer") else client.get(path)
    document = assert_problem(answer, "model-not-found")
    assert document["error"] == document["detail"]
    assert f"this service has tiny, version {version}" in document["error"]
    assert_identified(answer)


BOMB = gzip.compress(bytes(10_000_000))
REFUSED: list[tuple[str, str, dict[str, Any]]] = [
    ("not JSON", "not-json", {"content": b"{"}),
    ("empty", "not-json", {"content": b""}),
    ("too large", "body-too-large", {"content": b" " * 20_001}),
    ("a bomb", "body-too-large", {"content": BOMB, "headers": {"content-encoding": "gzip"}}),
    ("no gzip", "unsupported-media-type", {"content": RAW, "headers": {**LENGTH, "content-encoding": "gzip"}}),
    ("brotli", "unsupported-media-type", {"content": RAW, "headers": {**LENGTH, "content-encoding": "br"}}),
    ("a form", "unsupported-media-type", {"data": {"inputs": "1"}}),
    ("text", "unsupported-media-type", {"content": b"{}", "headers": {"content-type": "text/plain"}}),
    ("an items request", "invalid-request", {"json": {"items": [{"id": "a", "features": {}}]}}),
    ("no header", "invalid-request", {"json": json.loads(HEAD)}),
    ("a wrong header", "invalid-request", {"content": RAW, "headers": {HEADER_LENGTH: "9" * 30}}),
    ("infinity", "invalid-request", {"content": HEAD + np.full(8, np.inf, "<f4").tobytes(), "headers": LENGTH}),
]  # fmt: skip


@pytest.mark.parametrize(("slug", "body"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_bad_requests_are_refused(client: Client, slug: str, body: dict[str, Any]):
    answer = client.post(INFER, **body)
    document = assert_problem(answer, slug)
    assert document["error"] == document["detail"]
    assert_identified(answer)


@pytest.mark.parametrize(("method", "path"), [("GET", "/v2/nothing"), ("POST", "/v2"), ("GET", INFER)])
def test_what_the_router_refuses_has_an_error_too(client: Client, method: str, path: str):
    answer = client.request(method, path)
    assert answer.status_code in (404, 405)
    assert answer.json()["error"] == answer.json()["detail"]
    assert "error" not in client.get("/nothing").json()
    assert "error" not in client.get("/v2nothing").json()


def test_until_the_model_is_ready_only_the_server_answers(loading_client: Any):
    client, go_on = loading_client
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2").json()["version"] == "c0ffee"
    for path in ("/v2/health/ready", "/v2/models/tiny", "/v2/models/tiny/ready"):
        answer = client.get(path)
        assert_problem(answer, "not-ready")
        assert answer.json()["error"].startswith("the model is not ready")
        assert answer.headers["retry-after"] == "7"
    assert_problem(client.post(INFER, content=b"{"), "not-ready")
    go_on()
    client.settled()
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2/models/tiny/ready").json() == {"name": "tiny", "ready": True}
    assert client.post(INFER, json=GOOD).status_code == 200


def test_metrics_and_log_lines_name_the_route_and_not_the_path(bundle: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", "podium")
    with running(create_app(Settings(model=str(bundle), commit="c"))) as client:
        version = client.settled().json()["model"]["version"]
        client.post(f"/v2/models/tiny/versions/{version}/infer", json=GOOD)
        client.post(INFER, json=GOOD)
        client.post("/v2/models/invented/infer", json=GOOD)
        client.get("/v2/models/tiny/ready")
        lines = client.get("/metrics").text.splitlines()
    one, versioned = "/v2/models/{name}/infer", "/v2/models/{name}/versions/{version}/infer"
    for sample in (
        f'podium_requests_total{{method="POST",route="{one}",status="200"}} 1.0',
        f'podium_requests_total{{method="POST",route="{one}",status="404"}} 1.0',
        f'podium_requests_total{{method="POST",route="{versioned}",status="200"}} 1.0',
        'podium_rejected_total{reason="model-not-found"} 1.0',
        "podium_items_sum 4.0",
        "podium_score_seconds_count 2.0",
        "podium_queue_seconds_count 2.0",
    ):
        assert sample in lines
    assert "invented" not in "".join(lines)
    asked = records(caplog, "request")
    # The probe logs at debug.
    assert [(line["route"], line["status"]) for line in asked] == [(versioned, 200), (one, 200), (one, 404)]
    assert asked[0]["items"] == 2


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=100) | st.just(RAW) | st.just(gzip.compress(RAW)),
    st.none() | st.integers(-1, 200).map(str) | st.text(st.characters(codec="latin-1", exclude_categories=["Cc"])),
    st.sampled_from(["identity", "gzip", "deflate", "br", ""]),
    st.sampled_from(["", "application/json", "application/octet-stream", "text/plain"]),
)
def test_no_header_and_no_body_make_it_fail(client: Client, body: bytes, length: str | None, encoding: str, form: str):
    headers = {"content-encoding": encoding.encode(), "content-type": form.encode()}
    if length is not None:
        headers[HEADER_LENGTH] = length.encode("latin-1")
    answer = client.post(INFER, content=body, headers=headers)
    assert answer.status_code in (200, 400, 413, 415, 422), answer.text
    assert ("error" in answer.json()) == (answer.status_code != 200)
