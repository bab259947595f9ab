"""Checkpoints of a run: the trees so far, each in a file of its own that is whole and proves it, or not there.

A file's name starts with the run's key, the hash of all that its model depends on. Checkpoints of other runs in the
same folder are left alone: they are no use to this one, and its own are not theirs.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from service import files

SUFFIX = ".checkpoint"
# The one before the newest is there for the case that the newest is damaged.
KEPT = 2

_NAME = re.compile(r"([0-9a-f]{12})-([0-9]{6,})\.checkpoint")
_MAX_HEAD = 1024


class Damaged(Exception):
    """A file that is not what was saved; the message says how."""


@dataclass(frozen=True)
class Checkpoint:
    trees: int
    model: bytes


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of the run with this key (hex digits) in `folder`. `say` takes what people should know."""

    folder: Path
    key: str
    say: Callable[[str], None]

    def load(self) -> Checkpoint | None:
        """The newest checkpoint that is whole. Sweeps what a killed writer left."""
        for path in self.folder.glob(f".{self.key[:12]}-*{SUFFIX}.*"):
            path.unlink(missing_ok=True)
        found = self._found()
        others = len({name for name in map(_key_of, self.folder.glob(f"*{SUFFIX}")) if name and name != self.key[:12]})
        if others and not found:
            self.say(
                f"the checkpoints in {self.folder} are of {others} other run(s), of which recipe, data, seed, name, "
                "code or libraries differ: they are left alone, and training starts with the first tree"
            )
        for trees, path in found:
            try:
                return Checkpoint(trees, self._read(path, trees))
            except (OSError, Damaged) as error:
                self.say(f"checkpoint {path.name} is passed over: {error}")
        return None

    def save(self, trees: int, model: bytes) -> None:
        """Returns once it is on disk.

        Raises:
            OSError: it cannot be written; what was there still is.
        """
        head = {"run": self.key, "trees": trees, "bytes": len(model), "sha256": hashlib.sha256(model).hexdigest()}
        content = json.dumps(head).encode() + b"\n" + model
        files.replace_file(self.folder / f"{self.key[:12]}-{trees:06}{SUFFIX}", content)
        for _, path in self._found()[KEPT:]:
            path.unlink(missing_ok=True)

    def _found(self) -> list[tuple[int, Path]]:
        """This run's files, the most trees first."""
        matches = ((_NAME.fullmatch(path.name), path) for path in self.folder.glob(f"{self.key[:12]}-*{SUFFIX}"))
        return sorted(((int(match[2]), path) for match, path in matches if match), reverse=True)

    def _read(self, path: Path, trees: int) -> bytes:
        with path.open("rb") as file:
            line = file.readline(_MAX_HEAD)
            try:
                head = json.loads(line)
                expected = (head["run"], head["trees"], head["bytes"], head["sha256"])
            except (ValueError, KeyError, TypeError):
                raise Damaged("its first line is not a checkpoint's") from None
            model = file.read()
        if expected != (self.key, trees, len(model), hashlib.sha256(model).hexdigest()):
            raise Damaged("it does not hold what its first line says")
        return model


def _key_of(path: Path) -> str | None:
    match = _NAME.fullmatch(path.name)
    return match[1] if match else None
