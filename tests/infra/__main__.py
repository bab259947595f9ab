"""`python -m tests.infra graph`: renews the golden graphs and their drawings."""

import argparse
import sys

from tests.infra.drawing import DOCS, drawing
from tests.infra.golden import FOLDER, golden
from tests.infra.graph import record
from tests.infra.stacks import STACKS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.infra", description=__doc__)
    parser.add_argument("verb", choices=["graph"])
    parser.parse_args()
    for stack in STACKS:
        graph = record(stack, released=True)
        for path, text in (
            (FOLDER / f"{stack}.json", golden(graph)),
            (DOCS / f"infrastructure-{stack}.svg", drawing(graph)),
        ):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            print(f"wrote {path}")  # noqa: T201
    return 0


sys.exit(main())
