"""Keeps out of a serving process what it never uses: a start is mostly imports."""

from __future__ import annotations

import importlib
import sys
import threading
from contextlib import suppress

# xgboost imports scikit-learn and pandas where they are installed, for estimators and data frames; and its own
# estimators, which bring scipy.special along, wherever they can be. Serving has a Booster and arrays only.
UNUSED = ("sklearn", "pandas", "xgboost.sklearn")


def forbid_unused() -> None:
    """From now on importing any of `UNUSED` raises ModuleNotFoundError, which xgboost takes for not installed.

    For the whole process, so only for one that serves: training needs them.
    """
    for name in UNUSED:
        # Documented: None in sys.modules means that there is no such module.
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


def preload(module: str) -> threading.Thread:
    """Imports a module in a thread of its own, beside what waits for the network. Who needs it imports it as ever:
    that waits for the thread, and raises what went wrong."""
    thread = threading.Thread(target=_load, args=(module,), name=f"import {module}", daemon=True)
    thread.start()
    return thread


def _load(module: str) -> None:
    # The import that waits for this one raises it again, in the phase that it belongs to.
    with suppress(Exception):
        importlib.import_module(module)
