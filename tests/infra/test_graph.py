"""The recorder: what a program registers is in the graph, whole, and what no engine would grant is refused."""

import time
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest
from pulumi.runtime.settings import get_root_resource

from tests.infra.answers import UnknownType
from tests.infra.graph import Graph, GraphError, record, run_program
from tests.infra.stacks import STACKS
from tests.infra.wire import WireError

BUCKET = "aws:s3/bucket:Bucket"
QUEUE = "aws:sqs/queue:Queue"


class Part(pulumi.ComponentResource):
    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("podium:infra:Part", name, None, opts)
        self.below = pulumi.ResourceOptions(parent=self)


def program() -> None:
    provider = aws.Provider("aws", region="eu-central-1", allowed_account_ids=["111122223333"])
    outer = Part("outer", pulumi.ResourceOptions(provider=provider))
    inner = Part("inner", outer.below)
    first = aws.s3.Bucket(
        "first",
        bucket="podium-test-first",
        force_destroy=False,
        opts=pulumi.ResourceOptions(parent=inner, protect=True, retain_on_delete=True),
    )
    aws.s3.BucketLifecycleConfiguration(
        "rules",
        bucket=first.id,
        rules=[{"id": "old", "status": "Enabled", "expiration": {"days": 3}}],
        opts=pulumi.ResourceOptions(parent=inner, aliases=[pulumi.Alias(name="older")]),
    )
    queue = aws.sqs.Queue(
        "queue",
        name="podium-test-queue",
        policy=pulumi.Output.secret("hidden"),
        opts=pulumi.ResourceOptions(parent=outer, depends_on=[first]),
    )
    pulumi.export("bucket", first.arn)
    pulumi.export("hidden", queue.policy)
    pulumi.log.warn("look here")


@pytest.fixture(scope="module")
def small() -> Graph:
    return run_program(program, stack="test")


def test_all_that_is_registered_is_in_the_graph(small: Graph) -> None:
    assert sorted((each.type, each.name) for each in small.resources) == [
        (BUCKET, "first"),
        ("aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration", "rules"),
        (QUEUE, "queue"),
        ("podium:infra:Part", "inner"),
        ("podium:infra:Part", "outer"),
        ("pulumi:providers:aws", "aws"),
    ]


def test_a_urn_has_the_whole_chain_of_parents(small: Graph) -> None:
    first = small.one(BUCKET, "first")
    assert first.urn == f"urn:pulumi:test::podium::podium:infra:Part$podium:infra:Part${BUCKET}::first"
    assert [each.name for each in small.above(first)] == ["inner", "outer"]


def test_what_is_around_the_inputs_is_recorded(small: Graph) -> None:
    first, queue = small.one(BUCKET, "first"), small.one(QUEUE, "queue")
    rules = small.one("aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration", "rules")
    assert (first.protect, first.retain) == (True, True)
    assert (queue.protect, queue.retain) == (False, False)
    assert queue.dependencies == (first.urn,)
    assert rules.property_dependencies == {"bucket": (first.urn,)}
    assert {each.provider for each in (first, queue, rules)} == {small.one("pulumi:providers:aws", "aws").urn}
    assert rules.aliases == ("older",)
    assert small.needs(rules) >= {first.urn, first.parent, first.provider}


def test_inputs_are_plain(small: Graph) -> None:
    rules = small.one("aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration", "rules")
    assert rules.inputs["bucket"] == "podium-test-first"
    days = rules.inputs["rules"][0]["expiration"]["days"]
    assert (days, type(days)) == (3, int)
    assert small.one("pulumi:providers:aws", "aws").inputs["allowedAccountIds"] == ["111122223333"]


def test_secrets_stay_marked(small: Graph) -> None:
    queue = small.one(QUEUE, "queue")
    assert queue.secrets == {"policy"}
    assert queue.secret_outputs == {"policy"}
    assert small.secret_outputs == {"hidden"}
    assert small.outputs == {"bucket": "arn:aws:s3:::podium-test-first", "hidden": "hidden"}


def test_warnings_are_kept(small: Graph) -> None:
    assert small.logged == ("look here",)


def test_runs_know_nothing_of_one_another(small: Graph) -> None:
    again = run_program(program, stack="test")
    assert again == small
    assert run_program(lambda: None, stack="other").resources == ()


def test_a_run_leaves_pulumi_as_it_was() -> None:
    before = pulumi.get_stack(), pulumi.get_project(), get_root_resource()
    run_program(program, stack="another", project="another", config={"another:key": "value"})
    assert (pulumi.get_stack(), pulumi.get_project(), get_root_resource()) == before
    assert pulumi.Config("another").get("key") is None


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_is_recorded_soon_and_the_same_each_time(stack: str) -> None:
    first = record(stack)
    started = time.perf_counter()
    assert record(stack) == first
    assert time.perf_counter() - started < 10
    assert first.outputs["region"] == "eu-central-1"


def _fails_within_apply() -> None:
    made = aws.s3.Bucket("made", bucket="b")

    def check(name: str) -> None:
        assert name == "another"

    made.bucket.apply(check)


def _unknown_type() -> None:
    pulumi.CustomResource("aws:nothing/thing:Thing", "it", {})


def _unknown_function() -> None:
    pulumi.export("x", aws.get_ip_ranges_output(services=["s3"]).create_date)


def _unknown_component() -> None:
    pulumi.ComponentResource("awsx:ec2:Vpc", "vpc", {}, None, remote=True)


def _twice() -> None:
    aws.s3.Bucket("one", bucket="a")
    aws.s3.Bucket("one", bucket="b")


def _raises() -> None:
    raise ZeroDivisionError("of the program")


@pytest.mark.parametrize(
    ("broken", "error", "says"),
    [
        (_fails_within_apply, AssertionError, "another"),
        (_unknown_type, UnknownType, "aws:nothing/thing:Thing"),
        (_unknown_function, UnknownType, "getIpRanges"),
        (_unknown_component, GraphError, "awsx:ec2:Vpc"),
        (_twice, GraphError, "duplicate resource"),
        (_raises, ZeroDivisionError, "of the program"),
    ],
)
def test_what_no_engine_would_grant_fails(broken: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        run_program(broken, stack="test")
    # And leaves nothing behind.
    assert run_program(lambda: None, stack="test").resources == ()


def test_an_unknown_value_is_refused() -> None:
    def unknown() -> None:
        nothing: Any = pulumi.UNKNOWN
        aws.s3.Bucket("one", bucket=pulumi.Output.from_input(nothing))

    with pytest.raises((WireError, TypeError)):
        run_program(unknown, stack="test")


def test_a_resource_can_be_changed_as_it_is_registered() -> None:
    def renamed(type_: str, name: str, inputs: dict[str, Any]) -> dict[str, Any]:
        return {**inputs, "bucket": "another"} if type_ == BUCKET else inputs

    changed = run_program(program, stack="test", mutate=renamed)
    assert changed.one(BUCKET, "first").inputs["bucket"] == "another"
    # The program is answered as if it had asked for that.
    assert changed.outputs["bucket"] == "arn:aws:s3:::another"


def test_a_resource_can_go_missing() -> None:
    def without(type_: str, name: str, inputs: dict[str, Any]) -> dict[str, Any] | None:
        return None if name == "rules" else inputs

    assert "rules" not in {each.name for each in run_program(program, stack="test", mutate=without).resources}
