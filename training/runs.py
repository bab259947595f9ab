"""A run: one fitted model in a folder of its own, with all that publishing needs to know about it.

The folder's name is a hash of what the model depends on (data, recipe, seed, code, libraries), so that the
same run is found again instead of fitted again. It is complete or not there.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from service import files
from service.manifest import canonical_json
from service.ranker import Ranker
from service.revision import Revision
from service.schema import FeatureSchema
from training.queries import Fold
from training.recipe import Recipe

MODEL = "model.ubj"
ABOUT = "run.json"
EVALUATION = "evaluation.json"

PACKAGES = ("service", "training")
ROOT = Path(__file__).resolve().parent.parent


class RunError(Exception):
    """A folder that is no run, or a step that came too early; the message says what to do."""


@dataclass(frozen=True)
class Run:
    folder: Path
    about: Mapping[str, Any]

    @property
    def model(self) -> bytes:
        return (self.folder / MODEL).read_bytes()

    @property
    def schema(self) -> FeatureSchema:
        return FeatureSchema.from_names(self.about["features"])

    @property
    def data_folder(self) -> Path:
        """Where the data lay when the model was fitted."""
        return Path((self.folder / "data").read_text())

    @property
    def evaluation(self) -> dict[str, Any]:
        """What `training.evaluate` found, by split; raises RunError when it has not run yet."""
        try:
            return json.loads((self.folder / EVALUATION).read_text())
        except FileNotFoundError:
            message = f"{self.folder} was not evaluated yet: run `python -m training evaluate {self.folder}` first"
            raise RunError(message) from None

    def ranker(self) -> Ranker:
        return Ranker.load(self.folder / MODEL, self.schema)

    def save_evaluation(self, found: Mapping[str, Any]) -> None:
        files.replace_file(self.folder / EVALUATION, json.dumps(found, indent=1, sort_keys=True).encode() + b"\n")


def describe(
    fold: Fold, recipe: Recipe, *, name: str, seed: int, features: FeatureSchema, revision: Revision
) -> dict[str, Any]:
    """All that a model depends on, as JSON. Two equal descriptions give equal model bytes."""
    return {
        "name": name,
        "seed": seed,
        "recipe": recipe.to_json(),
        "features": list(features.names),
        "data": {
            "sha256": fold.sha256,
            "splits": {
                split: {"sha256": queries.sha256, "queries": queries.count, "rows": queries.rows}
                for split, queries in fold.splits
            },
        },
        "source": {
            "commit": revision.commit,
            "dirty": revision.dirty,
            "created": revision.time.isoformat(),
            "code": code_digest() if revision.dirty else None,
        },
        "libraries": libraries(),
    }


def run_key(about: Mapping[str, Any]) -> str:
    """Hex digest of all that the model depends on."""
    return hashlib.sha256(canonical_json(about)).hexdigest()


def run_folder(runs: Path, about: Mapping[str, Any]) -> Path:
    return runs / f"{about['name']}-{run_key(about)[:12]}"


def open_run(folder: Path) -> Run:
    """
    Raises:
        RunError: the folder holds no run.
    """
    try:
        about = json.loads((folder / ABOUT).read_text())
    except (OSError, ValueError) as error:
        message = f"{folder} is no run ({ABOUT}: {error}): make one with `python -m training fit`"
        raise RunError(message) from error
    return Run(folder, about)


def save_run(folder: Path, about: Mapping[str, Any], model: bytes, data_folder: Path) -> Run:
    """Writes a new run. When another process was faster, its run is the result: the bytes are the same."""
    try:
        with files.new_folder(folder) as aside:
            files.write_file(aside / MODEL, model)
            files.write_file(aside / "data", str(data_folder.resolve()).encode())
            files.write_file(aside / ABOUT, json.dumps(about, indent=1, sort_keys=True).encode() + b"\n")
    except FileExistsError:
        return open_run(folder)
    return Run(folder, about)


def libraries() -> dict[str, str]:
    """What besides code, data and seed decides over the bytes: wheel and processor architecture."""
    return {
        "machine": platform.machine(),
        "numpy": np.__version__,
        "python": ".".join(platform.python_version_tuple()[:2]),
        "xgboost": version("xgboost-cpu" if platform.system() == "Linux" else "xgboost"),
    }


def code_digest() -> str:
    """Hash of the packages' sources: what tells two states of a dirty tree apart."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*")):
            if path.suffix in (".py", ".toml"):
                digest.update(f"{path.relative_to(ROOT)}\0{path.stat().st_size}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()
