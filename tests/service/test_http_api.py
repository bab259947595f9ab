import asyncio
import base64
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from service import http_api
from service.app import create_app
from service.http_api import Handler, adapted
from service.loading import NotReady
from service.settings import Settings
from tests.engines.lambda_runtime import FunctionError, running
from tests.service.asgi import running as served
from tests.service.bundles import make_bundle

GOOD = {"id": "q1", "items": [{"id": "a", "features": [1, 2, 3, 4]}, {"id": "b", "features": {"age": 1}}]}
LISTED = {"item_ids": ["x", "ü", "z"], "features": [[1, 2, 3, None], [0, 0, 0, 0], [9, 8, 7, 6]], "top_k": 2}
JSON = {"content-type": "application/json"}
# What is another at each answer.
PASSING = ("took_ms", "request_id")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("http-api") / "bundle"
    make_bundle(folder)
    return folder


@pytest.fixture(autouse=True)
def loop() -> Generator[None]:
    """This thread's event loop, as `start` gives a process one."""
    made = asyncio.new_event_loop()
    asyncio.set_event_loop(made)
    yield
    asyncio.set_event_loop(None)
    made.close()


def event(
    method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None, *, packed: bool = False
) -> dict[str, Any]:
    """A request as an HTTP API hands it on (API Gateway developer guide, payload format 2.0)."""
    found: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"host": "rank.example.org", "x-forwarded-proto": "https", **(headers or {})},
        "requestContext": {
            "apiId": "api",
            "domainName": "rank.example.org",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "t"},
            "requestId": "r",
            "stage": "$default",
            "timeEpoch": 1700000000000,
        },
        "isBase64Encoded": packed,
    }
    if body is not None:
        found["headers"]["content-length"] = str(len(body))
        found["body"] = base64.b64encode(body).decode() if packed else body.decode()
    return found


REQUESTS: list[tuple[str, str, bytes | None, dict[str, str]]] = [
    ("POST", "/v1/rank", json.dumps(GOOD).encode(), JSON),
    ("POST", "/v1/rank", json.dumps(LISTED, ensure_ascii=False).encode(), {**JSON, "x-request-id": "mine"}),
    ("POST", "/v1/rank", b"nope", JSON),
    ("POST", "/v1/rank", b"", JSON),
    ("POST", "/v1/rank", b'{"items":[{"id":"a","features":[1,2,3]}]}', JSON),
    ("POST", "/v1/rank", json.dumps(GOOD).encode(), {"content-type": "text/plain"}),
    ("POST", "/v1/rank", json.dumps(GOOD).encode(), {**JSON, "x-request-deadline-ms": "soon"}),
    ("GET", "/v1/rank", None, {}),
    ("GET", "/nowhere", None, {}),
    ("GET", "/livez", None, {}),
    ("GET", "/version", None, {}),
    ("GET", "/openapi.json", None, {}),
]


def test_events_are_answered_as_requests_are(bundle: Path) -> None:
    settings = Settings(model=str(bundle), commit="f" * 40)
    handler = adapted(create_app(settings))
    with served(create_app(settings)) as client:
        client.settled()
        for method, path, body, headers in REQUESTS:
            ours = handler(event(method, path, body, headers), None)
            theirs = client.request(method, path, content=body, headers=headers)
            assert ours["statusCode"] == theirs.status_code, path
            assert plain(ours["body"]) == plain(theirs.text), path
            assert not ours["isBase64Encoded"]
            expected = {name: value for name, value in theirs.headers.items() if name != "content-length"}
            found = {name: value for name, value in ours["headers"].items() if name != "content-length"}
            if headers.get("x-request-id") is None:
                assert len(found.pop("x-request-id")) == len(expected.pop("x-request-id")) == 32
            assert found == expected, path


def test_a_body_in_base64_is_the_same_body(bundle: Path) -> None:
    handler = adapted(create_app(Settings(model=str(bundle))))
    body = json.dumps(LISTED, ensure_ascii=False).encode()
    plainly, packed = (handler(event("POST", "/v1/rank", body, JSON, packed=each), None) for each in (False, True))
    assert ranking(plainly) == ranking(packed)
    assert len(ranking(packed)) == 2


def test_a_model_that_fails_is_told_at_the_start(bundle: Path) -> None:
    with pytest.raises(NotReady, match="the pinned digest"):
        adapted(create_app(Settings(model=str(bundle), model_sha256="sha256:" + "0" * 64)))


def test_importing_the_module_starts_nothing() -> None:
    assert "handler" not in vars(http_api)
    with pytest.raises(AttributeError, match="no attribute 'handle'"):
        http_api.handle  # noqa: B018


def test_the_handler_runs_under_lambdas_runtime(bundle: Path, tmp_path: Path) -> None:
    direct: Handler = adapted(create_app(Settings(model=str(bundle))))
    environ = {"PODIUM_MODEL": str(bundle), "PODIUM_COMMIT": "f" * 40}
    asked = event("POST", "/v1/rank", json.dumps(GOOD).encode(), JSON)
    with running("service.http_api.handler", tmp_path, environ) as runtime:
        runtime.wait()
        # Several in a row: what requests share lives as long as the process.
        answers = [runtime.invoke(asked) for _ in range(3)]
        log = runtime.log.read_text()
    assert [answer["statusCode"] for answer in answers] == [200] * 3
    assert [ranking(answer) for answer in answers] == [ranking(direct(asked, None))] * 3
    assert log.count("model-ready") == 1
    assert "mangum" not in log


def test_a_start_without_a_model_is_told_to_lambda(tmp_path: Path) -> None:
    with (
        running("service.http_api.handler", tmp_path, {"PODIUM_COMMIT": "f" * 40}) as runtime,
        pytest.raises(FunctionError, match="PODIUM_MODEL is not set"),
    ):
        runtime.wait()


def ranking(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return json.loads(answer["body"])["items"]


def plain(body: str) -> Any:
    document: Any = json.loads(body)
    return {name: value for name, value in document.items() if name not in PASSING}
