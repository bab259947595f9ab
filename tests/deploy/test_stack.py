"""The manifests beside the graph of the stack that makes their platform: each names what the other has."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import yaml

from service.registry import parse_model_uri
from tests.deploy.render import DEPLOY, Rendered, environ, platform
from tests.infra import stacks
from tests.infra.graph import Graph, record


@cache
def graph(environment: str) -> Graph:
    return record(environment, values=stacks.values(environment, everything=True))


def facts_read(path: Path) -> set[str]:
    """The keys that replacements take from platform.yaml."""
    document = yaml.safe_load(path.read_text())
    rules = document["replacements"] if isinstance(document, dict) else document
    return {each["source"]["fieldPath"].removeprefix("data.") for each in rules if each["source"]["name"] == "platform"}


def test_the_stack_gives_every_fact_that_manifests_take(found: Rendered) -> None:
    needed = facts_read(DEPLOY / "base" / "pins" / "platform.yaml")
    needed |= facts_read(DEPLOY / "gateway" / "tls" / "kustomization.yaml")
    outputs = graph(found.environment).outputs
    assert needed == {"bucket", "certificate-arn", "region", "registry-host", "serve-repository"}
    assert needed - set(outputs) == set()
    # The tests' own facts look like them.
    for key in ("bucket", "region", "serve-repository"):
        assert platform(found.environment)[key] == outputs[key]
    host = r"\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com"
    assert re.fullmatch(host, platform(found.environment)["registry-host"])


def test_nodes_take_what_the_stack_made(found: Rendered) -> None:
    made = graph(found.environment)
    names = {value for each in made.resources for value in (each.inputs.get("tags") or {}).values()}
    spec = found.one("NodeClass", "podium")["spec"]
    wanted = {each["tags"]["Name"] for each in spec["subnetSelectorTerms"]}
    assert len(wanted) == 3
    assert wanted <= names
    assert spec["role"] in {each.inputs.get("name") for each in made.of("aws:iam/role:Role")}
    (group,) = spec["securityGroupSelectorTerms"]
    assert group["tags"] == {"aws:eks:cluster-name": made.outputs["cluster-name"]}


def test_accounts_are_those_that_roles_are_bound_to(found: Rendered) -> None:
    bound = {
        (each.inputs["namespace"], each.inputs["serviceAccount"])
        for each in graph(found.environment).of("aws:eks/podIdentityAssociation:PodIdentityAssociation")
    }
    made = {(each["metadata"]["namespace"], each["metadata"]["name"]) for each in found.of("ServiceAccount")}
    assert bound <= made
    # Whoever fetches the model is bound to a role; nobody else is.
    fetching = {
        each["spec"]["serviceAccountName"]
        for each in found.templates.values()
        if "PODIUM_MODEL" in environ_or_none(each)
    }
    assert {("podium", name) for name in fetching} == bound - {("podium", "jobs")}


def environ_or_none(template: dict[str, object]) -> dict[str, str]:
    spec = template["spec"]
    assert isinstance(spec, dict)
    return environ(template) if "env" in spec["containers"][0] else {}


def test_the_model_is_where_pods_may_read(found: Rendered) -> None:
    uri = environ(found.templates["Deployment rank"])["PODIUM_MODEL"]
    ref = parse_model_uri(uri)
    assert ref.registry == f"s3://{graph(found.environment).outputs['bucket']}"
    assert ref.name == "mslr"
