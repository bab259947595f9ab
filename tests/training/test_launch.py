import pytest

from tests.engines.sagemaker import IMAGE, ROLE, SageMaker
from training import launch as launching
from training.aws import Aws
from training.job_errors import JobClash, JobError
from training.job_request import Channel, JobSpec
from training.job_settings import JobSettings
from training.launch import Launched, described, launch

SETTINGS = JobSettings(role=ROLE, store="s3://podium-models/launch")
SPEC = JobSpec("mslr", IMAGE, {"steps": "1"}, [Channel("train", "s3://podium-models/launch/nothing/", "nothing")])


def go(aws: Aws, *, retry: bool = False, spec: JobSpec = SPEC) -> Launched:
    return launch(aws, spec, SETTINGS, retry=retry, metrics=(), tags={})


def test_attempts_are_numbered_and_the_last_one_counts(sagemaker: SageMaker) -> None:
    aws = Aws()
    first = go(aws)
    assert first == Launched(SPEC.name("podium"), "InProgress", created=True)
    sagemaker.jobs[first.name].join()
    with pytest.raises(JobError, match=r"is Failed \(ClientError: .*give --retry"):
        go(aws)
    second = go(aws, retry=True)
    assert (second.name, second.created) == (f"{first.name}-r2", True)
    sagemaker.jobs[second.name].join()
    sagemaker.jobs[second.name].status = "Completed"
    assert go(aws, retry=True) == Launched(second.name, "Completed", created=False)
    assert go(aws) == Launched(second.name, "Completed", created=False)


def test_a_job_that_is_being_stopped_is_waited_for(sagemaker: SageMaker) -> None:
    aws = Aws()
    name = go(aws).name
    sagemaker.jobs[name].join()
    sagemaker.jobs[name].status = "Stopping"
    with pytest.raises(JobError, match="wait until it has ended"):
        go(aws, retry=True)


def test_there_is_an_end_to_attempts(sagemaker: SageMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "MOST_ATTEMPTS", 2)
    aws = Aws()
    for _ in range(2):
        sagemaker.jobs[go(aws, retry=True).name].join()
    with pytest.raises(JobError, match="tried 2 times"):
        go(aws, retry=True)


def test_a_name_that_is_taken_and_cannot_be_seen(sagemaker: SageMaker) -> None:
    sagemaker.refuse("CreateTrainingJob", "ResourceInUse", "taken")
    with pytest.raises(JobClash, match="is being deleted"):
        go(Aws())


def test_no_job_is_no_description(sagemaker: SageMaker) -> None:
    assert described(Aws(), "nobody") is None
