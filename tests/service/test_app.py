from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable, Generator, MutableMapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service import loading
from service.app import commit_of, create_app
from service.middleware import CLIENT_LEFT
from service.openapi import ROUTES
from service.problems import KINDS, MEDIA_TYPE, TYPE_PREFIX
from service.revision import current_revision
from service.settings import Settings
from tests.service.asgi import Client, chunks, running
from tests.service.bundles import NAMES, make_bundle
from tests.service.test_loading import one_ulp

JSON = {"content-type": "application/json"}
GOOD = {"items": [{"id": "a", "features": [1, 2, 3, 4]}, {"id": "b", "features": {"age": 1}}]}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("app") / "bundle"
    make_bundle(folder)
    return folder


@pytest.fixture(scope="module")
def client(bundle: Path) -> Generator[Client]:
    """A ready service that takes 10 items and 20 kB."""
    # On a busy machine fifty small requests may be a quarter of a second of work: none is refused for that here.
    chosen = Settings(
        model=str(bundle), max_items=10, max_body_bytes=20_000, max_queue_ms=60_000, explain=True, commit="c0ffee"
    )
    with running(create_app(chosen)) as client:
        assert client.settled().status_code == 200
        yield client


@pytest.fixture
def loading_client(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[tuple[Client, Callable[[], None]]]:
    """A service that warms up until it is told to go on."""
    go_on, warm = threading.Event(), loading.warm

    def slow(*arguments: Any) -> None:
        assert go_on.wait(20)
        warm(*arguments)

    monkeypatch.setattr(loading, "warm", slow)
    with running(create_app(Settings(model=str(bundle), retry_after_seconds=7, commit="c0ffee"))) as client:
        try:
            yield client, go_on.set
        finally:
            go_on.set()


def assert_problem(answer: httpx.Response, slug: str) -> dict[str, Any]:
    assert answer.status_code == KINDS[slug].status, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    document = answer.json()
    assert document["type"] == TYPE_PREFIX + slug
    assert document["title"] == KINDS[slug].title
    assert document["status"] == answer.status_code
    assert document["detail"]
    assert document["request_id"] == answer.headers["x-request-id"]
    return document


def assert_identified(answer: httpx.Response) -> None:
    assert answer.headers["x-podium-commit"] == "c0ffee"
    assert answer.headers["x-podium-model"] == "tiny"
    assert answer.headers["x-podium-version"].startswith("20240506-")
    assert answer.headers["x-request-id"]


def test_items_are_ranked(client: Client):
    answer = client.post("/v1/rank", json={"id": "q1", **GOOD})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    document = answer.json()
    assert document["id"] == "q1"
    assert document["model"] == {"name": "tiny", "version": answer.headers["x-podium-version"]}
    assert {item["id"] for item in document["items"]} == {"a", "b"}
    assert [item["rank"] for item in document["items"]] == [1, 2]
    assert document["items"][0]["score"] >= document["items"][1]["score"]
    assert 0 < document["took_ms"] < 10_000


def test_scores_are_the_rankers_bit_for_bit(client: Client, bundle: Path):
    from service.bundle import read_manifest
    from service.ranker import Ranker

    features = np.random.default_rng(1).normal(size=(10, len(NAMES))).astype(np.float32)
    ranker = Ranker.load(bundle / "model.ubj", read_manifest(bundle).schema)
    items = [{"id": str(row), "features": [float(value) for value in values]} for row, values in enumerate(features)]
    document = client.post("/v1/rank", json={"items": items}).json()
    ranking = ranker.rank(features)
    assert [int(item["id"]) for item in document["items"]] == ranking.order.tolist()
    scores = np.array([item["score"] for item in document["items"]]).astype(np.float32)
    assert scores.tobytes() == ranking.scores[ranking.order].tobytes()


def test_top_k_cuts_and_ties_keep_their_order(client: Client):
    items = [{"id": name, "features": [1, 2, 3, 4]} for name in "zyx"]
    whole = client.post("/v1/rank", json={"items": items, "top_k": 99}).json()
    assert [item["id"] for item in whole["items"]] == ["z", "y", "x"]
    first = client.post("/v1/rank", json={"items": items, "top_k": 1}).json()
    assert first["items"] == whole["items"][:1]


def test_contributions_sum_to_the_score(client: Client):
    document = client.post("/v1/rank", json={**GOOD, "explain": True}).json()
    for item in document["items"]:
        assert set(item["contributions"]) == set(NAMES)
        assert sum(item["contributions"].values()) + item["bias"] == pytest.approx(item["score"], abs=1e-5)


def test_without_an_id_the_answer_has_the_request_id(client: Client):
    answer = client.post("/v1/rank", json=GOOD, headers={"x-request-id": "mine-1"})
    assert answer.json()["id"] == "mine-1"


@pytest.mark.parametrize("form", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON"])
def test_json_may_be_called_so(client: Client, form: str):
    body = json.dumps(GOOD)
    assert client.post("/v1/rank", content=body, headers={"content-type": form}).status_code == 200


REFUSED: list[tuple[str, str, dict[str, Any]]] = [
    ("not JSON", "not-json", {"content": b"{", "headers": JSON}),
    ("empty body", "not-json", {"content": b"", "headers": JSON}),
    ("not UTF-8", "not-json", {"content": b'{"id": "\xff"}', "headers": JSON}),
    ("declared too large", "body-too-large", {"content": b" " * 20_001, "headers": JSON}),
    ("streamed too large", "body-too-large", {"content": chunks(b" " * 15_000, b" " * 5_001), "headers": JSON}),
    ("no content type", "unsupported-media-type", {"content": b"{}"}),
    ("a form", "unsupported-media-type", {"data": {"items": "1"}}),
    ("text", "unsupported-media-type", {"content": b"{}", "headers": {"content-type": "text/plain"}}),
    ("gzip", "unsupported-media-type", {"content": b"{}", "headers": {**JSON, "content-encoding": "gzip"}}),
    ("empty list", "invalid-request", {"json": {"items": []}}),
    ("too many items", "invalid-request", {"json": {"items": [{"id": str(n), "features": {}} for n in range(11)]}}),
    ("wrong width", "invalid-request", {"json": {"items": [{"id": "a", "features": [1, 2, 3]}]}}),
    ("unknown name", "invalid-request", {"json": {"items": [{"id": "a", "features": {"bm26": 1}}]}}),
    ("string", "invalid-request", {"json": {"items": [{"id": "a", "features": ["1", 2, 3, 4]}]}}),
    ("NaN", "invalid-request", {"content": b'{"items":[{"id":"a","features":[NaN,2,3,4]}]}', "headers": JSON}),
    ("overflow", "invalid-request", {"json": {"items": [{"id": "a", "features": [1e39, 2, 3, 4]}]}}),
    ("duplicate ids", "invalid-request", {"json": {"items": [GOOD["items"][0], GOOD["items"][0]]}}),
]


@pytest.mark.parametrize(("slug", "body"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_bad_requests_are_refused(client: Client, slug: str, body: dict[str, Any]):
    answer = client.post("/v1/rank", **body)
    assert_problem(answer, slug)
    assert_identified(answer)


def test_a_mistake_is_named(client: Client):
    document = client.post("/v1/rank", json={"items": [{"id": "a", "features": {"bm26": 1}}]}).json()
    (error,) = document["errors"]
    assert error == {
        "item": 0,
        "id": "a",
        "feature": "bm26",
        "reason": 'there is no feature "bm26"; did you mean "bm25"?',
    }


@pytest.mark.parametrize("path", ["/nope", "/v1/rank/", "/v1", "/livez/", "/%00", "/V1/rank"])
def test_other_paths_are_404(client: Client, path: str):
    answer = client.get(path)
    assert_problem(answer, "not-found")
    assert_identified(answer)


@pytest.mark.parametrize(("path", "route"), list(ROUTES.items()))
def test_other_methods_are_405(client: Client, path: str, route: Any):
    path = path.format(name="tiny", version="any")
    for method in {"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"} - {route.method}:
        answer = client.request(method, path)
        assert_problem(answer, "method-not-allowed")
        assert route.method in answer.headers["allow"].split(", ")
        assert_identified(answer)


@pytest.mark.parametrize("path", [path for path, route in ROUTES.items() if route.method == "GET"])
def test_every_other_route_answers(client: Client, path: str):
    version = client.get("/readyz").json()["model"]["version"]
    answer = client.get(path.format(name="tiny", version=version))
    assert answer.status_code == 200
    assert_identified(answer)


def test_the_index_lists_the_routes(client: Client):
    assert set(client.get("/").json()["routes"]) == set(ROUTES)


def test_the_document_is_served_with_the_limits(client: Client):
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert schemas["RankRequest"]["oneOf"][0]["properties"]["items"]["maxItems"] == 10


def test_the_version_names_code_and_model(client: Client):
    document = client.get("/version").json()
    assert document["commit"] == "c0ffee"
    assert document["model"]["name"] == "tiny"
    assert document["model"]["digest"].startswith("sha256:")
    assert document["model"]["features"] == 4


@pytest.mark.parametrize("given_id", ["abc", "A-1_b.c", "x" * 128])
def test_a_request_id_is_echoed(client: Client, given_id: str):
    for path in ("/livez", "/nope"):
        assert client.get(path, headers={"x-request-id": given_id}).headers["x-request-id"] == given_id


@pytest.mark.parametrize("given_id", ["", "x" * 129, "a b", "a\tb", 'a"b', "a/b", "é"])
def test_an_unfit_request_id_is_replaced(client: Client, given_id: str):
    answer = client.get("/livez", headers=[(b"x-request-id", given_id.encode())])
    assert len(answer.headers["x-request-id"]) == 32
    assert answer.headers["x-request-id"] != client.get("/livez").headers["x-request-id"]


def test_metrics_count_what_happened(bundle: Path):
    with running(create_app(Settings(model=str(bundle), commit="c"))) as client:
        client.settled()
        client.post("/v1/rank", json=GOOD)
        client.post("/v1/rank", json=[])
        client.get("/invented/" + "x" * 50)
        answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    for sample in (
        'podium_requests_total{method="POST",route="/v1/rank",status="200"} 1.0',
        'podium_requests_total{method="POST",route="/v1/rank",status="422"} 1.0',
        'podium_requests_total{method="GET",route="unmatched",status="404"} 1.0',
        'podium_request_seconds_count{method="POST",route="/v1/rank",status="200"} 1.0',
        'podium_rejected_total{reason="invalid-request"} 1.0',
        "podium_items_sum 2.0",
        "podium_items_count 1.0",
        "podium_score_seconds_count 1.0",
        "podium_queue_seconds_count 2.0",
        "podium_in_flight 0.0",
        'podium_phase{phase="ready"} 1.0',
    ):
        assert sample in answer.text.splitlines()
    assert 'name="tiny"' in answer.text
    assert "process_resident_memory_bytes" in answer.text
    assert "invented" not in answer.text


def records(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    return [record.__dict__["about"] for record in caplog.records if record.getMessage() == event]


def test_a_request_is_one_log_line(client: Client, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "podium")
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    client.post("/v1/rank", json=GOOD, headers={"x-request-id": "one", "traceparent": trace})
    client.post("/v1/rank", json={}, headers={"x-request-id": "two", "traceparent": "nonsense\\"})
    client.get("/nope")
    client.get("/livez")
    one, two, three = records(caplog, "request")
    assert one["request_id"] == "one"
    assert (one["route"], one["method"], one["status"], one["items"]) == ("/v1/rank", "POST", 200, 2)
    assert (one["model"], one["commit"], one["traceparent"]) == ("tiny", "c0ffee", trace)
    assert one["duration_ms"] > 0
    assert (two["status"], two["problem"]) == (422, "invalid-request")
    assert "traceparent" not in two
    assert (three["route"], three["path"]) == ("unmatched", "/nope")


def test_probes_log_at_debug(client: Client, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG, "podium")
    client.get("/readyz")
    assert [line["route"] for line in records(caplog, "request")] == ["/readyz"]


def test_until_the_model_is_ready_only_rank_and_readiness_wait(
    loading_client: tuple[Client, Callable[[], None]],
):
    client, go_on = loading_client
    for path in ("/readyz", "/startupz"):
        answer = client.get(path)
        document = assert_problem(answer, "not-ready")
        assert answer.headers["retry-after"] == "7"
        assert document["phase"] in loading.PHASES[:5]
        assert "reason" not in document
    assert_problem(client.post("/v1/rank", json=GOOD), "not-ready")
    # Refused before its body is looked at, let alone read.
    assert_problem(client.post("/v1/rank", content=b"{"), "not-ready")
    for path in ("/livez", "/metrics", "/version", "/openapi.json", "/"):
        assert client.get(path).status_code == 200
    assert client.get("/version").json()["model"] is None
    go_on()
    document = client.settled().json()
    assert document["status"] == "ready"
    assert [entry["phase"] for entry in document["phases"]] == list(loading.STEPS)
    assert client.get("/startupz").status_code == 200
    assert client.post("/v1/rank", json=GOOD).status_code == 200


def test_the_identity_is_absent_until_known(tmp_path: Path):
    with running(create_app(Settings(model=str(tmp_path / "nowhere"), commit="c0ffee"))) as client:
        answer = client.settled()
        assert answer.headers["x-podium-commit"] == "c0ffee"
        assert "x-podium-model" not in answer.headers
        assert "x-podium-version" not in answer.headers


def test_a_model_that_fails_its_proof_never_serves(tmp_path: Path):
    make_bundle(tmp_path / "bundle")
    one_ulp(tmp_path / "bundle")
    with running(create_app(Settings(model=str(tmp_path / "bundle"), commit="c0ffee"))) as client:
        client.settled()
        for answer in (client.get("/readyz"), client.get("/startupz"), client.post("/v1/rank", json=GOOD)):
            document = assert_problem(answer, "not-ready")
            assert document["phase"] == "failed"
            assert document["failed_phase"] == "replaying"
            assert document["reason"] == "golden-mismatch"
            assert "golden-0" in document["detail"]
        assert client.get("/livez").status_code == 200
        assert 'podium_phase{phase="failed"} 1.0' in client.get("/metrics").text


def test_a_registry_out_of_reach_is_said_with_the_time_of_the_next_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loading, "FIRST_RETRY_SECONDS", 20.0)
    settings = Settings(model=f"{tmp_path}/registry/models/web/20240101-0123456789ab", commit="c0ffee")
    with running(create_app(settings)) as client:
        until = time.monotonic() + 20
        while "reason" not in (document := assert_problem(answer := client.get("/readyz"), "not-ready")):
            assert time.monotonic() < until
        assert (document["phase"], document["reason"]) == ("downloading", "registry-unavailable")
        assert "failed_phase" not in document
        assert 5 < document["retry_in"] <= 20
        assert int(answer.headers["retry-after"]) in range(5, 21)
        assert "is tried again in" in document["detail"]
        assert "does not exist" in document["detail"]
        assert client.get("/livez").status_code == 200


def test_a_fault_of_ours_tells_the_client_nothing(
    client: Client, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr("service.api.encode", fail)
    answer = client.post("/v1/rank", json=GOOD)
    assert_problem(answer, "internal-error")
    assert_identified(answer)
    assert "secret" not in answer.text
    (line,) = records(caplog, "internal-error")
    assert line["request_id"] == answer.headers["x-request-id"]
    assert "secret" in caplog.text
    monkeypatch.undo()
    assert client.post("/v1/rank", json=GOOD).status_code == 200


def raw_request(
    client: Client,
    messages: list[dict[str, Any]],
    *headers: tuple[bytes, bytes],
    method: str = "POST",
    path: str = "/v1/rank",
) -> list[Any]:
    """Plays `messages` to the application and returns what it sent; one read more than there are messages waits, as at
    a server, and fails in the end."""
    sent: list[Any] = []

    async def receive() -> MutableMapping[str, Any]:
        if not messages:
            await asyncio.sleep(20)
        return messages.pop(0)

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(errors="replace"),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"content-type", b"application/json"), *headers],
        "client": None,
        "server": None,
    }
    client.run(client.app(scope, receive, send))  # pyright: ignore[reportArgumentType]
    return sent


def test_a_declared_length_is_refused_before_the_body_is_read(client: Client):
    for length in (b"20001", b"9" * 5000):
        start, _ = raw_request(client, [], (b"content-length", length))
        assert start["status"] == 413


def test_a_client_that_leaves_is_no_error(client: Client, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "podium")
    messages = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    assert raw_request(client, messages) == []
    (line,) = records(caplog, "request")
    assert line["status"] == CLIENT_LEFT
    assert {record.levelname for record in caplog.records} == {"INFO"}
    assert f'route="/v1/rank",status="{CLIENT_LEFT}"' in client.get("/metrics").text


def test_many_at_once_are_all_answered(client: Client):
    async def scenario() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(client.app), base_url="http://podium") as other:
            return await asyncio.gather(*(other.post("/v1/rank", json={"id": str(n), **GOOD}) for n in range(50)))

    answers = client.run(scenario())
    assert [answer.status_code for answer in answers] == [200] * 50
    assert [answer.json()["id"] for answer in answers] == [str(n) for n in range(50)]


HEADERS = [
    b"host",
    b"content-type",
    b"content-encoding",
    b"content-length",
    b"x-request-id",
    b"traceparent",
    b"range",
    b"expect",
    b"x-request-deadline-ms",
]


@pytest.mark.parametrize("host", [b"[", b"a:b:c", b"\xff", b""])
def test_a_strange_host_is_no_error(client: Client, host: bytes):
    start, *_ = raw_request(client, [], (b"host", host), method="GET", path="/nope")
    assert start["status"] == 404


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "BREW"]),
    st.sampled_from([*ROUTES, "/x"]) | st.text(max_size=10),
    st.lists(st.tuples(st.sampled_from(HEADERS), st.binary(max_size=30))),
    st.binary(max_size=100) | st.just(json.dumps(GOOD).encode()),
)
def test_nothing_a_client_sends_is_a_500(
    client: Client, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes
):
    message = {"type": "http.request", "body": body, "more_body": False}
    start, *_ = raw_request(client, [message], *headers, method=method, path=path)
    assert start["status"] < 500 or start["status"] == 504
    assert {b"x-request-id", b"x-podium-commit", b"x-podium-model"} <= dict(start["headers"]).keys()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_body_is_a_500(client: Client, body: bytes):
    answer = client.post("/v1/rank", content=body, headers=JSON)
    assert answer.status_code in (400, 422)


def test_the_commit_is_the_settings_or_gits():
    assert commit_of(Settings(commit="abc-dirty")) == "abc-dirty"
    assert commit_of(Settings()).removesuffix("-dirty") == current_revision().commit
