"""What AWS would answer: made-up ids and ARNs of the real shape, the same in each run.

A type or function that is not in the tables is refused, for made-up nonsense would pass as proven.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pulumi.runtime import mocks as runtime

REGION = "eu-central-1"
ACCOUNT = "111122223333"
ZONES = ("a", "b", "c")


class UnknownType(LookupError):
    """Nothing is known of what AWS answers for this type or function."""


@dataclass(frozen=True)
class Asked:
    """A resource to be made."""

    type: str
    name: str
    inputs: Mapping[str, Any]
    account: str
    region: str

    @property
    def physical(self) -> str:
        """The name in AWS: that which was asked for, or as the provider makes one up."""
        given = self.inputs.get("name") or self.inputs.get("namePrefix")
        return str(given or f"{self.name}-{self.token(7)}")

    def token(self, length: int = 17) -> str:
        return hashlib.sha256(f"{self.type}::{self.name}".encode()).hexdigest()[:length]

    def uuid(self) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.type}::{self.name}"))

    def arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"

    def get(self, key: str, otherwise: Any = None) -> Any:
        return self.inputs.get(key, otherwise)


Answer = Callable[[Asked], tuple[str, Mapping[str, Any]]]
"""The id, and the outputs that are not inputs."""


def _ec2(prefix: str, resource: str, **more: Callable[[Asked], Any]) -> Answer:
    def answer(asked: Asked) -> tuple[str, Mapping[str, Any]]:
        id_ = f"{prefix}-0{asked.token(16)}"
        made = {key: each(asked) for key, each in more.items()}
        return id_, {"arn": asked.arn("ec2", f"{resource}/{id_}"), "ownerId": asked.account, **made}

    return answer


def _named(service: str, resource: str, **more: Callable[[Asked], Any]) -> Answer:
    """By its name, which its ARN ends with."""

    def answer(asked: Asked) -> tuple[str, Mapping[str, Any]]:
        name = asked.physical
        made = {key: each(asked) for key, each in more.items()}
        return name, {"name": name, "arn": asked.arn(service, resource.format(name)), **made}

    return answer


def _by_arn(service: str, resource: str, **more: Callable[[Asked], Any]) -> Answer:
    """As `_named`, but the ARN is the id."""

    def answer(asked: Asked) -> tuple[str, Mapping[str, Any]]:
        _, outputs = _named(service, resource, **more)(asked)
        return outputs["arn"], outputs

    return answer


def _of(*keys: str, separator: str = "/") -> Answer:
    """A part of another resource: its id is what names that one."""

    def answer(asked: Asked) -> tuple[str, Mapping[str, Any]]:
        return separator.join(str(asked.inputs[key]) for key in keys if asked.get(key)), {}

    return answer


def _iam(kind: str) -> Answer:
    def answer(asked: Asked) -> tuple[str, Mapping[str, Any]]:
        name = asked.physical
        arn = f"arn:aws:iam::{asked.account}:{kind}{asked.get('path', '/')}{name}"
        unique = {"role": "AROA", "policy": "ANPA", "instance-profile": "AIPA"}[kind] + asked.token(17).upper()
        return (arn if kind == "policy" else name), {"name": name, "arn": arn, "uniqueId": unique}

    return answer


def _oidc(asked: Asked) -> tuple[str, Mapping[str, Any]]:
    host = str(asked.inputs["url"]).removeprefix("https://")
    arn = f"arn:aws:iam::{asked.account}:oidc-provider/{host}"
    return arn, {"arn": arn, "url": host}


def _attachment(asked: Asked) -> tuple[str, Mapping[str, Any]]:
    return f"{asked.inputs['role']}-{asked.token(12)}", {}


def _bucket(asked: Asked) -> tuple[str, Mapping[str, Any]]:
    name = str(asked.get("bucket") or f"{asked.name}-{asked.token(7)}")
    return name, {
        "bucket": name,
        "arn": f"arn:aws:s3:::{name}",
        "bucketDomainName": f"{name}.s3.amazonaws.com",
        "bucketRegionalDomainName": f"{name}.s3.{asked.region}.amazonaws.com",
        "region": asked.region,
    }


def _key(asked: Asked) -> tuple[str, Mapping[str, Any]]:
    return asked.uuid(), {"keyId": asked.uuid(), "arn": asked.arn("kms", f"key/{asked.uuid()}")}


def _alias(asked: Asked) -> tuple[str, Mapping[str, Any]]:
    name = str(asked.inputs["name"])
    return name, {"arn": asked.arn("kms", name), "targetKeyArn": asked.arn("kms", f"key/{asked.inputs['targetKeyId']}")}


def _repository(asked: Asked) -> tuple[str, Mapping[str, Any]]:
    name = asked.physical
    return name, {
        "name": name,
        "arn": asked.arn("ecr", f"repository/{name}"),
        "registryId": asked.account,
        "repositoryUrl": f"{asked.account}.dkr.ecr.{asked.region}.amazonaws.com/{name}",
    }


def _queue(asked: Asked) -> tuple[str, Mapping[str, Any]]:
    name = asked.physical
    url = f"https://sqs.{asked.region}.amazonaws.com/{asked.account}/{name}"
    return url, {"name": name, "url": url, "arn": asked.arn("sqs", name)}


def _table(asked: Asked) -> tuple[str, Mapping[str, Any]]:
    name = asked.physical
    return name, {"name": name, "arn": asked.arn("dynamodb", f"table/{name}")}


def _cluster(asked: Asked) -> tuple[str, Mapping[str, Any]]:
    name = asked.physical
    unique = asked.token(32).upper()
    host = f"{unique}.gr7.{asked.region}.eks.amazonaws.com"
    return name, {
        "name": name,
        "arn": asked.arn("eks", f"cluster/{name}"),
        "endpoint": f"https://{host}",
        "certificateAuthority": {"data": "Q0VSVElGSUNBVEU="},
        "identities": [{"oidcs": [{"issuer": f"https://oidc.eks.{asked.region}.amazonaws.com/id/{unique}"}]}],
        "status": "ACTIVE",
        "platformVersion": "eks.1",
        "vpcConfig": {**asked.get("vpcConfig", {}), "clusterSecurityGroupId": f"sg-0{asked.token(16)}"},
    }


def _access_entry(asked: Asked) -> tuple[str, Mapping[str, Any]]:
    cluster, principal = asked.inputs["clusterName"], str(asked.inputs["principalArn"])
    who = principal.rpartition("/")[2]
    return f"{cluster}:{principal}", {
        "accessEntryArn": asked.arn("eks", f"access-entry/{cluster}/role/{asked.account}/{who}/{asked.uuid()}")
    }


def _addon(asked: Asked) -> tuple[str, Mapping[str, Any]]:
    cluster, name = asked.inputs["clusterName"], asked.inputs["addonName"]
    return f"{cluster}:{name}", {"arn": asked.arn("eks", f"addon/{cluster}/{name}/{asked.uuid()}")}


def _pod_identity(asked: Asked) -> tuple[str, Mapping[str, Any]]:
    id_ = f"a-{asked.token(17)}"
    return id_, {
        "associationId": id_,
        "associationArn": asked.arn("eks", f"podidentityassociation/{asked.inputs['clusterName']}/{id_}"),
    }


def _function(asked: Asked) -> tuple[str, Mapping[str, Any]]:
    name = asked.physical
    arn = asked.arn("lambda", f"function:{name}")
    run = f"arn:aws:apigateway:{asked.region}:lambda:path/2015-03-31/functions"
    return name, {
        "name": name,
        "arn": arn,
        "version": "1",
        "qualifiedArn": f"{arn}:1",
        "invokeArn": f"{run}/{arn}/invocations",
        "qualifiedInvokeArn": f"{run}/{arn}:1/invocations",
    }


def _function_alias(asked: Asked) -> tuple[str, Mapping[str, Any]]:
    function = str(asked.inputs["functionName"]).rpartition(":")[2]
    arn = asked.arn("lambda", f"function:{function}:{asked.physical}")
    run = f"arn:aws:apigateway:{asked.region}:lambda:path/2015-03-31/functions"
    return arn, {"name": asked.physical, "arn": arn, "invokeArn": f"{run}/{arn}/invocations"}


def _http_api(asked: Asked) -> tuple[str, Mapping[str, Any]]:
    id_ = asked.token(10)
    return id_, {
        "arn": f"arn:aws:apigateway:{asked.region}::/apis/{id_}",
        "apiEndpoint": f"https://{id_}.execute-api.{asked.region}.amazonaws.com",
        "executionArn": asked.arn("execute-api", id_),
    }


def _stage(asked: Asked) -> tuple[str, Mapping[str, Any]]:
    name, api = asked.physical, asked.inputs["apiId"]
    return name, {
        "name": name,
        "arn": f"arn:aws:apigateway:{asked.region}::/apis/{api}/stages/{name}",
        "executionArn": asked.arn("execute-api", f"{api}/{name}"),
        "invokeUrl": f"https://{api}.execute-api.{asked.region}.amazonaws.com/",
    }


def _domain_name(asked: Asked) -> tuple[str, Mapping[str, Any]]:
    name = str(asked.inputs["domainName"])
    target = f"d-{asked.token(10)}.execute-api.{asked.region}.amazonaws.com"
    config = {**asked.get("domainNameConfiguration", {}), "targetDomainName": target, "hostedZoneId": "Z1U9ULNL0V5AJ3"}
    return name, {"arn": f"arn:aws:apigateway:{asked.region}::/domainnames/{name}", "domainNameConfiguration": config}


def _balancer(asked: Asked) -> tuple[str, Mapping[str, Any]]:
    name = asked.physical
    suffix = f"app/{name}/{asked.token(16)}"
    arn = asked.arn("elasticloadbalancing", f"loadbalancer/{suffix}")
    host = f"{name}-{asked.token(10)}.{asked.region}.elb.amazonaws.com"
    return arn, {"name": name, "arn": arn, "arnSuffix": suffix, "dnsName": host, "zoneId": "Z215JYRZR1TBD5"}


def _target_group(asked: Asked) -> tuple[str, Mapping[str, Any]]:
    suffix = f"targetgroup/{asked.physical}/{asked.token(16)}"
    arn = asked.arn("elasticloadbalancing", suffix)
    return arn, {"name": asked.physical, "arn": arn, "arnSuffix": suffix}


def _listener(asked: Asked) -> tuple[str, Mapping[str, Any]]:
    balancer = str(asked.inputs["loadBalancerArn"]).partition(":loadbalancer/")[2]
    arn = asked.arn("elasticloadbalancing", f"listener/{balancer}/{asked.token(16)}")
    return arn, {"arn": arn}


def _task_definition(asked: Asked) -> tuple[str, Mapping[str, Any]]:
    family = str(asked.inputs["family"])
    arn = asked.arn("ecs", f"task-definition/{family}")
    return family, {"arn": f"{arn}:1", "arnWithoutRevision": arn, "revision": 1}


def _service(asked: Asked) -> tuple[str, Mapping[str, Any]]:
    cluster = str(asked.inputs["cluster"]).rpartition("/")[2]
    arn = asked.arn("ecs", f"service/{cluster}/{asked.physical}")
    return arn, {"name": asked.physical, "arn": arn}


def _certificate(asked: Asked) -> tuple[str, Mapping[str, Any]]:
    arn, domain = asked.arn("acm", f"certificate/{asked.uuid()}"), asked.inputs["domainName"]
    option = {
        "domainName": domain,
        "resourceRecordName": f"_{asked.token(32)}.{domain}.",
        "resourceRecordType": "CNAME",
        "resourceRecordValue": f"_{asked.token(31)}.acm-validations.aws.",
    }
    return arn, {"arn": arn, "domainValidationOptions": [option]}


def _record(asked: Asked) -> tuple[str, Mapping[str, Any]]:
    name = str(asked.inputs["name"])
    return f"{asked.inputs['zoneId']}_{name}_{asked.inputs['type']}", {"fqdn": name.rstrip(".")}


def _subscription(asked: Asked) -> tuple[str, Mapping[str, Any]]:
    arn = f"{asked.inputs['topic']}:{asked.uuid()}"
    return arn, {"arn": arn}


def _mapping(asked: Asked) -> tuple[str, Mapping[str, Any]]:
    return asked.uuid(), {"uuid": asked.uuid(), "arn": asked.arn("lambda", f"event-source-mapping:{asked.uuid()}")}


def _rule(asked: Asked) -> tuple[str, Mapping[str, Any]]:
    id_ = f"sgr-0{asked.token(16)}"
    return id_, {"arn": asked.arn("ec2", f"security-group-rule/{id_}"), "securityGroupRuleId": id_}


def _token(prefix: str = "") -> Answer:
    return lambda asked: (f"{prefix}{asked.token(17 if prefix else 10)}", {})


def _web_acl(asked: Asked) -> tuple[str, Mapping[str, Any]]:
    return asked.uuid(), {"arn": asked.arn("wafv2", f"regional/webacl/{asked.physical}/{asked.uuid()}")}


def _provider(asked: Asked) -> tuple[str, Mapping[str, Any]]:
    return asked.uuid(), {}


RESOURCES: Mapping[str, Answer] = {
    "pulumi:providers:aws": _provider,
    "pulumi:providers:kubernetes": _provider,
    "aws:acm/certificate:Certificate": _certificate,
    "aws:acm/certificateValidation:CertificateValidation": _of("certificateArn"),
    "aws:apigatewayv2/api:Api": _http_api,
    "aws:apigatewayv2/apiMapping:ApiMapping": _token(),
    "aws:apigatewayv2/authorizer:Authorizer": _token(),
    "aws:apigatewayv2/domainName:DomainName": _domain_name,
    "aws:apigatewayv2/integration:Integration": _token(),
    "aws:apigatewayv2/route:Route": _token(),
    "aws:apigatewayv2/stage:Stage": _stage,
    "aws:appautoscaling/policy:Policy": _named("autoscaling", "scalingPolicy:policyName/{}"),
    "aws:appautoscaling/scheduledAction:ScheduledAction": _named("autoscaling", "scheduledAction:{}"),
    "aws:appautoscaling/target:Target": _of("resourceId"),
    "aws:cloudwatch/dashboard:Dashboard": _of("dashboardName"),
    "aws:cloudwatch/logGroup:LogGroup": _named("logs", "log-group:{}"),
    "aws:cloudwatch/logResourcePolicy:LogResourcePolicy": _of("policyName"),
    "aws:cloudwatch/metricAlarm:MetricAlarm": _named("cloudwatch", "alarm:{}"),
    "aws:codebuild/project:Project": _by_arn("codebuild", "project/{}"),
    "aws:codebuild/sourceCredential:SourceCredential": _by_arn("codebuild", "token/{}"),
    "aws:codebuild/webhook:Webhook": _of("projectName"),
    "aws:dynamodb/resourcePolicy:ResourcePolicy": _of("resourceArn"),
    "aws:dynamodb/table:Table": _table,
    "aws:ec2/defaultNetworkAcl:DefaultNetworkAcl": _ec2("acl", "network-acl"),
    "aws:ec2/defaultRouteTable:DefaultRouteTable": _ec2("rtb", "route-table"),
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": _ec2("sg", "security-group"),
    "aws:ec2/eip:Eip": _ec2(
        "eipalloc",
        "elastic-ip",
        allocationId=lambda asked: f"eipalloc-0{asked.token(16)}",
        publicIp=lambda asked: f"198.51.100.{int(asked.token(2), 16)}",
    ),
    "aws:ec2/flowLog:FlowLog": _ec2("fl", "vpc-flow-log"),
    "aws:ec2/internetGateway:InternetGateway": _ec2("igw", "internet-gateway"),
    "aws:ec2/natGateway:NatGateway": _ec2("nat", "natgateway"),
    "aws:ec2/route:Route": _token("r-"),
    "aws:ec2/routeTable:RouteTable": _ec2("rtb", "route-table"),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": _ec2("rtbassoc", "route-table-association"),
    "aws:ec2/securityGroup:SecurityGroup": _ec2("sg", "security-group", name=lambda asked: asked.physical),
    "aws:ec2/securityGroupRule:SecurityGroupRule": _rule,
    "aws:ec2/subnet:Subnet": _ec2("subnet", "subnet"),
    "aws:ec2/vpc:Vpc": _ec2(
        "vpc", "vpc",
        defaultNetworkAclId=lambda asked: f"acl-0{asked.token(16)}",
        defaultRouteTableId=lambda asked: f"rtb-0{asked.token(16)}",
        defaultSecurityGroupId=lambda asked: f"sg-0{asked.token(16)}",
        mainRouteTableId=lambda asked: f"rtb-0{asked.token(16)}",
    ),
    "aws:ec2/vpcEndpoint:VpcEndpoint": _ec2("vpce", "vpc-endpoint", prefixListId=lambda asked: f"pl-{asked.token(8)}"),
    "aws:ec2/vpcEndpointRouteTableAssociation:VpcEndpointRouteTableAssociation": _token("a-"),
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": _of("repository"),
    "aws:ecr/registryScanningConfiguration:RegistryScanningConfiguration": _token(),
    "aws:ecr/repository:Repository": _repository,
    "aws:ecr/repositoryPolicy:RepositoryPolicy": _of("repository"),
    "aws:ecs/cluster:Cluster": _by_arn("ecs", "cluster/{}"),
    "aws:ecs/clusterCapacityProviders:ClusterCapacityProviders": _of("clusterName"),
    "aws:ecs/service:Service": _service,
    "aws:ecs/taskDefinition:TaskDefinition": _task_definition,
    "aws:eks/accessEntry:AccessEntry": _access_entry,
    "aws:eks/accessPolicyAssociation:AccessPolicyAssociation": _of(
        "clusterName", "principalArn", "policyArn", separator="#"
    ),
    "aws:eks/addon:Addon": _addon,
    "aws:eks/cluster:Cluster": _cluster,
    "aws:eks/podIdentityAssociation:PodIdentityAssociation": _pod_identity,
    "aws:iam/instanceProfile:InstanceProfile": _iam("instance-profile"),
    "aws:iam/openIdConnectProvider:OpenIdConnectProvider": _oidc,
    "aws:iam/policy:Policy": _iam("policy"),
    "aws:iam/role:Role": _iam("role"),
    "aws:iam/rolePolicy:RolePolicy": _of("role", "name", separator=":"),
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": _attachment,
    "aws:iam/rolePoliciesExclusive:RolePoliciesExclusive": _of("roleName"),
    "aws:iam/rolePolicyAttachmentsExclusive:RolePolicyAttachmentsExclusive": _of("roleName"),
    "aws:kms/alias:Alias": _alias,
    "aws:kms/key:Key": _key,
    "aws:lambda/alias:Alias": _function_alias,
    "aws:lambda/eventSourceMapping:EventSourceMapping": _mapping,
    "aws:lambda/function:Function": _function,
    "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig": _of("functionName"),
    "aws:lambda/permission:Permission": _token(),
    "aws:lambda/provisionedConcurrencyConfig:ProvisionedConcurrencyConfig": _of(
        "functionName", "qualifier", separator=","
    ),
    "aws:lb/listener:Listener": _listener,
    "aws:lb/listenerRule:ListenerRule": _by_arn("elasticloadbalancing", "listener-rule/{}"),
    "aws:lb/loadBalancer:LoadBalancer": _balancer,
    "aws:lb/targetGroup:TargetGroup": _target_group,
    "aws:route53/record:Record": _record,
    "aws:s3/bucket:Bucket": _bucket,
    "aws:s3/bucketAccelerateConfiguration:BucketAccelerateConfiguration": _of("bucket"),
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": _of("bucket"),
    "aws:s3/bucketLogging:BucketLogging": _of("bucket"),
    "aws:s3/bucketMetric:BucketMetric": _of("bucket", "name", separator=":"),
    "aws:s3/bucketNotification:BucketNotification": _of("bucket"),
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": _of("bucket"),
    "aws:s3/bucketPolicy:BucketPolicy": _of("bucket"),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": _of("bucket"),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": _of("bucket"),
    "aws:s3/bucketVersioning:BucketVersioning": _of("bucket"),
    "aws:sagemaker/modelPackageGroup:ModelPackageGroup": _of("modelPackageGroupName"),
    "aws:sns/topic:Topic": _by_arn("sns", "{}"),
    "aws:sns/topicPolicy:TopicPolicy": _of("arn"),
    "aws:sns/topicSubscription:TopicSubscription": _subscription,
    "aws:sqs/queue:Queue": _queue,
    "aws:sqs/queuePolicy:QueuePolicy": _of("queueUrl"),
    "aws:sqs/redriveAllowPolicy:RedriveAllowPolicy": _of("queueUrl"),
    "aws:sqs/redrivePolicy:RedrivePolicy": _of("queueUrl"),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": _rule,
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": _rule,
    "aws:wafv2/webAcl:WebAcl": _web_acl,
    "aws:wafv2/webAclAssociation:WebAclAssociation": _of("webAclArn", "resourceArn", separator=","),
    "kubernetes:core/v1:Namespace": lambda asked: (str(asked.inputs["metadata"]["name"]), {}),
    "kubernetes:helm.sh/v3:Release": lambda asked: (f"{asked.get('namespace', 'default')}/{asked.physical}", {}),
}  # fmt: skip


class Answers(runtime.Mocks):
    """Mocks that know the tables above."""

    def __init__(self, account: str = ACCOUNT, region: str = REGION) -> None:
        self.account = account
        self.region = region

    def new_resource(self, args: runtime.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        if args.typ not in RESOURCES:
            raise UnknownType(f"{args.typ} ({args.name}) has no entry in tests/infra/answers.py: RESOURCES")
        asked = Asked(args.typ, args.name, args.inputs, self.account, self.region)
        id_, outputs = RESOURCES[args.typ](asked)
        return id_, {**args.inputs, **outputs}

    def call(self, args: runtime.MockCallArgs) -> tuple[dict[str, Any], None]:
        answers: dict[str, dict[str, Any]] = {
            "aws:index/getCallerIdentity:getCallerIdentity": {
                "id": self.account, "accountId": self.account, "userId": "AROAEXAMPLE:test",
                "arn": f"arn:aws:sts::{self.account}:assumed-role/podium/test",
            },
            "aws:index/getRegion:getRegion": {"id": self.region, "name": self.region, "region": self.region},
            "aws:index/getPartition:getPartition": {
                "id": "aws", "partition": "aws", "dnsSuffix": "amazonaws.com", "reverseDnsPrefix": "com.amazonaws",
            },
            "aws:index/getAvailabilityZones:getAvailabilityZones": {
                "id": self.region, "names": [f"{self.region}{zone}" for zone in ZONES],
                "zoneIds": [f"euc1-az{number}" for number in (2, 3, 1)],
            },
            "aws:iam/getOpenIdConnectProvider:getOpenIdConnectProvider": {
                "id": f"arn:aws:iam::{self.account}:oidc-provider/token.actions.githubusercontent.com",
                "arn": f"arn:aws:iam::{self.account}:oidc-provider/token.actions.githubusercontent.com",
                "url": "token.actions.githubusercontent.com", "clientIdLists": ["sts.amazonaws.com"],
            },
            "aws:ec2/getPrefixList:getPrefixList": {"id": "pl-6ea54007", "cidrBlocks": []},
            "aws:ec2/getManagedPrefixList:getManagedPrefixList": {"id": "pl-6ea54007", "entries": []},
        }  # fmt: skip
        if args.token not in answers:
            raise UnknownType(f"the function {args.token} has no answer in tests/infra/answers.py")
        return {**args.args, **answers[args.token]}, None
