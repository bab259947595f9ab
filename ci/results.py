"""What a verb found, for who runs it: JSON on standard output, and in a workflow an output and a summary as well."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def publish(results: Mapping[str, Any], summary: str = "", environ: Mapping[str, str] = os.environ) -> None:
    """
    Args:
        results: by name; all but text goes into a workflow's outputs as JSON.
        summary: Markdown for the workflow's page.
    """
    sys.stdout.write(json.dumps(results, indent=2, sort_keys=True) + "\n")
    if target := environ.get("GITHUB_OUTPUT"):
        _append(Path(target), "".join(_output(name, value) for name, value in sorted(results.items())))
    if summary and (target := environ.get("GITHUB_STEP_SUMMARY")):
        _append(Path(target), summary.rstrip("\n") + "\n")


def _output(name: str, value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    if "\n" not in text:
        return f"{name}={text}\n"
    # Nobody can know the delimiter, so no value can end itself and begin another output.
    end = secrets.token_hex(16)
    return f"{name}<<{end}\n{text}\n{end}\n"


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
