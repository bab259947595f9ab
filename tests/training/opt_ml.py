"""Trees such as SageMaker mounts at /opt/ml, made of a folder with train.txt, vali.txt and test.txt."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CHANNELS = {"train": "train.txt", "validation": "vali.txt", "test": "test.txt"}


def make_tree(root: Path, data: Path, hyperparameters: Mapping[str, str] | None = None) -> Path:
    for name, file in CHANNELS.items():
        (root / "input" / "data" / name).mkdir(parents=True)
        shutil.copy(data / file, root / "input" / "data" / name / file)
    for folder in ("model", "output/data", "checkpoints"):
        (root / folder).mkdir(parents=True)
    channel = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
    write_config(root, "hyperparameters", hyperparameters or {})
    write_config(root, "inputdataconfig", dict.fromkeys(CHANNELS, channel))
    write_config(root, "resourceconfig", resources(["algo-1"]))
    return root


def resources(hosts: Sequence[str]) -> dict[str, Any]:
    return {"current_host": "algo-1", "hosts": list(hosts), "network_interface_name": "eth0"}


def write_config(root: Path, name: str, document: Any) -> None:
    path = root / "input" / "config" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))


def result(root: Path) -> dict[str, bytes]:
    """All that a job leaves for whoever started it."""
    folders = (root / "model", root / "output")
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}
