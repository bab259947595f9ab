"""A trained model as the report takes it: a run on this machine, or a bundle in a folder or registry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from service.bundle import MODEL, verify
from service.ranker import Ranker, booster_from_bytes
from service.registry import fetch_model
from service.schema import FeatureSchema
from training.queries import Queries
from training.runs import ABOUT, open_run


@dataclass(frozen=True, eq=False)
class Model:
    name: str
    version: str
    """Of a bundle; a run has none yet."""
    ranker: Ranker
    booster: xgb.Booster
    """The trees that the ranker scores with."""
    about: Mapping[str, Any]
    """As in `run.json`: recipe, seed, features, data, source, libraries."""

    @property
    def label(self) -> str:
        return f"{self.name} {self.version}".strip()

    @property
    def schema(self) -> FeatureSchema:
        return self.ranker.schema

    @property
    def trees(self) -> int:
        return self.booster.num_boosted_rounds()

    def columns(self, names: FeatureSchema) -> NDArray[np.int64]:
        """Where this model's features stand in data whose columns have these names.

        Raises ValueError when the data lacks one of them.
        """
        lacking = [name for name in self.schema.names if name not in names.index]
        if lacking:
            raise ValueError(
                f"{self.label} takes the feature {lacking[0]!r}, which the data has not ({len(lacking)} such): "
                "the two models can only be compared on data with the features of both"
            )
        return np.array([names.index[name] for name in self.schema.names], np.int64)

    def view(self, queries: Queries, names: FeatureSchema) -> Queries:
        """The queries with this model's features, in its order. Raises ValueError as `columns`."""
        if self.schema.names == names.names:
            return queries
        features = np.ascontiguousarray(queries.features[:, self.columns(names)])
        return Queries(features, queries.relevance, queries.qids, queries.offsets)


def open_model(target: str, into: Path) -> Model:
    """The model of a run's folder, a bundle's folder or a model's URI; what is not here is fetched below `into`.

    Raises:
        RunError: the folder's run is not readable.
        RegistryError, BundleError: as `service.registry.fetch_model` and `service.bundle.verify`.
    """
    if Path(target, ABOUT).exists():
        run = open_run(Path(target))
        booster = booster_from_bytes(run.model)
        return Model(run.about["name"], "", Ranker(booster, run.schema), booster, run.about)
    folder = fetch_model(target, into)
    manifest = verify(folder)
    about = {
        "seed": manifest.parameters.get("seed", 0),
        "recipe": manifest.parameters,
        "features": list(manifest.schema.names),
        "data": manifest.data,
        "source": {"commit": manifest.commit, "dirty": manifest.dirty, "created": manifest.created},
        "libraries": manifest.libraries,
    }
    booster = booster_from_bytes((folder / MODEL).read_bytes())
    return Model(manifest.name, manifest.version, Ranker(booster, manifest.schema), booster, about)
