"""IAM's roles, policies and providers."""

from __future__ import annotations

from typing import Any

from tests.infra.live_handlers.asked import Asked, Made


def role(asked: Asked) -> Made:
    iam = asked.client("iam")
    name = asked.called()
    made = iam.create_role(
        RoleName=name,
        AssumeRolePolicyDocument=asked["assumeRolePolicy"],
        **asked.some("path", "description", "permissionsBoundary", "maxSessionDuration"),
        **_tags(asked),
    )["Role"]
    for inline in asked.get("inlinePolicies") or []:
        iam.put_role_policy(RoleName=name, PolicyName=inline["name"], PolicyDocument=inline["policy"])
    for arn in asked.get("managedPolicyArns") or []:
        iam.attach_role_policy(RoleName=name, PolicyArn=arn)
    return Made(name, {"arn": made["Arn"], "name": name, "uniqueId": made["RoleId"]})


def role_policy(asked: Asked) -> Made:
    name = asked.called()
    asked.client("iam").put_role_policy(RoleName=asked["role"], PolicyName=name, PolicyDocument=asked["policy"])
    return Made(f"{asked['role']}:{name}", {"name": name})


def attachment(asked: Asked) -> Made:
    asked.client("iam").attach_role_policy(RoleName=asked["role"], PolicyArn=asked["policyArn"])
    return Made(f"{asked['role']}-{asked['policyArn']}")


def policy(asked: Asked) -> Made:
    name = asked.called()
    made = asked.client("iam").create_policy(
        PolicyName=name, PolicyDocument=asked["policy"], **asked.some("path", "description"), **_tags(asked)
    )["Policy"]
    return Made(made["Arn"], {"arn": made["Arn"], "name": name, "policyId": made["PolicyId"]})


def provider(asked: Asked) -> Made:
    request: dict[str, Any] = {"Url": asked["url"], "ClientIDList": asked["clientIdLists"], **_tags(asked)}
    if "thumbprintLists" in asked:
        request["ThumbprintList"] = asked["thumbprintLists"]
    arn = asked.client("iam").create_open_id_connect_provider(**request)["OpenIDConnectProviderArn"]
    return Made(arn, {"arn": arn})


def _tags(asked: Asked) -> dict[str, Any]:
    tags = asked.tags()
    return {"Tags": tags} if tags else {}
