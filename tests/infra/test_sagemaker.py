"""What a training job may do and reach."""

from __future__ import annotations

import pytest

from tests.infra.evaluate import Principal
from tests.infra.rights import REGION, Rights, committed
from tests.infra.stacks import STACKS

SAGEMAKER = Principal(service="sagemaker.amazonaws.com")
GROUP = "log-group:/aws/sagemaker/TrainingJobs"


@pytest.fixture(params=STACKS)
def rights(request: pytest.FixtureRequest) -> Rights:
    return Rights(committed(request.param))


def test_a_job_reads_its_input_and_writes_its_results(rights: Rights) -> None:
    bucket, key = rights.bucket, rights.data_key
    through = {"kms:ViaService": f"s3.{REGION}.amazonaws.com", "kms:EncryptionContext:aws:s3:arn": bucket}
    repository = rights.arn("ecr", f"repository/podium-{rights.environment}/train")
    lines = rights.arn("logs", f"{GROUP}:log-stream:podium/algo-1")
    for action, resource, context, allowed in [
        ("s3:GetObject", f"{bucket}/training/inputs/0/data.txt", {}, True),
        ("s3:PutObject", f"{bucket}/training/inputs/0/data.txt", {}, False),
        ("s3:PutObject", f"{bucket}/training/jobs/j/output/model.tar.gz", {}, True),
        ("s3:GetObject", f"{bucket}/training/checkpoints/f/0", {}, True),
        ("s3:PutObject", f"{bucket}/training/checkpoints/f/0", {}, True),
        ("s3:DeleteObject", f"{bucket}/training/checkpoints/f/0", {}, False),
        ("s3:GetObject", f"{bucket}/models/mslr/1/model.ubj", {}, False),
        ("s3:PutObject", f"{bucket}/models/mslr/1/model.ubj", {"s3:if-none-match": "*"}, False),
        ("s3:ListBucket", bucket, {"s3:prefix": "training/inputs/0/"}, True),
        ("s3:ListBucket", bucket, {"s3:prefix": "models/"}, False),
        ("kms:Decrypt", key, through, True),
        ("kms:GenerateDataKey", key, through, True),
        ("kms:Decrypt", key, {}, False),
        ("kms:CreateGrant", key, {"kms:GrantIsForAWSResource": "true"}, True),
        ("kms:CreateGrant", key, {"kms:GrantIsForAWSResource": "false"}, False),
        ("kms:CreateGrant", key, {}, False),
        ("ecr:GetAuthorizationToken", "*", {}, True),
        ("ecr:BatchGetImage", repository, {}, True),
        ("ecr:BatchGetImage", repository.replace("train", "serve"), {}, False),
        ("ecr:PutImage", repository, {}, False),
        ("logs:CreateLogGroup", rights.arn("logs", GROUP), {}, True),
        ("logs:PutLogEvents", lines, {}, True),
        ("logs:GetLogEvents", lines, {}, False),
        ("logs:PutLogEvents", rights.arn("logs", "log-group:/aws/lambda/x:log-stream:y"), {}, False),
        ("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "/aws/sagemaker/TrainingJobs"}, True),
        ("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "AWS/EC2"}, False),
        ("ec2:DescribeSubnets", "*", {}, True),
        ("ec2:RunInstances", rights.arn("ec2", "instance/*"), {}, False),
        ("sagemaker:CreateTrainingJob", rights.arn("sagemaker", "training-job/x"), {}, False),
        ("iam:PassRole", rights.role_arn("job"), {"iam:PassedToService": "sagemaker.amazonaws.com"}, False),
    ]:
        assert rights.may("job", action, resource, context).allowed is allowed, (action, resource, context)


def test_a_job_puts_interfaces_into_our_network_alone(rights: Rights) -> None:
    create, subnets = "ec2:CreateNetworkInterface", rights.graph.outputs["job-subnets"]
    (vpc,) = rights.graph.of("aws:ec2/vpc:Vpc")
    ours = {"ec2:Vpc": rights.arn("ec2", f"vpc/{vpc.id}")}
    theirs = {"ec2:Vpc": rights.arn("ec2", "vpc/vpc-theirs")}
    interface = rights.arn("ec2", "network-interface/eni-1")
    assert len(subnets) == 3
    for subnet in subnets:
        assert rights.may("job", create, rights.arn("ec2", f"subnet/{subnet}"))
    assert not rights.may("job", create, rights.arn("ec2", "subnet/subnet-theirs"))
    assert rights.may("job", create, rights.arn("ec2", "security-group/sg-1"), ours)
    assert not rights.may("job", create, rights.arn("ec2", "security-group/sg-1"), theirs)
    for action in ("ec2:CreateNetworkInterfacePermission", "ec2:DeleteNetworkInterface"):
        assert rights.may("job", action, interface, ours)
        assert not rights.may("job", action, interface, theirs)


def test_only_sagemaker_has_the_role_and_for_this_account(rights: Rights) -> None:
    ours = {"aws:SourceAccount": rights.account}
    assert rights.trusts("job", "sts:AssumeRole", ours, SAGEMAKER)
    assert not rights.trusts("job", "sts:AssumeRole", {"aws:SourceAccount": "999999999999"}, SAGEMAKER)
    assert not rights.trusts("job", "sts:AssumeRole", {}, SAGEMAKER)
    assert not rights.trusts("job", "sts:AssumeRole", ours, Principal(service="ec2.amazonaws.com"))


def test_hosts_of_a_job_reach_one_another_and_s3_and_nothing_else(rights: Rights) -> None:
    graph = rights.graph
    group = graph.one("aws:ec2/securityGroup:SecurityGroup", "job")
    assert not group.inputs.get("egress")
    kind = "aws:vpc/securityGroup{0}Rule:SecurityGroup{0}Rule"
    into = [each.inputs for each in graph.of(kind.format("Ingress")) if each.inputs["securityGroupId"] == group.id]
    out = [each.inputs for each in graph.of(kind.format("Egress")) if each.inputs["securityGroupId"] == group.id]
    assert [each["referencedSecurityGroupId"] for each in into] == [group.id]
    peers, s3 = sorted(out, key=lambda each: "prefixListId" in each)
    assert peers["referencedSecurityGroupId"] == group.id
    assert (s3["prefixListId"][:3], s3["fromPort"], s3["toPort"], s3["ipProtocol"]) == ("pl-", 443, 443, "tcp")
    assert not [each for each in (*into, *out) if "cidrIpv4" in each or "cidrIpv6" in each]
