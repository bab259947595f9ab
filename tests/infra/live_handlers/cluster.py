"""The cluster, and what watches: log groups and alarms."""

from __future__ import annotations

from typing import Any

from tests.infra.live_handlers.asked import Asked, Made

_VPC = ("subnetIds", "securityGroupIds", "endpointPublicAccess", "endpointPrivateAccess", "publicAccessCidrs")


def cluster(asked: Asked) -> Made:
    name = asked.called()
    request: dict[str, Any] = {
        "resourcesVpcConfig": {key: value for key, value in asked["vpcConfig"].items() if key in _VPC}
    }
    if types := asked.get("enabledClusterLogTypes"):
        request["logging"] = {"clusterLogging": [{"types": types, "enabled": True}]}
    if encryption := asked.get("encryptionConfig"):
        request["encryptionConfig"] = [encryption]
    asked.get("defaultAddonsToRemoves")
    made = asked.client("eks").create_cluster(
        name=name,
        **request,
        **asked.same(
            "version", "roleArn", "accessConfig", "computeConfig", "storageConfig", "kubernetesNetworkConfig",
            "upgradePolicy", "zonalShiftConfig", "deletionProtection", "bootstrapSelfManagedAddons", "tags",
        ),
    )["cluster"]  # fmt: skip
    found = asked.client("eks").describe_cluster(name=name)["cluster"]
    outputs = {
        "name": name,
        "arn": made["arn"],
        "endpoint": found.get("endpoint") or f"https://{name}.gr7.{asked.region}.eks.amazonaws.com",
        "certificateAuthority": {"data": (found.get("certificateAuthority") or {}).get("data") or "Y2VydA=="},
        "vpcConfig": {
            **asked["vpcConfig"],
            "clusterSecurityGroupId": _own_group(asked, name),
        },
        "identities": [{"oidcs": [{"issuer": (found.get("identity") or {}).get("oidc", {}).get("issuer", "")}]}],
        "status": "ACTIVE",
    }
    return Made(name, outputs)


def _own_group(asked: Asked, name: str) -> str:
    """EKS gives each cluster a security group; the emulator only names one."""
    ec2 = asked.client("ec2")
    place = ec2.describe_subnets(SubnetIds=asked["vpcConfig"]["subnetIds"][:1])["Subnets"][0]["VpcId"]
    about = "EKS created security group applied to ENI that is attached to EKS Control Plane master nodes"
    return ec2.create_security_group(GroupName=f"eks-cluster-sg-{name}", Description=about, VpcId=place)["GroupId"]


def access_entry(asked: Asked) -> Made:
    made = asked.client("eks").create_access_entry(
        **asked.same("clusterName", "principalArn", "type", "kubernetesGroups", "userName", "tags")
    )["accessEntry"]
    return Made(f"{asked['clusterName']}:{asked['principalArn']}", {"accessEntryArn": made["accessEntryArn"]})


def access_policy(asked: Asked) -> Made:
    asked.client("eks").associate_access_policy(**asked.same("clusterName", "principalArn", "policyArn", "accessScope"))
    return Made(f"{asked['clusterName']}#{asked['principalArn']}#{asked['policyArn']}")


def pod_identity(asked: Asked) -> Made:
    made = asked.client("eks").create_pod_identity_association(
        **asked.same(
            "clusterName", "namespace", "serviceAccount", "roleArn", "targetRoleArn", "disableSessionTags", "tags"
        )
    )["association"]
    return Made(
        made["associationId"], {"associationArn": made["associationArn"], "associationId": made["associationId"]}
    )


def log_group(asked: Asked) -> Made:
    logs = asked.client("logs")
    name = asked.called()
    logs.create_log_group(logGroupName=name, **asked.same("kmsKeyId", "logGroupClass", "tags"))
    if days := asked.get("retentionInDays"):
        logs.put_retention_policy(logGroupName=name, retentionInDays=days)
    return Made(name, {"arn": asked.arn("logs", f"log-group:{name}"), "name": name})


def alarm(asked: Asked) -> Made:
    name = asked.called()
    dimensions = [{"Name": key, "Value": value} for key, value in (asked.get("dimensions") or {}).items()]
    asked.client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        Dimensions=dimensions,
        **asked.some(
            "alarmDescription", "namespace", "metricName", "statistic", "comparisonOperator", "threshold", "period",
            "evaluationPeriods", "datapointsToAlarm", "treatMissingData", "alarmActions",
            ExtendedStatistic="extendedStatistic", OKActions="okActions",
            InsufficientDataActions="insufficientDataActions", ActionsEnabled="actionsEnabled", Unit="unit",
        ),
        **({"Tags": asked.tags()} if asked.tags() else {}),
    )  # fmt: skip
    return Made(name, {"arn": asked.arn("cloudwatch", f"alarm:{name}"), "name": name})


def build_project(asked: Asked) -> Made:
    request: dict[str, Any] = {"timeoutInMinutes": asked["buildTimeout"]} if "buildTimeout" in asked else {}
    environment = dict(asked["environment"])
    environment.pop("registryCredential", None)
    artifacts = asked["artifacts"]
    if logs := asked.get("logsConfig"):
        pairs = {"cloudWatchLogs": "cloudwatchLogs", "s3Logs": "s3Logs"}
        request["logsConfig"] = {wire: logs[key] for wire, key in pairs.items() if key in logs}
    made = asked.client("codebuild").create_project(
        name=asked.called(),
        source=dict(asked["source"]),
        artifacts=artifacts,
        environment=environment,
        **request,
        **asked.same(
            "description", "serviceRole", "vpcConfig", "encryptionKey", "concurrentBuildLimit", "sourceVersion",
            queuedTimeoutInMinutes="queuedTimeout", timeoutInMinutes="timeoutInMinutes", badgeEnabled="badgeEnabled",
        ),
        **({"tags": [{"key": tag["Key"], "value": tag["Value"]} for tag in asked.tags()]} if asked.tags() else {}),
    )["project"]  # fmt: skip
    return Made(made["arn"], {"arn": made["arn"], "name": made["name"]})


def build_webhook(asked: Asked) -> Made:
    groups: list[list[dict[str, Any]]] = [
        [{key: value for key, value in each.items() if value is not None} for each in group["filters"]]
        for group in asked.get("filterGroups") or []
    ]
    made = asked.client("codebuild").create_webhook(
        **asked.same("projectName", "buildType", "branchFilter", "manualCreation", "scopeConfiguration"),
        **({"filterGroups": groups} if groups else {}),
    )["webhook"]
    return Made(asked["projectName"], {"payloadUrl": made.get("payloadUrl", ""), "url": made.get("url", "")})
