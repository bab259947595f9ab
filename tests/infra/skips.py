"""What checkov asks for and we do otherwise, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Skip:
    """
    Args:
        resource: a pattern for Terraform's address, `aws_s3_bucket.Storage_logs`.
    """

    check: str
    resource: str
    because: str


SKIPS = (
    Skip(
        "CKV2_AWS_5", "aws_security_group.Sagemaker_job",
        "SageMaker attaches it to the jobs that a workflow starts: none of them is in the stack.",
    ),
    Skip(
        "CKV2_AWS_62", "aws_s3_bucket.Storage_logs",
        "Nobody works on access logs; what somebody works on, inputs of delayed rankings, does send events.",
    ),
    Skip(
        "CKV_AWS_116", "aws_lambda_function.Delayed_Function_worker",
        "Lambda's own dead letters are for asynchronous calls. This one is fed by a queue, which has dead letters.",
    ),
    Skip(
        "CKV_AWS_116", "aws_lambda_function.HttpApi_Function_http",
        "Its callers wait for the answer, and so see what fails.",
    ),
    Skip(
        "CKV_AWS_117", "aws_lambda_function.*",
        "It asks S3, DynamoDB and KMS, which answer by IAM: a VPC would add cold start and keep nobody out.",
    ),
    Skip(
        "CKV_AWS_91", "aws_lb.Fargate_Balancer_fargate",
        "The balancer is internal, and its logs go to no bucket that a key of ours encrypts; the tasks count requests.",
    ),
    Skip(
        "CKV_AWS_144", "aws_s3_bucket.Storage_*",
        "One region serves. Models come again from git and data, and versions and protection are against slips.",
    ),
    Skip(
        "CKV_AWS_145", "aws_s3_bucket.Storage_logs",
        "S3 delivers access logs to no bucket that a key of ours encrypts (S3 user guide, server access logs).",
    ),
    Skip(
        "CKV_AWS_272", "aws_lambda_function.*",
        "Signing is for code in archives; an image is pinned by its digest, which says as much.",
    ),
    Skip(
        "CKV_AWS_289", "aws_iam_policy.Boundary_*",
        "A boundary grants nothing: it says what a role's own policies may at most, and is tried by acting as roles.",
    ),
    Skip("CKV_AWS_290", "aws_iam_policy.Boundary_*", "As for CKV_AWS_289."),
    Skip(
        "CKV_AWS_338", "aws_cloudwatch_log_group.*",
        "How long logs are kept is a setting, and costs: a year of flow logs is more than most want to pay for.",
    ),
    Skip(
        "CKV_AWS_355", "aws_iam_policy.Identity_look",
        "A preview describes all that the stack has, some of which has no name before it is made. It reads no content.",
    ),
    Skip(
        "CKV_AWS_39", "aws_eks_cluster.*",
        "Staging's API is open to named networks besides: CKV_AWS_38 and cluster-endpoint see that they are not all.",
    ),
    Skip(
        "CKV_AWS_393", "aws_iam_role.Identity_*",
        "It takes owner@1/repository@2, GitHub's immutable subject, for no repository. trust-github-exact is stricter.",
    ),
)  # fmt: skip

# Files that are no part of the graph.
FILES = (
    Skip(
        "CKV_AWS_18", "AWS::S3::Bucket.Bucket",
        "Its readers are the roles that apply and preview, whose calls CloudTrail has; a second bucket for it to log "
        "to would have to be bootstrapped too.",
    ),
    Skip("CKV_DOCKER_7", "*Dockerfile.FROM", "BASE is an argument: what is deployed is built from a digest."),
    Skip("CKV_DOCKER_2", "*Dockerfile.", "Kubernetes, ECS and Lambda look by probes of their own and never at this."),
)  # fmt: skip
