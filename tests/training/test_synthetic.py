import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost as xgb

from training.letor import DataError, Fold, Queries, read_fold
from training.ndcg import ndcg
from training.synthetic import LABEL_SHARES, synthetic_fold, write_fold, write_synthetic


@pytest.fixture(scope="module")
def fold() -> Fold:
    return synthetic_fold()


def whole(fold: Fold) -> np.ndarray:
    return np.concatenate([split.features for _, split in fold.splits])


def top10(scores: np.ndarray, queries: Queries) -> float:
    return float(np.nanmean(ndcg(scores, queries.relevance, queries.offsets, (10,)).values))


def test_splits_are_mslrs(fold: Fold):
    assert fold.vali is not None
    assert (fold.train.count, fold.vali.count, fold.test.count) == (120, 40, 40)
    assert set(fold.train.qids % 5) == {1, 2, 3}
    assert set(fold.vali.qids % 5) == {4}
    assert set(fold.test.qids % 5) == {0}


def test_shape_is_mslrs(fold: Fold):
    sizes = np.concatenate([split.group_sizes for _, split in fold.splits])
    assert 100 < sizes.mean() < 140
    assert 10 <= sizes.min() < 40
    assert 250 < sizes.max() <= 300
    relevance = np.concatenate([split.relevance for _, split in fold.splits])
    shares = np.bincount(relevance) / len(relevance)
    assert shares == pytest.approx(np.array(LABEL_SHARES) / sum(LABEL_SHARES), abs=0.03)
    starts = [np.maximum.reduceat(split.relevance, split.offsets[:-1]) for _, split in fold.splits]
    assert 1 <= sum(int((best == 0).sum()) for best in starts) <= 20
    features = whole(fold)
    assert features.shape[1] == 136
    integers = np.all(features == np.round(features), axis=0)
    assert 30 < integers.sum() < 100
    assert 0.25 < (features == 0).mean() < 0.55
    assert 1e7 < features.max() <= 1e8
    assert (features < 0).any()
    assert np.isfinite(features).all()


def test_training_beats_random_order(fold: Fold):
    ranker = xgb.XGBRanker(objective="rank:ndcg", n_estimators=30, max_depth=4, n_jobs=1)
    ranker.fit(fold.train.features, fold.train.relevance, qid=fold.train.row_qids())
    random = np.random.default_rng(0).random(fold.test.rows).astype(np.float32)
    trained = top10(np.asarray(ranker.predict(fold.test.features)), fold.test)
    assert trained > top10(random, fold.test) + 0.15
    assert trained < 0.7, "so easy a task would hide a broken ranker"


def test_seed_decides(fold: Fold):
    small = synthetic_fold(seed=3, queries=10)
    assert small.sha256 == synthetic_fold(seed=3, queries=10).sha256
    assert small.sha256 != synthetic_fold(seed=4, queries=10).sha256


@pytest.mark.parametrize("width", [1, 5, 46, 200])
def test_other_widths(width: int):
    small = synthetic_fold(queries=5, width=width)
    assert small.train.width == width
    assert np.isfinite(small.train.features).all()


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"queries": 4}, "at least 5"), ({"width": 0}, "at least 1"), ({"missing": 1.0}, "less than 1")],
)
def test_impossible_wishes_are_refused(options: dict[str, int], reason: str):
    with pytest.raises(ValueError, match=reason):
        synthetic_fold(**options)


@pytest.mark.parametrize("gz", [False, True])
def test_a_written_fold_reads_back_equal(tmp_path: Path, gz: bool):
    written = synthetic_fold(seed=1, queries=10)
    write_fold(written, tmp_path, gz)
    names = {path.name.removesuffix(".gz") for path in tmp_path.iterdir()}
    assert names == {"train.txt", "vali.txt", "test.txt"}
    assert read_fold(tmp_path).sha256 == written.sha256
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write_fold(written, tmp_path, gz)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("gz", [False, True])
def test_up_to_a_block_text_and_arrays_are_the_same(tmp_path: Path, gz: bool):
    write_synthetic(tmp_path, seed=3, queries=10, width=7, gz=gz)
    assert read_fold(tmp_path).sha256 == synthetic_fold(seed=3, queries=10, width=7).sha256


def test_beyond_a_block_every_query_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("training.synthetic._QUERIES_A_BLOCK", 20)
    write_synthetic(tmp_path, seed=3, queries=50, width=7)
    fold = read_fold(tmp_path)
    first, of_one = synthetic_fold(seed=3, queries=20, width=7), fold.train.select(fold.train.qids <= 20)
    assert of_one.sha256 == first.train.sha256
    assert np.concatenate([split.qids for _, split in fold.splits]).size == 50
    rows = np.concatenate([split.features for _, split in fold.splits])
    assert len(np.unique(rows, axis=0)) > 0.99 * len(rows)
    lines = (tmp_path / "train.txt").read_text().splitlines()
    assert [lines[0].split()[1], lines[-1].split()[1]] == ["qid:41", "qid:18"]


def test_text_that_could_not_be_finished_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("training.synthetic._write", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_synthetic(tmp_path, queries=10)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [{"queries": 4}, {"width": 0}, {"missing": 1.0}])
def test_impossible_text_is_refused(tmp_path: Path, options: dict[str, Any]):
    with pytest.raises(ValueError, match=r"at least|less than"):
        write_synthetic(tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def test_text_looks_like_mslrs(tmp_path: Path):
    write_fold(synthetic_fold(queries=5), tmp_path, gz=True)
    line = gzip.decompress((tmp_path / "train.txt.gz").read_bytes()).splitlines()[0]
    assert line.startswith((b"0 qid:1 1:", b"1 qid:1 1:"))
    assert b".0 " not in line
    assert len(line.split()) == 138


def test_missing_values_are_left_out(tmp_path: Path):
    written = synthetic_fold(queries=10, missing=0.2)
    assert np.isnan(whole(written)).mean() == pytest.approx(0.2, abs=0.01)
    write_fold(written, tmp_path)
    with pytest.raises(DataError, match="missing values allowed"):
        read_fold(tmp_path)
    assert read_fold(tmp_path, allow_missing=True, width=136).sha256 == written.sha256


def test_every_float32_survives_writing(tmp_path: Path):
    values = np.random.default_rng(0).integers(0, 2**32, 40_000, dtype=np.uint32).view(np.float32)
    values = values[np.isfinite(values)][:30_000].reshape(-1, 10)
    offsets = np.array([0, len(values)])
    extremes = np.array([[0.0, -0.0, 1e-45, 3.4028235e38, -3.4028235e38, 16777217, 1e16, 1e17, 0.1, 1.6e8]], np.float32)
    values[:1] = extremes
    train = Queries(values, np.zeros(len(values), np.int32), np.array([1]), offsets)
    test = Queries(extremes, np.zeros(1, np.int32), np.array([2]), np.array([0, 1]))
    write_fold(Fold(train, None, test), tmp_path)
    back = read_fold(tmp_path)
    assert back.vali is None
    assert back.train.features.tobytes() == values.tobytes()
    assert back.test.features.tobytes() == extremes.tobytes()
