"""The registry's verbs: list, show, diff, verify, fetch. Each prints its result, or raises what is for people."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from service import bundle
from service.diff import Difference, diff, flatten
from service.location import MODELS, ModelNotFound, local_path
from service.manifest import Manifest, valid_name
from service.registry import Entry, ModelRef, fetch_model, manifest_of, open_registry, parse_model_uri
from service.transfer import copy_bundle, install, verify_folder

Verb = Callable[[argparse.Namespace], int]

_PIN = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
_HASH = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")

TARGET = (
    "NAME (its newest version), NAME/VERSION, or the s3:// URI, file:// URI or folder of a model (./NAME for one here)"
)


def add_verbs(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds the verbs to argparse subparsers; `args.run(args)` then returns the exit code."""
    listing = _verb(add, "list", list_models, "list the models of a registry", "list", "list mslr --json")
    listing.add_argument("name", nargs="?", metavar="NAME", help="only this model's versions")

    shown = _verb(add, "show", show, "show what a model was made of", "show mslr", "show ./bundle --json")
    shown.add_argument("target", metavar="MODEL", help=TARGET)

    compared = _verb(
        add, "diff", show_diff, "show what changed between two models", "diff mslr/20240101-0123456789ab mslr"
    )
    compared.add_argument("before", metavar="A", help=TARGET)
    compared.add_argument("after", metavar="B", help=TARGET)

    verified = _verb(
        add, "verify", verify, "check every byte of a model, load it, replay its golden queries", "verify mslr",
        "verify file:///opt/model --sha256 <64 hex digits>",
    )  # fmt: skip
    verified.add_argument("target", metavar="MODEL", help=TARGET)
    _add_pin(verified)

    fetched = _verb(add, "fetch", fetch, "copy a model to a folder, verified", "fetch mslr --into /tmp/models")
    fetched.add_argument("target", metavar="MODEL", help=TARGET)
    fetched.add_argument(
        "--into",
        required=True,
        type=Path,
        metavar="DIR",
        help="the model becomes DIR/NAME/VERSION, whole or not at all",
    )
    _add_pin(fetched)


def list_models(args: argparse.Namespace) -> int:
    registry = open_registry(_registry_uri(args))
    entries = registry.list(args.name)
    if args.json:
        return _write_json([entry.to_json() for entry in entries])
    if not entries:
        return _write([f"no versions{f' of {args.name}' if args.name else ''} in {registry.uri}"])
    header = ("NAME", "VERSION", "COMMIT", "SIZE", "CREATED")
    broken = [f"broken: {entry.name}/{entry.version}: {entry.problem}" for entry in entries if entry.problem]
    return _write([*_table([header, *(_row(entry) for entry in entries)]), *broken])


def show(args: argparse.Namespace) -> int:
    ref = _resolve(args.target, args)
    manifest = manifest_of(ref)
    if args.json:
        return _write_json({"uri": ref.uri, **json.loads(manifest.to_json())})
    rows = [
        ("model", f"{manifest.name}/{manifest.version}"),
        ("uri", ref.uri),
        ("digest", manifest.digest),
        ("created", manifest.created),
        ("commit", f"{manifest.commit}{' (with uncommitted changes)' if manifest.dirty else ''}"),
        ("objective", manifest.objective),
        ("features", f"{manifest.schema.width} (sha256 {manifest.schema.sha256[:12]}): {_some(manifest.schema.names)}"),
    ]
    for section in ("metrics", "parameters", "data", "libraries", "extra"):
        rows += [(f"{section}.{key}", _value(value)) for key, value in flatten(getattr(manifest, section)).items()]
    rows += [(f"files.{name}", f"{entry.size} bytes, sha256 {entry.sha256}") for name, entry in manifest.files.items()]
    return _write(_table(rows))


def show_diff(args: argparse.Namespace) -> int:
    before, after = (manifest_of(_resolve(target, args)) for target in (args.before, args.after))
    differences = diff(before, after)
    if args.json:
        ends = {"before": _identity(before), "after": _identity(after)}
        return _write_json({**ends, "differences": [asdict(difference) for difference in differences]})
    lines = [f"{before.name}/{before.version} -> {after.name}/{after.version}"]
    if not differences:
        lines.append("same content")
    return _write([*lines, *_table([_difference(difference) for difference in differences])])


def verify(args: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as into:
        ref = _resolve(args.target, args)
        folder = fetch_model(ref.uri, Path(into), args.sha256)
        manifest = verify_folder(folder, args.sha256)
        size = sum(entry.size for entry in manifest.files.values())
        steps = {"files": f"{len(manifest.files)} files, {size} bytes, each as the manifest says"}
        steps["digest"] = f"{manifest.digest}{', as pinned' if args.sha256 else ''}"
        _progress(args, "files", steps)
        _progress(args, "digest", steps)

        # Here and no earlier: only this step needs XGBoost, whose import takes a second.
        from service.ranker import Ranker  # noqa: PLC0415

        ranker = Ranker.load(folder / bundle.MODEL, manifest.schema)
        steps["model"] = f"loads, {manifest.schema.width} features"
        _progress(args, "model", steps)
        documents = bundle.replay(ranker, folder)
        steps["golden"] = f"{documents} documents score as when published, bit for bit"
        _progress(args, "golden", steps)
    if args.json:
        return _write_json({**_identity(manifest), "uri": ref.uri, "verified": True, "steps": steps})
    return _write([f"verified {manifest.name}/{manifest.version}"])


def fetch(args: argparse.Namespace) -> int:
    ref = _resolve(args.target, args)
    if ref.registry and ref.name and ref.version:
        folder = open_registry(ref.registry).fetch(ref.name, ref.version, args.into, args.sha256)
        manifest = bundle.read_manifest(folder)
    else:
        source = fetch_model(ref.uri, args.into)
        manifest = verify_folder(source, args.sha256)
        folder = install(args.into, manifest, lambda aside: copy_bundle(source, aside, manifest))
    if args.json:
        return _write_json({**_identity(manifest), "uri": ref.uri, "folder": str(folder)})
    return _write([str(folder)])


def _resolve(target: str, args: argparse.Namespace) -> ModelRef:
    return resolve(target, _registry_uri(args))


def resolve(target: str, registry: str) -> ModelRef:
    """The model that a person names: NAME (its newest version) or NAME/VERSION in the registry, a URI, or a folder.

    Raises RegistryError when there is none.
    """
    name, slash, version = target.partition("/")
    if valid_name(name) and not slash:
        return parse_model_uri(open_registry(registry).newest(name).uri)
    if valid_name(name) and valid_name(version):
        return parse_model_uri(f"{open_registry(registry).uri}/{MODELS}/{name}/{version}")
    ref = parse_model_uri(target)
    if ref.folder is not None and not ref.folder.is_dir():
        raise ModelNotFound(f"{target!r} is no folder, and no NAME or NAME/VERSION either")
    return ref


def _registry_uri(args: argparse.Namespace) -> str:
    # An empty variable is an unset one, as everywhere in a shell.
    return args.registry or os.environ.get("PODIUM_REGISTRY") or default_registry()


def default_registry() -> str:
    """The registry of a checkout: `.podium/registry` in the working folder."""
    return (local_path(".") / ".podium" / "registry").as_uri()


def _verb(
    add: Callable[..., argparse.ArgumentParser], name: str, run: Verb, help_text: str, *examples: str
) -> argparse.ArgumentParser:
    parser = add(
        name,
        help=help_text,
        description=f"{help_text[0].upper()}{help_text[1:]}.",
        epilog="\n".join(("examples:", *(f"  python -m service {example}" for example in examples))),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--registry",
        metavar="URI",
        help="where models are kept: s3://bucket/prefix or a folder (default: PODIUM_REGISTRY, else .podium/registry)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    parser.set_defaults(run=run)
    return parser


def _add_pin(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sha256", type=_pin, metavar="PIN", help="refuse a model whose digest is another")


def _pin(text: str) -> str:
    found = _PIN.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no digest: give 64 hex digits, with or without sha256: before")
    return f"sha256:{found[1]}"


def _identity(manifest: Manifest) -> dict[str, Any]:
    return {"name": manifest.name, "version": manifest.version, "digest": manifest.digest}


def _row(entry: Entry) -> tuple[str, ...]:
    if entry.manifest is None:
        return (entry.name, entry.version, "broken", "", "")
    about = entry.manifest
    return (entry.name, entry.version, about.commit[:10], f"{entry.size / 1e6:.2f} MB", about.created)


def _difference(difference: Difference) -> tuple[str, ...]:
    key = f"{difference.section}.{difference.key}"
    # Whole hashes push the line off the screen; --json has them.
    before, after = (_HASH.sub(r"\1", _value(value)) for value in (difference.before, difference.after))
    if difference.kind == "added":
        return ("+", key, "column " * (difference.section == "features") + after)
    if difference.kind == "removed":
        return ("-", key, "column " * (difference.section == "features") + before)
    delta = "" if difference.delta is None else f" ({difference.delta:+.6g})"
    return ("~", key, f"{'column ' * (difference.kind == 'moved')}{before} -> {after}{delta}")


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 8 else f"{', '.join(names[:8])}, ... (--json lists all)"


def _table(rows: Iterable[Sequence[str]]) -> list[str]:
    cells = [[_printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _printable(text: str) -> str:
    # What a registry holds may be hostile: an escape sequence in a name is not for the terminal to obey.
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def _progress(args: argparse.Namespace, step: str, steps: Mapping[str, str]) -> None:
    if not args.json:
        _write([f"{step:<8} {steps[step]}"])


def _write(lines: Iterable[str]) -> int:
    sys.stdout.writelines(f"{_printable(line)}\n" for line in lines)
    sys.stdout.flush()
    return 0


def _write_json(document: Any) -> int:
    return _write(json.dumps(document, indent=1).splitlines())
