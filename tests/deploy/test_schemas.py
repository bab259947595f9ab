from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.render import Object, Rendered
from tests.deploy.schemas import core_findings, custom, custom_findings, minors


def test_the_minors_follow_the_clusters() -> None:
    assert minors()[0] == "1.35"
    assert len(minors()) == 3


@pytest.mark.parametrize("minor", minors())
def test_core_objects_fit_strictly(minor: str, found: Rendered) -> None:
    core = [each for each in found.all if not custom(each)]
    assert {"Deployment", "NetworkPolicy", "Job", "Ingress", "PriorityClass"} <= {each["kind"] for each in core}
    assert [line for each in core for line in core_findings(each, minor)] == []


def test_custom_resources_fit_strictly(found: Rendered, crds: Path) -> None:
    own = [each for each in found.all if custom(each)]
    kinds = {each["kind"] for each in own}
    assert kinds == {
        "AppProject", "Application", "ApplicationSet", "IngressClassParams", "NodeClass", "NodePool",
        "PodMonitor", "PrometheusRule", "ScaledObject",
    }  # fmt: skip
    assert [line for each in own for line in custom_findings(each, crds)] == []


WRONG: dict[str, tuple[str, str, Callable[[Object], Any]]] = {
    "a misspelt field": ("Deployment", "rank", lambda each: each["spec"].update(minReadySecond=5)),
    "of another type": ("Deployment", "rank-gateway", lambda each: each["spec"].update(replicas="two")),
    "deep inside": (
        "Deployment", "rank", lambda each: each["spec"]["template"]["spec"]["containers"][0].update(readyProbe={}),
    ),
    "a custom one's misspelt field": ("ScaledObject", "rank", lambda each: each["spec"].update(minReplicas=1)),
    "a custom one's word": (
        "ScaledObject", "rank", lambda each: each["spec"]["fallback"].update(behavior="currentReplicasIfHighest"),
    ),
    "deep inside a custom one": (
        "ApplicationSet", "podium", lambda each: each["spec"]["template"]["spec"]["syncPolicy"].update(selfHeal=True),
    ),
    "an alert's field": (
        "PrometheusRule", "rank", lambda each: each["spec"]["groups"][0]["rules"][0].update(expression="1"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_found(case: str, found: Rendered, request: pytest.FixtureRequest) -> None:
    kind, name, change = WRONG[case]
    wrong = found.changed(lambda copy: change(copy.one(kind, name))).one(kind, name)
    if custom(wrong):
        assert custom_findings(wrong, request.getfixturevalue("crds"))
    else:
        assert core_findings(wrong, minors()[0])
