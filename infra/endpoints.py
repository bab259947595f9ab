"""What may pass the VPC's endpoints: their policies, which are no one's permission but everyone's limit."""

from __future__ import annotations

import pulumi

from infra.iam import ANYBODY, allow, document
from infra.site import PARTITION, Site

# The actions of some services have another prefix than their endpoints.
PREFIXES = {"monitoring": "cloudwatch", "email": "ses"}


def for_s3(site: Site) -> pulumi.Output[str]:
    """This account's buckets, and read-only those that images' layers come from. So nothing inside the VPC can carry
    data to a bucket of somebody else, whosever credentials it holds."""
    own = {"StringEquals": {"aws:ResourceAccount": site.account}}
    layers = [f"arn:{PARTITION}:s3:::{bucket}/*" for bucket in image_buckets(site.region)]
    return document(
        allow("OwnBuckets", ["s3:*"], ["*"], own, ANYBODY),
        allow("ImageLayers", ["s3:GetObject"], layers, None, ANYBODY),
    )


def image_buckets(region: str) -> tuple[str, ...]:
    """The buckets of others from which nodes pull layers. Registries redirect to those of the puller's own region, and
    what is redirected there takes the gateway endpoint and not the NAT gateway."""
    return (
        # ECR's layers, EKS's own images among them (ECR user guide, "Minimum Amazon S3 bucket permissions").
        f"prod-{region}-starport-layer-bucket",
        # registry.k8s.io, for what runs beside Argo CD.
        f"prod-registry-k8s-io-{region}",
        # quay.io, for Argo CD itself; it is in us-east-1 alone.
        "quayio-production-s3",
    )


def for_dynamodb(site: Site) -> pulumi.Output[str]:
    """This environment's tables."""
    table = site.arn("dynamodb", f"table/{site.name('*')}")
    return document(allow("OwnTables", ["dynamodb:*"], [table, f"{table}/index/*"], None, ANYBODY))


def for_interface(site: Site, service: str) -> pulumi.Output[str]:
    """This account's principals: an image or a library that brings foreign credentials cannot use them from here."""
    prefix = service.partition(".")[0]
    own = {"StringEquals": {"aws:PrincipalAccount": site.account}}
    statements = [allow("OwnPrincipals", [f"{PREFIXES.get(prefix, prefix)}:*"], ["*"], own, ANYBODY)]
    if prefix == "sts":
        # Who shows GitHub's token has no account yet.
        roles = site.iam_arn(f"role/{site.name('*')}")
        statements.append(allow("OwnRoles", ["sts:AssumeRoleWithWebIdentity"], [roles], None, ANYBODY))
    return document(*statements)
