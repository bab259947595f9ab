"""Which requests each type of resource is. One that is not here fails the deployment, and one here that no stack has
fails a test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.infra.live_handlers import cluster, containers, functions, identity, messages, network, storage
from tests.infra.live_handlers.asked import Asked, Made

HANDLERS: Mapping[str, Callable[[Asked], Made]] = {
    "aws:acm/certificate:Certificate": containers.certificate,
    "aws:acm/certificateValidation:CertificateValidation": containers.validation,
    "aws:apigatewayv2/api:Api": functions.api,
    "aws:apigatewayv2/authorizer:Authorizer": functions.authorizer,
    "aws:apigatewayv2/integration:Integration": functions.integration,
    "aws:apigatewayv2/route:Route": functions.route,
    "aws:apigatewayv2/stage:Stage": functions.stage,
    "aws:appautoscaling/policy:Policy": containers.scaling_policy,
    "aws:appautoscaling/target:Target": containers.scaling_target,
    "aws:cloudwatch/logGroup:LogGroup": cluster.log_group,
    "aws:cloudwatch/metricAlarm:MetricAlarm": cluster.alarm,
    "aws:codebuild/project:Project": cluster.build_project,
    "aws:codebuild/webhook:Webhook": cluster.build_webhook,
    "aws:dynamodb/table:Table": messages.table,
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": network.default_security_group,
    "aws:ec2/eip:Eip": network.address,
    "aws:ec2/flowLog:FlowLog": network.flow_log,
    "aws:ec2/internetGateway:InternetGateway": network.internet_gateway,
    "aws:ec2/natGateway:NatGateway": network.nat_gateway,
    "aws:ec2/route:Route": network.route,
    "aws:ec2/routeTable:RouteTable": network.route_table,
    "aws:ec2/routeTableAssociation:RouteTableAssociation": network.association,
    "aws:ec2/securityGroup:SecurityGroup": network.security_group,
    "aws:ec2/subnet:Subnet": network.subnet,
    "aws:ec2/vpc:Vpc": network.vpc,
    "aws:ec2/vpcEndpoint:VpcEndpoint": network.endpoint,
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": storage.image_lifecycle,
    "aws:ecr/repository:Repository": storage.repository,
    "aws:ecr/repositoryPolicy:RepositoryPolicy": storage.repository_policy,
    "aws:ecs/cluster:Cluster": containers.cluster,
    "aws:ecs/service:Service": containers.service,
    "aws:ecs/taskDefinition:TaskDefinition": containers.task_definition,
    "aws:eks/accessEntry:AccessEntry": cluster.access_entry,
    "aws:eks/accessPolicyAssociation:AccessPolicyAssociation": cluster.access_policy,
    "aws:eks/cluster:Cluster": cluster.cluster,
    "aws:eks/podIdentityAssociation:PodIdentityAssociation": cluster.pod_identity,
    "aws:iam/openIdConnectProvider:OpenIdConnectProvider": identity.provider,
    "aws:iam/policy:Policy": identity.policy,
    "aws:iam/role:Role": identity.role,
    "aws:iam/rolePolicy:RolePolicy": identity.role_policy,
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": identity.attachment,
    "aws:kms/alias:Alias": storage.alias,
    "aws:kms/key:Key": storage.key,
    "aws:lambda/alias:Alias": functions.alias,
    "aws:lambda/eventSourceMapping:EventSourceMapping": functions.mapping,
    "aws:lambda/function:Function": functions.function,
    "aws:lambda/permission:Permission": functions.permission,
    "aws:lambda/provisionedConcurrencyConfig:ProvisionedConcurrencyConfig": functions.provisioned,
    "aws:lb/listener:Listener": containers.listener,
    "aws:lb/loadBalancer:LoadBalancer": containers.balancer,
    "aws:lb/targetGroup:TargetGroup": containers.target_group,
    "aws:route53/record:Record": containers.record,
    "aws:s3/bucket:Bucket": storage.bucket,
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": storage.lifecycle,
    "aws:s3/bucketLogging:BucketLogging": storage.logging,
    "aws:s3/bucketNotification:BucketNotification": storage.notification,
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": storage.ownership,
    "aws:s3/bucketPolicy:BucketPolicy": storage.policy,
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": storage.public_access,
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": storage.encryption,
    "aws:s3/bucketVersioning:BucketVersioning": storage.versioning,
    "aws:sns/topic:Topic": messages.topic,
    "aws:sns/topicPolicy:TopicPolicy": messages.topic_policy,
    "aws:sns/topicSubscription:TopicSubscription": messages.subscription,
    "aws:sqs/queue:Queue": messages.queue,
    "aws:sqs/queuePolicy:QueuePolicy": messages.queue_policy,
    "aws:sqs/redriveAllowPolicy:RedriveAllowPolicy": messages.redrive_allow_policy,
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": network.egress_rule,
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": network.ingress_rule,
}


@dataclass(frozen=True)
class Cannot:
    """A resource that the emulator takes not at all: its requests are checked and sent all the same, and what it
    refuses is answered by `made_up`.

    Args:
        codes: how it refuses; any other error is one.
    """

    reason: str
    codes: frozenset[str]
    made_up: Callable[[Asked], Made]


_NO_SCALING = "MiniStack has no Application Auto Scaling"
_NOT_KNOWN = frozenset({"400", "InvalidAction"})

CANNOT: Mapping[str, Cannot] = {
    "aws:appautoscaling/policy:Policy": Cannot(
        _NO_SCALING, _NOT_KNOWN, lambda asked: Made(asked.called(), {"name": asked.called()})
    ),
    "aws:appautoscaling/target:Target": Cannot(_NO_SCALING, _NOT_KNOWN, lambda asked: Made(asked["resourceId"])),
    "aws:codebuild/webhook:Webhook": Cannot(
        "MiniStack's CodeBuild has no webhooks", _NOT_KNOWN, lambda asked: Made(asked["projectName"])
    ),
}
