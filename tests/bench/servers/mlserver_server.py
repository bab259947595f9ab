"""MLServer with its own XGBoost runtime, by its own command. Run as: mlserver_server.py MODEL PORT GRPC_PORT."""

# pyright: basic, reportMissingImports=false
import json
import sys
from pathlib import Path

from mlserver.cli import main

model, port, grpc_port = sys.argv[1:]
settings = {
    "host": "127.0.0.1",
    "http_port": int(port),
    # This server cannot be left out.
    "grpc_port": int(grpc_port),
    # On one core, a worker process would only add the way to it. Neither metrics, nor the access log (of `debug`), nor
    # a look at whether to compress are on: each costs time, and the peers are measured at their best.
    "parallel_workers": 0,
    "metrics_endpoint": None,
    "debug": False,
    "gzip_enabled": False,
}
# The runtime opens it as an XGBRegressor's, then as an XGBClassifier's. That works because a bundle's model is natively
# saved: one that XGBRanker saved says so, and is refused by both.
about = {"name": "ranker", "implementation": "mlserver_xgboost.XGBoostModel", "parameters": {"uri": model}}
Path("settings.json").write_text(json.dumps(settings))
Path("model-settings.json").write_text(json.dumps(about))
sys.argv[1:] = ["start", "."]
main()
