"""Each control of the infrastructure, broken once, and the rungs of the ladder that must notice.

The numbers are those of the controls in docs/infrastructure.md. What checkov and the emulators notice is proven where
they are asked (test_plan.py, test_behaviour.py): they take too long to be asked for each of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.infra.edits import Edit, both, gone, put, unprotected

GITHUB = "token.actions.githubusercontent.com"
TRUST = "assumeRolePolicy/Statement/0"
CLUSTER = ("eks/cluster:Cluster", "cluster-eksCluster")
KEY = ("kms/key:Key", "data-key")
BLOCK = ("s3/bucketPublicAccessBlock:BucketPublicAccessBlock", "data")
ENCRYPTION = ("s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration", "data")
REPOSITORY = ("ecr/repository:Repository", "serve")
TABLE = ("dynamodb/table:Table", "rankings")
QUEUE = ("sqs/queue:Queue", "work")
QUEUE_POLICY = ("sqs/queuePolicy:QueuePolicy", "work")
BUCKET_POLICY = ("s3/bucketPolicy:BucketPolicy", "data")
OWNERSHIP = ("s3/bucketOwnershipControls:BucketOwnershipControls", "data")
VERSIONS = ("s3/bucketVersioning:BucketVersioning", "data")
LIFECYCLE = ("s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration", "data")
EXPIRY = ("ecr/lifecyclePolicy:LifecyclePolicy", "serve")
LOG_GROUP = ("cloudwatch/logGroup:LogGroup", "control-plane")
DEFAULT_GROUP = ("ec2/defaultSecurityGroup:DefaultSecurityGroup", "closed")
INGRESS = ("vpc/securityGroupIngressRule:SecurityGroupIngressRule", "endpoints")
HOST = "444455556666.dkr.ecr.eu-central-1.amazonaws.com"
ELSEWHERE = ["arn:aws:s3:::podium-production-data-444455556666/model/*"]
OPEN = [{"protocol": "-1", "fromPort": 0, "toPort": 0, "self": True}]
SUBJECTS = f"{TRUST}/Condition/StringEquals/{GITHUB}:sub"
START = "policy/Statement/0/Condition"
WORKER = ("lambda/function:Function", "worker")
MAPPING = ("lambda/eventSourceMapping:EventSourceMapping", "worker")
ROLE, MAY = "iam/role:Role", "iam/rolePolicy:RolePolicy"
EVERYBODY: dict[str, Any] = {"Sid": "Extra", "Effect": "Allow", "Action": ["*"], "Resource": ["*"]}


@dataclass(frozen=True)
class Mutation:
    control: int
    what: str
    edit: Edit
    rungs: Sequence[str]
    """Each of them must notice."""


def m(control: int, what: str, rungs: str, *edits: Edit) -> Mutation:
    return Mutation(control, what, both(*edits), rungs.split())


MUTATIONS = [
    m(1, "any repository's jobs push", "pack lint", put(ROLE, "push", SUBJECTS, "*")),
    m(1, "any environment's jobs push", "pack lint",
      put(ROLE, "push", SUBJECTS, ["repo:octo-org@123456/podium@456789:*"])),
    m(1, "subjects are compared by pattern", "pack lint",
      put(ROLE, "apply", f"{TRUST}/Condition", {"StringLike": {f"{GITHUB}:sub": "repo:octo-org/*",
                                                                 f"{GITHUB}:aud": "sts.amazonaws.com"}})),
    m(1, "tokens for anybody are taken", "pack lint",
      put(ROLE, "push", f"{TRUST}/Condition/StringEquals/{GITHUB}:aud")),
    m(1, "no condition at all", "pack lint", put(ROLE, "train", f"{TRUST}/Condition")),
    m(2, "names alone are believed", "promises",
      put(ROLE, "push", SUBJECTS, ["repo:octo-org/podium:environment:images"])),
    m(3, "a role may do everything", "pack lint", put(MAY, "rank", "policy/Statement/0", EVERYBODY)),
    m(3, "any role is passed on", "pack lint", put(MAY, "train", "policy/Statement/3/Resource", ["*"])),
    m(3, "to any service", "pack lint", put(MAY, "train", "policy/Statement/3/Condition")),
    m(3, "a rank pod reads every model", "promises",
      put(MAY, "rank", "policy/Statement/1/Resource", ["arn:aws:s3:::podium-production-data-444455556666/*"])),
    m(3, "a rank pod reads no model", "promises", put(MAY, "rank", "policy/Statement/1/Effect", "Deny")),
    m(3, "an action that does not exist", "lint", put(MAY, "rank", "policy/Statement/1/Action", ["s3:GetObjekt"])),
    m(3, "a write on everything", "lint", put(MAY, "jobs", "policy/Statement/0", {
        "Sid": "Extra", "Effect": "Allow", "Action": ["sqs:SendMessage"], "Resource": ["*"]})),
    m(3, "a pod makes roles", "lint", put(MAY, "jobs", "policy/Statement/0", {
        "Sid": "Extra", "Effect": "Allow", "Action": ["iam:CreateRole"],
        "Resource": ["arn:aws:iam::444455556666:role/x"]})),
    m(3, "the applying role is unbound", "pack", put(ROLE, "apply", "permissionsBoundary")),
    m(4, "a bucket may be public", "pack", gone(*BLOCK)),
    m(4, "half of it may", "pack", put(*BLOCK, "blockPublicPolicy", False)),
    m(4, "others own what they upload", "pack", gone(*OWNERSHIP)),
    m(5, "the bucket answers without TLS", "pack", put(*BUCKET_POLICY, "policy/Statement/0/Effect", "Allow")),
    m(5, "the queue answers without TLS", "pack",
      put(*QUEUE_POLICY, f"{START}/Bool/aws:SecureTransport", "true")),
    m(5, "no policy of the bucket", "pack", gone(*BUCKET_POLICY)),
    m(6, "models may be overwritten", "promises",
      put(*BUCKET_POLICY, "policy/Statement/1/Resource", ELSEWHERE)),
    m(6, "models may be deleted", "promises", put(*BUCKET_POLICY, "policy/Statement/2/Action", ["s3:DeleteObject"])),
    m(6, "no key of ours", "pack", gone(*ENCRYPTION)),
    m(6, "S3's own key", "pack",
      put(*ENCRYPTION, "rules/0/applyServerSideEncryptionByDefault", {"sseAlgorithm": "AES256"})),
    m(6, "no versions", "pack", put(*VERSIONS, "versioningConfiguration/status", "Suspended")),
    m(6, "no lifecycle", "pack", gone(*LIFECYCLE)),
    m(6, "no access log", "pack", gone("s3/bucketLogging:BucketLogging", "data")),
    m(7, "tags move", "pack", put(*REPOSITORY, "imageTagMutability", "MUTABLE")),
    m(7, "images are not scanned", "pack", put(*REPOSITORY, "imageScanningConfiguration/scanOnPush", False)),
    m(7, "images are under no key of ours", "pack", put(*REPOSITORY, "encryptionConfigurations")),
    m(7, "pinned images expire", "pack",
      put(*EXPIRY, "policy/rules/1/selection/tagPrefixList", ["3"])),
    m(8, "everybody reaches the API", "pack", put(*CLUSTER, "vpcConfig/endpointPublicAccess", True),
      put(*CLUSTER, "vpcConfig/publicAccessCidrs", ["0.0.0.0/0"])),
    m(9, "secrets are under no key of ours", "pack", put(*CLUSTER, "encryptionConfig")),
    m(10, "no audit log", "pack", put(*CLUSTER, "enabledClusterLogTypes", ["api", "scheduler"])),
    m(10, "the log is kept for ever", "pack", put(*LOG_GROUP, "retentionInDays")),
    m(10, "the log is AWS's to make", "rules pack", gone(*LOG_GROUP)),
    m(11, "the creator stays administrator", "pack",
      put(*CLUSTER, "accessConfig/bootstrapClusterCreatorAdminPermissions", True)),
    m(11, "a ConfigMap says who enters", "pack",
      put(*CLUSTER, "accessConfig/authenticationMode", "API_AND_CONFIG_MAP")),
    m(11, "half of Auto Mode", "pack", put(*CLUSTER, "storageConfig/blockStorage/enabled", False)),
    m(12, "a version out of support", "pack", put(*CLUSTER, "version", "1.31")),
    m(12, "extended support", "pack", put(*CLUSTER, "upgradePolicy/supportType", "EXTENDED")),
    m(12, "the cluster can be deleted", "pack", put(*CLUSTER, "deletionProtection", False)),
    m(13, "any service is a rank pod", "pack", put(ROLE, "rank", f"{TRUST}/Principal/Service", "ec2.amazonaws.com")),
    m(13, "for any cluster", "pack lint", put(ROLE, "rank", f"{TRUST}/Condition")),
    m(14, "a key that never rotates", "pack", put(*KEY, "enableKeyRotation", False)),
    m(14, "a key for everybody", "pack lint", put(*KEY, "policy/Statement/0/Principal", {"AWS": "*"})),
    m(15, "no way back in the table", "pack", put(*TABLE, "pointInTimeRecovery/enabled", False)),
    m(15, "the table can be deleted", "pack", put(*TABLE, "deletionProtectionEnabled", False)),
    m(15, "results stay for ever", "pack", put(*TABLE, "ttl/enabled", False)),
    m(15, "the table is not protected", "rules", unprotected(*TABLE)),
    m(15, "the bucket is not protected", "rules", unprotected("s3/bucket:Bucket", "data")),
    m(15, "the key is not protected", "rules", unprotected(*KEY)),
    m(16, "an image by its tag", "pack", put(*WORKER, "imageUri", f"{HOST}/podium-production/serve:1")),
    m(16, "no dead letters", "pack", put(*QUEUE, "redrivePolicy")),
    m(16, "a message comes back too soon", "pack", put(*QUEUE, "visibilityTimeoutSeconds", 130)),
    m(16, "one failure fails the batch", "pack", put(*MAPPING, "functionResponseTypes", [])),
    m(16, "no bound on workers", "pack", put(*MAPPING, "scalingConfig")),
    m(16, "a secret in the environment", "rules pack",
      put(*WORKER, "environment/variables/DB_PASSWORD", "hunter2hunter2")),
    m(17, "jobs with a network", "pack", put(MAY, "train", f"{START}/Bool/sagemaker:NetworkIsolation")),
    m(17, "jobs outside the VPC", "pack", put(MAY, "train", f"{START}/Null/sagemaker:VpcSubnets")),
    m(17, "disks under any key", "pack", put(MAY, "train", f"{START}/ArnEquals/sagemaker:VolumeKmsKey")),
    m(20, "the default security group is open", "pack",
      put(*DEFAULT_GROUP, "ingress", OPEN)),
    m(20, "no flow logs", "pack", gone("ec2/flowLog:FlowLog", "flow-logs")),
    m(20, "nodes with public addresses", "pack",
      put("ec2/subnet:Subnet", "private-a", "mapPublicIpOnLaunch", True)),
    m(20, "the internet comes in", "pack",
      put(*INGRESS, "cidrIpv4", "0.0.0.0/0")),
]  # fmt: skip
