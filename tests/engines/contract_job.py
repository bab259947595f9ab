"""A small program that obeys the contract of SageMaker's training containers, for tests that want to time its steps.

Hyperparameters: `steps` and `seconds` of each; `fail`, a reason to fail with after the last; `deaf`, to hear no
SIGTERM. After each step it leaves a checkpoint, from which it goes on. It imports nothing of this project.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

INTERRUPTED = 143


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=Path, required=True)
    root: Path = parser.parse_args().root
    asked = json.loads((root / "input/config/hyperparameters.json").read_text())
    if asked.get("deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(INTERRUPTED))
    for channel in json.loads((root / "input/config/inputdataconfig.json").read_text()):
        sizes = {path.name: path.stat().st_size for path in sorted((root / "input/data" / channel).iterdir())}
        print(f"channel {channel}: {json.dumps(sizes)}", flush=True)  # noqa: T201
    steps, saved = int(asked.get("steps", "1")), root / "checkpoints" / "step"
    first = int(saved.read_text()) if saved.exists() else 0
    if first:
        print(f"going on from step {first}", flush=True)  # noqa: T201
    for step in range(first + 1, steps + 1):
        time.sleep(float(asked.get("seconds", "0")))
        print(f"progress trees={step} of={steps} seconds=0.1", flush=True)  # noqa: T201
        aside = saved.with_suffix(".new")
        aside.write_text(str(step))
        os.replace(aside, saved)  # noqa: PTH105
    if asked.get("fail"):
        (root / "output/failure").write_text(asked["fail"])
        return 3
    (root / "model/steps.txt").write_text(f"{first + 1} to {steps}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
