"""A run or a model as lines and tables for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import RenderableType

from service.manifest import Manifest
from training.evaluate import evaluation_table
from training.runs import Run, RunError


def run_lines(run: Run) -> list[RenderableType]:
    about = run.about
    try:
        metrics = run.evaluation
    except RunError as error:
        return [f"run {run.folder}", *_facts(about, about["recipe"]), str(error)]
    return [f"run {run.folder}", *_facts(about, about["recipe"]), *_tables(metrics)]


def model_lines(manifest: Manifest) -> list[RenderableType]:
    about = {
        "name": manifest.name,
        "seed": manifest.parameters.get("seed"),
        "features": manifest.schema.names,
        "data": manifest.data,
        "source": {"commit": manifest.commit, "dirty": manifest.dirty, "created": manifest.created},
        "libraries": manifest.libraries,
    }
    head = [f"model {manifest.name}, version {manifest.version}", f"  digest     {manifest.digest}"]
    return [*head, *_facts(about, manifest.parameters), *_tables(manifest.metrics)]


def _facts(about: Mapping[str, Any], recipe: Mapping[str, Any]) -> list[str]:
    source = about["source"]
    splits: Mapping[str, Any] = about["data"].get("splits", {})
    counts = ", ".join(f"{name} {each['queries']} queries, {each['rows']} rows" for name, each in _ordered(splits))
    return [
        f"  commit     {source['commit']}{' with uncommitted changes' if source['dirty'] else ''}, {source['created']}",
        f"  data       {about['data'].get('sha256', 'unknown')}: {counts}",
        f"  features   {len(about['features'])}: {_some(about['features'])}",
        f"  recipe     {recipe.get('recipe')}, seed {about['seed']}, {recipe.get('tried')} tried",
        *(f"             {name} = {value}" for name, value in recipe.get("parameters", {}).items()),
        "  libraries  " + ", ".join(f"{name} {version}" for name, version in about["libraries"].items()),
    ]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 6 else f"{', '.join(names[:3])}, ... {names[-1]}"


def _tables(metrics: Mapping[str, Any]) -> list[RenderableType]:
    return [evaluation_table(found) for _, found in _ordered(metrics)]


def _ordered(splits: Mapping[str, Any]) -> list[tuple[str, Any]]:
    # JSON was written with sorted keys; people read train, vali, test.
    return sorted(splits.items(), key=lambda item: (item[0] == "test", item[0]))
