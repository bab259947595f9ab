"""What AWS's service authorization reference says of actions: levels, resources, condition keys; by policy-sentry."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any

from policy_sentry.shared.iam_data import get_service_prefix_data  # pyright: ignore[reportUnknownVariableType]

from tests.infra.conditions import glob

# What the reference leaves out (API Gateway developer guide, "Control access to API Gateway resources by tags").
UNLISTED = {"apigateway": frozenset({"arn:*:apigateway:*::/tags/*"})}
CHANGING = frozenset({"Write", "Permissions management", "Tagging"})
MANAGING = "Permissions management"


@dataclass(frozen=True)
class Action:
    """
    Args:
        arns: forms of what it can be asked of, with stars; none where it can only be allowed on everything.
        keys: of conditions, those with a name of one's own as patterns.
    """

    name: str
    level: str
    arns: frozenset[str]
    keys: frozenset[str]


@functools.cache
def expand(pattern: str) -> tuple[Action, ...]:
    """The actions that a policy's pattern stands for; none where there is no such action."""
    service, _, verb = pattern.partition(":")
    known = _of(service.lower()) if verb else ()
    return tuple(each for each in known if glob(pattern, each.name, ignore_case=True))


@functools.cache
def overlap(one: str, other: str) -> bool:
    """Whether some text matches both patterns."""
    one, other = (re.sub(r"\*+", "*", each) for each in (one, other))

    @functools.cache
    def both(left: int, right: int) -> bool:
        if left == len(one) and right == len(other):
            return True
        star = left < len(one) and one[left] == "*", right < len(other) and other[right] == "*"
        if star[0]:
            return both(left + 1, right) or (right < len(other) and both(left, right + 1))
        if star[1]:
            return both(left, right + 1) or (left < len(one) and both(left + 1, right))
        if left == len(one) or right == len(other):
            return False
        return (one[left] == other[right] or "?" in (one[left], other[right])) and both(left + 1, right + 1)

    return both(0, 0)


@functools.cache
def fits(resource: str, action: Action) -> bool:
    """Whether an action can be asked of something that a policy's pattern stands for."""
    return resource == "*" or any(_overlap_by_parts(resource, form) for form in action.arns)


def _overlap_by_parts(resource: str, form: str) -> bool:
    # A bucket has no slash in its name: behind it an object begins.
    if form.endswith(":s3:::*") and "/" in resource:
        return False
    pairs = list(zip(resource.split(":", 5), form.split(":", 5), strict=False))
    return len(pairs) == 6 and all(overlap(*each) for each in pairs)


def knows(key: str, action: Action) -> bool:
    """Whether AWS sets a condition key for an action. Global keys are set for all, but for a few that need a service's
    help, which the reference does not tell."""
    return key.lower().startswith("aws:") or any(glob(each, key, ignore_case=True) for each in action.keys)


@functools.cache
def _of(service: str) -> tuple[Action, ...]:
    data: dict[str, Any] = get_service_prefix_data(service) or {}
    return tuple(_action(service, each, data["resources"]) for each in data.get("privileges", {}).values())


def _action(service: str, privilege: dict[str, Any], resources: dict[str, Any]) -> Action:
    arns = set(UNLISTED.get(service, ()))
    keys: set[str] = set()
    for kind in privilege["resource_types"].values():
        keys |= set(kind["condition_keys"])
        if kind["resource_type"]:
            about = resources[kind["resource_type"].rstrip("*")]
            arns.add(_pattern(about["arn"]))
            keys |= set(about["condition_keys"])
    return Action(
        f"{service}:{privilege['privilege']}",
        privilege["access_level"],
        frozenset(arns),
        frozenset(_pattern(each).replace("<key>", "*") for each in keys),
    )


def _pattern(template: str) -> str:
    return re.sub(r"\$\{[^}]*\}", "*", template)
