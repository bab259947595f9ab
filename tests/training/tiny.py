from __future__ import annotations

import numpy as np

from training.queries import Queries


def tiny_queries(count: int = 12, *, seed: int = 0, width: int = 4, first: int = 1, noise: float = 0.3) -> Queries:
    """Queries of 5 to 20 documents whose relevance (0 to 4) follows the first feature; some of the rest is missing."""
    random = np.random.default_rng(seed)
    qids = np.repeat(np.arange(first, first + count), random.integers(5, 21, count))
    features = random.normal(size=(len(qids), width)).astype(np.float32)
    truth = features[:, 0] + noise * random.normal(size=len(qids))
    relevance = np.searchsorted([0.0, 0.8, 1.4, 2.0], truth).astype(np.int32)
    features[:, 1:][random.random((len(qids), width - 1)) < 0.1] = np.nan
    return Queries.grouped(features, relevance, qids)


SMALL = ("--set", "n_estimators=8", "--set", "max_depth=3")
"""Arguments that make fitting a matter of milliseconds."""
