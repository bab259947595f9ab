"""Tiny real bundles for the tests: a model of a few trees, its manifest, its golden queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb

from service.bundle import write_bundle
from service.golden import golden_queries, split_thresholds
from service.manifest import Manifest
from service.ranker import Ranker, booster_from_bytes
from service.schema import FeatureSchema

NAMES = ("bm25", "length", "clicks", "age")


def make_bundle(
    folder: Path,
    name: str = "tiny",
    seed: int = 0,
    *,
    names: Sequence[str] = NAMES,
    contents: Mapping[str, bytes] | None = None,
    **about: Any,
) -> Manifest:
    """Writes a new bundle to `folder`, which must not exist. `contents` replaces or adds files, `about` sets
    fields of the manifest."""
    schema = FeatureSchema.from_names(names)
    model, golden = model_and_golden(seed, tuple(names))
    fields: dict[str, Any] = {
        "name": name,
        "version": "",
        "digest": "",
        "created": "2024-05-06T07:08:09+00:00",
        "commit": "0" * 40,
        "dirty": False,
        "schema": schema,
        "objective": "rank:ndcg",
        "files": {},
        "parameters": {"eta": 0.3, "max_depth": 3},
        "libraries": {"xgboost": xgb.__version__},
    }
    manifest = Manifest(**(fields | about))
    return write_bundle(folder, manifest, {"model.ubj": model, "golden.jsonl": golden} | dict(contents or {}))


@cache
def model_and_golden(seed: int, names: tuple[str, ...] = NAMES) -> tuple[bytes, bytes]:
    """A booster of four trees, natively saved, and its golden queries."""
    model = train_model(len(names), seed=seed)
    ranker = Ranker(booster_from_bytes(model), FeatureSchema.from_names(names))
    return model, golden_queries(ranker, split_thresholds(model), seed)


def train_model(width: int = len(NAMES), *, trees: int = 4, seed: int = 0, **parameters: Any) -> bytes:
    """A ranker of 6 queries with 10 documents each, some values missing, natively saved as UBJ."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(60, width)).astype(np.float32)
    features[random.random(features.shape) < 0.1] = np.nan
    relevance = random.integers(0, 5, 60)
    matrix = xgb.DMatrix(features, relevance, qid=np.repeat(np.arange(6), 10), nthread=1)
    settings: dict[str, Any] = {"objective": "rank:ndcg", "max_depth": 3, "eta": 0.3, "seed": seed, "nthread": 1}
    return bytes(xgb.train(settings | parameters, matrix, num_boost_round=trees).save_raw("ubj"))
