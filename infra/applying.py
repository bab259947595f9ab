"""What the role that runs `pulumi up` may do: make and change what a stack is made of, by name where it has one.

Its boundary (infra/boundary.py) is what cannot be talked around; this is what is needed.
"""

from __future__ import annotations

from infra.boundary import FREE, HELD, LINKED, state_objects
from infra.iam import Statement, allow
from infra.settings import StateSettings
from infra.site import PARTITION, Site

# By services whose resources carry our names: all of the service, for those names alone.
NAMED = (
    ("cloudwatch", "alarm:{}"), ("codebuild", "project/{}"), ("dynamodb", "table/{}"), ("ecs", "cluster/{}"),
    ("ecs", "service/{}"), ("ecs", "task-definition/{}"), ("eks", "access-entry/{}"), ("eks", "addon/{}"), ("eks",
    "cluster/{}"), ("eks", "podidentityassociation/{}"), ("elasticloadbalancing", "listener/app/{}"),
    ("elasticloadbalancing", "listener-rule/app/{}"), ("elasticloadbalancing", "loadbalancer/app/{}"),
    ("elasticloadbalancing", "targetgroup/{}"), ("lambda", "function:{}"), ("logs", "log-group:*{}"), ("sns", "{}"),
    ("sqs", "{}"),
)  # fmt: skip
# Networks have ids that nobody chooses.
NETWORK = (
    "ec2:AllocateAddress", "ec2:AssociateRouteTable", "ec2:AttachInternetGateway",
    "ec2:AuthorizeSecurityGroupEgress", "ec2:AuthorizeSecurityGroupIngress", "ec2:CreateFlowLogs",
    "ec2:CreateInternetGateway", "ec2:CreateNatGateway", "ec2:CreateRoute", "ec2:CreateRouteTable",
    "ec2:CreateSecurityGroup", "ec2:CreateSubnet", "ec2:CreateTags", "ec2:CreateVpc", "ec2:CreateVpcEndpoint",
    "ec2:DeleteFlowLogs", "ec2:DeleteInternetGateway", "ec2:DeleteNatGateway", "ec2:DeleteRoute",
    "ec2:DeleteRouteTable", "ec2:DeleteSecurityGroup", "ec2:DeleteSubnet", "ec2:DeleteTags", "ec2:DeleteVpc",
    "ec2:DeleteVpcEndpoints", "ec2:DetachInternetGateway", "ec2:DisassociateAddress", "ec2:DisassociateRouteTable",
    "ec2:ModifySecurityGroupRules", "ec2:ModifySubnetAttribute", "ec2:ModifyVpcAttribute", "ec2:ModifyVpcEndpoint",
    "ec2:ReleaseAddress", "ec2:ReplaceRoute", "ec2:RevokeSecurityGroupEgress", "ec2:RevokeSecurityGroupIngress",
    "ec2:UpdateSecurityGroupRuleDescriptionsEgress", "ec2:UpdateSecurityGroupRuleDescriptionsIngress",
)  # fmt: skip
KEYS = (
    "kms:CreateGrant", "kms:EnableKeyRotation", "kms:PutKeyPolicy", "kms:TagResource", "kms:UntagResource",
    "kms:UpdateKeyDescription",
)  # fmt: skip
REPOSITORIES = (
    "ecr:CreateRepository", "ecr:DeleteLifecyclePolicy", "ecr:DeleteRepositoryPolicy",
    "ecr:PutImageScanningConfiguration", "ecr:PutImageTagMutability", "ecr:PutLifecyclePolicy",
    "ecr:SetRepositoryPolicy", "ecr:TagResource", "ecr:UntagResource",
)  # fmt: skip
BUCKETS = (
    "s3:CreateBucket", "s3:DeleteBucketPolicy", "s3:PutBucketLogging", "s3:PutBucketNotification",
    "s3:PutBucketOwnershipControls", "s3:PutBucketPolicy", "s3:PutBucketPublicAccessBlock", "s3:PutBucketTagging",
    "s3:PutBucketVersioning", "s3:PutEncryptionConfiguration", "s3:PutLifecycleConfiguration",
)  # fmt: skip
# To whom a stack's roles are passed as it is made. Not SageMaker: jobs are the training role's.
PASSED_TO = (
    "codebuild.amazonaws.com", "ecs-tasks.amazonaws.com", "eks.amazonaws.com", "lambda.amazonaws.com",
    "pods.eks.amazonaws.com", "vpc-flow-logs.amazonaws.com",
)  # fmt: skip
# What the cluster's roles have of AWS's own (EKS user guide, "EKS Auto Mode cluster IAM role" and "node IAM role").
MANAGED = (
    "AmazonEKSBlockStoragePolicy", "AmazonEKSClusterPolicy", "AmazonEKSComputePolicy",
    "AmazonEKSLoadBalancingPolicy", "AmazonEKSNetworkingPolicy", "AmazonEKSWorkerNodeMinimalPolicy",
    "AmazonEC2ContainerRegistryPullOnly",
)  # fmt: skip


def applying(site: Site, state: StateSettings) -> list[Statement]:
    """Beside what it reads, which is `infra.pipelines.looking`."""
    return [
        allow("StateWrite", ["s3:DeleteObject", "s3:PutObject"], state_objects(state, site.environment)),
        allow("StateEncrypt", ["kms:Encrypt", "kms:GenerateDataKey"], [state.key]),
        *_named(site),
        *_unnamed(site),
        *_keys(site),
        *_roles(site),
    ]


def _named(site: Site) -> list[Statement]:
    own = site.name("*")
    services = sorted({service for service, _ in NAMED})
    resources = [site.arn(service, kind.format(own)) for service, kind in NAMED]
    return [
        allow("Named", [f"{service}:*" for service in services], resources),
        allow("Repositories", REPOSITORIES, [site.arn("ecr", f"repository/podium-{site.environment}/*")]),
        allow("Buckets", BUCKETS, [f"arn:{PARTITION}:s3:::{own}"]),
    ]


def _unnamed(site: Site) -> list[Statement]:
    here = {"StringEquals": {"aws:RequestedRegion": site.region}}
    tagged = {"StringEquals": {"aws:RequestTag/podium:environment": site.environment}}
    functions = {"ArnLike": {"lambda:FunctionArn": site.arn("lambda", f"function:{site.name('*')}")}}
    scaling = [
        "DeleteScalingPolicy",
        "DeregisterScalableTarget",
        "PutScalingPolicy",
        "RegisterScalableTarget",
        "TagResource",
        "UntagResource",
    ]
    apis = [
        f"arn:{PARTITION}:apigateway:{site.region}::/{kind}*" for kind in ("apis", "domainnames", "tags/", "vpclinks")
    ]
    return [
        allow("Network", NETWORK, [site.arn("ec2", "*/*")]),
        allow(
            "Mappings",
            ["lambda:CreateEventSourceMapping", "lambda:DeleteEventSourceMapping", "lambda:UpdateEventSourceMapping"],
            ["*"],
            functions,
        ),
        allow(
            "MappingTags",
            ["lambda:TagResource", "lambda:UntagResource"],
            [site.arn("lambda", "event-source-mapping:*")],
        ),
        allow("Tasks", ["ecs:DeregisterTaskDefinition"], ["*"], here),
        allow(
            "Scaling",
            [f"application-autoscaling:{verb}" for verb in scaling],
            [site.arn("application-autoscaling", "scalable-target/*")],
        ),
        allow("Apis", [f"apigateway:{verb}" for verb in ("DELETE", "PATCH", "POST", "PUT")], apis),
        allow("Certificates", ["acm:RequestCertificate"], ["*"], tagged),
        allow(
            "CertificateTags", ["acm:AddTagsToCertificate", "acm:DeleteCertificate"], [site.arn("acm", "certificate/*")]
        ),
        allow("Records", ["route53:ChangeResourceRecordSets"], [f"arn:{PARTITION}:route53:::hostedzone/*"]),
        allow(
            "Connect",
            ["codeconnections:PassConnection", "codeconnections:UseConnection"],
            [site.arn("codeconnections", "connection/*")],
        ),
    ]


def _keys(site: Site) -> list[Statement]:
    created = {"StringEquals": {"aws:RequestTag/podium:environment": site.environment}}
    own = {"StringEquals": {"aws:ResourceTag/podium:environment": site.environment}}
    keys, alias = site.arn("kms", "key/*"), site.arn("kms", f"alias/{site.name('*')}")
    return [
        allow("MakeKeys", ["kms:CreateKey"], ["*"], created),
        # CreateKey asks for this of a key that is not there yet, and so has no tags.
        allow("TagKeys", ["kms:TagResource"], [keys], created),
        allow("Keys", KEYS, [keys], own),
        allow("AliasedKeys", ["kms:CreateAlias", "kms:UpdateAlias"], [keys], own),
        allow("Aliases", ["kms:CreateAlias", "kms:UpdateAlias"], [alias]),
    ]


def _roles(site: Site) -> list[Statement]:
    roles = site.iam_arn(f"role/{site.name('*')}")
    held = {"iam:PermissionsBoundary": site.iam_arn(f"policy/{site.name('workload-boundary')}")}
    given = {"iam:PolicyARN": [f"arn:{PARTITION}:iam::aws:policy/{each}" for each in MANAGED]}
    attach = ["iam:AttachRolePolicy", "iam:DetachRolePolicy"]
    return [
        allow("Roles", [each for each in HELD if each not in attach], [roles], {"StringEquals": held}),
        allow("Managed", attach, [roles], {"StringEquals": held, "ArnEquals": given}),
        allow("OwnRoles", [each for each in FREE if each != "iam:PassRole"], [roles]),
        allow("Pass", ["iam:PassRole"], [roles], {"StringEquals": {"iam:PassedToService": list(PASSED_TO)}}),
        allow(
            "Linked",
            ["iam:CreateServiceLinkedRole"],
            [site.iam_arn("role/aws-service-role/*")],
            {"StringEquals": {"iam:AWSServiceName": list(LINKED)}},
        ),
    ]
