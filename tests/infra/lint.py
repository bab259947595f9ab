"""What is wrong with a policy whoever reads it: actions that do not exist, rights on everything, trust in too many.

Each rule gives what it finds in words; a graph that is as it should be gives nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.infra.actions import CHANGING, MANAGING, Action, expand, fits, knows
from tests.infra.documents import ATTACHMENT, ROLE, Document, documents, texts
from tests.infra.graph import Graph
from tests.infra.trusting import federated, one_repository, sourced, trusted

# What AWS takes of each kind, in characters that are not white space (IAM user guide, "IAM and STS quotas").
SIZES = {"trust": 2048, "identity": 10_240, "boundary": 6144, "aws:s3/bucketPolicy:BucketPolicy": 20_480}
# AWS's own policies that may be attached, and why each.
MANAGED = {
    "AmazonEC2ContainerRegistryPullOnly": "nodes pull images; it has no other right",
    "AmazonEKSBlockStoragePolicy": "Auto Mode makes volumes by it",
    "AmazonEKSClusterPolicy": "the control plane's own",
    "AmazonEKSComputePolicy": "Auto Mode makes nodes by it",
    "AmazonEKSLoadBalancingPolicy": "Auto Mode makes load balancers by it",
    "AmazonEKSNetworkingPolicy": "Auto Mode makes network interfaces by it",
    "AmazonEKSWorkerNodeMinimalPolicy": "nodes find their cluster; narrower than the older one",
}
# Rights over rights that a role cannot do without, and what holds each.
MANAGES = {
    ("job", "ec2:CreateNetworkInterfacePermission"): "SageMaker lends an interface of our VPC to its own machines",
    ("job", "ec2:DeleteNetworkInterfacePermission"): "and takes it back",
    ("runner", "ec2:CreateNetworkInterfacePermission"): "to CodeBuild's machines alone, by ec2:AuthorizedService",
    ("job", "kms:CreateGrant"): "for AWS resources alone: the disks of a job",
}
# Made by hand at first, and held by a boundary that tests/infra/test_applying.py tries to get out of.
APPLIES = "apply"
# Calls that name no resource until they are answered, or have ids that nobody chooses. Conditions hold each.
UNNAMED = {
    "lambda:CreateEventSourceMapping": "lambda:FunctionArn",
    "lambda:DeleteEventSourceMapping": "lambda:FunctionArn",
    "lambda:UpdateEventSourceMapping": "lambda:FunctionArn",
}
PEOPLE = ("User", "UserPolicy", "UserPolicyAttachment", "Group", "GroupPolicy", "AccessKey", "UserLoginProfile")
Rule = Callable[[Document, Mapping[str, Any]], Iterator[str]]


def findings(graph: Graph) -> list[str]:
    found: list[str] = []
    for document in documents(graph):
        for rule in (_document, *([] if document.kind == "trust" else [_sizes])):
            found += [f"{document.name}: {each}" for each in rule(document)]
        for statement in document.statements:
            where = f"{document.name} {statement.get('Sid', '?')}"
            found += [f"{where}: {each}" for rule in _rules(document) for each in rule(document, statement)]
    return sorted({*found, *_people(graph), *_held(graph), *_managed(graph), *one_repository(graph)})


def _rules(document: Document) -> tuple[Rule, ...]:
    if document.kind == "trust":
        return (_actions, trusted, sourced, federated)
    if document.kind == "identity":
        return (_actions, _resources, _narrow, _manages, _passes, _keys)
    if document.kind == "boundary":
        return (_actions, _no_star, _keys)
    return (_actions, trusted, sourced, _keys)


def _document(document: Document) -> Iterator[str]:
    sids = [each.get("Sid") for each in document.statements]
    if len(set(sids)) < len(sids) or None in sids:
        yield "its statements have no names of their own"


def _sizes(document: Document) -> Iterator[str]:
    size = len(re.sub(r"\s", "", json.dumps(document.content)))
    limit = 6144 if document.name.startswith("Policy ") else SIZES.get(document.kind, 32_768)
    if size > limit:
        yield f"it has {size} characters, and AWS takes {limit}"


def _actions(_: Document, statement: Mapping[str, Any]) -> Iterator[str]:
    for pattern in texts(statement.get("Action", statement.get("NotAction"))):
        if pattern != "*" and not expand(pattern):
            yield f"there is no action {pattern}"
    if statement["Effect"] == "Allow":
        yield from (f"it allows all but some: {each}" for each in ("NotAction", "NotResource") if each in statement)


def _resources(_: Document, statement: Mapping[str, Any]) -> Iterator[str]:
    actions, resources = _meant(statement), texts(statement.get("Resource"))
    if not resources:
        return
    for pattern, meant in actions.items():
        if meant and not any(fits(resource, each) for resource in resources for each in meant):
            yield f"{pattern} is not asked of {resources[0]}"
    for resource in resources:
        if actions and not any(fits(resource, each) for meant in actions.values() for each in meant):
            yield f"none of its actions is asked of {resource}"


def _narrow(document: Document, statement: Mapping[str, Any]) -> Iterator[str]:
    yield from _no_star(document, statement)
    if statement["Effect"] != "Allow":
        return
    for pattern, meant in _meant(statement).items():
        for action in meant:
            held = UNNAMED.get(action.name)
            if held is not None and held.lower() in _condition_keys(statement):
                continue
            # Some actions have resources, and each that it has is one of many of which it can be asked.
            if action.level in CHANGING and action.arns and _everything(statement):
                yield f"{pattern} changes everything: {action.name} can be held to {min(action.arns)}"
                break


def _no_star(_: Document, statement: Mapping[str, Any]) -> Iterator[str]:
    if statement["Effect"] == "Allow" and "*" in texts(statement.get("Action")):
        yield "it allows every action"


def _manages(document: Document, statement: Mapping[str, Any]) -> Iterator[str]:
    if statement["Effect"] != "Allow":
        return
    names = {owner.split("-", 2)[-1] for owner in document.owners}
    for meant in _meant(statement).values():
        for action in meant:
            if action.level != MANAGING or action.name == "iam:PassRole":
                continue
            for name in sorted(names - {APPLIES}):
                if (name, action.name) not in MANAGES:
                    yield f"{name} manages rights: {action.name}"
            if action.name == "kms:CreateGrant" and names != {APPLIES}:
                yield from _unless(statement, "Bool", "kms:GrantIsForAWSResource", "true")


def _passes(_: Document, statement: Mapping[str, Any]) -> Iterator[str]:
    passing = any(each.name == "iam:PassRole" for meant in _meant(statement).values() for each in meant)
    if statement["Effect"] != "Allow" or not passing:
        return
    for resource in texts(statement.get("Resource")):
        if not re.fullmatch(r"arn:aws:iam::\d{12}:role/podium-[a-z]+-[\w*-]+", resource):
            yield f"it passes {resource}"
    services = texts(statement.get("Condition", {}).get("StringEquals", {}).get("iam:PassedToService"))
    if not services or any("*" in each for each in services):
        yield "it passes roles to any service"


def _keys(_: Document, statement: Mapping[str, Any]) -> Iterator[str]:
    meant = [each for actions in _meant(statement).values() for each in actions]
    for key in _condition_keys(statement):
        if meant and not any(knows(key, each) for each in meant):
            yield f"AWS sets no {key} for its actions"


def _people(graph: Graph) -> Iterator[str]:
    for each in graph.resources:
        kind = each.type.rpartition(":")[2]
        if each.type.startswith("aws:iam/") and kind in PEOPLE:
            yield f"{kind} {each.name}: nobody has a key or password of IAM here"


def _held(graph: Graph) -> Iterator[str]:
    made = {str(each.outputs.get("arn")) for each in graph.of("aws:iam/policy:Policy")}
    for each in graph.of(ROLE):
        if each.inputs.get("permissionsBoundary") not in made:
            yield f"Role {each.name}: no boundary of this stack holds it"
        if each.inputs.get("inlinePolicies") or each.inputs.get("managedPolicyArns"):
            yield f"Role {each.name}: its policies are not resources of their own, and so are judged by nobody"


def _managed(graph: Graph) -> Iterator[str]:
    made = {str(each.outputs.get("arn")) for each in graph.of("aws:iam/policy:Policy")}
    for each in graph.of(ATTACHMENT):
        arn = str(each.inputs["policyArn"])
        if arn not in made and arn.removeprefix("arn:aws:iam::aws:policy/") not in MANAGED:
            yield f"RolePolicyAttachment {each.name}: nobody has argued for {arn}"


def _meant(statement: Mapping[str, Any]) -> dict[str, tuple[Action, ...]]:
    return {pattern: expand(pattern) for pattern in texts(statement.get("Action"))}


def _everything(statement: Mapping[str, Any]) -> bool:
    return any(each in ("*", "arn:aws:*") for each in texts(statement.get("Resource")))


def _condition_keys(statement: Mapping[str, Any]) -> set[str]:
    return {key.lower() for keys in statement.get("Condition", {}).values() for key in keys}


def _unless(statement: Mapping[str, Any], operator: str, key: str, value: str) -> Iterator[str]:
    if texts(statement.get("Condition", {}).get(operator, {}).get(key)) != [value]:
        yield f"without {key} {value}"
