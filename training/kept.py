"""`python -m training cache`: what was kept for faster reading, where, and how to be rid of it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

from training import console
from training.cache import LIMIT, CacheError, DataCache
from training.sample import cache_folder
from training.sizes import parse_size, show_size


def user_cache(environ: Mapping[str, str] = os.environ) -> DataCache:
    """The cache in the user's cache folder, with the limit that PODIUM_CACHE_LIMIT sets. Raises ValueError."""
    try:
        limit = parse_size(environ.get("PODIUM_CACHE_LIMIT") or str(LIMIT))
    except ValueError as error:
        raise CacheError(f"PODIUM_CACHE_LIMIT: {error}") from None
    return DataCache(cache_folder(environ) / "data", limit, say=console.messages().print)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `python -m training cache`."""
    parser.add_argument("--clear", action="store_true", help="remove all that was kept")


def run(arguments: argparse.Namespace) -> int:
    """Lists what is kept, or removes it, and returns 0. Raises CacheError."""
    cache = user_cache()
    if arguments.clear:
        sys.stdout.write(f"{show_size(cache.clear())} removed from {cache.folder}\n")
        return 0
    kept = cache.kept()
    for each in kept:
        used = datetime.fromtimestamp(each.used, UTC).isoformat(" ", "minutes")
        sys.stdout.write(f"{show_size(each.size):>10}  used {used}  {each.source}\n")
    total = sum(each.size for each in kept)
    sys.stdout.write(f"{show_size(total)} of at most {show_size(cache.limit)} in {cache.folder}\n")
    return 0
