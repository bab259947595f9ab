from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.deploy.mutations import MUTATIONS, RULES
from tests.deploy.policies import BAD, pods
from tests.deploy.render import ACCOUNTS, Rendered, rendered

Rule = Callable[[Rendered], Iterator[str]]


def called(rule: Rule) -> str:
    return rule.__name__


@pytest.mark.parametrize("rule", RULES, ids=called)
def test_the_manifests_keep_every_rule(rule: Rule, found: Rendered) -> None:
    assert list(rule(found)) == []


@pytest.mark.parametrize("case", MUTATIONS)
def test_a_broken_rule_is_noticed(case: str, deploy: Path) -> None:
    rule, change = MUTATIONS[case]
    assert list(rule(rendered(deploy, "staging").changed(change))) != []


def test_every_rule_is_broken_once() -> None:
    assert {rule for rule, _ in MUTATIONS.values()} | {pods} == set(RULES)


@pytest.mark.parametrize("case", BAD)
def test_a_pod_that_must_not_be_is_noticed(case: str, deploy: Path) -> None:
    before = rendered(deploy, "staging")
    for owner in before.templates:
        assert list(pods(before.changed(lambda copy, owner=owner: BAD[case](copy.templates[owner]["spec"])))) != [], (
            owner
        )


def test_production_keeps_two_and_differs_in_nothing_else(deploy: Path) -> None:
    staging, production = (rendered(deploy, each) for each in ("staging", "production"))
    assert production.one("ScaledObject", "rank")["spec"]["minReplicaCount"] == 2

    def alike(copy: Rendered) -> None:
        copy.one("ScaledObject", "rank")["spec"]["minReplicaCount"] = 1

    text = repr(production.changed(alike).all).replace("production", "staging")
    text = text.replace(ACCOUNTS["production"], ACCOUNTS["staging"])
    assert text == repr(staging.all)
