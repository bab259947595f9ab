"""The model that is measured with, and documents to ask about."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import xgboost as xgb

from service.bundle import GOLDEN, MODEL, write_bundle
from service.golden import golden_queries, split_thresholds
from service.manifest import Manifest
from service.ranker import Ranker, booster_from_bytes
from service.revision import current_revision
from service.schema import FeatureSchema
from tests.bench.peer import Floats
from training.fit import fit, model_bytes
from training.mslr import feature_names
from training.recipe import Recipe
from training.sample import cache_folder
from training.synthetic import synthetic_fold

# The address that a server has its model under, so that it does not depend on whose model it is.
NAME = "bench"
TREES, DEPTH, QUERIES = 500, 6, 600

Progress = Callable[[int, int], None]


def cached_bundle(progress: Progress, *, trees: int = TREES, depth: int = DEPTH, queries: int = QUERIES) -> Path:
    """A bundle in the user's cache, trained if it is not there; a folder is named after what its bytes depend on."""
    source = Path(synthetic_fold.__code__.co_filename).read_bytes()
    made_of = [trees, depth, queries, xgb.__version__, os.uname().machine, hashlib.sha256(source).hexdigest()]
    digest = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]
    folder = cache_folder().absolute() / "bench" / f"model-{digest}"
    if folder.is_dir():
        return folder
    fold = synthetic_fold(queries=queries)
    recipe = Recipe("bench", {"n_estimators": trees, "max_depth": depth, "learning_rate": 0.05})
    ranker = fit(fold.train, None, recipe, progress=lambda done, total, _: progress(done, total))
    # Another run may have been faster; its bytes are the same.
    with suppress(FileExistsError):
        _write(folder, model_bytes(ranker), FeatureSchema.from_names(feature_names(fold.train.width)), recipe)
    return folder


def renamed_bundle(bundle: Path, target: Path) -> Path:
    """A copy of a bundle under the name that is measured."""
    manifest = Manifest.from_json((bundle / "manifest.json").read_bytes())
    contents = {name: (bundle / name).read_bytes() for name in manifest.files}
    write_bundle(target, replace(manifest, name=NAME), contents)
    return target


def documents(count: int, width: int, queries: int, seed: int = 1) -> list[Floats]:
    """Queries of `count` documents each, drawn from synthetic ones that no model was trained on.

    Numbers have four digits after the point, so that those of one server's JSON are no longer than another's.
    """
    random = np.random.default_rng(seed)
    rows = synthetic_fold(seed=seed, queries=60, width=width).train.features.astype(np.float64).round(4)
    return [rows[random.integers(0, len(rows), count)].astype(np.float32) for _ in range(queries)]


def loaded_ranker(bundle: Path) -> Ranker:
    manifest = Manifest.from_json((bundle / "manifest.json").read_bytes())
    return Ranker.load(bundle / MODEL, manifest.schema)


def described(bundle: Path) -> dict[str, object]:
    manifest = Manifest.from_json((bundle / "manifest.json").read_bytes())
    booster = booster_from_bytes((bundle / MODEL).read_bytes())
    return {
        "trees": booster.num_boosted_rounds(),
        "features": manifest.schema.width,
        "bytes": manifest.files[MODEL].size,
        "digest": manifest.digest,
        **manifest.parameters,
    }


def _write(folder: Path, model: bytes, schema: FeatureSchema, recipe: Recipe) -> None:
    ranker = Ranker(booster_from_bytes(model), schema)
    golden = golden_queries(ranker, split_thresholds(model), seed=0)
    source = current_revision()
    manifest = Manifest(
        name=NAME,
        version="",
        digest="",
        created=source.time.isoformat(),
        commit=source.commit,
        dirty=source.dirty,
        schema=schema,
        objective="rank:ndcg",
        files={},
        parameters=recipe.parameters,
        libraries={"xgboost": xgb.__version__},
    )
    write_bundle(folder, manifest, {MODEL: model, GOLDEN: golden})
