"""What breaks each rule of the policy pack, and that one alone. One case a line, however long."""
# ruff: noqa: E501

from __future__ import annotations

from typing import Any

from tests.infra.clean import GITHUB, KEY, allow, document, made, role, trust
from tests.infra.edits import MISSING, Edit, added, both, gone, put, unprotected

TRUST = "assumeRolePolicy/Statement/0"
TESTS = f"{TRUST}/Condition/StringEquals"
MAY = "policy/Statement/0"
OPEN = {"Sid": "It", "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}


def github(*subjects: str, operator: str = "StringEquals") -> dict[str, Any]:
    return {"StringEquals": {f"{GITHUB}:aud": "sts.amazonaws.com"}} | {operator: {f"{GITHUB}:sub": list(subjects)}}


def policy(name: str, *statements: dict[str, Any]) -> Edit:
    return put("RolePolicy", name, "policy", document(*statements))


def container(key: str, value: Any = MISSING) -> Edit:
    return put("TaskDefinition", "serve", f"containerDefinitions/0/{key}", value)


def encryption(value: Any) -> Edit:
    return put("BucketServerSideEncryptionConfiguration", "data", "rules/0", value)


DEFAULT = "applyServerSideEncryptionByDefault"
AUTO = "cluster-auto-mode"
TABLE: list[tuple[str, Edit]] = [
    # Who may become a role.
    *[("trust-github-exact", put("Role", "train", TESTS, {f"{GITHUB}:aud": "sts.amazonaws.com", f"{GITHUB}:sub": subject}))
      for subject in ("*", "repo:octo-org/*", "repo:octo-org/podium:*", "repo:octo-org/podium:pull_request",
                      "repo:octo-org/podium:ref:refs/heads/main", "repo:octo-org@12/podium@34:environment:*",
                      "repo:octo-org/podium:environment:stag?ng")],
    ("trust-github-exact", put("Role", "train", f"{TESTS}/{GITHUB}:sub")),
    ("trust-github-exact", put("Role", "train", f"{TESTS}/{GITHUB}:aud")),
    ("trust-github-exact", put("Role", "train", f"{TESTS}/{GITHUB}:aud", ["sts.amazonaws.com", "vault"])),
    ("trust-github-exact", put("Role", "train", f"{TRUST}/Condition", github("repo:a/b:environment:c", operator="StringLike"))),
    ("trust-github-exact", put("Role", "train", f"{TRUST}/Condition",
                               github("repo:a/b:environment:c", operator="ForAnyValue:StringEquals"))),
    ("trust-github-exact", put("Role", "train", f"{TRUST}/Condition")),
    ("trust-principal-named", put("Role", "node", f"{TRUST}/Principal", {"AWS": "*"})),
    ("trust-principal-named", put("Role", "job", f"{TRUST}/Principal", "*")),
    ("trust-source-account", put("Role", "job", f"{TRUST}/Condition")),
    ("trust-source-account", put("Role", "job", f"{TRUST}/Condition", {"StringEqualsIfExists": {"aws:SourceAccount": "1"}})),
    ("trust-no-service-account-tokens", put("Role", "apply", f"{TRUST}/Principal/Federated", [
        f"arn:aws:iam::1:oidc-provider/{GITHUB}", "arn:aws:iam::1:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/A"])),
    ("trust-pod-identity", put("Role", "rank", f"{TRUST}/Action", "sts:AssumeRole")),
    ("trust-pod-identity", put("Role", "rank", "assumeRolePolicy", trust("sagemaker", "sts:AssumeRole", "sts:TagSession"))),
    ("trust-provider-audience", put("OpenIdConnectProvider", "github", "clientIdLists", ["sts.amazonaws.com", "vault"])),
    ("trust-provider-audience", put("OpenIdConnectProvider", "github", "clientIdLists")),
    # What a role may do.
    *[("permissions-no-star", policy("rank", statement)) for statement in (
        allow("*", "*"), allow("*", role("x")), allow("s3:*", "*"), allow(["s3:GetObject", "sns:*"], ["*"]),
        {"Sid": "It", "Effect": "Allow", "NotAction": "iam:*", "Resource": "*"},
        {"Sid": "It", "Effect": "Allow", "Action": "s3:GetObject", "NotResource": "arn:aws:s3:::x"})],
    ("permissions-no-star", added(made("aws:iam/policy:Policy", "more", {"policy": document(allow("s3:*", "*"))}))),
    ("permissions-pass-role", put("RolePolicy", "train", f"{MAY}/Condition")),
    ("permissions-pass-role", put("RolePolicy", "train", f"{MAY}/Condition/StringEquals/iam:PassedToService", "*")),
    *[("permissions-pass-role", put("RolePolicy", "train", f"{MAY}/Resource", name))
      for name in ("*", "arn:aws:iam::111122223333:role/*", [role("job"), "arn:aws:iam::*"])],
    ("permissions-pass-role", policy("train", allow("iam:Pass*", role("job")))),
    ("permissions-boundary", put("Role", "apply", "permissionsBoundary", "")),
    ("permissions-boundary", policy("rank", allow("iam:AttachRolePolicy", role("x")))),
    ("permissions-boundary", both(
        added(made("aws:iam/policy:Policy", "makes", {"arn": "arn:aws:iam::1:policy/makes", "policy": document(allow("iam:CreateRole", role("x")))})),
        added(made("aws:iam/rolePolicyAttachment:RolePolicyAttachment", "makes",
                   {"role": "podium-staging-rank", "policyArn": "arn:aws:iam::1:policy/makes"})))),
    *[("permissions-no-broad-attachment", added(made("aws:iam/rolePolicyAttachment:RolePolicyAttachment", "broad",
        {"role": "podium-staging-rank", "policyArn": f"arn:aws:iam::aws:policy/{name}"})))
      for name in ("AdministratorAccess", "PowerUserAccess", "AmazonSageMakerFullAccess", "job-function/XFullAccess")],
    ("permissions-no-broad-attachment", put("Role", "rank", "managedPolicyArns", ["arn:aws:iam::aws:policy/IAMFullAccess"])),
    ("permissions-keys-named", put("RolePolicy", "job", f"{MAY}/Resource", "*")),
    ("permissions-keys-named", policy("job", allow("kms:*", "arn:aws:kms:eu-central-1:111122223333:key/*"))),
    ("permissions-no-users", added(made("aws:iam/user:User", "ci", {"name": "ci"}))),
    ("permissions-no-users", added(made("aws:iam/accessKey:AccessKey", "ci", {"user": "ci"}))),
    ("permissions-bare-nodes", put("RolePolicyAttachment", "node", "policyArn", "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")),
    ("permissions-bare-nodes", added(made("aws:iam/rolePolicy:RolePolicy", "app",
        {"role": "podium-staging-node", "policy": document(allow("s3:GetObject", "arn:aws:s3:::x/*"))}))),
    ("training-closed-off", put("RolePolicy", "train", "policy/Statement/1/Condition")),
    *[("training-closed-off", put("RolePolicy", "train", f"policy/Statement/1/Condition/{path}")) for path in (
        "Bool/sagemaker:NetworkIsolation", "StringEquals/sagemaker:VolumeKmsKey", "StringEquals/sagemaker:OutputKmsKey",
        "Null/sagemaker:VpcSubnets", "Null/sagemaker:VpcSecurityGroupIds")],
    ("training-closed-off", put("RolePolicy", "train", "policy/Statement/1/Condition/Bool", {"sagemaker:NetworkIsolation": "false"})),
    # Buckets.
    ("bucket-public-access-block", gone("BucketPublicAccessBlock", "logs")),
    *[("bucket-public-access-block", put("BucketPublicAccessBlock", "data", key, value))
      for key in ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
      for value in (False, MISSING)],
    ("bucket-owner-enforced", gone("BucketOwnershipControls", "data")),
    ("bucket-owner-enforced", put("BucketOwnershipControls", "data", "rule/objectOwnership", "BucketOwnerPreferred")),
    ("bucket-tls-only", gone("BucketPolicy", "logs")),
    ("bucket-tls-only", put("BucketPolicy", "data", f"{MAY}/Resource", ["arn:aws:s3:::x/*"])),
    ("bucket-tls-only", put("BucketPolicy", "data", f"{MAY}/Action", "s3:GetObject")),
    ("bucket-tls-only", put("BucketPolicy", "data", f"{MAY}/Principal", {"AWS": role("rank")})),
    ("bucket-tls-only", put("BucketPolicy", "data", f"{MAY}/Condition/Bool/aws:SecureTransport", "true")),
    ("bucket-encrypted", gone("BucketServerSideEncryptionConfiguration", "data")),
    ("bucket-encrypted", encryption({DEFAULT: {"sseAlgorithm": "AES256"}, "bucketKeyEnabled": True})),
    ("bucket-encrypted", encryption({DEFAULT: {"sseAlgorithm": "aws:kms"}, "bucketKeyEnabled": True})),
    ("bucket-encrypted", encryption({DEFAULT: {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": KEY}})),
    ("bucket-versioned", gone("BucketVersioning", "data")),
    ("bucket-versioned", put("BucketVersioning", "logs", "versioningConfiguration/status", "Suspended")),
    ("bucket-lifecycle", gone("BucketLifecycleConfiguration", "data")),
    ("bucket-lifecycle", put("BucketLifecycleConfiguration", "data", "rules/0/status", "Disabled")),
    ("bucket-lifecycle", put("BucketLifecycleConfiguration", "data", "rules/0/noncurrentVersionExpiration")),
    ("bucket-lifecycle", put("BucketLifecycleConfiguration", "logs", "rules/0/abortIncompleteMultipartUpload")),
    ("bucket-access-logs", put("BucketLogging", "data", "bucket", "another")),
    ("bucket-models-immutable", put("BucketPolicy", "data", "policy/Statement/1")),
    ("bucket-models-immutable", put("BucketPolicy", "data", "policy/Statement/1/Condition/Null/s3:if-none-match", "false")),
    ("bucket-models-immutable", put("BucketPolicy", "data", "policy/Statement/2/Action", "s3:DeleteObject")),
    ("bucket-models-immutable", put("BucketPolicy", "data", "policy/Statement/2/Resource", "arn:aws:s3:::x/training/*")),
    # Images.
    ("image-tags-immutable", put("Repository", "serve", "imageTagMutability", "MUTABLE")),
    ("image-tags-immutable", put("Repository", "serve", "imageTagMutability")),
    ("image-scanned", put("Repository", "serve", "imageScanningConfiguration/scanOnPush", False)),
    ("image-encrypted", put("Repository", "serve", "encryptionConfigurations")),
    ("image-encrypted", put("Repository", "serve", "encryptionConfigurations/0/kmsKey")),
    ("image-repository-kept", put("Repository", "serve", "forceDelete", True)),
    ("image-lifecycle", gone("LifecyclePolicy", "serve")),
    *[("image-pins-kept", put("LifecyclePolicy", "serve", "policy/rules/0/selection/tagStatus", status))
      for status in ("any", "tagged")],
    *[("image-pins-kept", put("LifecyclePolicy", "serve", "policy/rules/1/selection", {"tagStatus": "tagged", key: [value]}))
      for key, value in (("tagPrefixList", "a"), ("tagPrefixList", ""), ("tagPatternList", "*"), ("tagPatternList", "f*"))],
    # Keys and state.
    ("key-rotated", put("Key", "data", "enableKeyRotation", False)),
    ("key-policy-closed", put("Key", "data", f"{MAY}/Principal", {"AWS": "*"})),
    ("key-policy-closed", put("Key", "data", "policy")),
    ("key-deletion-waits", put("Key", "data", "deletionWindowInDays", 7)),
    *[("state-protected", unprotected(kind, name)) for kind, name in (
        ("Bucket", "data"), ("Table", "rankings"), ("Key", "data"), ("Repository", "serve"), ("Cluster", "cluster"))],
    ("state-not-forced", put("Bucket", "data", "forceDestroy", True)),
    ("table-recoverable", put("Table", "rankings", "pointInTimeRecovery/enabled", False)),
    ("table-recoverable", put("Table", "rankings", "pointInTimeRecovery")),
    ("table-deletion-protected", put("Table", "rankings", "deletionProtectionEnabled")),
    ("table-expires", put("Table", "rankings", "ttl")),
    ("table-expires", put("Table", "rankings", "ttl/enabled", False)),
    ("table-encrypted", put("Table", "rankings", "serverSideEncryption/kmsKeyArn")),
    ("provider-account-pinned", added(made("pulumi:providers:aws", "default", {"region": "eu-central-1"}))),
    ("provider-account-pinned", added(made("pulumi:providers:aws", "default", {"allowedAccountIds": "[]"}))),
    # The cluster.
    ("cluster-endpoint", put("Cluster", "cluster", "vpcConfig/publicAccessCidrs")),
    ("cluster-endpoint", put("Cluster", "cluster", "vpcConfig/publicAccessCidrs", ["203.0.113.0/24", "0.0.0.0/0"])),
    ("cluster-endpoint", put("Cluster", "cluster", "vpcConfig/endpointPrivateAccess", False)),
    ("cluster-endpoint", put("Cluster", "cluster", "vpcConfig", {"endpointPrivateAccess": True})),
    ("cluster-secrets-key", put("Cluster", "cluster", "encryptionConfig")),
    ("cluster-secrets-key", put("Cluster", "cluster", "encryptionConfig/resources", [])),
    ("cluster-logs", put("Cluster", "cluster", "enabledClusterLogTypes", ["api", "audit", "scheduler"])),
    ("cluster-logs", put("Cluster", "cluster", "enabledClusterLogTypes")),
    ("cluster-log-group", gone("LogGroup", "/aws/eks/podium-staging/cluster")),
    ("cluster-api-authentication", put("Cluster", "cluster", "accessConfig/authenticationMode", "API_AND_CONFIG_MAP")),
    *[("cluster-api-authentication", put("Cluster", "cluster", "accessConfig/bootstrapClusterCreatorAdminPermissions", value))
      for value in (True, MISSING)],
    ("cluster-administrators", gone("AccessPolicyAssociation", "admin")),
    ("cluster-administrators", put("AccessEntry", "admin", "principalArn", role("another"))),
    (AUTO, put("Cluster", "cluster", "computeConfig/enabled", False)),
    (AUTO, put("Cluster", "cluster", "storageConfig")),
    (AUTO, put("Cluster", "cluster", "kubernetesNetworkConfig/elasticLoadBalancing/enabled", False)),
    *[("cluster-supported", put("Cluster", "cluster", "version", version)) for version in ("1.34", "1.9", "latest", MISSING)],
    ("cluster-supported", put("Cluster", "cluster", "upgradePolicy/supportType", "EXTENDED")),
    ("cluster-supported", put("Cluster", "cluster", "upgradePolicy")),
    ("cluster-deletion-protected", put("Cluster", "cluster", "deletionProtection", False)),
    ("cluster-private-subnets", put("Cluster", "cluster", "vpcConfig/subnetIds", ["subnet-0aa", "subnet-0bb"])),
    # The network.
    ("network-no-open-ingress", put("SecurityGroup", "balancer", "ingress/0/toPort", 8443)),
    ("network-no-open-ingress", put("LoadBalancer", "serve", "securityGroups", [])),
    ("network-no-open-ingress", put("SecurityGroupIngressRule", "job", "cidrIpv4", "0.0.0.0/0")),
    ("network-no-open-ingress", put("SecurityGroupIngressRule", "job", "cidrIpv6", "::/0")),
    ("network-no-open-ingress", added(made("aws:ec2/securityGroupRule:SecurityGroupRule", "all",
        {"type": "ingress", "securityGroupId": "sg-0job", "fromPort": 0, "toPort": 0, "cidrBlocks": ["0.0.0.0/0"]}))),
    ("network-default-group-closed", gone("DefaultSecurityGroup", "closed")),
    ("network-default-group-closed", put("DefaultSecurityGroup", "closed", "egress", [{"protocol": "-1"}])),
    ("network-flow-logs", gone("FlowLog", "flow")),
    ("network-flow-logs", put("FlowLog", "flow", "trafficType", "ACCEPT")),
    ("network-no-public-addresses", put("Subnet", "private", "mapPublicIpOnLaunch", True)),
    ("network-endpoint-policy", put("VpcEndpoint", "s3", "policy")),
    ("network-endpoint-policy", put("VpcEndpoint", "s3", f"{MAY}/Resource", "*")),
    ("log-group-kept", put("LogGroup", "/aws/lambda/podium-staging-http", "retentionInDays")),
    ("log-group-kept", put("LogGroup", "/aws/lambda/podium-staging-http", "kmsKeyId")),
    ("node-metadata", put("LaunchTemplate", "nodes", "metadataOptions/httpPutResponseHopLimit", 2)),
    ("node-metadata", put("LaunchTemplate", "nodes", "metadataOptions")),
    # The delayed path.
    ("message-encrypted", put("Queue", "work", "kmsMasterKeyId")),
    ("message-encrypted", put("Queue", "work-dead", "kmsMasterKeyId", "alias/aws/sqs")),
    ("message-encrypted", put("Topic", "alarms", "kmsMasterKeyId")),
    ("message-tls-only", gone("QueuePolicy", "work-dead")),
    ("message-tls-only", put("QueuePolicy", "work", f"{MAY}/Condition/Bool/aws:SecureTransport", "true")),
    ("message-tls-only", gone("TopicPolicy", "alarms")),
    ("queue-redrive", put("Queue", "work", "redrivePolicy/maxReceiveCount")),
    ("queue-dead-letters-watched", gone("MetricAlarm", "work-dead")),
    ("queue-dead-letters-watched", put("MetricAlarm", "work", "alarmActions", [])),
    ("queue-dead-letters-watched", put("MetricAlarm", "work", "metricName", "NumberOfMessagesSent")),
    ("queue-visibility", put("Queue", "work", "visibilityTimeoutSeconds", 719)),
    ("queue-visibility", put("Queue", "work", "visibilityTimeoutSeconds")),
    ("queue-workers", put("EventSourceMapping", "worker", "functionResponseTypes")),
    ("queue-workers", put("EventSourceMapping", "worker", "scalingConfig/maximumConcurrency", 1)),
    ("queue-workers", put("EventSourceMapping", "worker", "scalingConfig")),
    ("function-by-digest", put("Function", "worker", "imageUri", "1.dkr.ecr.eu-central-1.amazonaws.com/serve:latest")),
    ("function-by-digest", put("Function", "worker", "imageUri")),
    *[("environment-no-secrets", put("Function", "worker", f"environment/variables/{name}", value)) for name, value in (
        ("DATABASE_PASSWORD", "hunter2"), ("API_KEY", "x"), ("ID", "AKIAIOSFODNN7EXAMPLE"), ("U", "https://me:pw@host/"))],
    ("environment-no-secrets", container("environment", [{"name": "API_TOKEN", "value": "x"}])),
    ("environment-no-secrets", added(made("aws:codebuild/project:Project", "runner", {"environment": {
        "environmentVariables": [{"name": "GITHUB_TOKEN", "value": "x", "type": "PLAINTEXT"}]}}))),
    ("function-failures-kept", gone("EventSourceMapping", "worker")),
    ("function-failures-kept", put("Permission", "http", "principal", "s3.amazonaws.com")),
    ("function-environment-encrypted", put("Function", "worker", "kmsKeyArn")),
    ("function-log-group", gone("LogGroup", "/aws/lambda/podium-staging-worker")),
    ("function-caller-named", put("Permission", "http", "sourceArn")),
    ("function-caller-named", added(made("aws:lambda/permission:Permission", "all", {"principal": "*", "sourceArn": "arn:aws:s3:::x"}))),
    *[("resource-policy-closed", put(kind, name, f"policy/Statement/{at}/{key}", value)) for kind, name, at, key, value in (
        ("QueuePolicy", "work", 1, "Condition", {}), ("BucketPolicy", "logs", 1, "Condition", {}),
        ("QueuePolicy", "work", 1, "Condition", {"StringEqualsIfExists": {"aws:SourceAccount": "1"}}))],
    ("resource-policy-closed", both(put("QueuePolicy", "work", "policy/Statement/1/Principal", "*"),
                                    put("QueuePolicy", "work", "policy/Statement/1/Condition"))),
    # The other serving targets.
    ("api-authorised", put("Route", "http", "authorizationType", "NONE")),
    ("api-authorised", put("Route", "http", "authorizationType")),
    ("api-throttled", put("Stage", "http", "defaultRouteSettings")),
    ("api-throttled", put("Stage", "http", "defaultRouteSettings/throttlingRateLimit", 0)),
    ("api-throttled", put("Stage", "http", "accessLogSettings")),
    ("task-hardened", container("readonlyRootFilesystem", False)),
    ("task-hardened", container("image", "1.dkr.ecr.eu-central-1.amazonaws.com/serve:1")),
    ("task-hardened", container("privileged", True)),
    *[("task-hardened", container("user", user)) for user in ("root", "0:0")],
    ("task-hardened", container("logConfiguration")),
    ("task-roles-apart", put("TaskDefinition", "serve", "taskRoleArn", role("start"))),
    ("task-roles-apart", put("TaskDefinition", "serve", "taskRoleArn")),
    ("task-rolled-back", put("Service", "serve", "deploymentCircuitBreaker/rollback", False)),
    ("task-rolled-back", put("Service", "serve", "deploymentCircuitBreaker")),
    ("task-rolled-back", put("Service", "serve", "desiredCount", 0)),
    ("task-private", put("Service", "serve", "networkConfiguration/assignPublicIp", True)),
    ("balancer-internal", put("LoadBalancer", "serve", "internal", False)),
    ("balancer-internal", put("LoadBalancer", "serve", "dropInvalidHeaderFields")),
    ("balancer-tls", put("Listener", "https", "protocol", "HTTP")),
    *[("balancer-tls", put("Listener", "https", "sslPolicy", name)) for name in (
        "ELBSecurityPolicy-2016-08", "ELBSecurityPolicy-TLS13-1-0-2021-06", MISSING)],
    ("balancer-tls", put("Listener", "http", "defaultActions/0/type", "forward")),
]  # fmt: skip


# The same on the program's own graph, where names and the ways from one resource to another are as they really are.
EKS, SERVE = "cluster-eksCluster", "containerDefinitions/0"
REAL: list[tuple[str, Edit]] = [
    *[("trust-github-exact", put("Role", name, f"{TESTS}/{GITHUB}:sub", "repo:octo-org/podium:*")) for name in ("apply", "push")],
    ("trust-pod-identity", put("Role", "rank", f"{TRUST}/Action", "sts:AssumeRole")),
    ("trust-source-account", put("Role", "job", f"{TRUST}/Condition")),
    ("permissions-no-star", policy("jobs", allow("*", "*"))),
    ("permissions-pass-role", policy("push", allow("iam:PassRole", "*"))),
    ("permissions-boundary", put("Role", "apply", "permissionsBoundary", "")),
    ("permissions-bare-nodes", put("RolePolicyAttachment", "node-AmazonEKSWorkerNodeMinimalPolicy", "policyArn", "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")),
    ("training-closed-off", put("RolePolicy", "train", f"{MAY}/Condition/Bool/sagemaker:NetworkIsolation")),
    ("bucket-public-access-block", gone("BucketPublicAccessBlock", "data")),
    ("bucket-owner-enforced", gone("BucketOwnershipControls", "logs")),
    ("bucket-tls-only", gone("BucketPolicy", "logs")),
    ("bucket-encrypted", gone("BucketServerSideEncryptionConfiguration", "data")),
    ("bucket-versioned", gone("BucketVersioning", "data")),
    ("bucket-lifecycle", gone("BucketLifecycleConfiguration", "data")),
    ("bucket-access-logs", gone("BucketLogging", "data")),
    ("bucket-models-immutable", put("BucketPolicy", "data", "policy/Statement", [])),
    ("image-lifecycle", gone("LifecyclePolicy", "train")),
    ("image-pins-kept", put("LifecyclePolicy", "serve", "policy/rules/0/selection/tagStatus", "any")),
    ("cluster-log-group", gone("LogGroup", "control-plane")),
    ("cluster-administrators", both(gone("AccessEntry", "access-apply"), gone("AccessEntry", "access-platform-admin"))),
    ("network-no-open-ingress", put("SecurityGroupIngressRule", "job-peers", "cidrIpv4", "0.0.0.0/0")),
    ("network-default-group-closed", gone("DefaultSecurityGroup", "closed")),
    ("network-flow-logs", gone("FlowLog", "flow-logs")),
    ("network-endpoint-policy", put("VpcEndpoint", "s3", "policy")),
    ("message-tls-only", gone("QueuePolicy", "work-dead")),
    ("message-tls-only", gone("TopicPolicy", "alarms")),
    ("queue-redrive", put("Queue", "work", "redrivePolicy/maxReceiveCount")),
    ("queue-dead-letters-watched", gone("MetricAlarm", "dead-letters")),
    ("queue-visibility", put("Queue", "work", "visibilityTimeoutSeconds", 700)),
    ("function-log-group", gone("LogGroup", "worker")),
    ("function-failures-kept", put("Permission", "http", "principal", "s3.amazonaws.com")),
    ("task-hardened", put("TaskDefinition", "fargate", f"{SERVE}/readonlyRootFilesystem", False)),
    ("provider-account-pinned", put("aws", "aws", "allowedAccountIds")),
]  # fmt: skip
