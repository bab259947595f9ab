from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from service import lean
from tests.conftest import ROOT
from tests.service.bundles import make_bundle

# Serves, asks for a ranking from a thread of the same process, prints what was imported, and stops.
ASKS = """
import json, os, signal, sys, threading, time, urllib.error, urllib.request
from service import serve
from service.settings import Settings

at = sys.modules.copy()
port = {port}

def post(explain):
    items = [{{"id": "a", "features": [1, 2, 3, 4]}}, {{"id": "b", "features": [4, 3, 2, 1]}}]
    body = {{"items": items, "explain": explain}}
    request = urllib.request.Request(f"http://127.0.0.1:{{port}}/v1/rank", json.dumps(body).encode(),
                                     {{"content-type": "application/json"}})
    return json.load(urllib.request.urlopen(request, timeout=20))

def ask():
    try:
        ends = time.monotonic() + 20
        while time.monotonic() < ends:
            try:
                answer = post({explain})
                break
            except OSError:
                time.sleep(0.02)
        names = [name for name, module in sys.modules.items() if module is not None]
        sys.stderr.write(json.dumps({{"before": list(at), "after": names, "answer": answer}}))
    finally:
        os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=ask).start()
serve.serve(Settings(model={model!r}, port=port, explain={explain}, commit="c"))
"""


@pytest.mark.parametrize("explain", [False, True])
def test_what_a_process_that_ranks_has_imported(tmp_path: Path, explain: bool):
    from tests.bench.served import free_port

    make_bundle(tmp_path / "bundle")
    script = ASKS.format(model=str(tmp_path / "bundle"), port=free_port(), explain=explain)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stderr)
    assert [item["rank"] for item in seen["answer"]["items"]] == [1, 2]
    assert ("contributions" in seen["answer"]["items"][0]) == explain
    packages = {name.partition(".")[0] for name in seen["after"]}
    assert {"xgboost", "numpy", "orjson", "uvicorn"} <= packages
    assert packages.isdisjoint(
        {"sklearn", "pandas", "polars", "pyarrow", "boto3", "botocore", "httpx", "training", "rich"}
    )
    assert {"xgboost.sklearn", "scipy.special"}.isdisjoint(seen["after"])
    # What the port waits for.
    assert "xgboost" not in seen["before"]
    assert "scipy" not in seen["before"]


def test_what_is_forbidden_is_not_installed_to_whoever_asks():
    script = (
        "from service import lean\nlean.forbid_unused()\n"
        "for name in lean.UNUSED:\n"
        "    try:\n        __import__(name)\n"
        "    except ModuleNotFoundError:\n        continue\n"
        "    raise SystemExit(name)\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=60)


def test_nothing_is_forbidden_before_a_process_serves():
    script = "import service.serve, service.loading, service.ranker, xgboost; xgboost.XGBRanker()"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=60)


def test_a_module_is_loaded_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "podium_slow.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    lean.preload("podium_slow").join(20)
    assert sys.modules.pop("podium_slow").value == 1


def test_a_module_that_fails_aside_fails_again_where_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "podium_bad.py").write_text("raise ValueError('bad')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    lean.preload("podium_bad").join(20)
    with pytest.raises(ValueError, match="bad"):
        __import__("podium_bad")
