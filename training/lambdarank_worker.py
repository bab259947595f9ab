"""Run by the interpreter of LightGBM's own environment, as a script on a folder of arrays; imports nothing of ours."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np


def main(folder: Path) -> None:
    """Trains on train.npy, relevance.npy and sizes.npy by settings.json, and writes scores.npy for test.npy."""
    # Not a plain import: the environment that this file is checked in has no LightGBM.
    lightgbm: Any = import_module("lightgbm")
    settings: dict[str, Any] = json.loads((folder / "settings.json").read_text())
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("train", "relevance", "sizes", "test")}
    data = lightgbm.Dataset(arrays["train"], label=arrays["relevance"], group=arrays["sizes"])
    booster = lightgbm.train(settings["parameters"], data, num_boost_round=settings["trees"])
    np.save(folder / "scores.npy", booster.predict(arrays["test"], num_threads=settings["parameters"]["num_threads"]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
