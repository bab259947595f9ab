"""The folders of SageMaker's training containers, /opt/ml: what is asked there, and where answers go.

input/config/hyperparameters.json      strings; see training.hyperparameters
input/config/inputdataconfig.json      the channels, and how each is provided
input/config/resourceconfig.json       the hosts
input/data/<channel>/                  one file: train, test, validation (optional), recipe (optional)
checkpoints/                           carried to S3 and back
model/                                 the bundle
output/data/, output/failure           what else there is to keep; why it failed
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from service import files
from service.bundle import GOLDEN, MANIFEST, MODEL

REQUIRED = ("train", "test")
CHANNELS = ("train", "validation", "test", "recipe")
MODES = ("File", "FastFile")
# SageMaker shows as many of the failure file's characters.
FAILURE_LIMIT = 1024


class ConfigError(ValueError):
    """The job is described wrongly; the message says what to change."""


class ChannelError(ValueError):
    """A channel's folder is not as it must be; the message says which and what to do."""


@dataclass(frozen=True)
class Tree:
    """Everything below `root`, which is /opt/ml."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "input" / "data"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def model(self) -> Path:
        return self.root / "model"

    @property
    def output(self) -> Path:
        return self.root / "output" / "data"

    @property
    def failure(self) -> Path:
        return self.root / "output" / "failure"

    def config(self, name: str) -> Mapping[str, Any]:
        """
        Raises:
            ConfigError: `input/config/<name>.json` is not there, or no JSON object.
        """
        path = self.root / "input" / "config" / f"{name}.json"
        try:
            found: object = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise ConfigError(f"{path} is not there: SageMaker writes it; `run` trains without") from None
        except ValueError as error:
            raise ConfigError(f"{path} is not JSON: {error}") from None
        if not isinstance(found, dict):
            raise ConfigError(f"{path} must hold an object of names and values")
        return cast(Mapping[str, Any], found)

    def channels(self) -> list[str]:
        """The names of the job's channels.

        Raises:
            ConfigError: one that nobody reads, one that is missing, or a mode that cannot be read.
        """
        given = self.config("inputdataconfig")
        for name, about in given.items():
            if name not in CHANNELS:
                raise ConfigError(f"nobody reads a channel {name!r}{near(name, CHANNELS)}: {_listed(CHANNELS)}")
            _check_mode(name, about)
        for name in REQUIRED:
            if name not in given:
                raise ConfigError(f"there is no channel {name!r}; a job needs {_listed(REQUIRED)}")
        return list(given)

    def host(self) -> str:
        """This host's name, of a job that has no other.

        Raises:
            ConfigError: it has several.
        """
        about = self.config("resourceconfig")
        current, hosts = about.get("current_host"), about.get("hosts")
        if not isinstance(current, str) or not isinstance(hosts, list) or current not in hosts:
            raise ConfigError("resourceconfig.json must name current_host, and hosts with it among them")
        if len(cast(list[Any], hosts)) > 1:
            raise ConfigError(f"{len(cast(list[Any], hosts))} hosts: this trains on one; set InstanceCount to 1")
        return current

    def channel_file(self, channel: str) -> Path:
        """The one file of a channel.

        Raises:
            ChannelError: there is none, or more.
        """
        folder = self.data / channel
        found = sorted(path for path in folder.rglob("*") if not path.is_dir() and not path.name.startswith("."))
        if len(found) == 1:
            return found[0]
        if not found:
            raise ChannelError(f"channel {channel}: no file in {folder}; check the S3 prefix that it names")
        names = ", ".join(str(path.relative_to(folder)) for path in found[:3])
        raise ChannelError(
            f"channel {channel}: {len(found)} files ({names}{', ...' if len(found) > 3 else ''}), but it must be one: "
            "join them, because the order of rows is part of the data, or name a longer S3 prefix"
        )

    def put_model(self, bundle: Path) -> None:
        """Copies a bundle's files to `model/`: they make a bundle there only once all of them are whole.

        By file and not by folder, because `model/` is a volume, which nothing can be renamed onto.
        """
        self.model.mkdir(parents=True, exist_ok=True)
        self.clear_model()
        names = sorted(path.name for path in bundle.iterdir())
        for name in [name for name in names if name != MANIFEST] + [MANIFEST]:
            files.replace_file(self.model / name, (bundle / name).read_bytes())

    def clear_model(self) -> None:
        """Takes back what an earlier attempt put into `model/`: its manifest, and files that it did not finish."""
        (self.model / MANIFEST).unlink(missing_ok=True)
        for name in (MANIFEST, MODEL, GOLDEN):
            for path in self.model.glob(f".{name}.*"):
                path.unlink(missing_ok=True)

    def fail(self, reason: str) -> None:
        """Writes the failure file. It is all that most people see of a failed job."""
        said = " ".join(reason.split()).encode(errors="backslashreplace")
        if len(said) > FAILURE_LIMIT:
            said = said[: FAILURE_LIMIT - 4].decode(errors="ignore").encode() + b" ..."
        files.replace_file(self.failure, said)


def near(name: str, known: Iterable[str]) -> str:
    """ " (did you mean ...?)" where there is something like it."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {found[0]}?)" if found else ""


def _check_mode(name: str, about: object) -> None:
    told: Mapping[str, Any] = cast(Mapping[str, Any], about) if isinstance(about, dict) else {}
    mode = told.get("TrainingInputMode", "File")
    if mode not in MODES:
        raise ConfigError(f"channel {name}: input mode {mode!r} cannot be read; use {_listed(MODES)}")
    if told.get("RecordWrapperType", "None") not in ("None", None):
        raise ConfigError(f"channel {name}: set RecordWrapperType to None; this reads text, not records")


def _listed(names: Iterable[str]) -> str:
    return " and ".join(names) if len(list(names)) == 2 else ", ".join(names)
