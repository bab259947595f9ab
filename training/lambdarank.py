"""LightGBM's lambdarank as a yardstick, in an environment of its own: neither training nor serving depends on it."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.environment import apart, python_of
from training.queries import Queries

KIND = "lightgbm"
INSTALL = f"python -m training.environment {KIND}"
WORKER = Path(__file__).with_name("lambdarank_worker.py")
PARAMETERS = {"objective": "lambdarank", "deterministic": True, "force_row_wise": True, "verbosity": -1}
"""All else is LightGBM's own default: 31 leaves, learning rate 0.1, at least 20 documents a leaf."""
TREES = 100


class NotMeasured(Exception):
    """The yardstick is not at hand; the message says why and what to do."""


def lambdarank_scores(
    train: Queries, test: Queries, *, seed: int = 0, threads: int = 1, environment: Path | None = None
) -> NDArray[np.float32]:
    """Scores of `test`, float32 [rows], by LightGBM trained on `train` with its defaults.

    Raises:
        NotMeasured: its environment was not made, or LightGBM refused the data.
    """
    python = python_of(environment or apart(KIND))
    if not python.exists():
        raise NotMeasured(f"install it with {INSTALL}")
    with tempfile.TemporaryDirectory(prefix="podium-lambdarank-") as scratch:
        folder = Path(scratch)
        arrays = {"features": train.features, "relevance": train.relevance, "sizes": train.group_sizes}
        paths = {name: str(folder / f"{name}.npy") for name in (*arrays, "scored")}
        for name, array in {**arrays, "scored": test.features}.items():
            np.save(paths[name], array)
        parameters = {**PARAMETERS, "seed": seed, "num_threads": threads}
        scores = folder / "scores.npy"
        job = {"parameters": parameters, "trees": TREES, "arrays": paths, "scores": str(scores)}
        done = subprocess.run(
            worker_command(python), input=json.dumps(job), capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise NotMeasured(f"LightGBM failed: {reason[:300]}")
        if "error" in (answer := json.loads(done.stdout.splitlines()[-1])):
            raise NotMeasured(f"LightGBM failed: {answer['error'][:300]}")
        return np.load(scores)


def worker_command(python: Path) -> list[str]:
    """The process that trains LightGBM, by lines of JSON: a job in, an answer out (`training/lambdarank_worker.py`)."""
    # Isolated: neither this folder's modules nor the user's settings may stand in for the foreign ones.
    return [str(python), "-I", str(WORKER)]
