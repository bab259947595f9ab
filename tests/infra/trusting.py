"""Whom a policy trusts: GitHub's jobs claim by claim, services for this account alone, and nobody else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.infra.documents import Document, documents, texts
from tests.infra.graph import Graph

GITHUB = "token.actions.githubusercontent.com"
SUBJECT = re.compile(r"repo:([\w.-]+)(@\d+)?/([\w.-]+)(@\d+)?:environment:[\w-]+")
SOURCES = ("aws:sourceaccount", "aws:sourcearn", "kms:encryptioncontext:aws:logs:arn")
# EC2 starts nodes, and tells trust policies nothing of for whom.
SOURCELESS = frozenset({"ec2.amazonaws.com"})


def trusted(document: Document, statement: Mapping[str, Any]) -> Iterator[str]:
    principal = statement.get("Principal")
    if principal is None:
        yield "it names no principal"
    if statement["Effect"] != "Allow" or not principal:
        return
    if principal == "*" or any("*" in each for values in principal.values() for each in texts(values)):
        # What an endpoint lets through is still to be allowed by the caller's own policies.
        if "vpcEndpoint" not in document.kind:
            yield "it trusts anybody"
        return
    for each in texts(principal.get("AWS")):
        root = document.kind == "aws:kms/key:Key" and re.fullmatch(r"arn:aws:iam::\d{12}:root", each)
        ours = re.fullmatch(r"arn:aws:iam::\d{12}:role/podium-[\w-]+", each)
        if not (root or ours):
            yield f"it trusts {each}"


def sourced(_: Document, statement: Mapping[str, Any]) -> Iterator[str]:
    principal = statement.get("Principal")
    services = texts(principal.get("Service")) if isinstance(principal, dict) else []
    if statement["Effect"] != "Allow" or not set(services) - SOURCELESS:
        return
    bound = {
        key.lower()
        for operator, keys in statement.get("Condition", {}).items()
        if operator in ("StringEquals", "StringLike", "ArnEquals", "ArnLike")
        for key, value in keys.items()
        if not any(_vague(key, each) for each in texts(value))
    }
    if not bound & set(SOURCES):
        yield f"{services[0]} acts for any account"


def _vague(key: str, value: str) -> bool:
    """An ARN binds to an account only where it names one, and a bucket's name none."""
    parts = value.split(":")
    account = parts[4] if len(parts) > 5 else value
    return "*" in account and not (key.lower().endswith("arn") and value.startswith("arn:aws:s3:::"))


def federated(_: Document, statement: Mapping[str, Any]) -> Iterator[str]:
    principal = statement.get("Principal")
    if not isinstance(principal, dict) or "Federated" not in principal or statement["Effect"] != "Allow":
        return
    if texts(statement.get("Action")) != ["sts:AssumeRoleWithWebIdentity"]:
        yield "a token is for AssumeRoleWithWebIdentity alone"
    equal = {key.lower(): value for key, value in statement.get("Condition", {}).get("StringEquals", {}).items()}
    if texts(equal.get(f"{GITHUB}:aud")) != ["sts.amazonaws.com"]:
        yield "its audience is not pinned"
    subjects = texts(equal.get(f"{GITHUB}:sub"))
    if not subjects:
        yield "its subject is not pinned"
    yield from (f"its subject is not one environment's: {each}" for each in subjects if not SUBJECT.fullmatch(each))
    for operator in statement.get("Condition", {}):
        if operator.startswith("ForAllValues"):
            yield f"{operator} holds for a token without the claim"


def one_repository(graph: Graph) -> Iterator[str]:
    found: set[tuple[str, str]] = set()
    for document in documents(graph):
        for statement in document.statements:
            for keys in statement.get("Condition", {}).values() if document.kind == "trust" else ():
                matches = (SUBJECT.fullmatch(each) for each in texts(keys.get(f"{GITHUB}:sub")))
                found |= {(each[1], each[3]) for each in matches if each}
    if len(found) > 1:
        yield f"tokens of {len(found)} repositories are trusted: {sorted(found)}"
