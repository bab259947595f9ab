"""IAM's condition operators, as the IAM user guide defines them ("IAM JSON policy elements: Condition operators").

What is not known here is refused and never guessed: an operator that silently holds would prove anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Value = str | Sequence[str]
Context = Mapping[str, Value]
"""What a request tells, by condition key: a list where the key has many values."""


class UnknownPolicy(ValueError):
    """A policy holds something that is not understood here."""


def glob(pattern: str, text: str, *, ignore_case: bool = False) -> bool:
    """`*` and `?`, which stand for anything."""
    expression = "".join({"*": ".*", "?": "."}.get(each, re.escape(each)) for each in pattern)
    return re.fullmatch(expression, text, re.DOTALL | (re.IGNORECASE if ignore_case else 0)) is not None


def arn_like(pattern: str, text: str) -> bool:
    """Each of an ARN's six parts by itself, so that a star does not reach into the next."""
    if pattern == "*":
        return True
    wanted, given = pattern.split(":", 5), text.split(":", 5)
    return len(wanted) == len(given) and all(glob(each, part) for each, part in zip(wanted, given, strict=True))


def _number(compare: Callable[[float, float], bool]) -> Callable[[str, str], bool]:
    return lambda pattern, text: compare(float(text), float(pattern))


# Of one value of the policy and one of the request.
POSITIVE: Mapping[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda pattern, text: pattern == text,
    "StringEqualsIgnoreCase": lambda pattern, text: pattern.lower() == text.lower(),
    "StringLike": glob,
    "ArnEquals": arn_like,
    "ArnLike": arn_like,
    "Bool": lambda pattern, text: pattern.lower() == text.lower(),
    "NumericEquals": _number(lambda left, right: left == right),
    "NumericLessThan": _number(lambda left, right: left < right),
    "NumericLessThanEquals": _number(lambda left, right: left <= right),
    "NumericGreaterThan": _number(lambda left, right: left > right),
    "NumericGreaterThanEquals": _number(lambda left, right: left >= right),
}
NEGATIVE: Mapping[str, str] = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NumericNotEquals": "NumericEquals",
}


def listed(value: Any) -> list[str]:
    """A policy's value, of which a list may have one element alone; JSON's booleans and numbers are strings there."""
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if isinstance(value, list | tuple):
        return [text for each in value for text in listed(each)]
    return [str(value)]


def met(conditions: Mapping[str, Mapping[str, Any]], context: Context) -> bool:
    """Whether all operators hold for all of their keys."""
    known = {key.lower(): value for key, value in context.items()}
    return all(
        _holds(operator, listed(wanted), known, key.lower())
        for operator, keys in conditions.items()
        for key, wanted in keys.items()
    )


def _holds(operator: str, wanted: Sequence[str], context: Context, key: str) -> bool:
    qualifier, _, rest = operator.rpartition(":")
    plain = rest.removesuffix("IfExists")
    given = context.get(key)
    if operator == "Null":
        return str(given is None).lower() in [each.lower() for each in wanted]
    if plain not in POSITIVE and plain not in NEGATIVE:
        raise UnknownPolicy(f"the operator {operator} is not known here")
    if qualifier not in ("", "ForAllValues", "ForAnyValue"):
        raise UnknownPolicy(f"the qualifier of {operator} is not known here")
    if given is None and rest != plain:
        return True
    # Variables are written of the request, as ${aws:PrincipalAccount}.
    patterns = [each for text in wanted if (each := substituted(text, context)) is not None]
    if not qualifier:
        if given is not None and not isinstance(given, str):
            raise UnknownPolicy(f"{key} has many values, and {operator} is of one")
        return plain in NEGATIVE if given is None else _one(plain, patterns, given)
    values = [] if given is None else [given] if isinstance(given, str) else list(given)
    # The trap of ForAllValues: it holds where there is nothing.
    judged = [_one(plain, patterns, each) for each in values]
    return all(judged) if qualifier == "ForAllValues" else any(judged)


def _one(operator: str, patterns: Sequence[str], text: str) -> bool:
    if operator in NEGATIVE:
        return not _one(NEGATIVE[operator], patterns, text)
    return any(POSITIVE[operator](pattern, text) for pattern in patterns)


def substituted(text: str, context: Context) -> str | None:
    """`text` with its policy variables written out; None where the request has no such key, and nothing matches."""
    known = {key.lower(): value for key, value in context.items()}
    for name in re.findall(r"\$\{([^}]+)\}", text):
        if name in ("*", "?", "$"):
            raise UnknownPolicy(f"{text}: an escaped wildcard is not understood here")
        value = known.get(name.lower())
        if not isinstance(value, str):
            return None
        text = text.replace(f"${{{name}}}", value)
    return text
