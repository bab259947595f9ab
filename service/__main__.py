"""`python -m service`: look into the registry, serve, and ask what a rollout must know."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from service.commands import add_verbs
from service.errors import BundleError
from service.location import RegistryError
from service.rollout import add_verbs as add_rollout_verbs

# Served by service.serve, which imports the web framework: only these two wait for that.
SERVING = {"serve": "serve a model over HTTP", "settings": "print every PODIUM_* variable and what it means"}


def parser(verb: str | None = None) -> argparse.ArgumentParser:
    """The whole command line; the arguments of `serve` and `settings` only when `verb` asks for them."""
    top = argparse.ArgumentParser(
        prog="python -m service",
        description="Look into a model registry, prove models, and serve one.",
        epilog="`python -m service VERB --help` explains a verb, with examples.",
    )
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    add_verbs(verbs.add_parser)
    add_rollout_verbs(verbs.add_parser)
    for name, help_text in SERVING.items():
        sub = verbs.add_parser(name, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}.")
        if name == verb:
            from service import serve  # noqa: PLC0415

            serve.add_arguments(sub)
            sub.set_defaults(run=serve.run)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a verb and returns the exit code: 0 done, 2 bad usage, 3 refused or not found, 4 conflict,
    5 registry out of reach, 130 interrupted."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        args = parser(arguments[0] if arguments else None).parse_args(arguments)
        return args.run(args)
    except RegistryError as error:
        return _fail(str(error), error.exit_code)
    except BundleError as error:
        return _fail(str(error), 3)
    except BrokenPipeError:
        # `... | head` has seen enough. What is still buffered must not raise again at exit.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), 3)
    except KeyboardInterrupt:
        return _fail("interrupted; nothing was left half-made", 130)


def _fail(message: str, exit_code: int) -> int:
    sys.stderr.write(f"podium: {message}\n")
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
