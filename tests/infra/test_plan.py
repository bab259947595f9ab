"""checkov over the graph of each stack, and proofs that it sees what it is shown."""

from __future__ import annotations

from functools import cache

import pytest

from tests.infra.edits import Edit, both, gone, put
from tests.infra.graph import Graph, record
from tests.infra.plan import Check, checked, checkov, covers, findings, other_files, remaining
from tests.infra.skips import FILES, SKIPS
from tests.infra.stacks import STACKS, values
from tests.infra.terraform import kind

# Checks that are about another resource look at these beside it. Each is proven by leaving it out.
NEIGHBOURS = {
    "aws_default_security_group": ("CKV2_AWS_12", gone("DefaultSecurityGroup", "closed")),
    "aws_flow_log": ("CKV2_AWS_11", gone("FlowLog", "flow-logs")),
    "aws_nat_gateway": ("CKV2_AWS_19", gone("NatGateway", "nat-a")),
    "aws_s3_bucket_logging": ("CKV_AWS_18", gone("BucketLogging", "data")),
    "aws_s3_bucket_notification": ("CKV2_AWS_62", gone("BucketNotification", "delayed-input")),
    "aws_s3_bucket_server_side_encryption_configuration": (
        "CKV_AWS_145", gone("BucketServerSideEncryptionConfiguration", "data"),
    ),
    "aws_s3_bucket_versioning": ("CKV_AWS_21", gone("BucketVersioning", "data")),
}  # fmt: skip
# No check of checkov's is about these: other rungs have to be.
NOBODY_ASKS = {
    "aws_acm_certificate_validation", "aws_apigatewayv2_integration", "aws_appautoscaling_policy",
    "aws_appautoscaling_target", "aws_lambda_alias", "aws_lambda_provisioned_concurrency_config",
    "aws_codebuild_webhook", "aws_ecr_lifecycle_policy", "aws_eks_access_entry", "aws_eks_access_policy_association",
    "aws_eks_pod_identity_association", "aws_iam_openid_connect_provider", "aws_internet_gateway", "aws_kms_alias",
    "aws_lambda_event_source_mapping", "aws_route_table_association", "aws_sns_topic_subscription",
    "aws_sqs_redrive_allow_policy", "aws_vpc_endpoint",
}  # fmt: skip


@cache
def graph(stack: str, released: bool = True) -> Graph:
    return record(stack, values=values(stack, everything=released), released=released)


@cache
def seen(stack: str, released: bool = True) -> tuple[Check, ...]:
    return tuple(checked(graph(stack, released)))


@pytest.mark.parametrize("released", [True, False])
@pytest.mark.parametrize("stack", STACKS)
def test_whatever_is_found_was_argued_away(stack: str, released: bool) -> None:
    assert remaining(seen(stack, released), SKIPS) == []
    assert len(seen(stack, released)) > 200


@pytest.mark.parametrize("skip", SKIPS, ids=lambda skip: f"{skip.check}-{skip.resource}")
def test_each_skip_still_matters(skip: object) -> None:
    others = [each for each in SKIPS if each is not skip]
    assert [each for stack in STACKS for each in remaining(seen(stack), others)]


def test_a_skip_is_for_what_it_names_alone() -> None:
    check = Check("CKV_AWS_145", "FAILED", "aws_s3_bucket.Storage_logs", "")
    (skip,) = [each for each in SKIPS if covers(each, check)]
    assert not covers(skip, Check("CKV_AWS_145", "FAILED", "aws_s3_bucket.Storage_data", ""))
    assert not covers(skip, Check("CKV_AWS_21", "FAILED", "aws_s3_bucket.Storage_logs", ""))


@pytest.mark.parametrize("stack", STACKS)
def test_checkov_looks_at_every_type_that_it_has_a_check_for(stack: str) -> None:
    """One that is called something else there is passed over in silence."""
    present = {kind(each.type) for each in graph(stack).resources if each.type.startswith("aws:")}
    passed_over = present - {each.kind for each in seen(stack)}
    assert passed_over <= NOBODY_ASKS | set(NEIGHBOURS)
    assert present - {"aws_sqs_redrive_allow_policy"} <= checkov().kinds()


def test_what_nobody_asks_for_is_in_a_stack() -> None:
    present = {kind(each.type) for stack in STACKS for each in graph(stack).resources}
    asked = {each.kind for stack in STACKS for each in seen(stack)}
    assert present - asked >= NOBODY_ASKS
    assert set(NEIGHBOURS) <= present - asked


CLUSTER = "cluster-eksCluster"
STAR = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'
FAULTS: list[tuple[str, Edit]] = [
    ("CKV2_AWS_6", gone("BucketPublicAccessBlock", "data")),
    ("CKV_AWS_56", put("BucketPublicAccessBlock", "logs", "restrictPublicBuckets", False)),
    ("CKV_AWS_21", put("BucketVersioning", "data", "versioningConfiguration/status", "Suspended")),
    ("CKV2_AWS_61", gone("BucketLifecycleConfiguration", "data")),
    ("CKV_AWS_51", put("Repository", "serve", "imageTagMutability", "MUTABLE")),
    ("CKV_AWS_163", put("Repository", "serve", "imageScanningConfiguration/scanOnPush", False)),
    ("CKV_AWS_136", put("Repository", "train", "encryptionConfigurations/0/encryptionType", "AES256")),
    ("CKV_AWS_38", both(put("Cluster", CLUSTER, "vpcConfig/endpointPublicAccess", True),
                        put("Cluster", CLUSTER, "vpcConfig/publicAccessCidrs", ["0.0.0.0/0"]))),
    ("CKV_AWS_58", put("Cluster", CLUSTER, "encryptionConfig")),
    ("CKV_AWS_37", put("Cluster", CLUSTER, "enabledClusterLogTypes", ["api"])),
    ("CKV_AWS_7", put("Key", "data-key", "enableKeyRotation", False)),
    ("CKV_AWS_28", put("Table", "rankings", "pointInTimeRecovery/enabled", False)),
    ("CKV_AWS_119", put("Table", "rankings", "serverSideEncryption/enabled", False)),
    ("CKV_AWS_63", put("RolePolicy", "rank", "policy", STAR)),
    ("CKV_AWS_158", put("LogGroup", "flow-logs", "kmsKeyId")),
    ("CKV_AWS_27", put("Queue", "work", "kmsMasterKeyId")),
    ("CKV_AWS_26", put("Topic", "alarms", "kmsMasterKeyId")),
]  # fmt: skip


@pytest.mark.parametrize("faults", [list(NEIGHBOURS.values()), FAULTS], ids=["left out", "broken"])
def test_seeded_faults_are_found(faults: list[tuple[str, Edit]]) -> None:
    """All at once, for they are of different resources or for different checks, and none is found without them."""
    found = findings(both(*(edit for _, edit in faults))(graph("production")))
    assert {check for check, _ in faults} - {each.partition(":")[0] for each in found} == set()


def test_files_beside_the_graph() -> None:
    checks = other_files()
    assert remaining(checks, FILES) == []
    for skip in FILES:
        assert remaining(checks, [each for each in FILES if each is not skip])
