import json
from pathlib import Path

import numpy as np
import pytest
import xgboost as xgb

from service.bundle import GOLDEN, MODEL, replay, verify, write_bundle
from service.errors import BundleError, GoldenMismatch
from service.registry import open_registry
from tests.engines.emulator import Store
from tests.training.tiny import SMALL
from training.cli import main
from training.letor import read_fold
from training.publish import build_bundle, first_queries, publish, publish_bundle
from training.runs import Run, RunError, open_run


def test_a_bundle_says_where_it_comes_from(run: Run, tmp_path: Path) -> None:
    manifest = build_bundle(run, tmp_path / "bundle")
    assert verify(tmp_path / "bundle") == manifest
    assert replay(run.ranker(), tmp_path / "bundle") == 145
    assert manifest.name == "ranker"
    assert manifest.objective == "rank:ndcg"
    assert manifest.parameters["parameters"]["n_estimators"] == 8
    assert manifest.parameters["seed"] == 0
    assert manifest.data["splits"]["train"]["queries"] == 9
    assert manifest.metrics["test"]["ndcg@10"]["skip"] > manifest.metrics["test"]["ndcg@10"]["random"]
    assert manifest.metrics["vali"]["queries"] == 3
    assert manifest.libraries["xgboost"] == "3.2.0"
    assert str(run.folder) not in (tmp_path / "bundle" / "manifest.json").read_text(), "no path of a machine travels"


def test_golden_rows_of_data_only_when_asked(run: Run, data: Path, tmp_path: Path) -> None:
    queries = first_queries(read_fold(data).test, 2)
    build_bundle(run, tmp_path / "plain")
    build_bundle(run, tmp_path / "real", queries)
    plain, real = ((tmp_path / name / GOLDEN).read_text().splitlines() for name in ("plain", "real"))
    assert real[: len(plain)] == plain
    assert [json.loads(line)["request"]["id"] for line in real[len(plain) :]] == [
        f"query-{qid}" for qid in queries.qids
    ]
    assert replay(run.ranker(), tmp_path / "real") == 145 + queries.rows


def test_publishing_twice_is_one_version(run: Run, tmp_path: Path) -> None:
    registry = open_registry(str(tmp_path / "registry"))
    first, second = publish(run, registry), publish(run, registry)
    assert (first.existed, second.existed) == (False, True)
    assert first.uri == second.uri
    assert len(registry.list()) == 1


def test_publishing_before_evaluating_says_what_to_do(data: Path, tmp_path: Path) -> None:
    assert main(["fit", "--data", str(data), "--runs", str(tmp_path / "runs"), *SMALL]) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    with pytest.raises(RunError, match="python -m training evaluate"):
        build_bundle(open_run(folder), tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_a_published_model_is_an_xgbranker_file(run: Run, data: Path, tmp_path: Path) -> None:
    build_bundle(run, tmp_path / "bundle")
    estimator = xgb.XGBRanker()
    estimator.load_model(tmp_path / "bundle" / MODEL)
    features = read_fold(data).test.features
    assert np.array_equal(estimator.predict(features), run.ranker().score(features))


def test_a_run_is_published_to_s3(run: Run, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert main(["publish", str(run.folder), "--registry", store.uri]) == 0
    uri = capsys.readouterr().out.splitlines()[-1]
    (entry,) = open_registry(store.uri).list()
    assert (entry.uri, entry.problem) == (uri, None)


@pytest.mark.parametrize(
    ("registry", "code", "said"), [("s3://podium-nowhere", 5, "does not exist"), ("s3:/a", 2, "s3://")]
)
@pytest.mark.usefixtures("store")
def test_a_registry_that_cannot_be_published_to_is_named(
    run: Run, capsys: pytest.CaptureFixture[str], registry: str, code: int, said: str
) -> None:
    assert main(["publish", str(run.folder), "--registry", registry]) == code
    assert said in capsys.readouterr().err


def test_a_bundle_from_elsewhere_is_published_once_it_has_proven_itself(run: Run, tmp_path: Path) -> None:
    registry = open_registry(str(tmp_path / "registry"))
    folder = tmp_path / "bundle"
    manifest = build_bundle(run, folder)
    assert publish_bundle(folder, registry).digest == manifest.digest
    assert publish_bundle(folder, registry).existed

    other = tmp_path / "other"
    golden = (folder / GOLDEN).read_bytes().splitlines(keepends=True)
    line = json.loads(golden[0])
    line["scores"][0] += 1.0
    lying = json.dumps(line).encode() + b"\n" + b"".join(golden[1:])
    write_bundle(other, manifest, {MODEL: (folder / MODEL).read_bytes(), GOLDEN: lying})
    with pytest.raises(GoldenMismatch, match="does not compute"):
        publish_bundle(other, registry)
    (folder / MODEL).write_bytes(b"x")
    with pytest.raises(BundleError, match=MODEL):
        publish_bundle(folder, registry)
    assert len(registry.list()) == 1
