"""A small graph in which every rule finds something to look at and nothing to complain about.

It is written by hand, apart from the program, so that a rule is tried on what it is about and on nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.infra.graph import Graph, Resource

ACCOUNT = "111122223333"
AWS = f"eu-central-1:{ACCOUNT}"
KEY = f"arn:aws:kms:{AWS}:key/8f2b7e58-6c6d-4c37-a1c5-1d0f3b1f9c22"
DATA, LOGS = f"podium-staging-data-{ACCOUNT}", f"podium-staging-logs-{ACCOUNT}"
DIGEST = f"sha256:{'5f' * 32}"
IMAGE = f"{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com/podium-staging/serve@{DIGEST}"
GITHUB = "token.actions.githubusercontent.com"
PROVIDER = "urn:pulumi:staging::podium::pulumi:providers:aws::aws"
STATEFUL = ("aws:s3/bucket:Bucket", "aws:dynamodb/table:Table", "aws:kms/key:Key", "aws:ecr/repository:Repository",
            "aws:eks/cluster:Cluster")  # fmt: skip
OURS = {"StringEquals": {"aws:SourceAccount": ACCOUNT}}


def role(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/podium-staging-{name}"


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: str | list[str], resource: Any = None, **more: Any) -> dict[str, Any]:
    named = {} if resource is None else {"Resource": resource}
    return {"Sid": "It", "Effect": "Allow", "Action": action, **named, **more}


def trust(service: str, *actions: str) -> str:
    principal = {"Service": f"{service}.amazonaws.com"}
    return document(allow(list(actions) or "sts:AssumeRole", Principal=principal, Condition=OURS))


def tls_only(action: str, *resources: str) -> dict[str, Any]:
    return {"Sid": "Tls", "Effect": "Deny", "Principal": "*", "Action": action, "Resource": list(resources),
            "Condition": {"Bool": {"aws:SecureTransport": "false"}}}  # fmt: skip


def made(kind: str, name: str, inputs: dict[str, Any], uses: dict[str, str] | None = None) -> Resource:
    """A resource; `uses` names, for a property, the resource that it was made from by `kind::name`."""
    urns = {key: (f"urn:pulumi:staging::podium::{target}",) for key, target in (uses or {}).items()}
    return Resource(
        urn=f"urn:pulumi:staging::podium::{kind}::{name}", type=kind, name=name, id=f"{name}-id", parent="",
        inputs=inputs, outputs={}, protect=kind in STATEFUL, retain=False,
        dependencies=tuple(urn for each in urns.values() for urn in each), property_dependencies=urns,
        provider=PROVIDER if kind.startswith("aws:") else "", custom=True, remote=False,
    )  # fmt: skip


def graph() -> Graph:
    parts = (_account, _buckets, _images, _cluster, _roles, _network, _delayed, _http, _fargate)
    return Graph("staging", tuple(resource for part in parts for resource in part()), {})


def _account() -> Iterator[Resource]:
    yield made("pulumi:providers:aws", "aws", {"allowedAccountIds": f'["{ACCOUNT}"]', "region": "eu-central-1"})
    root = allow("kms:*", "*", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"})
    yield made("aws:kms/key:Key", "data", {"enableKeyRotation": True, "policy": document(root), "arn": KEY})
    for name in (
        "/aws/eks/podium-staging/cluster",
        "/aws/lambda/podium-staging-worker",
        "/aws/lambda/podium-staging-http",
    ):
        yield made("aws:cloudwatch/logGroup:LogGroup", name, {"name": name, "retentionInDays": 90, "kmsKeyId": KEY})


def _buckets() -> Iterator[Resource]:
    for what, bucket, algorithm in (("data", DATA, "aws:kms"), ("logs", LOGS, "AES256")):
        yield made("aws:s3/bucket:Bucket", what, {"bucket": bucket})
        closed = dict.fromkeys(
            ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"), True
        )
        yield made("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", what, {"bucket": bucket, **closed})
        owned = {"bucket": bucket, "rule": {"objectOwnership": "BucketOwnerEnforced"}}
        yield made("aws:s3/bucketOwnershipControls:BucketOwnershipControls", what, owned)
        default = {"sseAlgorithm": algorithm, **({"kmsMasterKeyId": KEY} if algorithm == "aws:kms" else {})}
        rule = {"applyServerSideEncryptionByDefault": default, "bucketKeyEnabled": True}
        kind = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
        yield made(kind, what, {"bucket": bucket, "rules": [rule]})
        versions = {"bucket": bucket, "versioningConfiguration": {"status": "Enabled"}}
        yield made("aws:s3/bucketVersioning:BucketVersioning", what, versions)
        old = {"id": "old", "status": "Enabled", "noncurrentVersionExpiration": {"noncurrentDays": 30},
               "abortIncompleteMultipartUpload": {"daysAfterInitiation": 7}}  # fmt: skip
        yield made(
            "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration", what, {"bucket": bucket, "rules": [old]}
        )
    arn, models = f"arn:aws:s3:::{DATA}", f"arn:aws:s3:::{DATA}/models/*"
    once = {"Sid": "Once", "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": models,
            "Condition": {"Null": {"s3:if-none-match": "true"}}}  # fmt: skip
    kept = {"Sid": "Kept", "Effect": "Deny", "Principal": "*", "Resource": models,
            "Action": ["s3:DeleteObject", "s3:DeleteObjectVersion"]}  # fmt: skip
    policy = document(tls_only("s3:*", arn, f"{arn}/*"), once, kept)
    yield made("aws:s3/bucketPolicy:BucketPolicy", "data", {"bucket": DATA, "policy": policy})
    arn = f"arn:aws:s3:::{LOGS}"
    deliver = allow("s3:PutObject", f"{arn}/*", Principal={"Service": "logging.s3.amazonaws.com"}, Condition=OURS)
    policy = document(tls_only("s3:*", arn, f"{arn}/*"), deliver)
    yield made("aws:s3/bucketPolicy:BucketPolicy", "logs", {"bucket": LOGS, "policy": policy})
    yield made("aws:s3/bucketLogging:BucketLogging", "data", {"bucket": DATA, "targetBucket": LOGS})


def _images() -> Iterator[Resource]:
    name = "podium-staging/serve"
    yield made("aws:ecr/repository:Repository", "serve", {
        "name": name, "imageTagMutability": "IMMUTABLE", "imageScanningConfiguration": {"scanOnPush": True},
        "encryptionConfigurations": [{"encryptionType": "KMS", "kmsKey": KEY}],
    })  # fmt: skip
    untagged = {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 7}
    branches = {**untagged, "tagStatus": "tagged", "tagPrefixList": ["branch-"]}
    rules = {"rules": [{"rulePriority": n, "selection": each, "action": {"type": "expire"}}
                       for n, each in enumerate((untagged, branches), 1)]}  # fmt: skip
    yield made("aws:ecr/lifecyclePolicy:LifecyclePolicy", "serve", {"repository": name, "policy": json.dumps(rules)})


def _cluster() -> Iterator[Resource]:
    yield made("aws:eks/cluster:Cluster", "cluster", {
        "name": "podium-staging", "version": "1.35", "deletionProtection": True,
        "upgradePolicy": {"supportType": "STANDARD"},
        "accessConfig": {"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": False},
        "computeConfig": {"enabled": True}, "storageConfig": {"blockStorage": {"enabled": True}},
        "kubernetesNetworkConfig": {"elasticLoadBalancing": {"enabled": True}},
        "encryptionConfig": {"provider": {"keyArn": KEY}, "resources": ["secrets"]},
        "enabledClusterLogTypes": ["api", "audit", "authenticator", "controllerManager", "scheduler"],
        "vpcConfig": {"endpointPrivateAccess": True, "endpointPublicAccess": True,
                      "publicAccessCidrs": ["203.0.113.0/24"], "subnetIds": ["subnet-0aa"]},
    })  # fmt: skip
    entry = {"clusterName": "podium-staging", "principalArn": role("admin")}
    yield made("aws:eks/accessEntry:AccessEntry", "admin", entry)
    arn = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
    yield made("aws:eks/accessPolicyAssociation:AccessPolicyAssociation", "admin", {**entry, "policyArn": arn})
    yield made("aws:ec2/launchTemplate:LaunchTemplate", "nodes", {
        "metadataOptions": {"httpTokens": "required", "httpPutResponseHopLimit": 1},
    })  # fmt: skip


def _roles() -> Iterator[Resource]:
    yield made(
        "aws:iam/openIdConnectProvider:OpenIdConnectProvider", "github", {"clientIdLists": ["sts.amazonaws.com"]}
    )
    boundary = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
    wide = document(allow("*", "*"), {"Sid": "No", "Effect": "Deny", "Action": "iam:*", "Resource": "*"})
    yield made("aws:iam/policy:Policy", "boundary", {"name": "boundary", "policy": wide, "arn": boundary})
    subjects = [f"repo:{form}:environment:staging" for form in ("octo-org@12/podium@34", "octo-org/podium")]
    github = allow(
        "sts:AssumeRoleWithWebIdentity",
        Principal={"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{GITHUB}"},
        Condition={"StringEquals": {f"{GITHUB}:aud": "sts.amazonaws.com", f"{GITHUB}:sub": subjects}},
    )
    passing = allow(
        "iam:PassRole", role("job"), Condition={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    )
    keys = {"sagemaker:VolumeKmsKey": KEY, "sagemaker:OutputKmsKey": KEY}
    sets = {"sagemaker:VpcSubnets": ["subnet-0aa"], "sagemaker:VpcSecurityGroupIds": ["sg-0job"]}
    closed = {"Bool": {"sagemaker:NetworkIsolation": "true"}, "StringEquals": keys,
              "ForAllValues:StringEquals": sets, "Null": dict.fromkeys(sets, "false")}  # fmt: skip
    job = f"arn:aws:sagemaker:{AWS}:training-job/podium-staging-*"
    start = allow("sagemaker:CreateTrainingJob", job, Condition=closed)
    yield from _role("train", document(github), document(passing, start))
    make = allow(["iam:CreateRole", "iam:PutRolePolicy"], role("*"))
    yield from _role("apply", document(github), document(make), permissionsBoundary=boundary)
    yield from _role("job", trust("sagemaker"), document(allow("kms:Decrypt", KEY)), permissionsBoundary=boundary)
    yield from _role(
        "rank", trust("pods.eks", "sts:AssumeRole", "sts:TagSession"), document(allow("s3:GetObject", "*"))
    )
    yield from _role("node", document(allow("sts:AssumeRole", Principal={"Service": "ec2.amazonaws.com"})), None)
    yield made("aws:iam/rolePolicyAttachment:RolePolicyAttachment", "node", {
        "role": "podium-staging-node", "policyArn": "arn:aws:iam::aws:policy/AmazonEKSWorkerNodeMinimalPolicy",
    })  # fmt: skip
    yield made(
        "aws:eks/podIdentityAssociation:PodIdentityAssociation", "rank",
        {"clusterName": "podium-staging", "namespace": "podium", "serviceAccount": "rank", "roleArn": role("rank")},
    )  # fmt: skip


def _role(name: str, trusted: str, may: str | None, **more: str) -> Iterator[Resource]:
    inputs = {"name": f"podium-staging-{name}", "arn": role(name), "assumeRolePolicy": trusted, **more}
    yield made("aws:iam/role:Role", name, inputs)
    if may:
        # By dependency alone: a preview does not know a name that AWS gives.
        yield made("aws:iam/rolePolicy:RolePolicy", name, {"policy": may}, {"role": f"aws:iam/role:Role::{name}"})


def _network() -> Iterator[Resource]:
    yield made("aws:ec2/vpc:Vpc", "vpc", {"id": "vpc-0aa"})
    yield made("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup", "closed", {"vpcId": "vpc-0aa"})
    yield made("aws:ec2/flowLog:FlowLog", "flow", {"vpcId": "vpc-0aa", "trafficType": "ALL"})
    for name, subnet, table in (("private", "subnet-0aa", "rtb-0aa"), ("public", "subnet-0bb", "rtb-0bb")):
        yield made("aws:ec2/subnet:Subnet", name, {"id": subnet, "vpcId": "vpc-0aa", "mapPublicIpOnLaunch": False})
        yield made("aws:ec2/routeTable:RouteTable", name, {"id": table, "vpcId": "vpc-0aa"})
        through = {"subnetId": subnet, "routeTableId": table}
        yield made("aws:ec2/routeTableAssociation:RouteTableAssociation", name, through)
    own = document(allow("s3:*", f"arn:aws:s3:::{DATA}/*", Principal="*"))
    yield made("aws:ec2/vpcEndpoint:VpcEndpoint", "s3", {"vpcId": "vpc-0aa", "policy": own})
    yield made("aws:ec2/vpcEndpoint:VpcEndpoint", "sts", {"vpcId": "vpc-0aa", "vpcEndpointType": "Interface"})
    yield made("aws:ec2/internetGateway:InternetGateway", "out", {"id": "igw-0aa", "vpcId": "vpc-0aa"})
    route = {"routeTableId": "rtb-0bb", "gatewayId": "igw-0aa", "destinationCidrBlock": "0.0.0.0/0"}
    yield made("aws:ec2/route:Route", "out", route)
    https = {"fromPort": 443, "toPort": 443, "protocol": "tcp", "cidrBlocks": ["0.0.0.0/0"]}
    yield made("aws:ec2/securityGroup:SecurityGroup", "balancer", {"id": "sg-0lb", "ingress": [https]})
    yield made("aws:ec2/securityGroup:SecurityGroup", "job", {"id": "sg-0job"})
    rule = {
        "securityGroupId": "sg-0job",
        "cidrIpv4": "10.40.0.0/16",
        "ipProtocol": "tcp",
        "fromPort": 443,
        "toPort": 443,
    }
    yield made("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", "job", rule)


def _delayed() -> Iterator[Resource]:
    yield made("aws:dynamodb/table:Table", "rankings", {
        "name": "podium-staging-rankings", "pointInTimeRecovery": {"enabled": True}, "deletionProtectionEnabled": True,
        "ttl": {"enabled": True, "attributeName": "expires"},
        "serverSideEncryption": {"enabled": True, "kmsKeyArn": KEY},
    })  # fmt: skip
    topic = f"arn:aws:sns:{AWS}:podium-staging-alarms"
    yield made("aws:sns/topic:Topic", "alarms", {"arn": topic, "kmsMasterKeyId": KEY})
    yield made(
        "aws:sns/topicPolicy:TopicPolicy", "alarms", {"arn": topic, "policy": document(tls_only("sns:Publish", topic))}
    )
    metrics = {"work": "ApproximateAgeOfOldestMessage", "work-dead": "ApproximateNumberOfMessagesVisible"}
    for queue, metric in metrics.items():
        name, arn = f"podium-staging-{queue}", f"arn:aws:sqs:{AWS}:podium-staging-{queue}"
        redrive = {"deadLetterTargetArn": f"{arn}-dead", "maxReceiveCount": 5}
        inputs = {
            "name": name,
            "arn": arn,
            "url": f"https://{name}",
            "kmsMasterKeyId": KEY,
            "visibilityTimeoutSeconds": 720,
        }
        yield made(
            "aws:sqs/queue:Queue", queue, inputs | ({"redrivePolicy": json.dumps(redrive)} if queue == "work" else {})
        )
        filled = allow("sqs:SendMessage", arn, Principal={"Service": "s3.amazonaws.com"},
                       Condition={"ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{DATA}"}})  # fmt: skip
        policy = document(tls_only("sqs:*", arn), filled)
        yield made("aws:sqs/queuePolicy:QueuePolicy", queue, {"queueUrl": f"https://{name}", "policy": policy})
        yield made("aws:cloudwatch/metricAlarm:MetricAlarm", queue, {
            "metricName": metric, "dimensions": {"QueueName": name}, "alarmActions": [topic],
        })  # fmt: skip
    yield _function(
        "worker",
        {"PODIUM_TABLE": "podium-staging-rankings", "PODIUM_TOKEN_ARN": f"arn:aws:secretsmanager:{AWS}:secret:token"},
    )
    yield made("aws:lambda/eventSourceMapping:EventSourceMapping", "worker", {
        "eventSourceArn": f"arn:aws:sqs:{AWS}:podium-staging-work", "functionName": "podium-staging-worker",
        "functionResponseTypes": ["ReportBatchItemFailures"], "scalingConfig": {"maximumConcurrency": 2},
    })  # fmt: skip


def _function(name: str, variables: dict[str, str]) -> Resource:
    return made("aws:lambda/function:Function", name, {
        "name": f"podium-staging-{name}", "arn": f"arn:aws:lambda:{AWS}:function:podium-staging-{name}",
        "packageType": "Image", "imageUri": IMAGE, "timeout": 120, "kmsKeyArn": KEY,
        "environment": {"variables": variables},
    })  # fmt: skip


def _http() -> Iterator[Resource]:
    yield _function("http", {"PODIUM_MODEL": "mslr"})
    yield made("aws:apigatewayv2/route:Route", "http", {"routeKey": "POST /v1/rank", "authorizationType": "AWS_IAM"})
    yield made("aws:apigatewayv2/stage:Stage", "http", {
        "defaultRouteSettings": {"throttlingBurstLimit": 200, "throttlingRateLimit": 100},
        "accessLogSettings": {"destinationArn": f"arn:aws:logs:{AWS}:log-group:http"},
    })  # fmt: skip
    source = f"arn:aws:execute-api:{AWS}:a1b2c3/*"
    asked = {"function": "podium-staging-http", "principal": "apigateway.amazonaws.com", "sourceArn": source}
    yield made("aws:lambda/permission:Permission", "http", asked)


def _fargate() -> Iterator[Resource]:
    container = {"name": "serve", "image": IMAGE, "readonlyRootFilesystem": True, "user": "65532:65532",
                 "logConfiguration": {"logDriver": "awslogs"},
                 "environment": [{"name": "PODIUM_MODEL", "value": "mslr"}]}  # fmt: skip
    yield made("aws:ecs/taskDefinition:TaskDefinition", "serve", {
        "containerDefinitions": json.dumps([container]), "taskRoleArn": role("task"), "executionRoleArn": role("start"),
    })  # fmt: skip
    yield made("aws:ecs/service:Service", "serve", {
        "desiredCount": 1, "deploymentCircuitBreaker": {"enable": True, "rollback": True},
        "networkConfiguration": {"assignPublicIp": False, "subnets": ["subnet-0aa"]},
    })  # fmt: skip
    yield made("aws:lb/loadBalancer:LoadBalancer", "serve", {
        "internal": True, "dropInvalidHeaderFields": True, "securityGroups": ["sg-0lb"],
    })  # fmt: skip
    listener = {"protocol": "HTTPS", "port": 443, "sslPolicy": "ELBSecurityPolicy-TLS13-1-2-2021-06"}
    yield made("aws:lb/listener:Listener", "https", listener)
    yield made("aws:lb/listener:Listener", "http", {"protocol": "HTTP", "defaultActions": [{"type": "redirect"}]})
