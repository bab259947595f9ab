from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from service.errors import DigestMismatch
from service.location import RegistryError
from service.registry import open_registry
from service.schema import FeatureSchema
from tests.training.reporting import GOOD, NAMES, fold, model, with_columns
from training.evaluate import score_queries
from training.models import open_model
from training.publish import build_bundle, publish
from training.runs import Run


def test_a_run_a_folder_and_a_uri_are_the_same_model(run: Run, tmp_path: Path) -> None:
    build_bundle(run, tmp_path / "bundle")
    published = publish(run, open_registry(str(tmp_path / "registry")))
    models = [open_model(str(target), tmp_path) for target in (run.folder, tmp_path / "bundle", published.uri)]
    rows = np.random.default_rng(0).normal(size=(20, models[0].schema.width)).astype(np.float32)
    for each in models[1:]:
        np.testing.assert_array_equal(each.ranker.score(rows), models[0].ranker.score(rows))
        assert each.about["recipe"]["parameters"] == run.about["recipe"]["parameters"]
        assert {key: each.about[key] for key in ("seed", "data", "features", "libraries")} == {
            key: run.about[key] for key in ("seed", "data", "features", "libraries")
        }
        assert each.label == f"{run.about['name']} {published.version}"
        assert each.trees == 8
    assert models[0].label == run.about["name"]


def test_damage_is_refused(run: Run, tmp_path: Path) -> None:
    build_bundle(run, tmp_path / "bundle")
    path = tmp_path / "bundle" / "model.ubj"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DigestMismatch):
        open_model(str(tmp_path / "bundle"), tmp_path)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RegistryError):
        open_model("ftp://nowhere/x", tmp_path)


def test_columns_go_by_name() -> None:
    data = fold()
    fitted = model(data, GOOD)
    turned = FeatureSchema.from_names(["extra", *reversed(NAMES)])
    columns = [0, *reversed(range(len(NAMES)))]
    view = fitted.view(with_columns(data.test, columns), turned)
    np.testing.assert_array_equal(view.features, data.test.features)
    np.testing.assert_array_equal(score_queries(fitted.ranker, view), score_queries(fitted.ranker, data.test))
    with pytest.raises(ValueError, match="good takes the feature 'f1', which the data has not"):
        fitted.view(data.test, FeatureSchema.from_names(["a", *NAMES[1:]]))
