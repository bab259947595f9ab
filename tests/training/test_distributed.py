"""Training on two and three hosts, each a real process with XGBoost's collective between them."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from service.ranker import Ranker
from service.schema import FeatureSchema
from tests.training.several import FIRST, HOSTS, SECOND, THIRD, Job, free_ports
from tests.training.tiny import tiny_queries
from training.distributed import Disagreement, Group, session, shard
from training.evaluate import evaluate
from training.fit import fit, model_bytes
from training.letor import read_fold
from training.queries import Queries
from training.recipe import Recipe
from training.runs import open_run
from training.synthetic import synthetic_fold, write_fold

QUICK = ("--set", "n_estimators=30", "--set", "max_depth=3", "--threads", "1")
LONG = ("--set", "n_estimators=1000000", "--threads", "1")
NOTICED = 2

# What the verbs do, but on every host with its own word on what came of it.
GROW = """
import hashlib, json, sys
import xgboost as xgb
from pathlib import Path
from tests.training.tiny import tiny_queries
from training import distributed
from training.fit import fit, model_bytes
from training.recipe import Recipe

def grow(arguments):
    recipe = Recipe("quick", {"n_estimators": 20, "max_depth": 3, "subsample": 0.8, "colsample_bytree": 0.5})
    with distributed.session() as group:
        told = group.first_host_says(str(group.rank + 1).encode() * 3).decode()
        digests = []
        for _ in range(2):
            train, vali = group.shard(tiny_queries(40, noise=1)), group.shard(tiny_queries(20, seed=1, first=100))
            seen = []
            tell = lambda *told: seen.append(told[2])
            model = model_bytes(fit(train, vali, recipe, seed=7, threads=1, progress=tell))
            digests.append(hashlib.sha256(model).hexdigest())
        try:
            group.same(model + bytes([group.rank == 2]))
        except distributed.Disagreement as error:
            refused = str(error)
        print(json.dumps([told, digests, seen[-1], refused, group.same(model).hex()]))
    return 0

distributed.worker(grow)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("several") / "fold"
    write_fold(synthetic_fold(seed=3, queries=100, width=12), folder)
    return folder


def ndcg(model: bytes, queries: Queries, folder: Path) -> float:
    path = folder / "model.ubj"
    path.write_bytes(model)
    ranker = Ranker.load(path, FeatureSchema.from_names([f"f{index}" for index in range(queries.width)]))
    return evaluate(ranker, queries).ours.mean(10, "skip")  # type: ignore[arg-type]


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_shards_are_whole_queries_and_about_equal(world: int) -> None:
    queries = synthetic_fold(queries=60, width=3).train
    parts = [shard(queries, rank, world) for rank in range(world)]
    np.testing.assert_array_equal(np.sort(np.concatenate([part.qids for part in parts])), queries.qids)
    assert sum(part.rows for part in parts) == queries.rows
    for part in parts:
        np.testing.assert_array_equal(part.qids, np.sort(part.qids))
        assert part.sha256 == queries.select(np.isin(queries.qids, part.qids)).sha256, "rows keep their order"
    rows = [part.rows for part in parts]
    assert max(rows) - min(rows) <= queries.group_sizes.max()
    assert max(rows) - min(rows) <= 0.02 * queries.rows, "and in practice much closer"


def test_shards_depend_on_the_queries_alone() -> None:
    first, again = (shard(tiny_queries(30), 1, 3).sha256 for _ in range(2))
    assert first == again
    assert first != shard(tiny_queries(30), 2, 3).sha256


def test_more_hosts_than_queries_are_refused() -> None:
    with pytest.raises(ValueError, match="2 queries cannot be spread over 3 hosts"):
        shard(tiny_queries(2), 0, 3)


def test_one_host_is_a_group_that_has_nothing_to_do() -> None:
    queries = tiny_queries(5)
    with session() as group:
        assert (group.rank, group.world) == (0, 1)
        assert group.shard(queries) is queries
        assert group.shard(None) is None
        group.agree({"seed": 1})
        assert group.first_host_says(b"x") == b"x"
        assert group.same(b"model") == b"model"
        assert group.describe({"seed": 1}) == {"seed": 1}, "a run on one host is the run that it always was"
    group.leave_to_first()


def test_what_hosts_differ_in_is_said_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from training.hosts import Hosts

    group = Group(Hosts.of(["c", "a", "b"], "a"))
    told = [
        {"seed": 0, "recipe": {"eta": 0.1, "depth": 3}, "data": "1" * 64, "features": ["x"] * 9},
        {"seed": 0, "recipe": {"eta": 0.1, "depth": 3}, "data": "1" * 64, "features": ["x"] * 9},
        {"seed": 0, "recipe": {"eta": 0.2}, "data": "2" * 64, "features": ["x"] * 8},
    ]
    monkeypatch.setattr(group, "_gather", lambda _: [json.dumps(each).encode() for each in told])
    with pytest.raises(Disagreement) as caught:
        group.agree(told[0])
    assert str(caught.value) == (
        f"the hosts do not agree on data: {'1' * 16}... on a and b, {'2' * 16}... on c; "
        "features: 9 of them on a and b, 8 of them on c; recipe.depth: 3 on a and b, null on c; and 1 more"
    )


def test_three_hosts_grow_one_model(tmp_path: Path) -> None:
    with Job(HOSTS, tmp_path) as job:
        for host in HOSTS:
            job.start(host, [sys.executable, "-c", GROW])
        assert job.ended() == dict.fromkeys(HOSTS, 0), job.logs()
        said = [json.loads(job.out(host)) for host in HOSTS]
    assert [told for told, *_ in said] == ["111"] * 3
    digests = {digest for _, digests, *_ in said for digest in digests}
    model = bytes.fromhex(said[0][4])
    assert digests == {hashlib.sha256(model).hexdigest()}, "on every host, and when it is grown again"
    changed = hashlib.sha256(model + b"\1").hexdigest(), hashlib.sha256(model + b"\0").hexdigest()
    expected = f"{changed[1][:16]}... on {FIRST} and {SECOND}, {changed[0][:16]}... on {THIRD}"
    assert [refused for *_, refused, _ in said] == [f"the hosts grew different models, sha256 {expected}"] * 3

    test = tiny_queries(60, seed=2)
    recipe = Recipe("quick", {"n_estimators": 20, "max_depth": 3, "subsample": 0.8, "colsample_bytree": 0.5})
    alone = model_bytes(fit(tiny_queries(40, noise=1), None, recipe, seed=7, threads=1))
    assert alone != model
    assert abs(ndcg(alone, test, tmp_path) - ndcg(model, test, tmp_path)) < 0.02
    # All validation queries count on every host, not its own part.
    assert len({seen for _, _, seen, *_ in said}) == 1
    assert said[0][2] == pytest.approx(ndcg(model, tiny_queries(20, seed=1, first=100), tmp_path), abs=1e-5)


def test_the_first_host_keeps_the_run_whoever_is_late(data: Path, tmp_path: Path) -> None:
    runs, digests, port = tmp_path / "runs", list[str](), free_ports()
    for order, wait in (((FIRST, SECOND), 0), ((SECOND, FIRST), 1)):
        with Job((FIRST, SECOND), tmp_path, port) as job:  # again, and at once
            for host in order:
                job.launch(host, "fit", "--data", str(data), "--runs", str(runs / order[0] / host), *QUICK, hosts=order)
                time.sleep(wait)
            assert job.ended() == {FIRST: 0, SECOND: 0}, job.logs()
            folder = Path(job.out(FIRST).strip())
            assert job.out(SECOND) == ""
        assert [path.parent.name for path in (runs / order[0]).glob("*/*")] == [FIRST]
        digests.append(hashlib.sha256(open_run(folder).model).hexdigest())
    assert digests[0] == digests[1]
    run = open_run(folder)
    assert run.about["hosts"] == 2
    fold = read_fold(data)
    recipe = Recipe("all", {**run.about["recipe"]["parameters"]})
    assert ndcg(run.model, fold.test, tmp_path) > 0.8 * ndcg(
        model_bytes(fit(fold.train, None, recipe, threads=1)), fold.test, tmp_path
    )


@pytest.mark.parametrize("host", [FIRST, THIRD])
def test_a_worker_that_is_killed_while_it_trains_is_named(host: str, data: Path, tmp_path: Path) -> None:
    others = [each for each in HOSTS if each != host]
    with Job(HOSTS, tmp_path) as job:
        for each in HOSTS:
            job.launch(each, "fit", "--data", str(data), "--runs", str(tmp_path / "runs"), *LONG)
        job.everywhere("3 hosts are connected")
        time.sleep(0.5)
        os.kill(job.worker(host), signal.SIGKILL)
        assert job.ended(*others, within=NOTICED) == dict.fromkeys(others, 5), job.logs()
        for each in HOSTS:
            assert f"podium: host {host}: its worker was ended by SIGKILL" in job.err(each)
            assert "Traceback" not in job.err(each)
        assert not (tmp_path / "runs").exists()


def test_hosts_with_other_data_or_another_recipe_do_not_begin(data: Path, tmp_path: Path) -> None:
    narrow = tmp_path / "narrow"
    write_fold(synthetic_fold(seed=3, queries=20, width=9), narrow)
    with Job((FIRST, SECOND), tmp_path) as job:
        runs = ("--runs", str(tmp_path / "runs"))
        job.launch(FIRST, "fit", "--data", str(data), *runs, *LONG)
        job.launch(SECOND, "fit", "--data", str(narrow), *runs, *LONG, "--set", "max_depth=5")
        assert job.ended() == {FIRST: 3, SECOND: 3}, job.logs()
        for host in (FIRST, SECOND):
            assert "podium: the hosts do not agree on data." in job.err(host)
            assert f"on {FIRST}, " in job.err(host)
            assert "Traceback" not in job.err(host)
