"""`python -m training`: from ranking data to a published model."""

from __future__ import annotations

import sys


def main() -> int:
    """What `training.cli.main` returns; Ctrl-C also while the libraries load, which takes seconds on a slow disk."""
    try:
        from training import cli  # noqa: PLC0415

        return cli.main()
    except KeyboardInterrupt:
        sys.stderr.write("podium: interrupted; nothing was left half-made\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
