"""What people see while they wait. Everything goes to standard error, so that standard output stays for results."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

WIDTH_IN_FILES = 120

Tell = Callable[[int, int], None]
"""Called with what is done and what there is in all."""


def messages() -> Console:
    """A console on standard error as it is now (tests replace it)."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def results() -> Console:
    """A console on standard output as it is now."""
    return Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else WIDTH_IN_FILES)


@contextmanager
def bar(what: str, unit: str = "") -> Generator[Tell]:
    """A progress bar for the block. Off a terminal it prints one line when the work is done, and no more."""
    console = messages()
    if not console.is_terminal:
        yield lambda done, total: None
        console.print(f"{what}: done")
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit))
    with Progress(*columns, TimeRemainingColumn(), console=console) as bars:
        task = bars.add_task(what, total=None)

        def tell(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total)

        yield tell
