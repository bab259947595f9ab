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
        for name, array in (
            ("train", train.features),
            ("relevance", train.relevance),
            ("sizes", train.group_sizes),
            ("test", test.features),
        ):
            np.save(folder / f"{name}.npy", array)
        settings = {**PARAMETERS, "seed": seed, "num_threads": threads}
        (folder / "settings.json").write_text(json.dumps({"parameters": settings, "trees": TREES}))
        # Isolated: neither this folder's modules nor the user's settings may stand in for the foreign ones.
        command = [python, "-I", WORKER, folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise NotMeasured(f"LightGBM failed: {reason[:300]}")
        return np.load(folder / "scores.npy").astype(np.float32)
