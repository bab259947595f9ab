"""Image repositories: a tag never moves, and what is pinned never goes away."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from pulumi_policy import PolicyResource, ResourceValidationArgs, Severity

from infra.policies.rules import Stack, at, resource_rule, stack_rule

REPOSITORY = "aws:ecr/repository:Repository"
LIFECYCLE = "aws:ecr/lifecyclePolicy:LifecyclePolicy"
BY_NAME = ("tagPrefixList", "tagPatternList")


@resource_rule(
    "image-tags-immutable",
    REPOSITORY,
    "A tag always names the image that it named first.",
    fix="Set image_tag_mutability to IMMUTABLE.",
)
def tags_immutable(repository: ResourceValidationArgs) -> Iterator[str]:
    if repository.props.get("imageTagMutability") != "IMMUTABLE":
        yield "tags can be moved"


@resource_rule(
    "image-scanned",
    REPOSITORY,
    "Images are scanned when they are pushed.",
    fix="Set scan_on_push in image_scanning_configuration.",
)
def scanned(repository: ResourceValidationArgs) -> Iterator[str]:
    if at(repository.props, "imageScanningConfiguration", "scanOnPush") is not True:
        yield "images are not scanned"


@resource_rule(
    "image-encrypted",
    REPOSITORY,
    "Images are encrypted with our key.",
    fix="Set encryption_type KMS and kms_key in encryption_configurations.",
    severity=Severity.MEDIUM,
)
def encrypted(repository: ResourceValidationArgs) -> Iterator[str]:
    found = at(repository.props, "encryptionConfigurations", 0)
    if at(found, "encryptionType") != "KMS" or not at(found, "kmsKey"):
        yield "is encrypted without our key"


@resource_rule(
    "image-repository-kept",
    REPOSITORY,
    "A repository with images in it is not deleted.",
    fix="Leave force_delete off.",
)
def repository_kept(repository: ResourceValidationArgs) -> Iterator[str]:
    if repository.props.get("forceDelete"):
        yield "is deleted with all its images"


@stack_rule(
    "image-lifecycle",
    REPOSITORY,
    "Untagged layers are not paid for forever.",
    fix="Add a LifecyclePolicy that expires untagged images.",
    severity=Severity.MEDIUM,
)
def lifecycle(repository: PolicyResource, stack: Stack) -> Iterator[str]:
    if not stack.naming(repository, LIFECYCLE, "repository"):
        yield "has no lifecycle policy"


@resource_rule(
    "image-pins-kept",
    LIFECYCLE,
    "No image that an environment may pin expires: each was pushed under a tag, which is its commit.",
    fix="Let every rule select untagged images, or tags whose beginning is no commit's.",
)
def pins_kept(policy: ResourceValidationArgs) -> Iterator[str]:
    for rule in json.loads(policy.props["policy"]).get("rules", []):
        chosen = rule.get("selection", {})
        if chosen.get("tagStatus") == "untagged":
            continue
        prefixes = chosen.get("tagPrefixList", []) + [
            each.partition("*")[0] for each in chosen.get("tagPatternList", [])
        ]
        if not prefixes or any(re.fullmatch("[0-9a-f]*", prefix) for prefix in prefixes):
            yield f"rule {rule.get('rulePriority')} expires images that may be pinned"
