"""`python -m training sagemaker`: starts a training job, follows it, and publishes its model from outside."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from service.location import s3_place
from service.registry import open_registry
from service.revision import UNKNOWN, current_revision
from service.settings import Settings, SettingsError
from training import commands, console
from training.inputs import RECIPE, Input, find_inputs, stage
from training.job_errors import JobSettingsError
from training.job_request import JobSpec, check_hyperparameters, request
from training.job_settings import PREFIX, JobSettings, help_text, option
from training.metrics import METRIC_DEFINITIONS
from training.publish import check_name, publish_bundle
from training.queries import Fold
from training.recipe import DEFAULT, load_recipe

if TYPE_CHECKING:
    from service.bucket import Bucket
    from training.aws import Aws

POLL_SECONDS = 10.0
INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The five verbs."""
    verbs = parser.add_subparsers(dest="sagemaker_verb", metavar="VERB", required=True)

    begin = verbs.add_parser("start", help="stage the data, start the job or find it, print its name")
    begin.set_defaults(run=start)
    _add_model_arguments(begin)
    begin.add_argument("--retry", action="store_true", help="run a job again that failed or was stopped")
    begin.add_argument("--dry-run", action="store_true", help="print the request, and ask and send nothing")
    begin.add_argument(
        "--config", metavar="FILE", help=f"a TOML file with the settings below (default: {PREFIX}CONFIG)"
    )
    group = begin.add_argument_group("settings of the job", f"each also as a variable, {PREFIX}ROLE for --role")
    for each in fields(JobSettings):
        group.add_argument(option(each), metavar="VALUE", help=help_text(each))

    waiting = verbs.add_parser("wait", help="follow a job to its end; Ctrl-C leaves it running")
    waiting.set_defaults(run=wait)
    waiting.add_argument("job", metavar="JOB")
    waiting.add_argument(
        "--stop-if-interrupted", action="store_true", help="stop the job on Ctrl-C or SIGTERM, as for a cancelled build"
    )
    _add_poll(waiting)

    logs = verbs.add_parser("logs", help="print what a job printed")
    logs.set_defaults(run=print_logs)
    logs.add_argument("job", metavar="JOB")
    logs.add_argument("--follow", action="store_true", help="go on until the job has ended")
    _add_poll(logs)

    ending = verbs.add_parser("stop", help="stop a job; its checkpoints stay")
    ending.set_defaults(run=stop)
    ending.add_argument("job", metavar="JOB")

    getting = verbs.add_parser("fetch", help="fetch a completed job's model, prove it, publish it, print its URI")
    getting.set_defaults(run=fetch)
    getting.add_argument("job", metavar="JOB")
    commands.add_registry_argument(getting)


def start(args: argparse.Namespace) -> int:
    """Prints the job's name."""
    settings = JobSettings.read(vars(args))
    # All that is wrong with the settings is said before anything is hashed, sent or paid for.
    store, image = settings.require("store"), settings.require("image")
    settings.require("role")
    say = console.messages().print
    recipe = load_recipe(args.recipe).override(*args.set)
    recipe.check()
    if settings.spot and recipe.segment_trees is None:
        say(
            "the recipe sets no segment_trees: each time that a spot instance goes, training starts from its first tree"
        )
    aws = None if args.dry_run else _aws()
    # Data that the job would refuse costs nothing if it is refused here.
    hyperparameters = hyperparameters_of(args, None if args.unchecked else commands.read_data(args))
    folder = commands.data_folder(args.data)
    with console.bar(f"hashing {folder.name}", "bytes") as tell:
        inputs = find_inputs(folder, Path(args.recipe) if args.recipe.endswith(".toml") else None, tell)
    spec = JobSpec(
        hyperparameters["name"],
        image,
        hyperparameters,
        [each.staged(store) for each in inputs],
        settings.instance_count,
    )
    tags = {"podium:fingerprint": spec.fingerprint, "podium:model": spec.model}
    if aws is None:
        body = request(spec, settings, spec.name(settings.prefix), METRIC_DEFINITIONS, tags)
        sys.stdout.write(json.dumps(body, indent=1) + "\n")
        return 0

    from training.launch import launch  # noqa: PLC0415

    name, prefix = s3_place(store)
    _stage(inputs, _bucket(name, aws.region), prefix)
    done = launch(aws, spec, settings, retry=args.retry, metrics=METRIC_DEFINITIONS, tags=tags)
    if done.created:
        say(f"started {done.name} in {aws.region}")
    else:
        say(f"{done.name} was started before with the same inputs, and is {done.status}: nothing is started twice")
    then = "fetch" if done.status == "Completed" else "wait"
    say(f"go on with: python -m training sagemaker {then} {done.name}")
    sys.stdout.write(f"{done.name}\n")
    return 0


def wait(args: argparse.Namespace) -> int:
    from training import follow  # noqa: PLC0415

    aws = _aws()
    say = console.messages().print
    with _terminable():
        try:
            follow.wait(aws, args.job, lambda line: say(line, markup=False), args.poll)
        except KeyboardInterrupt:
            if args.stop_if_interrupted:
                follow.stop(aws, args.job)
                say(f"interrupted; {args.job} is being stopped, its checkpoints stay")
                return INTERRUPTED
            say(
                f"interrupted; {args.job} goes on, and so does its bill.\n"
                f"  python -m training sagemaker wait {args.job}   to follow it again\n"
                f"  python -m training sagemaker stop {args.job}   to end it"
            )
            return INTERRUPTED
    say(f"completed; go on with: python -m training sagemaker fetch {args.job}")
    return 0


def print_logs(args: argparse.Namespace) -> int:
    from training import follow  # noqa: PLC0415

    def write(line: str) -> None:
        # What a job prints is not for the terminal to obey.
        sys.stdout.write("".join(each if each.isprintable() else ascii(each)[1:-1] for each in line) + "\n")
        sys.stdout.flush()

    follow.print_logs(_aws(), args.job, write, follow=args.follow, poll=args.poll)
    return 0


def stop(args: argparse.Namespace) -> int:
    from training import follow  # noqa: PLC0415

    status = follow.stop(_aws(), args.job)
    ended = status in follow.ENDED
    console.messages().print(f"{args.job} {f'is {status} already' if ended else 'is being stopped'}")
    return 0


def fetch(args: argparse.Namespace) -> int:
    """Prints the published model's URI."""
    from training import artifact, follow  # noqa: PLC0415
    from training.aws import explaining  # noqa: PLC0415

    registry = open_registry(commands.registry_uri(args))
    aws = _aws()
    with explaining(args.job):
        about = aws.sagemaker.describe_training_job(TrainingJobName=args.job)
    follow.require_completed(about)
    bucket = _bucket(artifact.model_bucket(about["ModelArtifacts"]["S3ModelArtifacts"]), aws.region)
    with (
        console.bar("fetching model.tar.gz", "bytes") as tell,
        artifact.fetched(bucket, about, tell) as (folder, found),
    ):
        console.messages().print(
            f"{found.name}/{found.version} is whole, and of the commit and data that were asked for"
        )
        done = publish_bundle(folder, registry)
    console.messages().print(commands.published_line(done))
    sys.stdout.write(f"{done.uri}\n")
    return 0


def hyperparameters_of(args: argparse.Namespace, fold: Fold | None) -> dict[str, str]:
    """What the container is told.

    Args:
        fold: the data, where it was read.

    Raises:
        ValueError: a value is not allowed.
    """
    if fold is None and args.name is None:
        raise JobSettingsError("give --name: without reading the data it cannot be told")
    width = fold.train.width if fold else None
    commit = args.commit or current_revision().commit
    found = {
        "name": check_name(args.name or commands.default_name(width)),
        "recipe": RECIPE if args.recipe.endswith(".toml") else args.recipe,
        "seed": str(args.seed),
        "allow_missing": "true" if args.allow_missing else "false",
        "width": _shown(args.width),
        "max_relevance": _shown(args.max_relevance),
        "data_sha256": fold.sha256 if fold else "",
        "commit": "" if commit == UNKNOWN else commit,
    }
    found = {key: value for key, value in found.items() if value}
    for text in (*args.set, *args.hyperparameter):
        key, equals, value = text.partition("=")
        if not equals or not key or key in found:
            raise JobSettingsError(f"{text!r:.100}: give NAME=VALUE, each name once")
        found[key] = value
    return check_hyperparameters(found)


def _add_model_arguments(parser: argparse.ArgumentParser) -> None:
    commands.add_data_arguments(parser)
    parser.add_argument("--unchecked", action="store_true", help="send the data without reading it here first")
    parser.add_argument("--name", help="the model's name (default: mslr for 136 features, else ranker)")
    parser.add_argument("--recipe", default=DEFAULT, help=f"name or .toml file (default: {DEFAULT})")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change a parameter of the recipe; repeatable"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commit", help="of the image's code, which the job checks (default: this checkout's)")
    parser.add_argument(
        "--hyperparameter", action="append", default=[], metavar="NAME=VALUE", help="told to the container; repeatable"
    )


def _add_poll(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--poll",
        type=_seconds,
        default=POLL_SECONDS,
        metavar="SECONDS",
        help=f"between looks (default: {POLL_SECONDS:g})",
    )


def _seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is no time of up to an hour in seconds")
    return found


def _shown(value: int | None) -> str:
    return "" if value is None else str(value)


def _aws() -> Aws:
    # Here and no earlier: boto3 takes half a second to import, also for those who train at home.
    from training.aws import Aws  # noqa: PLC0415

    return Aws()


def _bucket(name: str, region: str) -> Bucket:
    from service.bucket import Bucket  # noqa: PLC0415

    try:
        settings = Settings.from_env(prefix="s3_")
    except SettingsError as error:
        raise JobSettingsError(str(error)) from error
    # A job reads and writes buckets of its own region.
    return Bucket(name, replace(settings, s3_region=settings.s3_region or region))


def _stage(inputs: list[Input], bucket: Bucket, prefix: str) -> None:
    say = console.messages().print
    total = sum(each.entry.size for each in inputs)
    done = 0
    with console.bar("staging the data", "bytes") as tell:
        for each in inputs:
            sent = stage(each, bucket, prefix)
            say(f"{each.channel}: {each.entry.size / 1e6:.1f} MB {'sent' if sent else 'there already'}")
            done += each.entry.size
            tell(done, total)


@contextmanager
def _terminable() -> Generator[None]:
    """SIGTERM, by which build systems cancel, counts as Ctrl-C."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
