"""What a training job prints for machines to read, and the regular expressions that read it.

SageMaker matches `METRIC_DEFINITIONS` (of CreateTrainingJob) with every line of a job's output and keeps the numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.ndcg import CUTOFFS

_NUMBER = r"([0-9]+\.?[0-9]*)"
# What this project calls vali is the channel `validation` on SageMaker.
_SPLITS = {"vali": "validation", "test": "test"}

METRIC_DEFINITIONS: tuple[Mapping[str, str], ...] = (
    {"Name": "progress:trees", "Regex": rf"^progress trees={_NUMBER} "},
    {"Name": "progress:seconds", "Regex": rf"^progress .* seconds={_NUMBER}"},
    # While it trains, blank queries count 0; in the evaluation they are left out.
    {"Name": "progress:ndcg@10", "Regex": rf"^progress .* validation_ndcg@10={_NUMBER}"},
    *(
        {"Name": f"{split}:ndcg@{cutoff}", "Regex": rf"^evaluation .*{split}:ndcg@{cutoff}={_NUMBER}"}
        for split in _SPLITS.values()
        for cutoff in CUTOFFS
    ),
)


def progress_line(trees: int, total: int, seconds: float, ndcg: float | None) -> str:
    watched = "" if ndcg is None else f" validation_ndcg@10={ndcg:.6f}"
    return f"progress trees={trees} of={total} seconds={seconds:.1f}{watched}"


def evaluation_line(split: str, found: Mapping[str, Any]) -> str:
    """Of `Evaluation.to_json`. A mean over no query at all is left out: it is no number."""
    means = {cutoff: found[f"ndcg@{cutoff}"]["skip"] for cutoff in CUTOFFS}
    said = " ".join(f"{_SPLITS[split]}:ndcg@{cutoff}={mean:.6f}" for cutoff, mean in means.items() if mean is not None)
    return f"evaluation queries={found['queries']} {said}".rstrip()
