"""The evaluator: a table after the IAM user guide, what it refuses to judge, and what holds of any policies."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.infra.conditions import UnknownPolicy, arn_like, met
from tests.infra.evaluate import Principal, Request, assumes, decide

OBJECT = "arn:aws:s3:::b/models/a"
ROLE = Principal("arn:aws:iam::111122223333:role/somebody")
GET = Request("s3:GetObject", OBJECT, {}, ROLE)
ROOT = {"AWS": "arn:aws:iam::111122223333:root"}


def policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def statement(
    effect: str = "Allow", action: Any = "s3:GetObject", resource: Any = OBJECT, **more: Any
) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


def on_object(effect: str = "Allow", principal: Any = "*", **more: Any) -> dict[str, Any]:
    return statement(effect, Principal=principal, **more)


ALLOW, DENY = policy(statement()), policy(statement("Deny"))


@pytest.mark.parametrize(
    ("identity", "resource", "boundary", "allowed"),
    [
        ([], None, None, False),
        ([ALLOW], None, None, True),
        ([ALLOW, DENY], None, None, False),
        ([DENY, ALLOW], None, None, False),
        ([ALLOW], policy(on_object("Deny")), None, False),
        ([], policy(on_object()), None, True),
        ([], policy(on_object(principal={"AWS": ROLE.arn})), None, True),
        ([], policy(on_object(principal={"AWS": "arn:aws:iam::111122223333:role/other"})), None, False),
        ([], policy(on_object(principal=ROOT)), None, False),
        ([ALLOW], policy(on_object(principal=ROOT)), None, True),
        ([], policy(on_object(principal={"Service": "s3.amazonaws.com"})), None, False),
        ([ALLOW], None, ALLOW, True),
        ([ALLOW], None, policy(statement(action="sqs:*", resource="*")), False),
        ([], None, ALLOW, False),
        ([ALLOW], None, policy(statement(), statement("Deny")), False),
        ([], policy(on_object()), policy(statement(action="sqs:*", resource="*")), False),
    ],
)
def test_who_decides(identity: Any, resource: Any, boundary: Any, allowed: bool) -> None:
    assert decide(GET, identity, resource, boundary).allowed is allowed


@pytest.mark.parametrize(
    ("changes", "allowed"),
    [
        ({"Action": "S3:getobject"}, True),
        ({"Action": "s3:Get*"}, True),
        ({"Action": ["sqs:*", "s3:Get?bject"]}, True),
        ({"Action": "s3:Get"}, False),
        ({"Action": "*"}, True),
        ({"Resource": "*"}, True),
        ({"Resource": "arn:aws:s3:::b/models/*"}, True),
        ({"Resource": "arn:aws:s3:::b/Models/*"}, False),
        ({"Resource": "arn:aws:s3:::b"}, False),
        ({"Resource": "arn:aws:s3*"}, False),
        ({"Resource": ["arn:aws:s3:::c/*", "arn:aws:s3:::?/*"]}, True),
        ({"Resource": "arn:aws:s3:::b/${aws:PrincipalAccount}/*"}, False),
        ({"Resource": "arn:aws:s3:::b/${aws:MissingKey}*"}, False),
        ({"Condition": {"StringEquals": {"aws:PrincipalAccount": "111122223333"}}}, True),
        ({"Condition": {"StringEquals": {"aws:PrincipalAccount": "111122223333"}, "Null": {"x:y": "false"}}}, False),
    ],
)
def test_what_a_statement_matches(changes: dict[str, Any], allowed: bool) -> None:
    assert decide(GET, [policy({**statement(), **changes})]).allowed is allowed


def test_what_a_statement_leaves_out() -> None:
    not_action = {"Effect": "Allow", "NotAction": "s3:Delete*", "Resource": "*"}
    not_resource = {"Effect": "Allow", "Action": "s3:*", "NotResource": "arn:aws:s3:::b/models/*"}
    assert decide(GET, [policy(not_action)])
    assert not decide(Request("s3:DeleteObject", OBJECT), [policy(not_action)])
    assert not decide(GET, [policy(not_resource)])
    assert decide(Request("s3:GetObject", "arn:aws:s3:::b/other"), [policy(not_resource)])


@pytest.mark.parametrize(
    ("operator", "wanted", "given", "holds"),
    [
        ("StringEquals", "a", "a", True),
        ("StringEquals", ["b", "a"], "a", True),
        ("StringEquals", "a", "A", False),
        ("StringEquals", "a*", "ab", False),
        ("StringEquals", "a", None, False),
        ("StringEqualsIfExists", "a", None, True),
        ("StringEqualsIfExists", "a", "b", False),
        ("StringEqualsIgnoreCase", "a", "A", True),
        ("StringNotEquals", "a", "b", True),
        ("StringNotEquals", ["a", "b"], "b", False),
        ("StringNotEquals", "a", None, True),
        ("StringNotEqualsIfExists", "a", None, True),
        ("StringLike", "a*", "ab/c", True),
        ("StringLike", "a?", "a", False),
        ("StringLike", ["x", "${k:var}*"], "vb", True),
        ("StringNotLike", "a*", "ab", False),
        ("ArnLike", "arn:aws:s3:::b*", "arn:aws:s3:::b/c", True),
        ("ArnLike", "arn:aws:*:x", "arn:aws:s3:::x", False),
        ("ArnEquals", "arn:aws:s3:::b", "arn:aws:s3:::b", True),
        ("ArnNotLike", "arn:aws:s3:::b*", "arn:aws:s3:::c", True),
        ("Bool", "true", "true", True),
        ("Bool", True, "true", True),
        ("Bool", "false", "true", False),
        ("Bool", "false", None, False),
        ("BoolIfExists", "false", None, True),
        ("Null", "true", None, True),
        ("Null", "true", "", False),
        ("Null", "false", "x", True),
        ("Null", False, None, False),
        ("NumericLessThan", "5", "4", True),
        ("NumericLessThan", "5", "5", False),
        ("NumericLessThanEquals", "5", "5", True),
        ("NumericGreaterThan", "5", "40", True),
        ("NumericGreaterThanEquals", "5", "4", False),
        ("NumericEquals", "5", "5.0", True),
        ("NumericNotEquals", "5", "6", True),
        ("ForAllValues:StringEquals", ["a", "b"], ["a", "b"], True),
        ("ForAllValues:StringEquals", ["a", "b"], ["a", "c"], False),
        ("ForAllValues:StringEquals", ["a"], None, True),
        ("ForAllValues:StringEquals", ["a"], [], True),
        ("ForAllValues:StringEquals", ["a"], "a", True),
        ("ForAnyValue:StringEquals", ["a"], ["c", "a"], True),
        ("ForAnyValue:StringEquals", ["a"], ["c"], False),
        ("ForAnyValue:StringEquals", ["a"], None, False),
        ("ForAnyValue:StringNotEquals", ["a"], ["a", "b"], True),
        ("ForAllValues:StringNotEquals", ["a"], ["a", "b"], False),
    ],
)
def test_conditions(operator: str, wanted: Any, given: Any, holds: bool) -> None:
    context = {"K:var": "v"} if given is None else {"K:var": "v", "K:Key": given}
    assert met({operator: {"k:kEY": wanted}}, context) is holds


@pytest.mark.parametrize(
    "broken",
    [
        policy(statement(Condition={"StringSortOf": {"a:b": "c"}})),
        policy(statement(Condition={"ForSomeValues:StringEquals": {"a:b": "c"}})),
        policy(statement(Condition={"ForAllValues:Null": {"a:b": "true"}})),
        policy(statement(Condition={"StringEquals": {"many": "c"}})),
        policy(statement(NotResource="*")),
        policy({"Effect": "Allow", "Action": "s3:*"}),
        policy({"Effect": "Allow", "Resource": "*"}),
        policy(statement("allow")),
        policy(statement(Principals="*")),
        policy(on_object()),
        policy(statement(resource="${*}")),
        {"Version": "2008-10-17", "Statement": []},
    ],
)
def test_what_is_not_understood_is_not_judged(broken: Any) -> None:
    with pytest.raises(UnknownPolicy):
        decide(Request("s3:GetObject", OBJECT, {"many": ["a", "b"]}), [broken])


@pytest.mark.parametrize("broken", [{"Federated": "x", "Unknown": "y"}, None])
def test_principals_that_are_not_understood(broken: Any) -> None:
    with pytest.raises(UnknownPolicy):
        decide(GET, [], policy(on_object(principal=broken) if broken else statement()))


def test_a_guarded_resource_must_name_the_account() -> None:
    request = Request("kms:Decrypt", "arn:aws:kms:eu-central-1:111122223333:key/k", {}, ROLE)
    mine, key = (
        policy(statement(action="kms:Decrypt", resource="*")),
        policy(on_object(principal=ROOT, Action="kms:*", Resource="*")),
    )
    assert decide(request, [mine], key, guarded=True)
    assert not decide(request, [], key, guarded=True)
    assert not decide(request, [mine], policy(), guarded=True)
    assert not decide(request, [mine], None, guarded=True)


def test_trust_policies_have_no_resource() -> None:
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}
    asked = Request("sts:AssumeRole", "", {}, Principal(service="lambda.amazonaws.com"))
    assert assumes(policy(trust), asked)
    assert not assumes(policy(trust, {**trust, "Effect": "Deny"}), asked)
    assert not assumes(policy(trust), Request("sts:AssumeRole", "", {}, Principal(service="ec2.amazonaws.com")))
    with pytest.raises(UnknownPolicy):
        assumes(policy({**trust, "Resource": "*"}), asked)


ACTIONS = st.sampled_from(["s3:GetObject", "s3:Get*", "s3:*", "*", "sqs:SendMessage"])
RESOURCES = st.sampled_from([OBJECT, "arn:aws:s3:::b/*", "*", "arn:aws:s3:::c/*"])
CONDITIONS = st.sampled_from(
    [
        {},
        {"Bool": {"a:b": "true"}},
        {"Null": {"a:b": "true"}},
        {"StringNotEquals": {"a:c": "x"}},
        {"StringLike": {"a:c": "x*"}},
    ]
)
STATEMENTS = st.builds(
    lambda effect, action, resource, condition: statement(effect, action, resource, Condition=condition),
    st.sampled_from(["Allow", "Deny"]), ACTIONS, RESOURCES, CONDITIONS,
)  # fmt: skip
POLICIES = st.lists(STATEMENTS, max_size=5).map(lambda statements: policy(*statements))
REQUESTS = st.builds(
    Request, st.sampled_from(["s3:GetObject", "sqs:SendMessage"]), st.sampled_from([OBJECT, "arn:aws:s3:::c/x"]),
    st.sampled_from([{}, {"a:b": "true"}, {"a:b": "false", "a:c": "x"}, {"a:c": "xy"}]),
)  # fmt: skip


@given(POLICIES, REQUESTS)
def test_a_deny_of_everything_always_wins(mine: Any, request: Request) -> None:
    shut = statement("Deny", "*", "*")
    assert not decide(request, [mine, policy(shut)])
    assert not decide(request, [mine], policy(on_object("Deny", Action="*", Resource="*")))
    assert not decide(request, [mine], None, policy(statement(action="*", resource="*"), shut))


@given(POLICIES, STATEMENTS, REQUESTS)
def test_an_allow_takes_nothing_and_a_deny_gives_nothing(mine: Any, more: Any, request: Request) -> None:
    before = decide(request, [mine]).allowed
    after = decide(request, [policy(*mine["Statement"], more)]).allowed
    assert after >= before if more["Effect"] == "Allow" else after <= before


@given(POLICIES, POLICIES, REQUESTS)
def test_a_boundary_only_narrows(mine: Any, boundary: Any, request: Request) -> None:
    both = decide(request, [mine], None, boundary).allowed
    assert both == (decide(request, [mine]).allowed and decide(request, [boundary]).allowed)


@given(POLICIES, REQUESTS, st.randoms())
def test_the_order_of_statements_says_nothing(mine: Any, request: Request, random: Any) -> None:
    shuffled = list(mine["Statement"])
    random.shuffle(shuffled)
    assert decide(request, [policy(*shuffled)]).allowed == decide(request, [mine]).allowed


def test_a_star_of_an_arn_stays_in_its_part() -> None:
    assert arn_like("arn:aws:sqs:*:111122223333:x", "arn:aws:sqs:eu-central-1:111122223333:x")
    assert not arn_like("arn:aws:sqs:*:x", "arn:aws:sqs:eu-central-1:111122223333:x")
