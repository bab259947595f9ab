from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT
from tests.service.bundles import make_bundle


def test_a_slow_store_is_measured_beside_the_folder(tmp_path: Path) -> None:
    make_bundle(tmp_path / "bundle", contents={"padding.bin": bytes(100_000)})
    command = [sys.executable, "-m", "tests.bench.coldstart", str(tmp_path / "bundle"), "--rounds", "1", "--slow", "3"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=True, timeout=120)
    best = {line[:16].strip(): float(line.split()[-2]) for line in done.stdout.splitlines()}
    # 0.3 s at least, as the padding takes them; from the folder nothing is waited for.
    assert best["s3 downloading"] > 0.3 > best["downloading"]
    assert best["s3 sum"] > best["s3 fetch alone"] > 0.3
    assert best["s3 ranked"] > best["s3 port"] > 0
