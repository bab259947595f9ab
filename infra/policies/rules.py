"""What a rule is: a generator of complaints about one resource, made into a policy that Pulumi's engine calls.

A rule of one resource stops that resource before it is made. A rule of the stack sees what belongs to a resource and
is asked once everything is known.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    Severity,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError

Props = Mapping[str, Any]
ResourceCheck = Callable[[ResourceValidationArgs], Iterable[str]]
StackCheck = Callable[[PolicyResource, "Stack"], Iterable[str]]


def resource_rule(
    name: str, kinds: str | Iterable[str], says: str, *, fix: str, severity: Severity = Severity.HIGH
) -> Callable[[ResourceCheck], ResourceValidationPolicy]:
    """A rule that one resource of these kinds keeps or breaks by itself."""
    wanted = {kinds} if isinstance(kinds, str) else set(kinds)

    def made(check: ResourceCheck) -> ResourceValidationPolicy:
        def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
            if args.resource_type in wanted:
                for complaint in _complaints(check(args)):
                    report(complaint, args.urn)

        return ResourceValidationPolicy(
            name, says, validate, EnforcementLevel.MANDATORY, severity=severity, remediation_steps=fix
        )

    return made


def stack_rule(
    name: str, kinds: str | Iterable[str], says: str, *, fix: str, severity: Severity = Severity.HIGH
) -> Callable[[StackCheck], StackValidationPolicy]:
    """A rule that each resource of these kinds keeps or breaks together with others."""
    wanted = [kinds] if isinstance(kinds, str) else list(kinds)

    def made(check: StackCheck) -> StackValidationPolicy:
        def validate(args: StackValidationArgs, report: ReportViolation) -> None:
            stack, unknown = Stack(args.resources), None
            for resource in stack.of(*wanted):
                try:
                    for complaint in _complaints(check(resource, stack)):
                        report(complaint, resource.urn)
                except UnknownValueError as error:
                    # The first preview does not know every name yet; what it knows of the others is judged all the
                    # same, and the engine is told afterwards that something could not be.
                    unknown = error
            if unknown:
                raise unknown

        return StackValidationPolicy(
            name, says, validate, EnforcementLevel.MANDATORY, severity=severity, remediation_steps=fix
        )

    return made


def _complaints(found: Iterable[str]) -> Iterator[str]:
    try:
        yield from found
    except json.JSONDecodeError as error:
        yield f"holds a document that is not JSON: {error}"


class Stack:
    """The resources of a stack, and which of them belong together."""

    def __init__(self, resources: list[PolicyResource]) -> None:
        self._resources = resources

    def of(self, *kinds: str) -> list[PolicyResource]:
        return [resource for resource in self._resources if resource.resource_type in kinds]

    def naming(self, target: PolicyResource, kind: str, key: str) -> list[PolicyResource]:
        """Those of `kind` whose property `key` names the target."""
        return [resource for resource in self.of(kind) if names(resource, key, target)]

    def named_by(self, source: PolicyResource, key: str, kind: str) -> list[PolicyResource]:
        """Those of `kind` that the source's property `key` names."""
        return [resource for resource in self.of(kind) if names(source, key, resource)]


def names(source: PolicyResource, key: str, target: PolicyResource) -> bool:
    """Whether a property was made from the target's outputs, or holds what the target is called."""
    if any(used.urn == target.urn for used in source.property_dependencies.get(key, [])):
        return True
    value = known(source.props, key)
    held = [value] if isinstance(value, str) else list(value or [])
    return not _called(target).isdisjoint(item for item in held if isinstance(item, str))


def _called(resource: PolicyResource) -> set[str]:
    found = (known(resource.props, key) for key in ("id", "arn", "name", "bucket", "url", "keyId"))
    return {value for value in found if isinstance(value, str) and value}


def known(props: Props, key: str) -> Any:
    """A property, or None while a preview does not know it."""
    try:
        return props.get(key)
    except UnknownValueError:
        return None


def at(props: Props | None, *path: str | int) -> Any:
    """What lies at a path of keys and positions, or None where it ends early."""
    found: Any = props
    for step in path:
        try:
            found = found[step]
        except (KeyError, IndexError, TypeError):
            return None
    return found


def items(value: Any) -> list[Any]:
    """A list, whether it was written as one, as a single value, or not at all."""
    if value is None:
        return []
    return [value] if isinstance(value, str | bool | int | float | Mapping) else list(value)
