import gzip
import json
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from service import api, delayed
from service.delayed import MARGIN_MS, Worker
from service.loading import Loader, Model
from service.mistakes import Limits
from service.settings import Settings, SettingsError
from service.telemetry import Telemetry
from tests.engines.delayed_path import Path as DelayedPath
from tests.engines.delayed_path import make
from tests.engines.emulator import KEY, SECRET
from tests.engines.lambda_runtime import FunctionError, Runtime, running
from tests.service.bundles import make_bundle

GOOD = {"id": "q1", "items": [{"id": "a", "features": [1, 2, 3, 4]}, {"id": "b", "features": {"age": 1}}]}
LISTED = {"item_ids": ["x", "y", "z"], "features": [[1, 2, 3, None], [0, 0, 0, 0], [9, 8, 7, 6]], "top_k": 2}


class Time:
    """What Lambda tells of the time that is left; it passes with each question."""

    def __init__(self, left_ms: int = 60_000, step_ms: int = 0) -> None:
        self.left_ms, self.step_ms = left_ms, step_ms

    def get_remaining_time_in_millis(self) -> int:
        self.left_ms -= self.step_ms
        return self.left_ms


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("delayed") / "bundle"
    make_bundle(folder)
    return folder


@pytest.fixture(scope="module")
def model(bundle: Path) -> Model:
    loader = Loader(Settings(model=str(bundle)), Telemetry("test"))
    loader.start()
    return loader.wait(60)


@pytest.fixture
def path(s3_endpoint: str) -> Generator[DelayedPath]:
    path = make(s3_endpoint)
    yield path
    path.close()


def worker(path: DelayedPath, model: Model, **settings: Any) -> Worker:
    given = Settings(table=path.table, **settings)
    return Worker(model, given, Telemetry("test"), path.s3, path.dynamodb)


def ndjson(*queries: Mapping[str, Any]) -> bytes:
    return b"".join(json.dumps(query).encode() + b"\n" for query in queries)


def answer_of(query: Mapping[str, Any], model: Model) -> dict[str, Any]:
    """As /v1/rank gives it; how long it took is of no file."""
    answer = api.answer(json.dumps(query).encode(), model.ranker, Limits(), model=model.about, query="")
    return without_time(answer.body)


def without_time(body: str | bytes) -> dict[str, Any]:
    document = json.loads(body)
    assert document.pop("took_ms") >= 0
    return document


def test_each_query_of_a_file_is_ranked_as_over_http(path: DelayedPath, model: Model) -> None:
    path.drop("a b+ü.ndjson", ndjson(GOOD, LISTED, {**GOOD, "id": "q3"}))
    assert worker(path, model)(path.batch(), Time()) == {"batchItemFailures": []}
    items = path.items()
    assert [(item["line"], item["query"], item["status"]) for item in items] == [
        (1, "q1", "done"), (2, "line-2", "done"), (3, "q3", "done"),
    ]  # fmt: skip
    expected = [answer_of(GOOD, model), {**answer_of(LISTED, model), "id": "line-2"}]
    assert [without_time(item["answer"]) for item in items[:2]] == expected
    assert len(expected[1]["items"]) == 2


def test_gzip_gives_the_same(path: DelayedPath, model: Model) -> None:
    text = ndjson(GOOD, LISTED)
    path.drop("a.ndjson", text)
    path.drop("b.ndjson.gz", gzip.compress(text))
    worker(path, model)(path.batch(2), Time())
    answers: dict[str, list[Any]] = {}
    for item in path.items():
        answers.setdefault(item["job"], []).append(without_time(item["answer"]))
    first, second = answers.values()
    assert first == second
    assert len(first) == 2


BAD = [
    (b"nope", "not-json", "invalid literal"),
    (b"[]", "invalid-request", "array"),
    (b"{}", "invalid-request", "items"),
    (b'{"items": []}', "invalid-request", "items"),
    (json.dumps({**GOOD, "extra": 1}).encode(), "invalid-request", "extra"),
    (b'{"items":[{"id":"a","features":[1,2,3]}]}', "invalid-request", "item 0"),
    (b'{"items":[{"id":"a","features":{"colour":1}}]}', "invalid-request", "colour"),
    (b'{"items":[{"id":"a","features":[1,2,3,NaN]}]}', "invalid-request", "NaN"),
    (json.dumps({**GOOD, "explain": True}).encode(), "invalid-request", "explain"),
    (json.dumps({**GOOD, "top_k": 0}).encode(), "invalid-request", "top_k"),
    (b'{"items": "\xff"}', "not-json", ""),
    (b" " * 2000 + b"x" * 2000, "body-too-large", "2048 bytes"),
]


def test_a_bad_line_is_named_and_stops_no_other(path: DelayedPath, model: Model) -> None:
    lines = [
        part for place, (bad, _, _) in enumerate(BAD) for part in (bad, ndjson({**GOOD, "id": f"q{place}"}).strip())
    ]
    path.drop("bad.ndjson", b"\n\n".join(lines))
    assert worker(path, model, max_body_bytes=2048)(path.batch(), Time()) == {"batchItemFailures": []}
    items = path.items()
    assert [item["line"] for item in items] == list(range(1, 4 * len(BAD), 2))
    assert {item["status"] for item in items[1::2]} == {"done"}
    for (_, problem, reason), item in zip(BAD, items[::2], strict=True):
        assert (item["status"], item["problem"]) == ("failed", problem), item
        assert reason in item["reason"], item
    (summary,) = path.keys("delayed/output/")
    found = json.loads(path.read(summary))
    assert (found["ranked"], found["failed"]) == (len(BAD), len(BAD))


def test_a_file_has_a_summary_that_says_what_it_was(path: DelayedPath, model: Model) -> None:
    path.drop("day.ndjson", ndjson(GOOD))
    batch = path.batch()
    worker(path, model)(batch, Time())
    (key,) = path.keys("delayed/output/")
    job = path.items()[0]["job"]
    assert key == f"delayed/output/{job}/summary.json"
    summary = json.loads(path.read(key))
    assert summary.pop("input")["key"] == "delayed/input/day.ndjson"
    about = {"name": "tiny", "version": model.manifest.version, "digest": model.manifest.digest}
    assert summary == {"job": job, "model": about, "ranked": 1, "failed": 0}


def test_a_message_that_comes_again_changes_nothing(path: DelayedPath, model: Model) -> None:
    path.drop("a.ndjson", ndjson(GOOD, LISTED) + b"bad\n")
    batch = path.batch()
    once = worker(path, model)
    once(batch, Time())
    before, summary = path.items(), path.read(path.keys("delayed/output/")[0])
    once({"Records": batch["Records"] * 2}, Time())
    assert path.items() == before
    assert path.read(path.keys("delayed/output/")[0]) == summary


def test_a_file_put_again_is_another_job(path: DelayedPath, model: Model) -> None:
    # The first message speaks of the version that it was sent for, whatever lies there by now.
    for query in ("old", "new"):
        path.drop("a.ndjson", ndjson({**GOOD, "id": query}))
    worker(path, model)(path.batch(2), Time())
    items = path.items()
    assert {item["query"] for item in items} == {"old", "new"}
    assert len({item["job"] for item in items}) == 2


def test_of_two_lines_with_one_id_the_second_is_refused(path: DelayedPath, model: Model) -> None:
    path.drop("twice.ndjson", ndjson(GOOD, LISTED, GOOD))
    batch = path.batch()
    for _ in range(2):
        worker(path, model)(batch, Time())
    items = path.items()
    assert [(item["line"], item["status"]) for item in items] == [(1, "done"), (2, "done"), (3, "failed")]
    assert "another line of this job has the id 'q1'" in items[2]["reason"]
    assert json.loads(path.read(path.keys("delayed/output/")[0]))["failed"] == 1


def test_a_broken_gzip_is_named_and_does_not_come_again(path: DelayedPath, model: Model) -> None:
    path.drop("cut.ndjson.gz", gzip.compress(ndjson(GOOD))[:-9])
    path.drop("none.ndjson.gz", ndjson(GOOD))
    assert worker(path, model)(path.batch(2), Time()) == {"batchItemFailures": []}
    failed = [item for item in path.items() if item["status"] == "failed"]
    assert [item["problem"] for item in failed] == ["unsupported-media-type"] * 2
    assert all("no whole gzip file" in item["reason"] for item in failed)


def test_only_the_messages_that_failed_come_again(path: DelayedPath, model: Model) -> None:
    path.drop("a.ndjson", ndjson(GOOD))
    path.drop("b.ndjson", ndjson(GOOD))
    good, gone = path.messages(2)
    body = json.loads(gone["body"])
    body["Records"][0]["s3"]["bucket"]["name"] = "podium-nowhere"
    records = [
        {**gone, "body": json.dumps(body)},
        {"messageId": "poison", "body": "no notification"},
        {"messageId": "test", "body": '{"Event": "s3:TestEvent"}'},
        good,
    ]
    answer = worker(path, model)({"Records": records}, Time())
    assert answer == {"batchItemFailures": [{"itemIdentifier": gone["messageId"]}, {"itemIdentifier": "poison"}]}
    assert len(path.items()) == 1


def test_a_table_out_of_reach_makes_the_message_come_again(path: DelayedPath, model: Model) -> None:
    class Lost:
        def put_item(self, **_: Any) -> None:
            raise EndpointConnectionError(endpoint_url="https://dynamodb")

    path.drop("a.ndjson", ndjson(GOOD))
    batch = path.batch()
    lost = Worker(model, Settings(table=path.table), Telemetry("test"), path.s3, Lost())
    assert len(lost(batch, Time())["batchItemFailures"]) == 1
    assert path.keys("delayed/output/") == []
    assert worker(path, model)(batch, Time()) == {"batchItemFailures": []}


def test_a_file_is_given_back_before_the_time_is_over(path: DelayedPath, model: Model) -> None:
    path.drop("long.ndjson", ndjson(*({**GOOD, "id": str(number)} for number in range(20))))
    batch = path.batch()
    answer = worker(path, model)(batch, Time(MARGIN_MS + 55, step_ms=10))
    assert len(answer["batchItemFailures"]) == 1
    kept = len(path.items())
    assert kept <= 5
    assert path.keys("delayed/output/") == []
    # The next try ends it, and what is there by then stays.
    assert worker(path, model)(batch, Time()) == {"batchItemFailures": []}
    assert len(path.items()) == 20


def test_a_long_answer_goes_into_the_bucket(path: DelayedPath, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.rankings.MOST_BYTES", 100)
    path.drop("long.ndjson", ndjson(GOOD))
    worker(path, model)(path.batch(), Time())
    (item,) = path.items()
    assert item["spilled"].startswith(f"delayed/spill/{item['job']}/")
    assert without_time(path.read(item["spilled"])) == answer_of(GOOD, model)


def test_a_worker_without_a_table_is_refused(model: Model) -> None:
    with pytest.raises(SettingsError, match="PODIUM_TABLE is not set"):
        Worker(model, Settings(), Telemetry("test"), None, None)


def test_importing_the_module_starts_nothing() -> None:
    assert "handler" not in vars(delayed)
    with pytest.raises(AttributeError, match="no attribute 'handle'"):
        delayed.handle  # noqa: B018


# From here on as in a container of Lambda: awslambdaric, its own process, the runtime API over HTTP.


def environment(path: DelayedPath, model: str) -> dict[str, str]:
    return {
        "PODIUM_MODEL": model,
        "PODIUM_TABLE": path.table,
        "PODIUM_COMMIT": "f" * 40,
        "PODIUM_S3_ENDPOINT": path.endpoint,
        "AWS_ENDPOINT_URL_DYNAMODB": path.endpoint,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }


def published(path: DelayedPath, bundle: Path) -> str:
    manifest = json.loads((bundle / "manifest.json").read_text())
    key = f"models/{manifest['name']}/{manifest['version']}"
    for file in bundle.iterdir():
        path.s3.put_object(Bucket=path.bucket, Key=f"{key}/{file.name}", Body=file.read_bytes())
    return f"s3://{path.bucket}/{key}"


def logged(runtime: Runtime) -> list[dict[str, Any]]:
    return [json.loads(line) for line in runtime.log.read_text().splitlines() if line.strip()]


def test_the_handler_runs_under_lambdas_runtime_with_a_model_from_the_bucket(
    path: DelayedPath, bundle: Path, model: Model, tmp_path: Path
) -> None:
    environ = environment(path, published(path, bundle)) | {"PODIUM_MODEL_SHA256": model.manifest.digest}
    with running("service.delayed.handler", tmp_path, environ) as runtime:
        runtime.wait()
        # Before the first event: an event that had to wait for the model would find no time left.
        assert [line for line in logged(runtime) if line.get("event") == "model-ready"]
        for name in ("first.ndjson", "second.ndjson.gz"):
            text = ndjson(GOOD, {**LISTED, "id": name})
            path.drop(name, gzip.compress(text) if name.endswith(".gz") else text)
            assert runtime.invoke(path.batch()) == {"batchItemFailures": []}
        assert runtime.invoke({"Records": [{"messageId": "m", "body": "poison"}]}) == {
            "batchItemFailures": [{"itemIdentifier": "m"}]
        }
        with pytest.raises(FunctionError, match="Records"):
            runtime.invoke({"no": "batch"})
        # The function lives on.
        assert runtime.invoke({"Records": []}) == {"batchItemFailures": []}
        assert [line.get("event") for line in logged(runtime)].count("model-ready") == 1
    items = path.items()
    assert len(items) == 4
    assert without_time(items[0]["answer"]) == answer_of(GOOD, model)


def test_a_start_that_fails_is_told_to_lambda(path: DelayedPath, tmp_path: Path, bundle: Path) -> None:
    environ = environment(path, str(bundle)) | {"PODIUM_MODEL_SHA256": "0" * 64}
    began = time.monotonic()
    with running("service.delayed.handler", tmp_path, environ) as runtime:
        with pytest.raises(FunctionError, match="no model while failed: the pinned digest") as refused:
            runtime.wait()
        assert refused.value.document["errorType"] == "NotReady"
        assert runtime.process.wait(10) == 1
    assert time.monotonic() - began < 30


def test_the_guard_refuses_writes(tmp_path: Path, path: DelayedPath, bundle: Path) -> None:
    # PODIUM_MODEL_FOLDER on what Lambda has read-only: the start says so, and writes nothing.
    folder = tmp_path / "elsewhere"
    environ = environment(path, published(path, bundle)) | {"PODIUM_MODEL_FOLDER": str(folder)}
    with (
        running("service.delayed.handler", tmp_path, environ) as runtime,
        pytest.raises(FunctionError, match="Read-only file system"),
    ):
        runtime.wait()
    assert not folder.exists()
