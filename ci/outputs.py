"""The verb `outputs`: what a stack made, as a file that manifests read: reviewed and committed like code."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from ci.errors import BadInput, NotMet, Unavailable
from ci.platform_values import platform_values
from ci.results import publish
from service.files import replace_file

ENVIRONMENTS = ("staging", "production")
DEPLOY = Path("infra", "deploy")
NAME = "platform"
HEAD = "# Written by `python -m ci outputs --environment {}` from the stack's outputs: change the stack, not this.\n"
PULUMI_SECONDS = 300


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--environment", required=True, choices=ENVIRONMENTS, help="whose outputs they are")
    parser.add_argument(
        "--from",
        dest="source",
        metavar="FILE",
        help="the JSON of `pulumi stack output --json`, - for standard input (default: pulumi is asked)",
    )
    parser.add_argument(
        "--deploy",
        type=Path,
        default=DEPLOY,
        metavar="FOLDER",
        help="where the environments' folders are (%(default)s)",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would change, and write nothing")


def run(args: argparse.Namespace) -> int:
    """
    Raises:
        CiError: the outputs cannot be had, or are not such as may be committed. Then nothing is written.
    """
    environment: str = args.environment
    values = platform_values(read_outputs(args.source, environment), environment)
    path: Path = args.deploy / environment / f"{NAME}.yaml"
    data = render(values, environment)
    before = _before(path)
    changes = difference(_values_of(before), values)
    # Also when only its form is another: the file is this program's.
    changed = before != data
    if changed and not args.dry_run:
        replace_file(path, data)
    for line in changes:
        sys.stderr.write(f"{line}\n")
    done = "unchanged" if not changed else "would be written" if args.dry_run else "written"
    sys.stderr.write(f"{path}: {done}\n")
    listed = "\n".join(changes)
    summary = f"`{path}` {done}\n\n```diff\n{listed}\n```\n" if changes else f"`{path}` {done}\n"
    publish({"path": str(path), "changed": changed, "changes": changes}, summary)
    return 0


def read_outputs(source: str | None, environment: str) -> dict[str, Any]:
    """
    Args:
        source: a file, - for standard input, None to ask pulumi.
    """
    if source is None:
        text, where = _of_pulumi(environment), "pulumi"
    elif source == "-":
        text, where = sys.stdin.read(), "standard input"
    else:
        text, where = _of_file(Path(source)), source
    try:
        document: Any = json.loads(text)
    except ValueError as error:
        raise BadInput(f"{where} gives no JSON: {error}; give what `pulumi stack output --json` prints") from error
    if not isinstance(document, dict):
        raise BadInput(f"{where} gives no object of outputs but {type(document).__name__}")
    return cast(dict[str, Any], document)


def render(values: Mapping[str, str], environment: str) -> bytes:
    """The file: kustomize takes values from it, and the annotation keeps it out of the cluster."""
    document = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "annotations": {"config.kubernetes.io/local-config": "true"}},
        "data": dict(values),
    }
    return (HEAD.format(environment) + yaml.safe_dump(document, sort_keys=False, width=200)).encode()


def difference(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """As a diff of lines, by name."""
    lines: list[str] = []
    for name in sorted({*before, *after}):
        if before.get(name) == after.get(name):
            continue
        lines += [f"- {name}: {before[name]}"] if name in before else []
        lines += [f"+ {name}: {after[name]}"] if name in after else []
    return lines


def _of_file(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from error


def _of_pulumi(environment: str) -> str:
    # Secrets stay hidden, and are refused as they are.
    command = ["pulumi", "stack", "output", "--json", "--non-interactive", "--stack", environment]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PULUMI_SECONDS)
    except FileNotFoundError:
        raise NotMet("there is no pulumi on PATH: install it, or give --from FILE") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"pulumi did not answer within {PULUMI_SECONDS} s") from None
    if done.returncode != 0:
        raise Unavailable(f"pulumi stack output failed: {done.stderr.strip()[-500:]}")
    return done.stdout


def _before(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NotMet(f"{path} cannot be read: {error}") from error


def _values_of(data: bytes | None) -> dict[str, str]:
    try:
        document: Any = yaml.safe_load(data or b"")
        values: Any = document["data"]
        return {str(name): str(value) for name, value in values.items()}
    except (yaml.YAMLError, TypeError, KeyError, AttributeError):
        # Nothing that this program wrote: all of it is new.
        return {}
