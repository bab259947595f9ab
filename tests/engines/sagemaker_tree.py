"""The folder that a training container knows as /opt/ml: made of a request and of S3, and carried back there."""

from __future__ import annotations

import json
import tarfile
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# SageMaker's own; a failure file is cut at this many characters.
FAILURE_CHARACTERS = 1024
SYNC_SECONDS = 0.2
HOST = "algo-1"


class NoData(Exception):
    """A channel's prefix has no object."""


@dataclass
class Tree:
    """One instance's /opt/ml. It goes with the instance: only what is in S3 outlives an interruption."""

    root: Path
    request: Mapping[str, Any]
    s3: Any
    _sent: dict[Path, tuple[int, int]] = field(default_factory=dict[Path, tuple[int, int]])

    def make(self) -> None:
        """The folders and `input/config`."""
        for folder in ("input/config", "input/data", "model", "output/data", "checkpoints"):
            (self.root / folder).mkdir(parents=True)
        resources = self.request["ResourceConfig"]
        self._config("hyperparameters", self.request.get("HyperParameters", {}))
        self._config("inputdataconfig", {each["ChannelName"]: self._channel(each) for each in self._channels})
        self._config(
            "resourceconfig",
            {
                "current_host": HOST,
                "current_instance_type": resources["InstanceType"],
                "current_group_name": "homogeneousCluster",
                "hosts": [HOST],
                "instance_groups": [
                    {
                        "instance_group_name": "homogeneousCluster",
                        "instance_type": resources["InstanceType"],
                        "hosts": [HOST],
                    }
                ],
                "network_interface_name": "eth0",
            },
        )

    def download(self) -> None:
        """Channels and checkpoints out of S3.

        Raises:
            NoData: as it says.
        """
        for channel in self._channels:
            uri = channel["DataSource"]["S3DataSource"]["S3Uri"]
            folder = self.root / "input" / "data" / channel["ChannelName"]
            folder.mkdir()
            if not self._fetch(uri, folder):
                raise NoData(f"No S3 objects found under S3 URL {uri!r} given in input data source.")
            if self._mode(channel) == "FastFile":
                for path in folder.rglob("*"):
                    path.chmod(0o555 if path.is_dir() else 0o444)
                folder.chmod(0o555)
        if checkpoints := self.request.get("CheckpointConfig"):
            self._fetch(f"{checkpoints['S3Uri'].rstrip('/')}/", self.root / "checkpoints")
            self._changed()

    @contextmanager
    def syncing(self) -> Generator[None]:
        """Carries checkpoints to S3 as they are written, whatever they are at that moment, and once more at the end."""
        done = threading.Event()

        def sync() -> None:
            while not done.wait(SYNC_SECONDS):
                self._sync()

        thread = threading.Thread(target=sync)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            self._sync()

    def upload(self, folder: str, name: str, *, even_empty: bool) -> str | None:
        """Packs a folder into `name` below the job's output path; its URI, None for an empty folder."""
        source = self.root / folder
        if not even_empty and not any(source.iterdir()):
            return None
        # Not below /opt/ml: what the container left there, it left for somebody else.
        archive = self.root.with_name(name)
        with tarfile.open(archive, "w:gz") as tar:
            for path in sorted(source.iterdir()):
                tar.add(path, path.name)
        base = self.request["OutputDataConfig"]["S3OutputPath"].rstrip("/")
        uri = f"{base}/{self.request['TrainingJobName']}/output/{name}"
        bucket, key = split(uri)
        self.s3.upload_file(str(archive), bucket, key)
        return uri

    def failure(self) -> str:
        """The start of the failure file, empty where there is none."""
        try:
            return (self.root / "output" / "failure").read_text(errors="replace")[:FAILURE_CHARACTERS]
        except OSError:
            return ""

    @property
    def _channels(self) -> list[dict[str, Any]]:
        return self.request.get("InputDataConfig", [])

    def _mode(self, channel: Mapping[str, Any]) -> str:
        return channel.get("InputMode") or self.request["AlgorithmSpecification"]["TrainingInputMode"]

    def _channel(self, channel: Mapping[str, Any]) -> dict[str, Any]:
        source = channel["DataSource"]["S3DataSource"]
        about = {
            "TrainingInputMode": self._mode(channel),
            "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
            "RecordWrapperType": channel.get("RecordWrapperType", "None"),
        }
        return about | ({"ContentType": channel["ContentType"]} if "ContentType" in channel else {})

    def _config(self, name: str, document: Any) -> None:
        (self.root / "input" / "config" / f"{name}.json").write_text(json.dumps(document))

    def _fetch(self, uri: str, folder: Path) -> int:
        bucket, prefix = split(uri)
        found = 0
        for key in self._keys(bucket, prefix):
            # SageMaker cuts at the prefix's last slash.
            name = key[prefix.rfind("/") + 1 :]
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            self.s3.download_file(bucket, key, str(target))
            found += 1
        return found

    def _keys(self, bucket: str, prefix: str) -> Iterator[str]:
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            yield from (each["Key"] for each in page.get("Contents", ()) if not each["Key"].endswith("/"))

    def _sync(self) -> None:
        if "CheckpointConfig" not in self.request:
            return
        bucket, prefix = split(self.request["CheckpointConfig"]["S3Uri"])
        for path in self._changed():
            # A file may be gone again, or grow under the upload; its next state is another change.
            with suppress(OSError):
                data = path.read_bytes()
                name = path.relative_to(self.root / "checkpoints").as_posix()
                self.s3.put_object(Bucket=bucket, Key=f"{prefix.rstrip('/')}/{name}", Body=data)

    def _changed(self) -> list[Path]:
        changed: list[Path] = []
        for path in sorted((self.root / "checkpoints").rglob("*")):
            with suppress(OSError):
                if path.is_file():
                    found = path.stat()
                    state = (found.st_mtime_ns, found.st_size)
                    if self._sent.get(path) != state:
                        self._sent[path] = state
                        changed.append(path)
        return changed


def split(uri: str) -> tuple[str, str]:
    """Bucket and key of an S3 address."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key
