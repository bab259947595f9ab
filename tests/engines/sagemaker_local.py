"""`make train-sagemaker-local`: a SageMaker job's whole way without an account, by the commands that one would type.

S3 is an emulator and SageMaker is the tests' own, on loopback; the job runs the image's program as a process here, or
with --container in the image itself.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from tests.engines import emulator, sagemaker
from tests.engines.images import COMMIT, EngineMissing, Images, require_engine
from tests.engines.sagemaker_jobs import Job
from tests.engines.sagemaker_runner import ROOT, ContainerRunner, ProcessRunner, Runner
from training import commands
from training.sample import cache_folder

REGISTRY = ".podium/registry"


class StepFailed(Exception):
    pass


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.engines.sagemaker_local", description=__doc__)
    parser.add_argument("--data", metavar="DIR", help="default: the real sample, without network a synthetic one")
    parser.add_argument("--registry", default=REGISTRY, metavar="URI", help=f"default: {REGISTRY}")
    parser.add_argument("--interrupt", action="store_true", help="take the spot instance away once")
    parser.add_argument("--container", action="store_true", help="build the image, and run the job in it (needs root)")
    parser.add_argument("options", nargs="*", metavar="OPTION", help="after --: options of `sagemaker start`")
    args = parser.parse_args(argv)
    try:
        with tempfile.TemporaryDirectory(prefix="podium-local-") as scratch:
            return whole_way(args, Path(scratch))
    except (StepFailed, EngineMissing) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; the emulators and the job have ended with this\n")
        return 130


def whole_way(args: argparse.Namespace, scratch: Path) -> int:
    run = runner(args)
    say("an S3 emulator and a SageMaker of the tests, on loopback")
    (scratch / "emulator").mkdir()
    with (
        emulator.running(scratch / "emulator") as endpoint,
        sagemaker.running(emulator.client(endpoint), run, grace=30) as service,
    ):
        env = environment(endpoint, service)
        data = args.data or training(env, "sample").strip()
        options = ["--spot", "on"] if args.interrupt else []
        # The image was built as of this commit, and the job checks that.
        options += ["--commit", COMMIT] if args.container else []
        # A model of made-up queries must not pass for one of MSLR.
        options += ["--name", "synthetic"] if Path(data).name == commands.SYNTHETIC else []
        job = training(env, "sagemaker", "start", "--data", data, *options, *args.options).strip()
        with interrupted(service.jobs[job]) if args.interrupt else nullcontext():
            training(env, "sagemaker", "wait", job, "--poll", "0.5")
        uri = training(env, "sagemaker", "fetch", job, "--registry", args.registry).strip()
        training(env, "show", uri, shown=True)
        serving(env, uri)
    sys.stdout.write(f"{uri}\n")
    return 0


@contextmanager
def interrupted(job: Job) -> Generator[None]:
    """Takes the job's instance away as soon as it trains."""

    def interrupt() -> None:
        while not job.metrics and not job.done.wait(0.05):
            pass
        say("taking the spot instance away")
        job.interrupt()

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def runner(args: argparse.Namespace) -> Runner:
    """
    Raises:
        EngineMissing: a container was asked for, and cannot be run here.
    """
    if not args.container:
        return ProcessRunner()
    require_engine()
    images = Images(cache_folder() / "images")
    say("building the training image, or finding it")
    return ContainerRunner(images, images.build([]))


def environment(endpoint: str, service: sagemaker.SageMaker) -> dict[str, str]:
    """This machine's variables, without what there is of a real account."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PODIUM_SAGEMAKER_"))}
    return {
        **kept,
        **service.environment(),
        "AWS_ACCESS_KEY_ID": emulator.KEY,
        "AWS_SECRET_ACCESS_KEY": emulator.SECRET,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "PODIUM_S3_ENDPOINT": endpoint,
        "PODIUM_SAGEMAKER_ROLE": sagemaker.ROLE,
        "PODIUM_SAGEMAKER_IMAGE": sagemaker.IMAGE,
        "PODIUM_SAGEMAKER_STORE": f"s3://{emulator.BUCKET}/training",
    }


def training(env: dict[str, str], *arguments: str, shown: bool = False) -> str:
    """Runs `python -m training`; what it says goes on to standard error, and what it gives is returned."""
    return step(env, "training", arguments, shown=shown)


def serving(env: dict[str, str], uri: str) -> None:
    step(env, "service", ("verify", uri), shown=True)


def step(env: dict[str, str], package: str, arguments: Sequence[str], *, shown: bool) -> str:
    """
    Raises:
        StepFailed: its exit code is not 0.
    """
    say(f"python -m {package} {shlex.join(arguments)}")
    done = subprocess.run(
        [sys.executable, "-m", package, *arguments],
        cwd=ROOT,
        env=env,
        stdout=None if shown else subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise StepFailed(f"python -m {package} {arguments[0]} ended with {done.returncode}")
    return done.stdout or ""


def say(line: str) -> None:
    sys.stderr.write(f"\n$ {line}\n" if line.startswith("python") else f"\n# {line}\n")


if __name__ == "__main__":
    sys.exit(main())
