"""KServe's server, with a model written as its own XGBoost runtime is. Run as: kserve_server.py MODEL PORT."""

# pyright: basic, reportMissingImports=false
import logging
import os
import sys

# Not a line for each request's timings. It is read at the import.
os.environ["KSERVE_LOGLEVEL"] = "WARNING"

import xgboost as xgb
from kserve import Model, ModelServer, model_server
from kserve.protocol.rest.server import RESTServer
from kserve.utils.utils import get_predict_input, get_predict_response

path, port = sys.argv[1:]
sys.argv[1:] = []


class Ranker(Model):
    def load(self):
        # One thread: on one core a second one only takes turns with the first.
        self.booster = xgb.Booster(params={"nthread": 1}, model_file=path)
        self.ready = True
        return self.ready

    def predict(self, payload, headers=None):
        matrix = xgb.DMatrix(get_predict_input(payload), nthread=1)
        return get_predict_response(payload, self.booster.predict(matrix), self.name)


class LocalServer(RESTServer):
    # There is no setting for where it listens, nor for no access log.
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.config.host = "127.0.0.1"
        logging.getLogger("uvicorn.access").handlers.clear()


model_server.RESTServer = LocalServer
ranker = Ranker("ranker")
ranker.load()
# What is left out costs time, and the peers are measured at their best.
ModelServer(http_port=int(port), workers=1, enable_grpc=False, enable_latency_logging=False).start([ranker])
