"""Everything that scaler, alerts and dashboard ask of Prometheus, and whether there is such a thing."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from prometheus_client.parser import text_string_to_metric_families

from tests.deploy.render import Rendered
from tests.engines.environments import python_for, requirement

# What Prometheus adds to what it scrapes.
TARGET = {"pod", "namespace", "job", "instance", "container", "endpoint"}
Series: TypeAlias = Mapping[str, list[Mapping[str, str]]]


def queries(found: Rendered) -> dict[str, str]:
    """Each by where it is."""
    triggers = found.one("ScaledObject", "rank")["spec"]["triggers"]
    (query,) = [each["metadata"]["query"] for each in triggers if each["type"] == "prometheus"]
    asked = {"the scaler": query}
    for group in found.one("PrometheusRule", "rank")["spec"]["groups"]:
        asked |= {f"alert {rule['alert']}": rule["expr"] for rule in group["rules"]}
    board = json.loads(found.one("ConfigMap", "rank-dashboard")["data"]["dashboard.json"])
    for panel in board["panels"]:
        asked |= {f"panel {panel['title']!r} {each['refId']}": each["expr"] for each in panel["targets"]}
    return asked


def parsed(texts: Iterable[str]) -> list[dict[str, Any]]:
    """By Prometheus's own grammar: what each asks for, or what is wrong with it."""
    script = Path(__file__).with_name("promql.py")
    command = [str(python_for(requirement("manifests"))), str(script)]
    done = subprocess.run(
        command, input=json.dumps(list(texts)), capture_output=True, text=True, check=True, timeout=60
    )
    return json.loads(done.stdout)


def series(*expositions: str) -> Series:
    """The samples of what was scraped, by name. A counter with labels has none before it counts, but has its name."""
    found: dict[str, list[Mapping[str, str]]] = {}
    for text in expositions:
        for family in text_string_to_metric_families(text):
            if not family.samples:
                suffix = "_total" if family.type == "counter" else ""
                found.setdefault(family.name + suffix, [])
            for sample in family.samples:
                found.setdefault(sample.name, []).append(sample.labels)
    return found


def missing(asked: Mapping[str, str], live: Series) -> Iterator[str]:
    """What is asked for and not there: a metric, a label, or a value that nothing has."""
    for (where, text), answer in zip(asked.items(), parsed(asked.values()), strict=True):
        if "error" in answer:
            yield f"{where}: {answer['error']}: {text}"
        for name, matchers in answer.get("asked", []):
            if name not in live:
                yield f"{where}: there is no metric {name}"
                continue
            for label, (operator, value) in matchers.items():
                values = {sample.get(label) for sample in live[name]}
                if live[name] and label not in TARGET and not _matches(values, operator, value):
                    yield f"{where}: no {name} has {label} {operator} {value!r}; there are {sorted(map(str, values))}"


def _matches(values: Iterable[str | None], operator: str, value: str) -> bool:
    """Whether some series has the label, with a value as wanted; of alternatives, each one."""
    present = [each for each in values if each is not None]
    if operator == "Re":
        return all(any(re.fullmatch(part, each) for each in present) for part in value.split("|"))
    return bool(present) and (operator != "Equal" or value in present)
