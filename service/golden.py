"""Golden queries: seeded documents around the model's own thresholds, with the scores they must get.

A tree decides by `value < threshold`, so the values that tell two implementations apart are the
thresholds themselves, their neighbours in the last bit, and a missing value. No row comes from a
data set, whose terms may not allow it to travel with the model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from service import ubj

if TYPE_CHECKING:
    from service.ranker import Floats, Ranker
    from service.schema import FeatureSchema

# One document alone and blocks around 64 rows take different paths through XGBoost's predictor.
QUERY_SIZES = (1, 2, 13, 64, 65)
MISSING_SHARE = 0.1

Thresholds = Mapping[int, NDArray[np.float32]]


def split_thresholds(model: bytes) -> Thresholds:
    """The distinct thresholds of each feature, float32 ascending, from a natively saved model (UBJ).

    Raises:
        ValueError: these are not the bytes of a saved model.
    """
    booster = ubj.decode(model)["learner"]["gradient_booster"]
    # DART wraps the trees' model in one more layer.
    trees = booster.get("gbtree", booster)["model"]["trees"]
    inner = [tree["left_children"] != -1 for tree in trees]
    columns = np.concatenate([tree["split_indices"][keep] for tree, keep in zip(trees, inner, strict=True)])
    values = np.concatenate([tree["split_conditions"][keep] for tree, keep in zip(trees, inner, strict=True)])
    return {int(column): np.unique(values[columns == column]) for column in np.unique(columns)}


def golden_documents(thresholds: Thresholds, width: int, seed: int, count: int) -> Floats:
    """Draws float32 [count, width]: each value a threshold, its neighbour on either side, a point between
    two of them, or missing (NaN). Features that no tree uses are 0 or missing."""
    random = np.random.default_rng(seed)
    features = np.zeros((count, width), np.float32)
    for column, values in thresholds.items():
        picked = random.choice(values, count)
        mixed = (picked + random.choice(values, count)) / np.float32(2)
        down, up = np.nextafter(picked, np.float32(-np.inf)), np.nextafter(picked, np.float32(np.inf))
        features[:, column] = np.stack([picked, down, up, mixed])[random.integers(0, 4, count), np.arange(count)]
    features[random.random(features.shape) < MISSING_SHARE] = np.nan
    return features


def golden_queries(ranker: Ranker, thresholds: Thresholds, seed: int = 0) -> bytes:
    """`golden.jsonl`: a JSON object a line, `{"request": <wire format>, "scores": [...]}`, scores in input order.

    Every other query names its features instead of listing them, so that a schema whose names were
    moved cannot pass.
    """
    features = golden_documents(thresholds, ranker.schema.width, seed, sum(QUERY_SIZES))
    lines: list[bytes] = []
    start = 0
    for number, size in enumerate(QUERY_SIZES):
        rows = features[start : start + size]
        lines.append(golden_line(f"golden-{number}", rows, ranker, named=number % 2 == 1))
        start += size
    return b"".join(lines)


def golden_line(query: str, features: Floats, ranker: Ranker, *, named: bool = False) -> bytes:
    """One query of `golden.jsonl`, scored by `ranker`."""
    items = [
        {"id": f"{query}-{row}", "features": _wire(values, ranker.schema if named else None)}
        for row, values in enumerate(features)
    ]
    entry = {"request": {"id": query, "items": items}, "scores": [shortest(v) for v in ranker.score(features)]}
    return json.dumps(entry, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def shortest(value: np.float32) -> float:
    """The double whose decimal text is the shortest that gives the float32 back."""
    return float(str(value))


def _wire(values: Floats, schema: FeatureSchema | None) -> Any:
    numbers = [None if np.isnan(value) else shortest(value) for value in values]
    if schema is None:
        return numbers
    return {name: number for name, number in zip(schema.names, numbers, strict=True) if number is not None}
