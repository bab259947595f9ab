"""What is running, how much is done, and how long it still takes."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from time import monotonic
from types import FrameType
from typing import TextIO


class Progress:
    """A line that is written over on a terminal, and a line a server elsewhere.

    Args:
        seconds: of all steps together, as planned; what steps really take corrects it.
    """

    def __init__(self, stream: TextIO, seconds: float) -> None:
        self._stream, self._seconds = stream, seconds
        self._began = monotonic()
        self._planned = self._current = 0.0
        self._shown = ""

    def step(self, what: str, seconds: float) -> None:
        self._planned += self._current
        self._current = seconds
        done = min(self._planned / self._seconds, 1.0) if self._seconds else 1.0
        line = f"[{done:4.0%}, {left(done, monotonic() - self._began, self._seconds)} left] {what}"
        if self._stream.isatty():
            self._write(f"\r\x1b[K{line}")
        elif (subject := what.partition(":")[0]) != self._shown:
            self._shown = subject
            self._write(f"{line}\n")

    def note(self, text: str) -> None:
        self._write(f"\r\x1b[K{text}\n" if self._stream.isatty() else f"{text}\n")

    def end(self) -> None:
        if self._stream.isatty():
            self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


@contextmanager
def interruptible() -> Generator[Callable[[], bool]]:
    """Yields what tells whether Ctrl-C was pressed: its exception is lost where Python is in a finalizer just then."""
    pressed: list[int] = []

    def press(number: int, _frame: FrameType | None) -> None:
        pressed.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, press)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


def left(done: float, elapsed: float, planned: float) -> str:
    """By the pace so far; as planned before there is one."""
    seconds = planned * (1 - done) if done < 0.02 else elapsed / done * (1 - done)
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
