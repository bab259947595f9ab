"""Fargate: tasks, their service and its scaling, the load balancer before them, and its certificate."""

from __future__ import annotations

import json
from typing import Any

from tests.infra.live_handlers.asked import Asked, Made, upper


def cluster(asked: Asked) -> Made:
    made = asked.client("ecs").create_cluster(
        clusterName=asked.called(), **asked.same("settings", "configuration"), **_tags(asked)
    )["cluster"]
    return Made(made["clusterArn"], {"arn": made["clusterArn"], "name": made["clusterName"]})


def task_definition(asked: Asked) -> Made:
    request: dict[str, Any] = {"containerDefinitions": json.loads(asked["containerDefinitions"])}
    if "volumes" in asked:
        request["volumes"] = [_volume(each) for each in asked["volumes"]]
    made = asked.client("ecs").register_task_definition(
        **request,
        **asked.same(
            "family", "taskRoleArn", "executionRoleArn", "networkMode", "requiresCompatibilities", "cpu", "memory",
            "runtimePlatform", "ephemeralStorage", "pidMode", "ipcMode",
        ),
        **_tags(asked),
    )["taskDefinition"]  # fmt: skip
    arn = made["taskDefinitionArn"]
    return Made(
        asked["family"], {"arn": arn, "arnWithoutRevision": arn.rpartition(":")[0], "revision": made["revision"]}
    )


def service(asked: Asked) -> Made:
    request: dict[str, Any] = {}
    if network := asked.get("networkConfiguration"):
        public = "ENABLED" if network.get("assignPublicIp") else "DISABLED"
        request["networkConfiguration"] = {"awsvpcConfiguration": {
            "subnets": network["subnets"], "securityGroups": network.get("securityGroups", []),
            "assignPublicIp": public,
        }}  # fmt: skip
    deployment: dict[str, Any] = asked.same(
        minimumHealthyPercent="deploymentMinimumHealthyPercent", maximumPercent="deploymentMaximumPercent",
        deploymentCircuitBreaker="deploymentCircuitBreaker",
    )  # fmt: skip
    if "alarms" in asked:
        deployment["alarms"] = asked["alarms"]
    if configuration := asked.get("deploymentConfiguration"):
        deployment |= configuration
    if deployment:
        request["deploymentConfiguration"] = deployment
    made = asked.client("ecs").create_service(
        serviceName=asked.called(),
        **request,
        **asked.same(
            "cluster", "taskDefinition", "desiredCount", "launchType", "platformVersion", "loadBalancers",
            "healthCheckGracePeriodSeconds", "propagateTags", "enableExecuteCommand", "deploymentController",
            "availabilityZoneRebalancing", enableECSManagedTags="enableEcsManagedTags",
            capacityProviderStrategy="capacityProviderStrategies",
        ),
        **_tags(asked),
    )["service"]  # fmt: skip
    return Made(made["serviceArn"], {"name": made["serviceName"], "arn": made["serviceArn"]})


def scaling_target(asked: Asked) -> Made:
    asked.client("application-autoscaling").register_scalable_target(
        **asked.some("serviceNamespace", "scalableDimension", "minCapacity", "maxCapacity", ResourceId="resourceId",
                     RoleARN="roleArn", SuspendedState="suspendedState"),
    )  # fmt: skip
    return Made(asked["resourceId"])


def scaling_policy(asked: Asked) -> Made:
    name = asked.called()
    tracking = dict(asked.get("targetTrackingScalingPolicyConfiguration") or {})
    asked.client("application-autoscaling").put_scaling_policy(
        PolicyName=name,
        **asked.some("policyType", "serviceNamespace", "resourceId", "scalableDimension"),
        **({"TargetTrackingScalingPolicyConfiguration": _tracking(tracking)} if tracking else {}),
    )
    return Made(name, {"name": name})


def balancer(asked: Asked) -> Made:
    elb = asked.client("elbv2")
    made = elb.create_load_balancer(
        Name=asked.called(),
        Scheme="internal" if asked.get("internal") else "internet-facing",
        **asked.some("subnets", "securityGroups", "ipAddressType", Type="loadBalancerType"),
        **({"Tags": asked.tags()} if asked.tags() else {}),
    )["LoadBalancers"][0]
    arn = made["LoadBalancerArn"]
    attributes = {
        "enableDeletionProtection": "deletion_protection.enabled",
        "dropInvalidHeaderFields": "routing.http.drop_invalid_header_fields.enabled",
        "idleTimeout": "idle_timeout.timeout_seconds",
        "desyncMitigationMode": "routing.http.desync_mitigation_mode",
        "enableHttp2": "routing.http2.enabled",
        "xffHeaderProcessingMode": "routing.http.xff_header_processing.mode",
    }
    given = [{"Key": wire, "Value": _text(asked[key])} for key, wire in attributes.items() if key in asked]
    if logs := asked.get("accessLogs"):
        pairs = {
            "enabled": "access_logs.s3.enabled",
            "bucket": "access_logs.s3.bucket",
            "prefix": "access_logs.s3.prefix",
        }
        given += [{"Key": pairs[key], "Value": _text(value)} for key, value in logs.items()]
    if given:
        elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=given)
    outputs = {"arn": arn, "arnSuffix": arn.partition("loadbalancer/")[2], "dnsName": made["DNSName"]}
    return Made(arn, {**outputs, "zoneId": made.get("CanonicalHostedZoneId", "Z215JYRZR1TBD5"), "name": asked.called()})


def target_group(asked: Asked) -> Made:
    elb = asked.client("elbv2")
    check = asked.get("healthCheck") or {}
    pairs = {
        "HealthCheckProtocol": "protocol", "HealthCheckPort": "port", "HealthCheckPath": "path",
        "HealthCheckIntervalSeconds": "interval", "HealthCheckTimeoutSeconds": "timeout",
        "HealthyThresholdCount": "healthyThreshold", "UnhealthyThresholdCount": "unhealthyThreshold",
        "HealthCheckEnabled": "enabled",
    }  # fmt: skip
    request = {wire: check[key] for wire, key in pairs.items() if key in check}
    if "matcher" in check:
        request["Matcher"] = {"HttpCode": check["matcher"]}
    made = elb.create_target_group(
        Name=asked.called(), **request,
        **asked.some("protocol", "port", "vpcId", "targetType", "protocolVersion", "ipAddressType"),
        **({"Tags": asked.tags()} if asked.tags() else {}),
    )["TargetGroups"][0]  # fmt: skip
    arn = made["TargetGroupArn"]
    attributes = {
        "deregistrationDelay": "deregistration_delay.timeout_seconds",
        "loadBalancingAlgorithmType": "load_balancing.algorithm.type",
        "slowStart": "slow_start.duration_seconds",
    }
    given = [{"Key": wire, "Value": _text(asked[key])} for key, wire in attributes.items() if key in asked]
    if given:
        elb.modify_target_group_attributes(TargetGroupArn=arn, Attributes=given)
    return Made(arn, {"arn": arn, "arnSuffix": arn.rpartition(":")[2], "name": asked.called()})


def listener(asked: Asked) -> Made:
    certificate = asked.get("certificateArn")
    made = asked.client("elbv2").create_listener(
        DefaultActions=[_action(each) for each in asked["defaultActions"]],
        **({"Certificates": [{"CertificateArn": certificate}]} if certificate else {}),
        **asked.some("loadBalancerArn", "port", "protocol", "sslPolicy"),
        **({"Tags": asked.tags()} if asked.tags() else {}),
    )["Listeners"][0]
    return Made(made["ListenerArn"], {"arn": made["ListenerArn"]})


def certificate(asked: Asked) -> Made:
    acm = asked.client("acm")
    arn = acm.request_certificate(
        **asked.some("domainName", "validationMethod", "subjectAlternativeNames", "keyAlgorithm"),
        **({"Tags": asked.tags()} if asked.tags() else {}),
    )["CertificateArn"]
    found = acm.describe_certificate(CertificateArn=arn)["Certificate"]["DomainValidationOptions"][0]
    record = found["ResourceRecord"]
    option = {
        "domainName": found["DomainName"], "resourceRecordName": record["Name"],
        "resourceRecordType": record["Type"], "resourceRecordValue": record["Value"],
    }  # fmt: skip
    return Made(arn, {"arn": arn, "domainValidationOptions": [option]})


def validation(asked: Asked) -> Made:
    """A wait, in which the provider looks at the certificate: there is nothing to make."""
    asked.client("acm").describe_certificate(CertificateArn=asked["certificateArn"])
    asked.get("validationRecordFqdns")
    return Made(asked["certificateArn"])


def record(asked: Asked) -> Made:
    change: dict[str, Any] = {"Name": asked["name"], "Type": asked["type"]}
    if "ttl" in asked:
        change |= {"TTL": asked["ttl"], "ResourceRecords": [{"Value": each} for each in asked["records"]]}
    for alias in asked.get("aliases") or []:
        change["AliasTarget"] = {
            "HostedZoneId": alias["zoneId"], "DNSName": alias["name"],
            "EvaluateTargetHealth": alias["evaluateTargetHealth"],
        }  # fmt: skip
    action = "UPSERT" if asked.get("allowOverwrite") else "CREATE"
    asked.client("route53").change_resource_record_sets(
        HostedZoneId=asked["zoneId"], ChangeBatch={"Changes": [{"Action": action, "ResourceRecordSet": change}]}
    )
    return Made(f"{asked['zoneId']}_{asked['name']}_{asked['type']}", {"fqdn": asked["name"].rstrip(".")})


def _action(given: dict[str, Any]) -> dict[str, Any]:
    names = {"type", "targetGroupArn", "order"}
    made = {key[0].upper() + key[1:]: value for key, value in given.items() if key in names}
    for key, wire in (("fixedResponse", "FixedResponseConfig"), ("redirect", "RedirectConfig")):
        if key in given:
            made[wire] = upper(given[key])
    return made


def _tracking(given: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"TargetValue": given["targetValue"]}
    pairs = {
        "ScaleInCooldown": "scaleInCooldown",
        "ScaleOutCooldown": "scaleOutCooldown",
        "DisableScaleIn": "disableScaleIn",
    }
    made |= {wire: given[key] for wire, key in pairs.items() if key in given}
    if predefined := given.get("predefinedMetricSpecification"):
        made["PredefinedMetricSpecification"] = upper(predefined)
    if customized := given.get("customizedMetricSpecification"):
        made["CustomizedMetricSpecification"] = upper(customized)
    return made


def _volume(given: dict[str, Any]) -> dict[str, Any]:
    made = {"name": given["name"]}
    return made | ({"configuredAtLaunch": given["configureAtLaunch"]} if "configureAtLaunch" in given else {})


def _tags(asked: Asked) -> dict[str, Any]:
    tags = [{"key": each["Key"], "value": each["Value"]} for each in asked.tags()]
    return {"tags": tags} if tags else {}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
