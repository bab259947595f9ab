"""How long to wait before another try: longer each time, never in step with the others who wait."""

from __future__ import annotations

import random
from collections.abc import Iterator


def delays(first: float, most: float) -> Iterator[float]:
    """Seconds without end: `first`, doubled each time up to `most`, each shortened by up to half at random.

    Pods that lost a registry at the same moment must not come back to it at the same moment.
    """
    delay = first
    while True:
        yield delay * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        delay = min(2 * delay, most)
