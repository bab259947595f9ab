"""Each rule of the policy pack, on one graph that keeps all of them and on many that each break one."""

from __future__ import annotations

from functools import cache

import pytest
import yaml
from pulumi.runtime.proto import analyzer_pb2
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE

from tests.conftest import ROOT
from tests.infra.clean import graph
from tests.infra.edits import Edit, both, put
from tests.infra.graph import Graph, record
from tests.infra.pack import PACK, analyzer, findings
from tests.infra.stacks import STACKS, values
from tests.infra.violations import REAL, TABLE


def test_a_graph_that_keeps_every_rule() -> None:
    assert findings(graph()) == []


@pytest.mark.parametrize(("rule", "edit"), [pytest.param(*each, id=f"{each[0]}-{n}") for n, each in enumerate(TABLE)])
def test_what_breaks_a_rule_breaks_that_one_alone(rule: str, edit: Edit) -> None:
    assert {finding.partition(":")[0] for finding in findings(edit(graph()))} == {rule}


@cache
def program(stack: str, released: bool = True) -> Graph:
    return record(stack, values=values(stack, everything=released), released=released)


@pytest.mark.parametrize("released", [True, False])
@pytest.mark.parametrize("stack", STACKS)
def test_the_program_keeps_every_rule(stack: str, released: bool) -> None:
    assert findings(program(stack, released)) == []


def test_what_is_broken_in_the_program_is_seen() -> None:
    """All at once: none is found in the program as it is."""
    found = findings(both(*(edit for _, edit in REAL))(program("production")))
    assert {rule for rule, _ in REAL} - {finding.partition(":")[0] for finding in found} == set()


def test_every_rule_has_been_seen_to_complain() -> None:
    rules = [rule.name for rule in analyzer().rules()]
    assert len(rules) == len(set(rules))
    assert {rule for rule, _ in TABLE} == set(rules)


def test_every_rule_says_what_to_do_and_stops_the_deployment() -> None:
    for rule in analyzer().rules():
        assert rule.enforcement == analyzer_pb2.MANDATORY, rule
        assert rule.severity in range(analyzer_pb2.POLICY_SEVERITY_MEDIUM, analyzer_pb2.POLICY_SEVERITY_CRITICAL + 1)
        assert rule.description.endswith(".") and rule.remediation.endswith("."), rule


def test_a_finding_names_rule_resource_and_reason() -> None:
    (found,) = findings(put("Repository", "serve", "imageTagMutability", "MUTABLE")(graph()))
    assert found == "image-tags-immutable: Repository/serve: tags can be moved"
    (found,) = findings(put("Subnet", "private", "mapPublicIpOnLaunch", True)(graph()))
    assert found == "network-no-public-addresses: Subnet/private: gives out public addresses"


def test_a_document_that_is_not_json_is_refused() -> None:
    found = findings(put("RolePolicy", "rank", "policy", "{")(graph()))
    assert found and all("holds a document that is not JSON" in each for each in found)


def test_what_a_preview_does_not_know_hides_nothing_that_it_knows() -> None:
    """One bucket's policy is not known yet; the other's lack of one is still found."""
    unknown = put("BucketPolicy", "data", "policy", UNKNOWN_STRING_VALUE)
    found = findings(both(unknown, put("BucketPolicy", "logs", "policy/Statement/0"))(graph()))
    assert "bucket-tls-only: Bucket/logs: takes requests without TLS" in found
    advisory = [each for each in found if "can't run policy 'bucket-tls-only'" in each]
    assert len(advisory) == 1 and "Bucket/data" not in str(found)


def test_resources_are_found_by_dependency_where_names_are_not_known() -> None:
    """A first preview knows no role's name, but from which role a policy's was made."""
    named = put("Role", "apply", "permissionsBoundary", "")
    assert findings(both(named, put("Role", "apply", "name", UNKNOWN_STRING_VALUE))(graph()))


def test_the_pack_runs_where_the_program_does() -> None:
    program, pack = (
        yaml.safe_load(file.read_text())["runtime"] for file in (ROOT / "Pulumi.yaml", PACK / "PulumiPolicy.yaml")
    )
    assert program["name"] == pack["name"] == "python"
    place = ROOT / program["options"]["virtualenv"]
    assert (PACK / pack["options"]["virtualenv"]).resolve() == place.resolve()
