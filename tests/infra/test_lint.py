"""The committed stacks are clean, and each thing that the lint is there for is found when it is broken."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from infra.applying import MANAGED
from tests.infra import lint
from tests.infra.conftest import Graphs
from tests.infra.documents import ATTACHMENT, INLINE, POLICY, ROLE
from tests.infra.graph import Graph, Resource
from tests.infra.lint import findings
from tests.infra.rights import committed
from tests.infra.stacks import STACKS

Change = Callable[[dict[str, Any]], None]
KEY, BUCKET, PULLED = "aws:kms/key:Key", "aws:s3/bucketPolicy:BucketPolicy", "aws:ecr/repositoryPolicy:RepositoryPolicy"
SUB, AUD = "token.actions.githubusercontent.com:sub", "token.actions.githubusercontent.com:aud"
OTHER = "repo:evil@1/podium@2:environment:images"


@pytest.mark.parametrize("variant", ["day 0", "released", "everything"])
@pytest.mark.parametrize("stack", STACKS)
def test_the_stacks_are_clean(graphs: Graphs, stack: str, variant: str) -> None:
    assert findings(graphs(stack, variant)) == []


def broken(graph: Graph, type_: str, name: str, change: Change, key: str) -> Graph:
    """The graph with one policy changed."""
    return _with(graph, type_, name, lambda inputs: _rewrite(inputs, key, change))


def _rewrite(inputs: dict[str, Any], key: str, change: Change) -> None:
    value = inputs[key]
    document = json.loads(value) if isinstance(value, str) else value
    change(document)
    inputs[key] = json.dumps(document)


def _with(graph: Graph, type_: str, name: str, change: Change) -> Graph:
    found = graph.one(type_, name)
    inputs = copy.deepcopy(found.inputs)
    change(inputs)
    changed = replace(found, inputs=inputs)
    return replace(graph, resources=tuple(changed if each is found else each for each in graph.resources))


def _more(graph: Graph, type_: str, inputs: dict[str, Any]) -> Graph:
    urn = f"urn:pulumi:staging::podium::{type_}::more"
    made = Resource(urn, type_, "more", "more", "", inputs, {}, False, False, (), {}, "", True, False)
    return replace(graph, resources=(*graph.resources, made))


def put(sid: str, **fields: Any) -> Change:
    """Sets what a statement has; None takes it out."""

    def change(document: dict[str, Any]) -> None:
        (found,) = (each for each in document["Statement"] if each["Sid"] == sid)
        found.update(fields)
        for key in [key for key, value in found.items() if value is None]:
            del found[key]

    return change


def condition(sid: str, operator: str, key: str | None, value: Any) -> Change:
    def change(document: dict[str, Any]) -> None:
        (found,) = (each for each in document["Statement"] if each["Sid"] == sid)
        keys = found.setdefault("Condition", {}).setdefault(operator, {})
        if key is None:
            del found["Condition"][operator]
        elif value is None:
            del keys[key]
        else:
            keys[key] = value

    return change


def more(**statement: Any) -> Change:
    return lambda document: document["Statement"].append({"Sid": "More", "Effect": "Allow", **statement})


IDENTITY: list[tuple[str, Change, str]] = [
    ("rank", put("Read", Action=["s3:GetObjekt"]), "there is no action s3:GetObjekt"),
    ("rank", put("Read", Action=["nowhere:Get"]), "there is no action nowhere:Get"),
    ("rank", put("Read", Action=["s3"]), "there is no action s3"),
    ("rank", put("Read", Action=["s3:ListBucket"]), "s3:ListBucket is not asked of"),
    ("rank", put("Read", Resource=["arn:aws:s3:::b"]), "s3:GetObject is not asked of arn:aws:s3:::b"),
    ("rank", put("Read", Resource=["arn:aws:s3:::b/*", "arn:aws:sqs:*:*:x"]), "actions is asked of arn:aws:sqs"),
    ("rank", more(Action="*", Resource="arn:aws:s3:::b/*"), "it allows every action"),
    ("rank", more(NotAction="s3:*", Resource="arn:aws:s3:::b/*"), "it allows all but some: NotAction"),
    ("rank", more(Action="s3:GetObject", NotResource="arn:aws:s3:::b/*"), "it allows all but some: NotResource"),
    ("jobs", put("Send", Resource=["*"]), "sqs:SendMessage changes everything"),
    ("jobs", put("Send", Action=["sqs:*"], Resource=["*"]), "sqs:* changes everything"),
    ("rank", more(Action=["s3:PutBucketPolicy"], Resource=["arn:aws:s3:::b"]), "rank manages rights"),
    ("job", condition("Disks", "Bool", "kms:GrantIsForAWSResource", None), "without kms:GrantIsForAWSResource"),
    ("train", put("Pass", Resource=["*"]), "it passes *"),
    ("train", put("Pass", Resource=["arn:aws:iam::111122223333:role/*"]), "it passes arn:aws:iam"),
    ("train", put("Pass", Condition=None), "it passes roles to any service"),
    ("train", condition("Pass", "StringEquals", "iam:PassedToService", "*"), "it passes roles to any service"),
    ("train", condition("Start", "Bool", "sagemaker:NetworkIsolated", "true"), "AWS sets no sagemaker:networkisolated"),
    ("rank", put("Read", Sid="Find"), "its statements have no names of their own"),
    ("push", more(Action="s3:GetObject", Resource=[f"arn:aws:s3:::b/{n:0120}" for n in range(99)]), "AWS takes 10240"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "says"), IDENTITY)
def test_rights_that_are_too_wide_or_none(name: str, change: Change, says: str) -> None:
    _only(broken(committed("staging"), INLINE, name, change, "policy"), says)


TRUST: list[tuple[str, Change, str]] = [
    ("push", condition("Assume", "StringEquals", AUD, None), "its audience is not pinned"),
    ("push", condition("Assume", "StringEquals", AUD, ["sts.amazonaws.com", "x"]), "its audience is not pinned"),
    ("push", condition("Assume", "StringEquals", None, None), "its subject is not pinned"),
    ("push", condition("Assume", "StringEquals", SUB, None), "its subject is not pinned"),
    ("push", condition("Assume", "StringEquals", SUB, "*"), "its subject is not one environment's: *"),
    ("push", condition("Assume", "StringEquals", SUB, "repo:octo-org/*"), "its subject is not one"),
    ("push", condition("Assume", "StringEquals", SUB, "repo:octo-org/podium:*"), "its subject is not one"),
    ("push", condition("Assume", "StringEquals", SUB, "repo:octo-org/podium:pull_request"), "its subject is not one"),
    ("push", condition("Assume", "StringEquals", SUB, "repo:octo-org/podium:environment:*"), "its subject is not one"),
    ("push", condition("Assume", "StringEquals", SUB, OTHER), "tokens of 2 repositories are trusted"),
    ("push", condition("Assume", "ForAllValues:StringEquals", SUB, "x"), "holds for a token without the claim"),
    ("push", put("Assume", Action=["sts:AssumeRole"]), "a token is for AssumeRoleWithWebIdentity alone"),
    ("rank", put("Assume", Condition=None), "pods.eks.amazonaws.com acts for any account"),
    ("job", condition("Assume", "StringEquals", None, None), "acts for any account"),
    ("job", condition("Assume", "StringEquals", "aws:SourceAccount", "*"), "for any account"),
    ("job", put("Assume", Principal={"AWS": "*"}), "it trusts anybody"),
    ("job", put("Assume", Principal="*"), "it trusts anybody"),
    ("job", put("Assume", Principal={"AWS": "arn:aws:iam::999999999999:root"}), "it trusts arn:aws:iam"),
    ("job", put("Assume", Principal=None), "it names no principal"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "says"), TRUST)
def test_trust_in_too_many(name: str, change: Change, says: str) -> None:
    _only(broken(committed("staging"), ROLE, name, change, "assumeRolePolicy"), says)


RESOURCES: list[tuple[str, str, Change, str]] = [
    (KEY, "data-key", put("Account", Principal={"AWS": "*"}), "it trusts anybody"),
    (KEY, "data-key", put("Account", Principal={"AWS": "arn:aws:iam::1:user/x"}), "it trusts arn:aws:iam::1:user/x"),
    (KEY, "data-key", put("EventsS3", Condition=None), "s3.amazonaws.com acts for any account"),
    (KEY, "logs-key", put("LogGroups", Condition=None), "logs.eu-central-1.amazonaws.com acts for any account"),
    (KEY, "logs-key", condition("LogGroups", "ArnLike", "kms:EncryptionContext:aws:logs:arn", "*"), "for any account"),
    (BUCKET, "data", more(Action="s3:GetObject", Resource="arn:aws:s3:::b/*", Principal="*"), "it trusts anybody"),
    (BUCKET, "data", put("OwnKey", Action=["s3:PutObjekt"]), "there is no action s3:PutObjekt"),
    (BUCKET, "data", condition("OwnKey", "Null", "s3:if-none-matches", "true"), "AWS sets no s3:if-none-matches"),
    (BUCKET, "logs", put("Deliver", Condition=None), "logging.s3.amazonaws.com acts for any account"),
    (PULLED, "serve", put("FunctionsPull", Condition=None), "lambda.amazonaws.com acts for any account"),
    (POLICY, "workload-boundary", more(Action="*", Resource="*"), "it allows every action"),
    (POLICY, "look", more(Action="s3:PutObject", Resource="*"), "s3:PutObject changes everything"),
]  # fmt: skip


@pytest.mark.parametrize(("type_", "name", "change", "says"), RESOURCES)
def test_policies_of_resources_and_boundaries(type_: str, name: str, change: Change, says: str) -> None:
    _only(broken(committed("staging"), type_, name, change, "policy"), says)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda inputs: inputs.pop("permissionsBoundary"), "no boundary of this stack holds it"),
        (lambda inputs: inputs.update(permissionsBoundary="arn:aws:iam::aws:policy/x"), "no boundary of this stack"),
        (lambda inputs: inputs.update(managedPolicyArns=["arn:aws:iam::aws:policy/x"]), "are judged by nobody"),
        (lambda inputs: inputs.update(inlinePolicies=[{"name": "x", "policy": "{}"}]), "are judged by nobody"),
    ],
)
def test_roles_that_nothing_holds(change: Change, says: str) -> None:
    _only(_with(committed("staging"), ROLE, "rank", change), says)


def test_people_and_policies_of_others() -> None:
    graph = committed("staging")
    _only(_more(graph, "aws:iam/accessKey:AccessKey", {"user": "x"}), "nobody has a key or password")
    anything = {"role": "podium-staging-rank", "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}
    _only(_more(graph, ATTACHMENT, anything), "nobody has argued for arn:aws:iam::aws:policy/AdministratorAccess")
    fine = {"role": "podium-staging-cluster", "policyArn": "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"}
    assert findings(_more(graph, ATTACHMENT, fine)) == []


def test_what_the_applying_role_may_attach_is_what_is_argued_for() -> None:
    assert set(MANAGED) == set(lint.MANAGED)


def _only(graph: Graph, says: str) -> None:
    assert [each for each in findings(graph) if says in each], findings(graph)
