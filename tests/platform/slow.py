"""`python -m tests.platform.slow SECONDS serve ...`: the service with a model that takes so much longer to score.

It waits instead of computing, so that two cores hold as many pods as a cluster has: each scores one query after the
other and reports its busy seconds, as under a model of that size.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from service import api
from service.__main__ import main


def slowed(seconds: float) -> None:
    scoring = api.scoring

    def longer(features: Any, ranker: Any) -> Any:
        time.sleep(seconds)
        return (yield from scoring(features, ranker))

    api.scoring = longer


if __name__ == "__main__":
    slowed(float(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
