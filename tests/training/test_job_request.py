import re
from dataclasses import replace

import botocore.session
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engines import aws_requests
from tests.engines.sagemaker import IMAGE, ROLE
from training.job_errors import JobSettingsError
from training.job_request import MOST_ATTEMPTS, Channel, JobSpec, check_hyperparameters, request
from training.job_settings import JobSettings
from training.metrics import METRIC_DEFINITIONS

SPEC = JobSpec(
    "mslr",
    IMAGE,
    {"seed": "0"},
    [Channel("train", "s3://b/inputs/aa/", "aa"), Channel("test", "s3://b/inputs/bb/", "bb")],
)
FULL = JobSettings(
    role=ROLE,
    store="s3://bucket/some/prefix",
    subnets=("subnet-1", "subnet-2"),
    security_groups=("sg-1",),
    volume_key="alias/volume",
    output_key="alias/output",
    spot=True,
    tags=("team=search", "cost=a=b"),
)
NAME = re.compile(
    botocore.session.get_session().get_service_model("sagemaker").shape_for("TrainingJobName").metadata["pattern"]
)


@pytest.mark.parametrize("wanted", [FULL, JobSettings(role=ROLE, store="s3://bucket")])
def test_a_request_is_as_aws_models_it(wanted: JobSettings) -> None:
    body = request(SPEC, wanted, SPEC.name("podium"), METRIC_DEFINITIONS, {"podium:model": "mslr"})
    assert aws_requests.problems("sagemaker", "CreateTrainingJob", body) == []


def test_what_the_settings_ask_for_is_in_the_request() -> None:
    body = request(SPEC, FULL, "job", METRIC_DEFINITIONS, {"team": "other", "x": "y"})
    assert body["VpcConfig"] == {"Subnets": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]}
    assert body["ResourceConfig"]["VolumeKmsKeyId"] == "alias/volume"
    assert body["OutputDataConfig"] == {"S3OutputPath": "s3://bucket/some/prefix/jobs", "KmsKeyId": "alias/output"}
    assert body["StoppingCondition"] == {"MaxRuntimeInSeconds": 10_800, "MaxWaitTimeInSeconds": 21_600}
    assert body["CheckpointConfig"]["S3Uri"] == f"s3://bucket/some/prefix/checkpoints/{SPEC.fingerprint}"
    assert body["EnableNetworkIsolation"] is body["EnableInterContainerTrafficEncryption"] is True
    assert {each["Key"]: each["Value"] for each in body["Tags"]} == {"team": "search", "cost": "a=b", "x": "y"}


@settings(max_examples=50)
@given(
    st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?", fullmatch=True),
    st.integers(1, MOST_ATTEMPTS),
    st.from_regex(r"[a-zA-Z0-9](-{0,3}[a-zA-Z0-9]){0,3}", fullmatch=True),
)
def test_every_model_gives_a_name_that_sagemaker_takes(model: str, attempt: int, prefix: str) -> None:
    name = replace(SPEC, model=model).name(prefix, attempt)
    assert NAME.fullmatch(name)
    assert len(name) <= 63
    assert replace(SPEC, model=model).fingerprint[:20] in name


def test_a_fingerprint_covers_what_decides_over_the_model() -> None:
    others = [
        replace(SPEC, image=IMAGE[:-1] + "0"),
        replace(SPEC, hyperparameters={"seed": "1"}),
        replace(SPEC, channels=[Channel("train", "s3://b/inputs/aa/", "ab"), SPEC.channels[1]]),
        replace(SPEC, channels=SPEC.channels[:1]),
        replace(SPEC, instance_count=2),
    ]
    assert len({SPEC.fingerprint, *(each.fingerprint for each in others)}) == 6
    # The same image in another repository, the same data in another bucket.
    elsewhere = [Channel("test", "s3://c/bb/", "bb"), Channel("train", "s3://c/aa/", "aa")]
    same = replace(SPEC, image=f"other/name@{IMAGE.partition('@')[2]}", channels=elsewhere)
    assert same.fingerprint == SPEC.fingerprint
    about = request(same, FULL, "job", (), {})
    assert SPEC.same_as(about)
    assert not any(each.same_as(about) for each in others)


@pytest.mark.parametrize(
    "given",
    [
        {str(number): "x" for number in range(101)},
        {"": "x"},
        {"k" * 257: "x"},
        {"k": "x" * 2501},
        {"k": "a\nb"},
    ],
)
def test_hyperparameters_that_sagemaker_refuses(given: dict[str, str]) -> None:
    with pytest.raises(JobSettingsError, match="hyperparameter"):
        check_hyperparameters(given)
    assert check_hyperparameters({"k" * 256: "x" * 2500})
