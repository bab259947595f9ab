"""Acting as each principal on a deployed stack: what it is for is allowed, and what is next to that is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.engines.aws import DENIED, Aws, code_of
from tests.infra.behaviour import ALLOWED, REFUSED, Row, findings, outcome
from tests.infra.behaviour_rows import PLAIN, REFUSED_BY_OTHERS, ROWS
from tests.infra.conftest import Deployments
from tests.infra.live import deploy
from tests.infra.scene import Scene, github_values, permitted
from tests.infra.stacks import STACKS
from tests.infra.trust_rows import BY_NAME, PURPOSES, RIGHT, STRANGERS, Token

Scenes = Callable[[str], Scene]
ROLES = tuple(dict.fromkeys(row.role for row in ROWS))


@pytest.fixture(scope="session")
def scenes(deployed: Deployments) -> Scenes:
    @cache
    def furnished(stack: str) -> Scene:
        # One as its repository has moved to immutable subjects, the other while it moves.
        scene = Scene(deployed(stack, "released" if stack == "staging" else "everything"), stack)
        scene.furnish()
        return scene

    return furnished


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("stack", STACKS)
def test_each_role_does_its_work_and_nothing_else(scenes: Scenes, stack: str, role: str) -> None:
    rows = tuple(row for row in (*ROWS, *REFUSED_BY_OTHERS, *PLAIN) if row.role == role)
    assert {row.expected for row in rows} >= {ALLOWED, REFUSED}
    assert list(findings(scenes(stack), rows)) == []


def test_what_is_refused_without_tls_is_allowed_with_it() -> None:
    allowed = {(row.role, row.does) for row in ROWS if row.expected == ALLOWED}
    assert {(row.role, row.does) for row in PLAIN} <= allowed


@pytest.fixture(scope="module")
def spare(aws: Aws) -> Scene:
    """A stack that nobody else needs: with all permissions, some of it goes to pieces. Those that need more of it
    come first."""
    scene = Scene(deploy(aws, "staging"), "staging")
    scene.furnish()
    return scene


def test_what_others_refuse_would_be_missed(spare: Scene) -> None:
    """Without the policies of the bucket, the queue and the other role there is nobody to refuse it."""
    scene = spare
    scene.root("s3").delete_bucket_policy(Bucket=scene.bucket)
    scene.root("sqs").set_queue_attributes(QueueUrl=scene.queue, Attributes={"Policy": ""})
    assert {str(row): outcome(scene, row) for row in PLAIN} == dict.fromkeys(map(str, PLAIN), ALLOWED)
    anybody = {"Effect": "Allow", "Principal": {"AWS": scene.account}, "Action": "sts:AssumeRole"}
    scene.root("iam").update_assume_role_policy(
        RoleName=scene.name("flow-logs"), PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [anybody]})
    )
    for role in ROLES:
        rows = [row for row in REFUSED_BY_OTHERS if row.role == role]
        with permitted(scene, role, everything=True):
            assert [str(row) for row in rows if outcome(scene, row) != ALLOWED] == []


def test_every_row_would_be_missed(spare: Scene) -> None:
    """With no permissions nothing that is allowed goes, and with all of them nothing is refused any more."""
    scene = spare
    for role in ROLES:
        rows = [row for row in ROWS if row.role == role]
        with permitted(scene, role, everything=False):
            assert [str(row) for row in rows if row.expected != REFUSED and outcome(scene, row) == row.expected] == []
        with permitted(scene, role, everything=True):
            assert [str(row) for row in rows if row.expected == REFUSED and outcome(scene, row) == REFUSED] == []


@pytest.mark.parametrize("role", PURPOSES)
@pytest.mark.parametrize("stack", STACKS)
def test_a_job_of_the_right_environment_gets_its_role_and_no_other(scenes: Scenes, stack: str, role: str) -> None:
    scene, environments = scenes(stack), github_values(stack)
    for other in PURPOSES:
        subject = RIGHT.subject.replace("{}", environments[other])
        assert assumed(scene, role, Token(RIGHT.about, subject)) is (other == role), other


@pytest.mark.parametrize("role", PURPOSES)
@pytest.mark.parametrize("stranger", STRANGERS, ids=lambda token: token.about)
def test_nobody_else_gets_it(scenes: Scenes, role: str, stranger: Token) -> None:
    subject = stranger.subject.replace("{}", github_values("staging")[role])
    token = Token(stranger.about, subject, stranger.audience, stranger.issuer)
    assert assumed(scenes("staging"), role, token) is False


@pytest.mark.parametrize("role", PURPOSES)
def test_names_are_believed_only_while_a_repository_migrates(scenes: Scenes, role: str) -> None:
    for stack, believed in (("staging", False), ("production", True)):
        token = Token(BY_NAME.about, BY_NAME.subject.replace("{}", github_values(stack)[role]))
        assert assumed(scenes(stack), role, token) is believed, stack


def test_a_trust_that_is_too_wide_is_noticed(scenes: Scenes) -> None:
    scene = scenes("staging")
    iam, name = scene.root("iam"), scene.name("push")
    trust = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
    wide: dict[str, Any] = json.loads(json.dumps(trust))
    conditions = wide["Statement"][0]["Condition"]
    subjects = conditions["StringEquals"].pop("token.actions.githubusercontent.com:sub")
    conditions["StringLike"] = {"token.actions.githubusercontent.com:sub": [f"{subjects[0].partition(':env')[0]}:*"]}
    pull_request = STRANGERS[0]
    assert assumed(scene, "push", pull_request) is False
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(wide))
    try:
        assert assumed(scene, "push", pull_request) is True
    finally:
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust))


@pytest.mark.parametrize("role", ["rank", "jobs", "job", "worker", "flow-logs", "cluster", "node"])
def test_roles_of_services_are_nobodys_else(scenes: Scenes, role: str) -> None:
    scene = scenes("staging")
    with pytest.raises(ClientError, match="AccessDenied"):
        scene.client("apply", "sts").assume_role(RoleArn=scene.role_arn(role), RoleSessionName="mine")


def test_a_finding_names_who_did_what(scenes: Scenes) -> None:
    row = Row("rank", "reads another model", ALLOWED, next(
        row.call for row in ROWS if str(row) == "rank reads another model"))  # fmt: skip
    assert list(findings(scenes("staging"), (row,))) == [
        "staging: rank reads another model is refused, and should be allowed"
    ]


def assumed(scene: Scene, role: str, token: Token) -> bool:
    try:
        scene.assume(role, sub=token.subject, aud=token.audience, iss=token.issuer)
    except ClientError as error:
        if code_of(error) not in DENIED | {"InvalidIdentityToken"}:
            raise
        return False
    return True
