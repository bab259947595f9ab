"""A data folder's way to S3: each file under its own sha256, so that nothing is sent twice and nothing is replaced."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from service.location import RegistryUnavailable
from service.manifest import FileEntry
from training.job_errors import JobClash, JobSettingsError
from training.job_request import Channel

if TYPE_CHECKING:
    from service.bucket import Bucket

SPLITS = {"train": "train", "vali": "validation", "test": "test"}
"""What each split is called as a channel."""
OPTIONAL = frozenset({"vali"})
INPUTS = "inputs"
RECIPE = "recipe.toml"

_CHUNK = 1 << 20

Tell = Callable[[int, int], None]
"""Called with the bytes done and the bytes in total."""


@dataclass(frozen=True)
class Input:
    """A file of a data folder and what it holds."""

    channel: str
    path: Path
    entry: FileEntry

    def key(self, prefix: str) -> str:
        # By one name whatever the split: the same content under two would be two files in one channel.
        name = {"recipe": RECIPE}.get(self.channel, "data.txt.gz" if self.path.suffix == ".gz" else "data.txt")
        return "/".join(filter(None, (prefix, INPUTS, self.entry.sha256, name)))

    def staged(self, store: str) -> Channel:
        """The channel of this file below `store`, whether it is there yet or not."""
        return Channel(self.channel, f"{store}/{INPUTS}/{self.entry.sha256}/", self.entry.sha256)


def find_inputs(folder: Path, recipe: Path | None = None, tell: Tell = lambda done, total: None) -> list[Input]:
    """The splits in `folder`, and a recipe's file, hashed.

    Raises:
        JobSettingsError: a file is missing, or empty.
    """
    if not folder.is_dir():
        raise JobSettingsError(f"{folder} is no folder; name one with train.txt and test.txt")
    paths = {channel: path for split, channel in SPLITS.items() if (path := _path(folder, split)) is not None}
    if recipe is not None:
        paths["recipe"] = recipe
    total = sum(path.stat().st_size for path in paths.values())
    done = 0
    found: list[Input] = []
    for channel, path in paths.items():
        digest, size = hashlib.sha256(), 0
        for chunk in _chunks(path):
            digest.update(chunk)
            size += len(chunk)
            tell(done + size, total)
        if not size:
            raise JobSettingsError(f"{path} is empty")
        done += size
        found.append(Input(channel, path, FileEntry(digest.hexdigest(), size)))
    return found


def stage(each: Input, bucket: Bucket, prefix: str) -> bool:
    """Puts a file where its content says; False where it was there already.

    An upload that is stopped leaves nothing that anybody sees: an object appears whole, and only where none is.

    Raises:
        RegistryUnavailable: S3 is out of reach, or refuses.
        JobClash: what is there under this digest has another size, so somebody put it there by hand.
    """
    key = each.key(prefix)
    # Asked first: S3 refuses a put to a taken key only once all bytes have arrived.
    there = bucket.stat(key)
    sent = there is None and bucket.put(key, each.path, each.entry, f"sha256:{each.entry.sha256}")
    if not sent and there is None:
        there = bucket.stat(key)
        if there is None:
            raise RegistryUnavailable(f"s3://{bucket.name}/{key} was put and removed by others: start again")
    if there is not None and there.size != each.entry.size:
        raise JobClash(
            f"s3://{bucket.name}/{key} has {there.size} bytes, the content of that digest {each.entry.size}: "
            "it was put there by other means. Delete it and start again"
        )
    return sent


def _path(folder: Path, split: str) -> Path | None:
    for name in (f"{split}.txt", f"{split}.txt.gz"):
        if (folder / name).is_file():
            return folder / name
    if split in OPTIONAL:
        return None
    raise JobSettingsError(f"{folder} has neither {split}.txt nor {split}.txt.gz")


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
