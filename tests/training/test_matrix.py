from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost as xgb

from tests.training.tiny import tiny_queries
from training import matrix as module
from training.cache import DataCache
from training.fit import fit, model_bytes
from training.letor import read_split
from training.matrix import BESIDES, Batches, Form, MemoryBudgetError, choose, matrices
from training.queries import Queries
from training.recipe import Recipe
from training.synthetic import write_synthetic

ROOT = Path(__file__).resolve().parents[2]
RECIPE = Recipe("quick", {"n_estimators": 15, "max_depth": 4, "subsample": 0.7, "colsample_bytree": 0.5})
STOPPING = Recipe("stopping", {"n_estimators": 60, "early_stopping_rounds": 3})


@pytest.fixture
def external(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small data is like large data: in batches of 64 rows, which go to files."""
    monkeypatch.setattr(module, "BATCH_ROWS", 64)
    monkeypatch.setattr(module, "choose", lambda *_, **__: Form(True, "so that it is tested"))


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("matrix")
    write_synthetic(folder, queries=50, width=30)
    return folder / "train.txt"


def model(queries: Queries, recipe: Recipe = RECIPE, vali: Queries | None = None, **options: Any) -> bytes:
    return model_bytes(fit(queries, vali, recipe, seed=3, **options))


def test_fresh_and_cached_data_make_the_same_bytes_on_any_number_of_threads(text: Path, tmp_path: Path):
    cache = DataCache(tmp_path, smallest=0)
    fresh, written, cached = read_split(text), read_split(text, cache=cache), read_split(text, cache=cache)
    assert isinstance(cached.features.base, np.memmap)
    models = {model(queries, threads=threads) for queries in (fresh, written, cached) for threads in (1, 2, 4)}
    assert len(models) == 1


IN_A_PROCESS = """
import hashlib, sys
from pathlib import Path
from typing import Any
from tests.training.test_matrix import RECIPE
from training import matrix
from training.cache import DataCache
from training.fit import fit, model_bytes
from training.letor import read_split
matrix.BATCH_ROWS = int(sys.argv[3])
matrix.IN_MEMORY = float(sys.argv[4])
queries = read_split(Path(sys.argv[1]), cache=DataCache(Path(sys.argv[2]), smallest=0))
model = model_bytes(fit(queries, None, RECIPE, seed=3, threads=int(sys.argv[5]), memory_budget=10**12, say=print))
print(hashlib.sha256(model).hexdigest())
"""


def test_another_process_over_files_makes_the_same_bytes(text: Path, tmp_path: Path):
    expected = hashlib.sha256(model(read_split(text), threads=2)).hexdigest()
    for batch, factor, threads in (("300", "1e9", "1"), ("2000", "1e9", "2"), ("300", "1", "1")):
        command = [sys.executable, "-c", IN_A_PROCESS, str(text), str(tmp_path), batch, factor, threads]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        reason, digest = done.stdout.split("\n")[:2]
        assert ("goes to files" in reason) == (factor == "1e9")
        assert digest == expected


@pytest.mark.usefixtures("external")
@pytest.mark.parametrize("recipe", [RECIPE, RECIPE.override("max_bin=16"), STOPPING], ids=["quick", "bins", "stopping"])
def test_files_make_the_same_bytes_as_memory(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    train, vali = tiny_queries(60, noise=2), tiny_queries(20, seed=1, noise=2)
    monkeypatch.setattr(module.tempfile, "tempdir", str(tmp_path))
    made: list[type] = []
    filed = module._filed

    def spy(*arguments: object) -> xgb.DMatrix:
        found = filed(*arguments)  # pyright: ignore[reportArgumentType]
        made.append(type(found))
        assert [path.name for folder in tmp_path.iterdir() for path in folder.iterdir()], "its bins are in files"
        return found

    monkeypatch.setattr(module, "_filed", spy)
    outside = model(train, recipe, vali)
    assert made == [xgb.ExtMemQuantileDMatrix]
    monkeypatch.setattr(module, "choose", choose)
    assert outside == model(train, recipe, vali)
    assert made == [xgb.ExtMemQuantileDMatrix]
    assert list(tmp_path.iterdir()) == []


def test_other_tree_methods_train_in_memory():
    exact = Recipe("exact", {"n_estimators": 5, "tree_method": "exact"})
    train = tiny_queries()
    plain = xgb.XGBRanker(n_estimators=5, tree_method="exact", random_state=3, objective="rank:ndcg")
    plain.fit(train.features, train.relevance, group=train.group_sizes)
    assert model(train, exact) == model_bytes(plain)
    with pytest.raises(MemoryBudgetError, match="only tree_method=hist can train from files"):
        model(train, exact, memory_budget=1000)


def held(rows: int, width: int = 100) -> Queries:
    return Queries(np.zeros((rows, width), np.float32), np.zeros(rows, np.int32), np.arange(1), np.array([0, rows]))


def mapped(queries: Queries, path: Path) -> Queries:
    queries.features.tofile(path)
    return replace(queries, features=np.asarray(np.memmap(path, np.float32, "r", shape=queries.features.shape)))


MB = 10**6


@pytest.mark.parametrize(
    ("budget", "external", "reason"),
    [
        (None, False, "no memory budget was given"),
        (BESIDES + 500 * MB, False, "needs about 515 MB, within the memory budget of 900 MB"),
        (BESIDES + 100 * MB, True, "in memory needs about 515 MB, more than the memory budget of 500 MB"),
    ],
)
def test_the_choice_and_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: int | None, external: bool, reason: str
):
    monkeypatch.setattr(module, "IN_MEMORY", 1.15)
    monkeypatch.setattr(module, "EXTERNAL", 0.6)
    queries = mapped(held(250_000), tmp_path / "features")
    form = choose(queries, None, budget)
    assert form.external == external
    assert reason in form.reason


def test_what_is_held_already_counts(tmp_path: Path):
    in_memory = held(250_000)
    budget = BESIDES + int(1.2 * in_memory.features.nbytes)
    assert not choose(mapped(in_memory, tmp_path / "features"), None, budget).external
    with pytest.raises(MemoryBudgetError, match="or let the data be cached"):
        choose(in_memory, None, budget)
    with pytest.raises(MemoryBudgetError, match=r"raise --memory-budget$"):
        choose(mapped(in_memory, tmp_path / "features"), None, 10**6)


def test_watched_queries_count(tmp_path: Path):
    train, vali = (mapped(held(100_000), tmp_path / name) for name in ("train", "vali"))
    budget = BESIDES + int(module.IN_MEMORY * 1.5 * train.features.nbytes)
    assert not choose(train, None, budget).external
    with pytest.raises(MemoryBudgetError):
        choose(train, vali, BESIDES + train.features.nbytes)
    assert choose(train, vali, BESIDES + int(1.2 * train.features.nbytes)).external


def test_many_bins_take_twice_as_much(tmp_path: Path):
    train = mapped(held(100_000), tmp_path / "train")
    budget = BESIDES + int(1.5 * module.IN_MEMORY * train.features.nbytes)
    assert [choose(train, None, budget, max_bin=bins).external for bins in (None, 256, 257)] == [False, False, True]


@pytest.mark.parametrize("rows", [1, 63, 64, 65, 1000])
def test_batches_are_whole_queries_and_all_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int):
    monkeypatch.setattr(module, "BATCH_ROWS", rows)
    queries = tiny_queries(30)
    batches = Batches(queries, tmp_path)
    for _ in range(2):
        seen: list[dict[str, np.ndarray]] = []

        def take(into: list[dict[str, np.ndarray]] = seen, **data: np.ndarray) -> None:
            into.append(data)

        while batches.next(take):
            pass
        batches.reset()
        np.testing.assert_array_equal(np.concatenate([each["data"] for each in seen]), queries.features)
        np.testing.assert_array_equal(np.concatenate([each["label"] for each in seen]), queries.relevance)
        number = np.concatenate([each["qid"] for each in seen])
        np.testing.assert_array_equal(queries.qids[number], queries.row_qids())
        assert all(set(a["qid"]).isdisjoint(b["qid"]) for a, b in pairwise(seen))
        assert all(len(each["label"]) for each in seen)


@pytest.mark.usefixtures("external")
def test_files_go_where_they_are_told_and_are_removed(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt), matrices(tiny_queries(60), folder=tmp_path):
        assert [path.name for folder in tmp_path.iterdir() for path in folder.iterdir()]
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_the_sizes_stand_in_the_help():
    help_text = subprocess.run(
        [sys.executable, "-m", "training", "fit", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert "--memory-budget SIZE" in help_text
    assert json.dumps("--no-cache")[1:-1] in help_text
