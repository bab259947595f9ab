import pytest

from tests.engines import sagemaker_logs
from tests.engines.emulator import Store
from tests.engines.sagemaker import IMAGE, ROLE, SageMaker
from training import follow
from training.aws import Aws
from training.follow import Logs, duration, measured, require_completed, stop, wait
from training.job_errors import AwsDenied, AwsUnavailable, JobError, JobFailed, JobStopped, NoInstances
from training.job_request import Channel, JobSpec, request
from training.job_settings import JobSettings
from training.launch import launch
from training.metrics import METRIC_DEFINITIONS


@pytest.fixture
def aws(sagemaker: SageMaker) -> Aws:
    return Aws()


@pytest.fixture
def job(sagemaker: SageMaker, store: Store, aws: Aws) -> str:
    """A running job of forty steps a second, without input."""
    return begin(store, aws, steps="40", seconds="0.05")


def begin(store: Store, aws: Aws, **hyperparameters: str) -> str:
    store.write("train/data.txt", b"x")
    spec = JobSpec("mslr", IMAGE, hyperparameters, [Channel("train", f"{store.uri}/train/", "train")])
    settings = JobSettings(role=ROLE, store=store.uri)
    return launch(aws, spec, settings, retry=False, metrics=METRIC_DEFINITIONS, tags={}).name


def test_a_log_is_told_line_by_line_and_once(
    sagemaker: SageMaker, aws: Aws, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sagemaker_logs, "PAGE", 3)
    logs, lines = Logs(aws, job), list[str]()
    while not sagemaker.jobs[job].done.wait(0.2):
        lines += [line for _, line in logs.new()]
    lines += [line for _, line in logs.new()]
    assert [line for line in lines if line.startswith("progress")] == [
        f"progress trees={step} of=40 seconds=0.1" for step in range(1, 41)
    ]
    assert list(logs.new()) == []
    (stream,) = sagemaker.jobs[job].streams
    assert {host for host, _ in Logs(aws, job).new()} == {stream.rpartition("/")[2]}


def test_a_job_whose_log_is_denied_is_waited_for(sagemaker: SageMaker, aws: Aws, job: str) -> None:
    said: list[str] = []
    sagemaker.refuse(
        "DescribeLogStreams", "AccessDeniedException", "not authorized to perform: logs:DescribeLogStreams"
    )
    assert wait(aws, job, said.append, 0.05)["TrainingJobStatus"] == "Completed"
    assert len([line for line in said if "going on without metrics" in line]) == 1
    assert sagemaker.count("DescribeLogStreams") == 1


def test_a_network_that_comes_back_is_waited_for(sagemaker: SageMaker, aws: Aws, job: str) -> None:
    said: list[str] = []
    for _ in range(5):
        sagemaker.refuse("DescribeTrainingJob", "InternalFailure", "sorry", 500)
    monkey = pytest.MonkeyPatch()
    monkey.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    try:
        assert wait(aws, job, said.append, 0.05)["TrainingJobStatus"] == "Completed"
    finally:
        monkey.undo()
    assert "asking again" in said[0]


def test_a_silence_of_ten_minutes_ends_the_wait(
    sagemaker: SageMaker, aws: Aws, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "SILENCE_SECONDS", 0.0)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    for _ in range(5):
        sagemaker.refuse("DescribeTrainingJob", "InternalFailure", "sorry", 500)
    with pytest.raises(AwsUnavailable, match="sorry"):
        wait(aws, job, lambda _: None, 0.05)
    assert sagemaker.jobs[job].status == "InProgress"


def test_credentials_that_expire_end_the_wait_at_once(sagemaker: SageMaker, aws: Aws, job: str) -> None:
    sagemaker.refuse("DescribeTrainingJob", "ExpiredTokenException", "expired")
    with pytest.raises(AwsDenied, match="expired"):
        wait(aws, job, lambda _: None, 0.05)


def test_a_job_that_ends_while_it_is_stopped(sagemaker: SageMaker, store: Store, aws: Aws) -> None:
    job = begin(store, aws, steps="1")
    sagemaker.jobs[job].join()
    sagemaker.jobs[job].status = "InProgress"
    original = sagemaker.jobs[job].describe
    told = 0

    def describe() -> dict[str, object]:
        nonlocal told
        told += 1
        # As SageMaker would: it runs at the first look, and has completed by the second.
        sagemaker.jobs[job].status = "InProgress" if told == 1 else "Completed"
        found = original()
        sagemaker.jobs[job].status = "Completed"
        return found

    sagemaker.jobs[job].describe = describe
    assert stop(aws, job) == "Completed"


def test_a_missing_input_is_the_jobs_failure(sagemaker: SageMaker, aws: Aws) -> None:
    spec = JobSpec("mslr", IMAGE, {}, [Channel("train", "s3://podium-models/nowhere/", "nowhere")])
    settings = JobSettings(role=ROLE, store="s3://podium-models/follow")
    body = request(spec, settings, "job", METRIC_DEFINITIONS, {})
    aws.sagemaker.create_training_job(**body)
    with pytest.raises(JobFailed, match="No S3 objects found"):
        wait(aws, "job", lambda _: None, 0.05)


def test_metrics_are_those_that_sagemaker_finds() -> None:
    definitions = [dict(each) for each in METRIC_DEFINITIONS]
    assert measured("progress trees=5 of=10 seconds=1.5 validation_ndcg@10=0.25", definitions) == {
        "progress:trees": 5.0,
        "progress:seconds": 1.5,
        "progress:ndcg@10": 0.25,
    }
    assert measured("nothing", definitions) == {}
    assert measured("x=abc y", [{"Name": "x", "Regex": "x=(.*)"}, {"Name": "y", "Regex": "y"}]) == {}


@pytest.mark.parametrize(
    ("about", "kind", "message"),
    [
        ({"TrainingJobStatus": "InProgress"}, JobError, "sagemaker wait job"),
        ({"TrainingJobStatus": "Stopping"}, JobError, "sagemaker wait job"),
        ({"TrainingJobStatus": "Failed", "FailureReason": "AlgorithmError: x"}, JobFailed, "AlgorithmError: x"),
        ({"TrainingJobStatus": "Failed"}, JobFailed, "no reason given"),
        ({"TrainingJobStatus": "Failed", "FailureReason": "CapacityError: x"}, NoInstances, "--retry later"),
        ({"TrainingJobStatus": "Stopped", "SecondaryStatus": "Stopped"}, JobStopped, "by somebody"),
        ({"TrainingJobStatus": "Stopped", "SecondaryStatus": "MaxRuntimeExceeded"}, JobStopped, "after its 60 s"),
        ({"TrainingJobStatus": "Stopped", "SecondaryStatus": "MaxWaitTimeExceeded"}, JobStopped, "--spot off"),
    ],
)
def test_every_end_has_words(about: dict[str, str], kind: type[JobError], message: str) -> None:
    stated = {"TrainingJobName": "job", "StoppingCondition": {"MaxRuntimeInSeconds": 60}, **about}
    with pytest.raises(JobError, match=message) as caught:
        require_completed(stated)
    assert type(caught.value) is kind


def test_durations() -> None:
    assert [duration(seconds) for seconds in (0, 61, 3600, 7384)] == [
        "0 min 0 s",
        "1 min 1 s",
        "1 h 0 min",
        "2 h 3 min",
    ]
