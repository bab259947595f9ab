"""IAM's evaluation logic for one account, after the IAM user guide ("Policy evaluation logic"): policies are judged
here that no emulator can judge, as those on keys that it never sets.

An explicit Deny anywhere wins. Else the boundary, where there is one, must allow; and a policy of the caller or of the
resource must. Of other accounts' callers, service control policies and sessions' policies it knows nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.infra.conditions import Context, UnknownPolicy, arn_like, glob, met, substituted

__all__ = ["Decision", "Principal", "Request", "UnknownPolicy", "assumes", "decide"]

Document = Mapping[str, Any] | str
_KNOWN = {"Sid", "Effect", "Principal", "Action", "NotAction", "Resource", "NotResource", "Condition"}


@dataclass(frozen=True)
class Principal:
    """Who asks: a role by its ARN, or a service, or the bearer of an identity provider's token."""

    arn: str = ""
    service: str = ""
    federated: str = ""

    @property
    def account(self) -> str:
        return self.arn.split(":")[4] if self.arn else ""


@dataclass(frozen=True)
class Request:
    action: str
    resource: str
    context: Context = field(default_factory=dict[str, str])
    principal: Principal = Principal("arn:aws:iam::111122223333:role/somebody")


@dataclass(frozen=True)
class Decision:
    allowed: bool
    why: str

    def __bool__(self) -> bool:
        return self.allowed


def decide(
    request: Request,
    identity: Sequence[Document] = (),
    resource: Document | None = None,
    boundary: Document | None = None,
    *,
    guarded: bool = False,
) -> Decision:
    """
    Args:
        identity: the policies of who asks.
        resource: the policy of what is asked for.
        guarded: the resource's policy must allow too, if only by naming the account, as KMS has it.
    """
    request = replace(request, context=_full(request))
    on_resource = [] if resource is None else list(_statements(resource))
    mine = [each for document in identity for each in _statements(document)]
    limit = None if boundary is None else list(_statements(boundary))
    for statements, of_resource in ((mine, False), (limit or [], False), (on_resource, True)):
        for each in statements:
            if each["Effect"] == "Deny" and _applies(each, request, of_resource=of_resource):
                return Decision(False, f"explicit deny: {each.get('Sid', '?')}")
    if limit is not None and not _allowing(limit, request):
        return Decision(False, "the boundary does not allow it")
    by_resource = [
        each for each in on_resource if each["Effect"] == "Allow" and _applies(each, request, of_resource=True)
    ]
    # The account's name in a resource's policy hands the question on to IAM, and is no answer yet.
    named = [each for each in by_resource if not _delegates(each, request.principal)]
    if named:
        return Decision(True, f"the resource allows: {named[0].get('Sid', '?')}")
    if guarded and not by_resource:
        return Decision(False, "the resource's policy does not name the account")
    found = _allowing(mine, request)
    return Decision(
        found is not None, "no statement allows it" if found is None else f"allowed: {found.get('Sid', '?')}"
    )


def assumes(trust: Document, request: Request) -> Decision:
    """Whether a trust policy lets the caller have the role. It has no Resource: it is on the role."""
    statements = list(_statements(trust, of_role=True))
    found = [each for each in statements if _applies(each, request, of_resource=True, of_role=True)]
    for each in found:
        if each["Effect"] == "Deny":
            return Decision(False, f"explicit deny: {each.get('Sid', '?')}")
    return Decision(bool(found), f"trusted: {found[0].get('Sid', '?')}" if found else "nobody trusts it")


def _full(request: Request) -> dict[str, Any]:
    """What AWS adds to each request's context by itself."""
    principal = request.principal
    made = {"aws:PrincipalAccount": principal.account, "aws:PrincipalArn": principal.arn} if principal.arn else {}
    return {**made, **request.context}


def _statements(document: Document, *, of_role: bool = False) -> Iterator[Mapping[str, Any]]:
    read: Mapping[str, Any] = json.loads(document) if isinstance(document, str) else document
    if read.get("Version") != "2012-10-17":
        raise UnknownPolicy(f"a policy of version {read.get('Version')}: variables are understood from 2012-10-17 on")
    statements = read["Statement"]
    for each in [statements] if isinstance(statements, dict) else statements:
        _check(each, of_role=of_role)
        yield each


def _check(statement: Mapping[str, Any], *, of_role: bool) -> None:
    if unknown := set(statement) - _KNOWN:
        raise UnknownPolicy(f"{sorted(unknown)[0]} of a statement is not understood here")
    if statement.get("Effect") not in ("Allow", "Deny"):
        raise UnknownPolicy(f"a statement's Effect is {statement.get('Effect')}")
    if ("Action" in statement) == ("NotAction" in statement):
        raise UnknownPolicy("a statement has Action or NotAction")
    if ("Resource" in statement and "NotResource" in statement) or (of_role and "Resource" in statement):
        raise UnknownPolicy("a statement has Resource or NotResource, and none on a role")


def _allowing(statements: Sequence[Mapping[str, Any]], request: Request) -> Mapping[str, Any] | None:
    found = (each for each in statements if each["Effect"] == "Allow" and _applies(each, request))
    return next(found, None)


def _applies(
    statement: Mapping[str, Any], request: Request, *, of_resource: bool = False, of_role: bool = False
) -> bool:
    if of_resource and not _names(statement, request.principal):
        return False
    if not of_resource and "Principal" in statement:
        raise UnknownPolicy("a policy of an identity names a principal")
    actions = _texts(statement.get("Action", statement.get("NotAction")))
    if any(glob(each, request.action, ignore_case=True) for each in actions) != ("Action" in statement):
        return False
    if not _on(statement, request, of_resource=of_resource or of_role):
        return False
    return met(statement.get("Condition", {}), request.context)


def _on(statement: Mapping[str, Any], request: Request, *, of_resource: bool) -> bool:
    given = statement.get("Resource", statement.get("NotResource"))
    if given is None:
        if of_resource:
            # The policies of roles and repositories are on one thing, and name none.
            return True
        raise UnknownPolicy("a policy of an identity names no resource")
    patterns = (substituted(each, request.context) for each in _texts(given))
    matched = any(each is not None and arn_like(each, request.resource) for each in patterns)
    return matched == ("Resource" in statement)


def _names(statement: Mapping[str, Any], principal: Principal) -> bool:
    named = statement.get("Principal")
    if named is None:
        raise UnknownPolicy("a resource's policy names no principal")
    if named == "*":
        return True
    for kind, values in named.items():
        if kind not in ("AWS", "Service", "Federated"):
            raise UnknownPolicy(f"a principal of kind {kind} is not understood here")
        for each in _texts(values):
            if kind == "AWS" and (each in ("*", principal.arn) or _is_account(each, principal)):
                return True
            if kind == "Service" and principal.service and each == principal.service:
                return True
            if kind == "Federated" and principal.federated and each == principal.federated:
                return True
    return False


def _delegates(statement: Mapping[str, Any], principal: Principal) -> bool:
    named = statement["Principal"]
    values = _texts(named.get("AWS", [])) if isinstance(named, dict) else []
    return bool(values) and all(_is_account(each, principal) for each in values)


def _is_account(text: str, principal: Principal) -> bool:
    account = principal.account
    return bool(account) and text in (account, f"arn:aws:iam::{account}:root")


def _texts(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
