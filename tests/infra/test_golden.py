"""The committed graphs and drawings are those of the program, so that a review of them is one of the infrastructure."""

import json
import re
from dataclasses import replace
from itertools import combinations
from typing import Any
from xml.etree import ElementTree

import pulumi
import pulumi_aws as aws
import pytest

from tests.infra.conftest import Graphs
from tests.infra.drawing import DOCS, drawing
from tests.infra.golden import FOLDER, golden
from tests.infra.graph import Graph, run_program
from tests.infra.stacks import STACKS

RENEW = "{} is not what the program gives: look at what changed, and renew it with `make infra-graph`"


@pytest.mark.parametrize("stack", STACKS)
def test_the_golden_graph_is_the_programs(graphs: Graphs, stack: str) -> None:
    path = FOLDER / f"{stack}.json"
    assert path.is_file(), RENEW.format(path.name)
    # Not by ==, which would spread thousands of lines: git diff shows them better.
    same = path.read_text() == golden(graphs(stack))
    assert same, RENEW.format(path.name)


@pytest.mark.parametrize("stack", STACKS)
def test_the_drawing_is_the_programs(graphs: Graphs, stack: str) -> None:
    path = DOCS / f"infrastructure-{stack}.svg"
    assert path.is_file(), RENEW.format(path.name)
    same = path.read_text() == drawing(graphs(stack))
    assert same, RENEW.format(path.name)


class Part(pulumi.ComponentResource):
    def __init__(self, name: str, opts: pulumi.ResourceOptions) -> None:
        super().__init__("podium:infra:Part", name, None, opts)
        self.below = pulumi.ResourceOptions(parent=self)


def program() -> None:
    on = pulumi.ResourceOptions(provider=aws.Provider("aws", region="eu-central-1"))
    keys, store, far = Part("keys", on), Part("store", on), Part("far", on)
    key = aws.kms.Key("data", opts=keys.below)
    kept = pulumi.ResourceOptions(parent=store, protect=True)
    bucket = aws.s3.Bucket("data", bucket="podium-test-data", tags={"Key": key.arn}, opts=kept)
    aws.s3.BucketPolicy(
        "data",
        bucket=bucket.bucket,
        policy=pulumi.Output.json_dumps({"Version": "2012-10-17", "Statement": [{"Resource": [bucket.arn, key.arn]}]}),
        opts=pulumi.ResourceOptions(parent=store, depends_on=[key]),
    )
    vpc = aws.ec2.Vpc("vpc", cidr_block="10.0.0.0/16", opts=far.below)
    aws.ec2.Subnet("a & <b>", vpc_id=vpc.id, cidr_block="10.0.0.0/24", opts=far.below)
    aws.sqs.Queue("q", name="podium-test-q", kms_master_key_id=key.arn, tags={"B": bucket.arn}, opts=far.below)
    pulumi.export("vpc", vpc.id)


@pytest.fixture(scope="module")
def graph() -> Graph:
    return run_program(program, stack="test")


def test_what_was_made_up_is_shown_by_what_it_is_of(graph: Graph) -> None:
    shown = json.loads(golden(graph))
    assert shown["outputs"] == {"vpc": "${far/vpc.id}"}
    assert shown["resources"]["far/a & <b> ec2/subnet:Subnet"]["inputs"]["vpcId"] == "${far/vpc.id}"
    assert shown["resources"]["store/data s3/bucket:Bucket"] == {
        "inputs": {"bucket": "podium-test-data", "tags": {"Key": "${keys/data.arn}"}},
        "protect": True,
    }
    # Nothing else is left that another run of the recorder might make up otherwise.
    assert not re.search(r"\b(vpc|subnet)-0[0-9a-f]{16}|[0-9a-f]{8}-[0-9a-f]{4}", golden(graph))


def test_policies_are_shown_as_json(graph: Graph) -> None:
    policy = json.loads(golden(graph))["resources"]["store/data s3/bucketPolicy:BucketPolicy"]
    assert policy["inputs"]["policy"]["Statement"] == [
        {"Resource": ["arn:aws:s3:::podium-test-data", "${keys/data.arn}"]}
    ]
    assert json.loads(golden(graph))["resources"].keys() >= {"keys podium:infra:Part", "aws pulumi:providers:aws"}


def test_a_golden_graph_is_written_for_a_diff(graph: Graph) -> None:
    lines = golden(graph).splitlines()
    assert max(map(len, lines)) <= 120
    assert golden(graph) == golden(replace(graph, resources=graph.resources[::-1]))


@pytest.mark.parametrize(
    "change",
    [{"protect": False}, {"retain": True}, {"provider": ""}, {"aliases": ("old",)}, {"inputs": {"bucket": "b"}},
     {"secrets": frozenset({"bucket"})}, {"ignore_changes": ("tags",)}, {"dependencies": ("elsewhere",)}],
    ids=str,
)  # fmt: skip
def test_each_change_shows(graph: Graph, change: dict[str, Any]) -> None:
    bucket = graph.one("aws:s3/bucket:Bucket", "data")
    others = [each for each in graph.resources if each is not bucket]
    assert golden(replace(graph, resources=(*others, bucket))) == golden(graph)
    same = golden(replace(graph, resources=(*others, replace(bucket, **change)))) == golden(graph)
    assert not same


SVG = "{http://www.w3.org/2000/svg}"


def test_a_drawing_has_every_component_and_all_of_its_resources(graph: Graph) -> None:
    root = ElementTree.fromstring(drawing(graph))  # noqa: S314 - our own
    texts = [each.text for each in root.iter(f"{SVG}text")]
    assert {"test", "6 resources in 3 components", "keys", "store", "far", "kms key", "VPC", "sqs queue"} <= {*texts}
    assert len([each for each in root.iter(f"{SVG}path") if each.get("class") == "kept"]) == 2, "one and the legend's"


def test_arrows_lead_to_what_is_made_later(graph: Graph) -> None:
    root = ElementTree.fromstring(drawing(graph))  # noqa: S314 - our own
    ways = [each.get("d", "") for each in root.iter(f"{SVG}path") if each.get("class") == "way"][1:]
    # keys -> store -> far; that far needs the key too is said by these.
    assert len(ways) == 2
    tops = [top for _, top, *_ in boxes_of(drawing(graph))]
    assert len(set(tops)) == 3, "one in each layer"


@pytest.mark.parametrize("stack", STACKS)
def test_nothing_overlaps_and_all_is_on_the_page(graphs: Graphs, stack: str) -> None:
    text = drawing(graphs(stack))
    boxes = boxes_of(text)
    assert len(boxes) >= 1
    for (x, y, width, height), (left, top, wide, high) in combinations(boxes, 2):
        assert x + width < left or left + wide < x or y + height < top or top + high < y
    page = ElementTree.fromstring(text)  # noqa: S314 - our own
    right, bottom = float(page.get("width", "0")), float(page.get("height", "0"))
    for x, y, width, height in boxes:
        assert 0 < x < x + width < right
        assert 0 < y < y + height < bottom


def test_a_drawing_is_legible_in_the_dark(graph: Graph) -> None:
    light, dark = drawing(graph).split("prefers-color-scheme: dark")
    for name in ("page", "box", "head", "quiet", "way", "tip", "kept"):
        assert f".{name} {{" in light.partition("<style>")[2]
        assert f".{name} {{" in dark


def boxes_of(text: str) -> list[tuple[float, float, float, float]]:
    root = ElementTree.fromstring(text)  # noqa: S314 - our own
    found = [each for each in root.iter(f"{SVG}rect") if each.get("class") == "box"]
    return sorted(
        (
            float(each.get("x", "")),
            float(each.get("y", "")),
            float(each.get("width", "")),
            float(each.get("height", "")),
        )
        for each in found
    )
