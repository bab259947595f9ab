"""From a run to a bundle in a registry: golden queries are drawn and scored, the manifest is sealed."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from service.bundle import GOLDEN, MODEL, replay, write_bundle
from service.golden import golden_line, golden_queries, split_thresholds
from service.manifest import Manifest, valid_name
from service.ranker import Ranker
from service.registry import Published, Registry, verify_folder
from training.queries import Queries
from training.runs import Run, RunError


def publish(run: Run, registry: Registry, real: Queries | None = None) -> Published:
    """Builds the run's bundle and publishes it. The same run gives the same version, and then nothing is written.

    Args:
        real: queries of a data set to prove the model with, beside the drawn ones. Their rows travel with
            the model, so the data's terms must allow that.

    Raises:
        RunError: the run was not evaluated.
        RegistryError, BundleError: as `Registry.publish`.
    """
    with tempfile.TemporaryDirectory(prefix="podium-bundle-") as scratch:
        folder = Path(scratch) / "bundle"
        build_bundle(run, folder, real)
        return registry.publish(folder)


def publish_bundle(folder: Path, registry: Registry) -> Published:
    """Publishes a bundle that was built elsewhere, once its golden queries score here as they did there.

    Raises:
        BundleError: it does not prove itself; nothing is published.
        RegistryError: as `Registry.publish`.
    """
    manifest = verify_folder(folder)
    replay(Ranker.load(folder / MODEL, manifest.schema), folder)
    return registry.publish(folder)


def build_bundle(run: Run, folder: Path, real: Queries | None = None) -> Manifest:
    """Writes the run's bundle into the new `folder`. Raises as `publish`."""
    metrics = run.evaluation
    model, ranker = run.model, run.ranker()
    golden = golden_queries(ranker, split_thresholds(model), seed=run.about["seed"])
    if real is not None:
        golden += real_lines(real, ranker)
    return write_bundle(folder, _manifest(run, metrics), {MODEL: model, GOLDEN: golden})


def real_lines(queries: Queries, ranker: Ranker) -> bytes:
    """Queries of a data set as lines of `golden.jsonl`."""
    spans = zip(queries.qids.tolist(), pairwise(queries.offsets.tolist()), strict=True)
    return b"".join(golden_line(f"query-{qid}", queries.features[start:stop], ranker) for qid, (start, stop) in spans)


def first_queries(queries: Queries, count: int) -> Queries:
    """The `count` queries with the lowest ids."""
    return queries.select(np.arange(queries.count) < count)


def check_name(name: str) -> str:
    """
    Raises:
        RunError: it cannot name a model.
    """
    if not valid_name(name):
        raise RunError(f"{name!r} cannot name a model: use 1 to 63 of a-z, 0-9, dot, dash and underscore")
    return name


def _manifest(run: Run, metrics: dict[str, Any]) -> Manifest:
    about = run.about
    source = about["source"]
    return Manifest(
        name=about["name"],
        version="",
        digest="",
        created=source["created"],
        commit=source["commit"],
        dirty=source["dirty"],
        schema=run.schema,
        objective=about["recipe"]["parameters"]["objective"],
        files={},
        parameters={**about["recipe"], "seed": about["seed"]},
        metrics=metrics,
        data=about["data"],
        libraries=about["libraries"],
    )
