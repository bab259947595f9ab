"""`python -m training`: from ranking data to a published model."""

from __future__ import annotations

import os
import signal
import sys


def main() -> int:
    """What `training.cli.main` returns; Ctrl-C also while the libraries load, which takes seconds on a slow disk."""
    if sys.argv[1:2] == ["train"]:
        # A container's first process ignores SIGTERM by default: while the libraries load, it would be lost.
        signal.signal(signal.SIGTERM, _leave)
    try:
        from training import cli  # noqa: PLC0415

        return cli.main()
    except KeyboardInterrupt:
        sys.stderr.write("podium: interrupted; nothing was left half-made\n")
        return 130


def _leave(_number: int, _frame: object) -> None:
    # At once, because libraries that are being loaded may catch what is raised. Nothing was begun that could be lost.
    os._exit(143)


if __name__ == "__main__":
    sys.exit(main())
