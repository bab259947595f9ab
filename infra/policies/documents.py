"""IAM policy documents, taken apart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from infra.policies.rules import items


@dataclass(frozen=True)
class Statement:
    sid: str
    effect: str
    actions: list[str]
    resources: list[str]
    # What it leaves out instead of naming: NotAction, NotResource, NotPrincipal.
    inverted: list[str]
    principals: dict[str, list[str]]
    conditions: list[tuple[str, str, list[str]]]

    @property
    def allows(self) -> bool:
        return self.effect == "Allow"

    @property
    def anyone(self) -> bool:
        return any("*" in names for names in self.principals.values())

    def covers(self, action: str) -> bool:
        # Allowing every action is refused as that, and not once more for each that matters.
        patterns = [each.lower() for each in self.actions if each != "*" or not self.allows]
        return any(fnmatchcase(action.lower(), pattern) for pattern in patterns)

    def condition(self, operator: str, key: str) -> list[str]:
        """The values that exactly this operator compares a key with; keys are not case sensitive."""
        return [
            value
            for found, name, values in self.conditions
            if found.lower() == operator.lower() and name.lower() == key.lower()
            for value in values
        ]

    def requires(self, key: str) -> bool:
        """Whether a request that lacks the key is refused. Operators for sets of values and those that end in IfExists
        hold for a key that is not there."""
        if self.condition("Null", key) == ["false"]:
            return True
        return any(
            name.lower() == key.lower()
            and operator.lower() != "null"
            and not operator.lower().endswith("ifexists")
            and not operator.lower().startswith("forallvalues:")
            for operator, name, _ in self.conditions
        )


def statements(document: str | None) -> list[Statement]:
    """Raises:
    json.JSONDecodeError: it is no document.
    """
    if document is None:
        return []
    return [_statement(each) for each in items(json.loads(document).get("Statement"))]


def allowed(document: str | None) -> Iterator[Statement]:
    return (statement for statement in statements(document) if statement.allows)


def _statement(raw: dict[str, Any]) -> Statement:
    principal = raw.get("Principal", {})
    return Statement(
        sid=raw.get("Sid", "a statement"),
        effect=raw.get("Effect", ""),
        actions=items(raw.get("Action")),
        resources=items(raw.get("Resource")),
        inverted=[key for key in ("NotAction", "NotResource", "NotPrincipal") if key in raw],
        principals={"*": ["*"]} if principal == "*" else {kind: items(names) for kind, names in principal.items()},
        conditions=[
            (operator, key, [_text(value) for value in items(values)])
            for operator, tests in raw.get("Condition", {}).items()
            for key, values in tests.items()
        ],
    )


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
