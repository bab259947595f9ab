"""`python -m ci`: one verb a workflow step, so that what a workflow does runs and is tested anywhere."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ci import outputs
from ci.errors import CiError

VERBS = {"outputs": (outputs, "write a stack's outputs where manifests read them")}


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m ci",
        description="What workflows do: one verb a step.",
        epilog="Exit codes: 0 done or nothing to do, 2 bad input, 3 something is not as it must be, 5 no answer from "
        "outside. `python -m ci VERB --help` explains a verb.",
    )
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, (module, text) in VERBS.items():
        verb = verbs.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        module.add_arguments(verb)
        verb.set_defaults(run=module.run)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        return args.run(args)
    except CiError as error:
        sys.stderr.write(f"ci: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("ci: interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
