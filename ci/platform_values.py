"""The stack outputs that manifests need: their names, and what each must look like before it is committed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from ci.errors import BadInput

_ROLE = r"arn:aws:iam::\d{12}:role/[\w+=,.@/-]+"

# Each with what it looks like; {env} is the environment, so that one's outputs cannot be written for another.
NEEDED: Mapping[str, str] = {
    "account": r"\d{12}",
    "alarms-topic": r"arn:aws:sns:[a-z0-9-]+:\d{12}:podium-{env}-[\w-]+",
    "bucket": r"podium-{env}-[a-z0-9.-]+",
    "cluster-name": r"podium-{env}[\w-]*",
    "data-key": r"arn:aws:kms:[a-z0-9-]+:\d{12}:key/[\w-]+",
    "job-role": _ROLE,
    "job-security-group": r"sg-[0-9a-f]+",
    "job-subnets": r"subnet-[0-9a-f]+(,subnet-[0-9a-f]+)*",
    "jobs-role": _ROLE,
    "queue-url": r"https://sqs\.[a-z0-9-]+\.amazonaws\.com/\d{12}/podium-{env}-[\w-]+",
    "rank-role": _ROLE,
    "region": r"[a-z]{2}-[a-z]+-\d",
    "registry-host": r"\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com",
    "serve-repository": r"([\w.-]+/)?podium-{env}/serve",
    "table": r"podium-{env}-[\w.-]+",
    "train-repository": r"([\w.-]+/)?podium-{env}/train",
}
# Only where a domain is set.
OPTIONAL: Mapping[str, str] = {"certificate-arn": r"arn:aws:acm:[a-z0-9-]+:\d{12}:certificate/[\w-]+"}
# For people, workflows and the cluster's own project, which ask the stack itself.
NOT_FOR_MANIFESTS = frozenset({
    "apply-role", "cluster-certificate-authority", "cluster-endpoint", "fargate-address", "http-endpoint",
    "preview-role", "push-role", "train-role",
})  # fmt: skip

_SECRET_NAME = re.compile(r"secret|password|passwd|token|credential|private|api-?key", re.IGNORECASE)
_SECRET_VALUE = re.compile(
    r"\[secret\]|AKIA[0-9A-Z]{16}|ASIA[0-9A-Z]{16}|-----BEGIN|eyJ[\w-]+\.[\w-]+\.|gh[pousr]_\w{20,}"
)


def platform_values(outputs: Mapping[str, Any], environment: str) -> dict[str, str]:
    """The values of the ConfigMap, in the order of their names; a list is joined by commas.

    Args:
        outputs: what `pulumi stack output --json` gives.

    Raises:
        BadInput: an output is missing, unknown, looks like a secret, or not as it must. Names all that are wrong.
    """
    problems = [*_secrets(outputs), *_names(outputs)]
    outputs = {name: value for name, value in outputs.items() if name not in NOT_FOR_MANIFESTS}
    values = {name: _text(value) for name, value in sorted(outputs.items()) if value is not None}
    known = {**NEEDED, **OPTIONAL}
    for name, value in values.items():
        pattern = known.get(name)
        if pattern is not None and not problems and not _matches(pattern, value, environment):
            problems.append(f"{name} is {value!r:.120}, which is not what it is in {environment}")
    if problems:
        raise BadInput("; ".join(problems))
    return values


def _secrets(outputs: Mapping[str, Any]) -> list[str]:
    # The value stays out of the message: it goes to a log.
    return [
        f"{name} looks like a secret, and the file is committed: keep it out of the stack's outputs"
        for name, value in sorted(outputs.items())
        if _SECRET_NAME.search(name) or _SECRET_VALUE.search(_text(value))
    ]


def _names(outputs: Mapping[str, Any]) -> list[str]:
    given = {name for name, value in outputs.items() if value is not None}
    missing = sorted(set(NEEDED) - given)
    unknown = sorted(set(outputs) - set(NEEDED) - set(OPTIONAL) - NOT_FOR_MANIFESTS)
    problems = [f"the stack has no output {', '.join(missing)}: bring it up first"] if missing else []
    if unknown:
        problems.append(f"{', '.join(unknown)}: unknown; ci/platform_values.py lists a stack's outputs")
    return problems


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(str(each) for each in cast(list[Any], value))
    return value if isinstance(value, str) else repr(value)


def _matches(pattern: str, value: str, environment: str) -> bool:
    return re.fullmatch(pattern.replace("{env}", environment), value) is not None
