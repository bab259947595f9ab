"""A BentoML service of arrays, started by its own command. Run as: bentoml_server.py MODEL PORT."""

# pyright: basic, reportMissingImports=false
import os
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import bentoml
import numpy as np
import xgboost as xgb
from bentoml.validators import DType

Floats = Annotated[np.ndarray, DType("float32")]


# A second process would share the core. An access log and metrics cost time, and the peers are measured at their best.
@bentoml.service(workers=1, logging={"access": {"enabled": False}}, metrics={"enabled": False})
class Ranker:
    def __init__(self) -> None:
        self.booster = xgb.Booster(params={"nthread": 1}, model_file=os.environ["BENCH_MODEL"])

    @bentoml.api
    def score(self, features: Floats) -> Floats:
        return self.booster.inplace_predict(features)


if __name__ == "__main__":
    from bentoml._internal import utils
    from bentoml_cli.cli import cli

    # Those by which its parent process is told what to do: below the range that clients get theirs from.
    utils.reserve_free_port = partial(utils.reserve_free_port, prefix="2")
    os.environ["BENCH_MODEL"] = sys.argv[1]
    here = Path(__file__)
    folder = ["--working-dir", str(here.parent)]
    cli(["serve", f"{here.stem}:Ranker", *folder, "--host", "127.0.0.1", "--port", sys.argv[2]])
