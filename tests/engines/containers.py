"""Runs an image by runc: its own configuration, the host's network, no capability, a root that nobody can write to."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from tests.engines.images import Images, as_root, run

_numbers = count()


@dataclass(frozen=True)
class Container:
    """A running container. `process` is runc itself, which ends as the container's first process does."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def signal(self, name: str) -> None:
        run("runc", "kill", self.name, name)

    def pid(self) -> int:
        """The container's first process, as the host numbers it."""
        return json.loads(run("runc", "state", self.name))["pid"]


@contextmanager
def container(
    images: Images,
    image: str,
    scratch: Path,
    arguments: Sequence[str] = (),
    *,
    env: Mapping[str, str] | None = None,
    mounts: Mapping[str, Path] | None = None,
    writable: Mapping[str, Path] | None = None,
    user: int | None = None,
    entrypoint: Sequence[str] | None = None,
    isolated: bool = False,
) -> Generator[Container]:
    """Starts an image, and removes what is left of it afterwards.

    Args:
        scratch: a folder for the log and runc's own files.
        arguments: replace the image's command, not its entry point.
        mounts: folders of the host by where they are seen in the container, read-only.
        writable: the same for those that the container may write to.
        user: runs as this one instead of the image's own.
        entrypoint: replaces the image's.
        isolated: gives it a network of its own, in which there is nobody.
    """
    name = f"podium-{os.getpid()}-{next(_numbers)}"
    bundle = scratch / name
    bundle.mkdir()
    with images.mounted(image) as files:
        config = images.inspect(image)["config"]
        # int() refuses a user's name, of which Kubernetes could not tell whether it is root's.
        uid, gid = (user, user) if user is not None else map(int, (config.get("User") or "0:0").split(":"))
        process = {
            "user": {"uid": uid, "gid": gid},
            "args": [
                *(config["Entrypoint"] if entrypoint is None else entrypoint),
                *(arguments or config.get("Cmd") or ()),
            ],
            "env": [*config["Env"], *(f"{key}={value}" for key, value in (env or {}).items())],
            "cwd": config["WorkingDir"],
            "noNewPrivileges": True,
            "capabilities": {},
        }
        binds = [_bind(where, source, "ro") for where, source in (mounts or {}).items()]
        binds += [_bind(where, source, "rw") for where, source in (writable or {}).items()]
        (bundle / "config.json").write_text(json.dumps(_spec(files, process, binds, isolated=isolated)))
        log = scratch / f"{name}.log"
        with log.open("wb") as output:
            running = subprocess.Popen(
                as_root("runc", "run", "--bundle", bundle, name),
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            yield Container(name, running, log)
        finally:
            subprocess.run(as_root("runc", "delete", "--force", name), capture_output=True, check=False)
            running.wait(30)


def _spec(
    files: Path, process: Mapping[str, Any], binds: Sequence[Mapping[str, Any]], *, isolated: bool
) -> dict[str, Any]:
    namespaces = ("pid", "mount", "ipc", "uts", *(("network",) if isolated else ()))
    return {
        "ociVersion": "1.0.2",
        "process": process,
        "root": {"path": str(files), "readonly": True},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            *binds,
        ],
        # Without a network namespace loopback is the host's, and so are its ports.
        "linux": {"namespaces": [{"type": kind} for kind in namespaces]},
    }


def _bind(where: str, source: Path, mode: str) -> dict[str, Any]:
    return {"destination": where, "type": "bind", "source": str(source), "options": ["bind", mode]}
