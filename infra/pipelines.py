"""What the workflows' roles may do: push images, train, preview. As little as the calls that they make.

The calls of training are those of training/launch.py, follow.py, inputs.py and artifact.py, and of a registry in S3
(service/s3.py, service/bucket.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from infra.boundary import state_objects
from infra.iam import Statement, allow, deny
from infra.keys import WRITE, use, use_objects
from infra.sagemaker import GROUP, INPUTS, JOBS
from infra.settings import StateSettings
from infra.site import PARTITION, Site
from infra.storage import MODELS

# Layers, then the manifest that names them; the reads are of what is there already. Immutable tags refuse the rest.
PUSH = (
    "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload", "ecr:DescribeImages",
    "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart",
)  # fmt: skip
# The configuration of what the stack is made of. No call that returns a message, an item, an object or a secret.
LOOK = (
    "acm:DescribeCertificate", "acm:ListTagsForCertificate", "apigateway:GET", "application-autoscaling:Describe*",
    "application-autoscaling:ListTagsForResource", "cloudwatch:DescribeAlarms", "cloudwatch:ListTagsForResource",
    "codebuild:BatchGetProjects", "codeconnections:GetConnection", "dynamodb:DescribeContinuousBackups",
    "dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive", "dynamodb:ListTagsOfResource",
    "ec2:DescribeAccountAttributes", "ec2:DescribeAddresses", "ec2:DescribeAddressesAttribute",
    "ec2:DescribeAvailabilityZones", "ec2:DescribeFlowLogs", "ec2:DescribeInternetGateways",
    "ec2:DescribeManagedPrefixLists", "ec2:DescribeNatGateways", "ec2:DescribeNetworkAcls",
    "ec2:DescribeNetworkInterfaces", "ec2:DescribePrefixLists", "ec2:DescribeRouteTables",
    "ec2:DescribeSecurityGroupRules", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeTags",
    "ec2:DescribeVpcAttribute", "ec2:DescribeVpcEndpoints", "ec2:DescribeVpcEndpointServices", "ec2:DescribeVpcs",
    "ecr:DescribeRepositories", "ecr:GetLifecyclePolicy", "ecr:GetRepositoryPolicy", "ecr:ListTagsForResource",
    "ecs:DescribeClusters", "ecs:DescribeServices", "ecs:DescribeTaskDefinition", "ecs:ListTagsForResource",
    "eks:DescribeAccessEntry", "eks:DescribeAddon", "eks:DescribeAddonVersions", "eks:DescribeCluster",
    "eks:DescribePodIdentityAssociation", "eks:ListAccessEntries", "eks:ListAssociatedAccessPolicies",
    "eks:ListPodIdentityAssociations", "eks:ListTagsForResource", "elasticloadbalancing:Describe*",
    "iam:GetOpenIDConnectProvider", "iam:GetPolicy", "iam:GetPolicyVersion", "iam:GetRole", "iam:GetRolePolicy",
    "iam:ListAttachedRolePolicies", "iam:ListPolicyTags", "iam:ListPolicyVersions", "iam:ListRolePolicies",
    "iam:ListRoleTags", "kms:DescribeKey", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:ListAliases",
    "kms:ListResourceTags", "lambda:GetEventSourceMapping", "lambda:GetFunction",
    "lambda:GetFunctionCodeSigningConfig", "lambda:GetFunctionConcurrency", "lambda:GetPolicy",
    "lambda:GetProvisionedConcurrencyConfig", "lambda:ListTags", "lambda:ListVersionsByFunction",
    "logs:DescribeLogGroups", "logs:ListTagsForResource", "route53:GetChange", "route53:GetHostedZone",
    "route53:ListResourceRecordSets", "route53:ListTagsForResource", "s3:GetAccelerateConfiguration",
    "s3:GetBucket*", "s3:GetEncryptionConfiguration", "s3:GetLifecycleConfiguration",
    "s3:GetReplicationConfiguration", "sns:GetSubscriptionAttributes", "sns:GetTopicAttributes",
    "sns:ListTagsForResource", "sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:ListQueueTags",
)  # fmt: skip
CONTENT = (
    "dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:PartiQLSelect", "dynamodb:Query", "dynamodb:Scan",
    "lambda:InvokeFunction", "logs:FilterLogEvents", "logs:GetLogEvents", "logs:StartQuery",
    "secretsmanager:GetSecretValue", "sqs:ReceiveMessage", "ssm:GetParameter*",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Training:
    """What a training job may be: of this role, in this network, with this key."""

    bucket_arn: pulumi.Input[str]
    data_key: pulumi.Input[str]
    job_role_arn: pulumi.Input[str]
    job_security_group_id: pulumi.Input[str]
    job_subnet_ids: Sequence[pulumi.Input[str]]


def pushing(repositories: Sequence[pulumi.Input[str]]) -> list[Statement]:
    """Pushes images, and can neither delete one nor put another in its place."""
    return [allow("Login", ["ecr:GetAuthorizationToken"], ["*"]), allow("Push", PUSH, repositories)]


def training(site: Site, of: Training) -> list[Statement]:
    """Starts and watches this environment's jobs, stages their input, and publishes what they made."""
    jobs, group = site.arn("sagemaker", f"training-job/{site.name('*')}"), site.arn("logs", f"log-group:{GROUP}")
    lines = f"{group}:log-stream:{site.name('*')}"
    bucket, listed = of.bucket_arn, [f"{prefix}*" for prefix in (INPUTS, JOBS, MODELS)]
    published = [_below(bucket, prefix) for prefix in (INPUTS, MODELS)]
    read = [*published, _below(bucket, JOBS)]
    tagging = {"StringEquals": {"sagemaker:TaggingAction": "CreateTrainingJob"}}
    passed = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    return [
        allow("Start", ["sagemaker:CreateTrainingJob"], [jobs], _closed(of)),
        allow("Tag", ["sagemaker:AddTags"], [jobs], tagging),
        allow("Follow", ["sagemaker:DescribeTrainingJob", "sagemaker:StopTrainingJob"], [jobs]),
        allow("Pass", ["iam:PassRole"], [of.job_role_arn], passed),
        allow("Streams", ["logs:DescribeLogStreams"], [group, f"{group}:log-stream:*"]),
        allow("Lines", ["logs:GetLogEvents"], [lines]),
        # A file that is not there yet is what an upload begins with. S3 answers 404 only to who may list, and asks
        # that of a read with no prefix in the request.
        allow("Find", ["s3:ListBucket"], [bucket], {"StringLikeIfExists": {"s3:prefix": listed}}),
        allow("Read", ["s3:GetObject"], read),
        # Below models/ the bucket refuses every put without If-None-Match, and these roles have no delete.
        allow("Publish", ["s3:AbortMultipartUpload", "s3:PutObject"], published),
        use_objects("Objects", site, of.data_key, bucket, [INPUTS, JOBS, MODELS], actions=WRITE),
    ]


def looking(site: Site, state: StateSettings) -> list[Statement]:
    """Reads how things are set up, and the state: what a preview needs, and whoever applies as well."""
    return [
        allow("Look", LOOK, ["*"]),
        *_reading_state(site, state),
        # HeadBucket is this right. It shows names of objects, never what they hold.
        allow("Buckets", ["s3:ListBucket"], [f"arn:{PARTITION}:s3:::{site.name('*')}"]),
        # Whatever else is ever attached. A preview runs a pull request's code: what it can read, any collaborator can.
        deny("NoContent", CONTENT, ["*"]),
        deny("NoObjects", ["s3:GetObject*"], [f"arn:{PARTITION}:s3:::{site.name('*')}/*"]),
    ]


def _reading_state(site: Site, state: StateSettings) -> list[Statement]:
    bucket = f"arn:{PARTITION}:s3:::{state.bucket}"
    return [
        allow("StateList", ["s3:GetBucketLocation", "s3:ListBucket"], [bucket]),
        allow("State", ["s3:GetObject"], state_objects(state, site.environment)),
        use("StateFiles", site, state.key, "s3"),
        # Pulumi asks KMS itself for the key of a stack's secrets.
        allow("StateSecrets", ["kms:Decrypt"], [state.key]),
    ]


def _closed(of: Training) -> dict[str, dict[str, Any]]:
    """The conditions of CreateTrainingJob. A list that is absent passes ForAllValues, so each is asked for by Null."""
    lists = {
        "sagemaker:VpcSubnets": list(of.job_subnet_ids),
        "sagemaker:VpcSecurityGroupIds": [of.job_security_group_id],
    }
    return {
        "Bool": {"sagemaker:NetworkIsolation": "true", "sagemaker:InterContainerTrafficEncryption": "true"},
        # A shell into a running job would go round all of this.
        "BoolIfExists": {"sagemaker:EnableRemoteDebug": "false"},
        "ArnEquals": {"sagemaker:VolumeKmsKey": of.data_key, "sagemaker:OutputKmsKey": of.data_key},
        "ForAllValues:StringEquals": lists,
        "Null": dict.fromkeys(lists, "false"),
    }


def _below(bucket: pulumi.Input[str], prefix: str) -> pulumi.Output[str]:
    return pulumi.Output.concat(bucket, f"/{prefix}*")
