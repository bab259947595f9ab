import time
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from service.manifest import Manifest
from service.problems import Problem
from service.rankings import MOST_BYTES, SHARDS, Outcome, Rankings, Table, key, query_name
from tests.engines.delayed_path import Path as DelayedPath
from tests.engines.delayed_path import make
from tests.service.bundles import make_bundle

ANSWER = b'{"id":"q1","items":[{"id":"a","score":0.25,"rank":1}]}'


@pytest.fixture(scope="module")
def path(s3_endpoint: str) -> Generator[DelayedPath]:
    path = make(s3_endpoint)
    yield path
    path.close()


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return make_bundle(tmp_path_factory.mktemp("rankings") / "bundle")


class Spills(dict[str, bytes]):
    def __call__(self, name: str, data: bytes) -> str:
        self[name] = data
        return f"delayed/spill/{name}"


def of(path: DelayedPath, manifest: Manifest, job: str, spills: Spills | None = None) -> Rankings:
    return Rankings(Table(path.dynamodb, path.table, 7), job, manifest, Spills() if spills is None else spills)


def items(path: DelayedPath, job: str) -> list[dict[str, Any]]:
    return [item for item in path.items() if item["job"] == job]


def test_an_answer_is_one_item_that_goes_after_its_days(path: DelayedPath, manifest: Manifest) -> None:
    assert of(path, manifest, "one").keep(Outcome(4, "q1", ANSWER)) == "kept"
    (item,) = items(path, "one")
    assert abs(item.pop("expires") - time.time() - 7 * 86_400) < 60
    assert item == {
        "pk": key("one", manifest.version, "query#q1")["pk"]["S"],
        "sk": f"{manifest.version}#query#q1",
        "job": "one",
        "line": 4,
        "query": "q1",
        "model": "tiny",
        "version": manifest.version,
        "status": "done",
        "answer": ANSWER.decode(),
    }


def test_what_is_there_stays_as_it_is(path: DelayedPath, manifest: Manifest) -> None:
    rankings = of(path, manifest, "again")
    assert rankings.keep(Outcome(1, "q1", ANSWER)) == "kept"
    before = items(path, "again")
    assert rankings.keep(Outcome(1, "q1", b"other")) == "there"
    assert of(path, manifest, "again").keep(Outcome(2, "q1", ANSWER)) == "taken"
    assert items(path, "again") == before


def test_another_job_and_another_version_have_items_of_their_own(path: DelayedPath, manifest: Manifest) -> None:
    other = replace(manifest, version="20250101-0123456789ab")
    for each in (manifest, other):
        assert of(path, each, "versions").keep(Outcome(1, "q1", ANSWER)) == "kept"
    assert of(path, manifest, "versions-2").keep(Outcome(1, "q1", ANSWER)) == "kept"
    assert len(items(path, "versions")) == 2


def test_a_bad_line_is_an_item_with_its_reason(path: DelayedPath, manifest: Manifest) -> None:
    outcome = Outcome(9, None, problem=Problem("not-json", "it stops at column 4"))
    assert of(path, manifest, "bad").keep(outcome) == "kept"
    assert of(path, manifest, "bad").keep(outcome) == "there"
    (item,) = items(path, "bad")
    assert (item["line"], item["status"], item["problem"], item["reason"]) == (
        9, "failed", "not-json", "it stops at column 4",
    )  # fmt: skip
    assert "query" not in item


def test_a_query_named_like_a_line_is_not_one(path: DelayedPath, manifest: Manifest) -> None:
    rankings = of(path, manifest, "names")
    assert rankings.keep(Outcome(1, "line#2", ANSWER)) == "kept"
    assert rankings.keep(Outcome(2, None, problem=Problem("not-json", "no"))) == "kept"


def test_a_long_answer_goes_into_the_bucket(path: DelayedPath, manifest: Manifest) -> None:
    spills = Spills()
    long = b'"' + b"x" * MOST_BYTES + b'"'
    assert of(path, manifest, "long", spills).keep(Outcome(3, "q", long)) == "kept"
    (item,) = items(path, "long")
    name = f"{manifest.version}/3.json"
    assert item["spilled"] == f"delayed/spill/{name}"
    assert "answer" not in item
    assert spills == {name: long}


def test_the_longest_answer_that_is_kept_fits_an_item(path: DelayedPath, manifest: Manifest) -> None:
    # DynamoDB refuses items over 400 KB, and so does the emulator.
    assert of(path, manifest, "most").keep(Outcome(1, "ü" * 256, b"x" * MOST_BYTES)) == "kept"
    assert "answer" in items(path, "most")[0]
    too_long = Rankings(Table(path.dynamodb, path.table, 7), "too-long", manifest, Spills())
    with pytest.raises(ClientError, match="size"):
        too_long.keep(Outcome(1, "q", problem=Problem("not-json", "x" * 420_000)))


def test_the_longest_id_fits_a_key(path: DelayedPath, manifest: Manifest) -> None:
    assert of(path, manifest, "ids").keep(Outcome(1, "𝛑" * 256, ANSWER)) == "kept"
    assert items(path, "ids")[0]["query"] == "𝛑" * 256
    assert query_name("a" * 512) == "query#" + "a" * 512
    assert len(query_name("a" * 513)) == 71


def test_a_job_spreads_over_its_shards() -> None:
    shards = {key("job", "v", query_name(str(number)))["pk"]["S"] for number in range(1000)}
    assert len(shards) == SHARDS
    assert {shard.partition("#")[0] for shard in shards} == {"job"}


def test_a_table_that_is_not_there_is_no_duplicate(path: DelayedPath, manifest: Manifest) -> None:
    rankings = Rankings(Table(path.dynamodb, "podium-nowhere", 7), "job", manifest, Spills())
    with pytest.raises(ClientError, match="ResourceNotFound"):
        rankings.keep(Outcome(1, "q", ANSWER))
