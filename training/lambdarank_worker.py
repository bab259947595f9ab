"""Run by the interpreter of LightGBM's own environment, as a script; imports nothing of ours.

Reads a job as a line of JSON from standard input (parameters, and the paths of arrays), answers with a line of JSON.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from typing import Any

import numpy as np


def main() -> None:
    # Not a plain import: the environment that this file is checked in has no LightGBM.
    lightgbm: Any = import_module("lightgbm")
    for line in sys.stdin:
        job: dict[str, Any] = json.loads(line)
        arrays = {name: np.load(path, mmap_mode="r") for name, path in job["arrays"].items()}
        try:
            data = lightgbm.Dataset(arrays["features"], label=arrays["relevance"], group=arrays["sizes"])
            booster = lightgbm.train(job["parameters"], data, num_boost_round=job["trees"])
            scores = booster.predict(arrays["scored"], num_threads=job["parameters"]["num_threads"])
            np.save(job["scores"], scores.astype(np.float32))
            answer = {"version": lightgbm.__version__}
        except lightgbm.basic.LightGBMError as error:
            answer = {"error": str(error)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
