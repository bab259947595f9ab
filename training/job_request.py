"""What a SageMaker training job is: what decides over its model, its name, and the request. Nothing here asks AWS."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.manifest import canonical_json
from training.hyperparameters import MAX_COUNT, MAX_KEY, MAX_VALUE
from training.job_errors import JobSettingsError
from training.job_settings import JobSettings

NAME_LENGTH = 63
# 80 bits: two different jobs never meet under one name.
FINGERPRINT_DIGITS = 20
# Room for the numbers of successors.
MOST_ATTEMPTS = 99
SUFFIX_LENGTH = len(f"-r{MOST_ATTEMPTS}")

CHECKPOINTS = "/opt/ml/checkpoints"


@dataclass(frozen=True)
class Channel:
    """A split as staged: its name to SageMaker, the prefix that holds it and nothing else, its content's sha256."""

    name: str
    uri: str
    sha256: str


@dataclass(frozen=True)
class JobSpec:
    """All that decides over the model, and so over the job's name: the same spec is the same job."""

    model: str
    image: str
    hyperparameters: Mapping[str, str]
    channels: Sequence[Channel]
    instance_count: int = 1

    @property
    def fingerprint(self) -> str:
        """What the machine is, how it is paid for and where data lies is left out: it changes no byte of the model."""
        content = {
            "image": self.image.rpartition("@")[2],
            "hyperparameters": dict(self.hyperparameters),
            "channels": {channel.name: channel.sha256 for channel in self.channels},
            "instances": self.instance_count,
        }
        return hashlib.sha256(canonical_json(content)).hexdigest()

    def name(self, prefix: str, attempt: int = 1) -> str:
        """`<prefix>-<model>-<fingerprint>`, from the second attempt on with `-r2`, `-r3`, ... behind it."""
        room = NAME_LENGTH - len(prefix) - FINGERPRINT_DIGITS - SUFFIX_LENGTH - 2
        model = re.sub(r"[^a-zA-Z0-9]+", "-", self.model)[:room].strip("-")
        suffix = f"-r{attempt}" if attempt > 1 else ""
        return f"{prefix}-{model}-{self.fingerprint[:FINGERPRINT_DIGITS]}{suffix}"

    def same_as(self, described: Mapping[str, Any]) -> bool:
        """Whether a job that DescribeTrainingJob tells of is one of this spec."""
        sources = {
            each["ChannelName"]: each["DataSource"]["S3DataSource"]["S3Uri"].rstrip("/").rpartition("/")[2]
            for each in described.get("InputDataConfig", ())
        }
        return (
            described["AlgorithmSpecification"].get("TrainingImage", "").rpartition("@")[2]
            == self.image.rpartition("@")[2]
            and described.get("HyperParameters", {}) == dict(self.hyperparameters)
            and described["ResourceConfig"].get("InstanceCount") == self.instance_count
            and sources == {channel.name: channel.sha256 for channel in self.channels}
        )


def check_hyperparameters(given: Mapping[str, str]) -> dict[str, str]:
    """
    Raises:
        JobSettingsError: more or longer ones than SageMaker takes.
    """
    if len(given) > MAX_COUNT:
        raise JobSettingsError(f"{len(given)} hyperparameters: SageMaker takes {MAX_COUNT}")
    for key, value in given.items():
        if not key or len(key) > MAX_KEY or len(value) > MAX_VALUE or not (key + value).isprintable():
            raise JobSettingsError(
                f"hyperparameter {key!r:.60}: a key has 1 to {MAX_KEY} printable characters, a value up to {MAX_VALUE}"
            )
    return dict(given)


def request(
    spec: JobSpec,
    settings: JobSettings,
    name: str,
    metrics: Sequence[Mapping[str, str]],
    tags: Mapping[str, str],
) -> dict[str, Any]:
    """The arguments of CreateTrainingJob. No network but between the job's own hosts, which is encrypted; checkpoints
    lie under the fingerprint, so that a successor goes on where its predecessor stopped.

    Args:
        metrics: each a Name, and a Regex with one group.
    """
    store = settings.require("store")
    conditions = {"MaxRuntimeInSeconds": settings.max_runtime_seconds}
    resources: dict[str, Any] = {
        "InstanceType": settings.instance_type,
        "InstanceCount": settings.instance_count,
        "VolumeSizeInGB": settings.volume_gb,
    }
    output = {"S3OutputPath": f"{store}/jobs"}
    body: dict[str, Any] = {
        "TrainingJobName": name,
        "HyperParameters": dict(spec.hyperparameters),
        "AlgorithmSpecification": {
            "TrainingImage": spec.image,
            "TrainingInputMode": settings.input_mode,
            "MetricDefinitions": [dict(each) for each in metrics],
        },
        "RoleArn": settings.require("role"),
        "InputDataConfig": [_channel(channel) for channel in spec.channels],
        "OutputDataConfig": output,
        "ResourceConfig": resources,
        "StoppingCondition": conditions,
        "CheckpointConfig": {"S3Uri": f"{store}/checkpoints/{spec.fingerprint}", "LocalPath": CHECKPOINTS},
        "EnableNetworkIsolation": True,
        "EnableInterContainerTrafficEncryption": True,
        "EnableManagedSpotTraining": settings.spot,
        "Tags": [{"Key": key, "Value": value} for key, value in sorted({**tags, **_tags(settings)}.items())],
    }
    if settings.spot:
        conditions["MaxWaitTimeInSeconds"] = settings.wait_seconds
    if settings.volume_key:
        resources["VolumeKmsKeyId"] = settings.volume_key
    if settings.output_key:
        output["KmsKeyId"] = settings.output_key
    if settings.subnets:
        body["VpcConfig"] = {"Subnets": list(settings.subnets), "SecurityGroupIds": list(settings.security_groups)}
    return body


def _channel(channel: Channel) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": channel.uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": channel.name, "DataSource": {"S3DataSource": source}}


def _tags(settings: JobSettings) -> dict[str, str]:
    pairs = (tag.partition("=") for tag in settings.tags)
    return {key: value for key, _, value in pairs}
