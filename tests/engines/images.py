"""Builds the Dockerfile's targets without a daemon or a registry: buildah, on a base made here of Debian's packages.

Images and build cache lie below the user's cache folder, under names that hold a hash of what went in, so that a
second build of the same files is a look-up, in this process or in another.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from training.sample import cache_folder

ROOT = Path(__file__).resolve().parent.parent.parent
TOOLS = ("buildah", "runc", "mmdebstrap")

# What the official slim image of Python 3.11 has, as far as a build can tell: Debian 12 and its Python, with pip.
SUITE = "bookworm"
PACKAGES = ("python3", "python3-venv", "libstdc++6", "ca-certificates")
SITE = "usr/local/lib/python3.11/site-packages"

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SOURCE = "https://example.org/podium"
EPOCH = 1_700_000_000
CREATED = "2023-11-14T22:13:20Z"

# Stands in every secret of a build, so that a test can look for it in what came out.
MARK = "podium-build-secret"
# The settings of pip that say where packages come from; the others are the machine's own affair.
NETWORK = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries")

LIMIT_BYTES = 12 << 30

_numbers = count()


class EngineMissing(Exception):
    """This machine cannot build or run images; the message says what it lacks."""


def require_engine() -> None:
    """
    Raises:
        EngineMissing: a tool is not installed, or nobody here is root.
    """
    missing = [tool for tool in TOOLS if shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None]
    if missing:
        packages = "buildah runc mmdebstrap debian-archive-keyring"
        raise EngineMissing(f"NO CONTAINER ENGINE: {', '.join(missing)} missing; apt-get install -y {packages}")
    if subprocess.run(as_root("true"), capture_output=True, check=False).returncode != 0:
        raise EngineMissing("NO CONTAINER ENGINE: building and running images needs root, or sudo without a password")


def as_root(*command: str | Path) -> list[str]:
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    return [*prefix, *map(str, command)]


def run(*command: str | Path) -> str:
    """What a command that runs as root prints."""
    done = subprocess.run(as_root(*command), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{shlex.join(map(str, command))}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}")
    return done.stdout


class Images:
    """The images below one folder, which several processes may use at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        # What is mounted does not outlive a boot, so neither must the notes about it.
        here = hashlib.sha256(str(folder).encode()).hexdigest()[:8]
        self._options = ("--root", str(folder / "storage"), "--runroot", f"/run/podium-images-{here}")

    def buildah(self, command: str, *arguments: str | Path) -> str:
        return run("buildah", *self._options, command, *arguments).strip()

    def base(self) -> str:
        """The name of the base image, made where it is not there yet."""
        name = f"localhost/podium-base:{_hash(SUITE, *PACKAGES, SITE)}"
        with self._once(name) as wanted:
            if wanted:
                container = self.buildah("from", "--name", _unique("base"), "scratch")
                try:
                    self._bootstrap(Path(self.buildah("mount", container)))
                    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
                    self.buildah("config", "--env", f"PATH={path}", container)
                    self.buildah("commit", "--timestamp", str(EPOCH), container, name)
                finally:
                    self.buildah("rm", container)
        return name

    def build(
        self, arguments: Sequence[str], contexts: Mapping[str, Path] | None = None, *, again: bool = False
    ) -> str:
        """The name of the image that `docker build ARGUMENTS .` makes of this checkout.

        Args:
            contexts: further build contexts, whose content counts too.
            again: build it a second time, using nothing of the first.
        """
        base = self.base()
        contexts = contexts or {}
        inputs = [path.read_bytes() for folder in contexts.values() for path in sorted(folder.iterdir())]
        name = f"localhost/podium-image:{_hash(base, *arguments, *inputs, again, *_checkout())}"
        with self._once(name) as wanted:
            if wanted:
                self._make_room()
                with _secrets() as secrets:
                    given = [f"--build-context={key}={folder}" for key, folder in contexts.items()]
                    cache = ["--no-cache"] if again else []
                    self.buildah(
                        "build", "--isolation", "chroot", "--layers", "--force-rm", *cache, *secrets,
                        "--timestamp", str(EPOCH),
                        "--build-arg", f"BASE={base}", "--build-arg", f"COMMIT={COMMIT}",
                        "--build-arg", f"SOURCE={SOURCE}", "--build-arg", f"CREATED={CREATED}",
                        "--build-arg", f"SOURCE_DATE_EPOCH={EPOCH}", *arguments, *given, "--tag", name, ROOT,
                    )  # fmt: skip
        return name

    def inspect(self, image: str) -> dict[str, Any]:
        """The image's OCI document: its configuration, layers and history."""
        return json.loads(self.buildah("inspect", "--type", "image", image))["OCIv1"]

    @contextmanager
    def mounted(self, image: str) -> Generator[Path]:
        """The image's files."""
        container = self.buildah("from", "--pull-never", "--name", _unique("mount"), image)
        try:
            yield Path(self.buildah("mount", container))
        finally:
            self.buildah("rm", container)

    @contextmanager
    def _once(self, name: str) -> Generator[bool]:
        """Whether the image has to be made here, while all others that want it wait."""
        with (self._folder / f"{name.rpartition('/')[2]}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield not self.buildah("images", "--noheading", "--filter", f"reference={name}", "--quiet")

    def _bootstrap(self, folder: Path) -> None:
        leave_out = [f"--dpkgopt=path-exclude=/usr/share/{kind}/*" for kind in ("doc", "man", "locale")]
        include = f"--include={','.join(PACKAGES)}"
        run(
            "mmdebstrap", "--mode=root", "--format=directory", "--variant=essential", include, *leave_out, SUITE, folder
        )
        # Debian keeps pip's wheel aside; the official image has it installed, which ours must then get rid of.
        (wheel,) = run("sh", "-c", f"ls {folder}/usr/share/python-wheels/pip-*.whl").split()
        with tempfile.TemporaryDirectory() as scratch:
            with zipfile.ZipFile(wheel) as packed:
                packed.extractall(scratch)
            run("mkdir", "-p", folder / SITE)
            run("cp", "-r", f"{scratch}/.", folder / SITE)
        run("sh", "-c", f"echo '#!/usr/bin/python3' > {folder}/usr/local/bin/pip3")

    def _make_room(self) -> None:
        used = int(run("du", "-sx", "--block-size=1", self._folder).split()[0])
        if used > LIMIT_BYTES:
            # Refused for images that a container uses, which is as it should be.
            subprocess.run(as_root("buildah", *self._options, "rmi", "--all"), capture_output=True, check=False)


def main() -> int:
    """Makes the base, so that the tests find it: it takes longest, and needs nothing that they need."""
    try:
        require_engine()
        sys.stdout.write(f"{Images(cache_folder() / 'images').base()}\n")
    except EngineMissing as missing:
        sys.stderr.write(f"{missing}\n")
        return 1
    return 0


def _checkout() -> Iterator[str | bytes]:
    """What a build can see of this checkout."""
    files = [ROOT / name for name in ("Dockerfile", ".dockerignore", "LICENSE")]
    for folder in ("requirements", "service", "training"):
        files += sorted(path for path in (ROOT / folder).rglob("*") if path.is_file() and path.suffix != ".pyc")
    for path in files:
        yield str(path.relative_to(ROOT))
        yield path.read_bytes()


@contextmanager
def _secrets() -> Generator[list[str]]:
    """The options that let pip inside a build reach what pip out here reaches."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    settings: dict[str, str] = {}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        settings[key.rpartition(".")[2]] = value.strip("'\"")
    authorities = Path(settings.get("cert") or os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt")
    lines = [f"# {MARK}", "[global]", *(f"{key} = {settings[key]}" for key in NETWORK if key in settings)]
    with tempfile.TemporaryDirectory() as scratch:
        pip, ca = Path(scratch, "pip.conf"), Path(scratch, "ca.crt")
        if authorities.exists():
            lines.append("cert = /run/secrets/ca")
            ca.write_bytes(authorities.read_bytes() + f"\n# {MARK}\n".encode())
        else:
            ca.write_text(f"# {MARK}\n")
        pip.write_text("\n".join(lines) + "\n")
        yield [f"--secret=id=pip,src={pip}", f"--secret=id=ca,src={ca}"]


def _hash(*parts: object) -> str:
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        digest.update(b"%d:%b" % (len(data), data))
    return digest.hexdigest()[:16]


def _unique(kind: str) -> str:
    return f"podium-{kind}-{os.getpid()}-{next(_numbers)}"


if __name__ == "__main__":
    sys.exit(main())
