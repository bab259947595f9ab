"""The whole way of a job by the command line: the real boto3, an S3 and a SageMaker over HTTP, real programs."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.bucket import Bucket
from service.registry import open_registry
from tests.conftest import ROOT
from tests.engines.emulator import Store
from tests.engines.sagemaker import IMAGE, ROLE, SageMaker
from tests.engines.sagemaker_runner import ProcessRunner
from training.cli import main
from training.job_request import NAME_LENGTH

Start = Callable[..., str]


@pytest.fixture
def start(
    sagemaker: SageMaker, store: Store, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Start:
    """Starts a job of the small program and returns its name. Hyperparameters by keyword."""
    monkeypatch.setenv("PODIUM_SAGEMAKER_ROLE", ROLE)
    monkeypatch.setenv("PODIUM_SAGEMAKER_IMAGE", IMAGE)
    monkeypatch.setenv("PODIUM_SAGEMAKER_STORE", f"{store.uri}/training")

    def begin(*options: str, **hyperparameters: str) -> str:
        given = [f"--hyperparameter={key}={value}" for key, value in hyperparameters.items()]
        capsys.readouterr()
        assert main(["sagemaker", "start", "--data", str(data), *given, *options]) == 0
        return capsys.readouterr().out.strip()

    return begin


def wait(job: str, *options: str) -> int:
    return main(["sagemaker", "wait", job, "--poll", "0.05", *options])


def staged(store: Store) -> list[str]:
    return [key for key in store.listing() if key.startswith("training/inputs/")]


def until(true: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "this took too long"
        time.sleep(0.02)


def test_a_job_is_started_followed_and_done(
    sagemaker: SageMaker, store: Store, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    job = start("--tags", "team=search", steps="3", seconds="0.1")
    assert wait(job) == 0
    said = capsys.readouterr().err
    order = [said.index(f" {word}") for word in ("Starting", "Downloading", "Training:", "Uploading", "Completed")]
    assert order == sorted(order)
    (fake,) = sagemaker.jobs.values()
    assert fake.name == job
    assert fake.status == "Completed"
    assert fake.request["EnableNetworkIsolation"] is fake.request["EnableInterContainerTrafficEncryption"] is True
    assert sagemaker.tags[fake.arn]["team"] == "search"
    assert "checkpoints/" in "".join(store.listing())
    (lines,) = fake.streams.values()
    assert lines[0].message.startswith('channel train: {"data.txt": ')
    assert main(["sagemaker", "logs", job]) == 0
    assert "algo-1 progress trees=3 of=3" in capsys.readouterr().out


def test_what_is_staged_is_sent_once(
    store: Store, start: Start, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    put = Bucket.put

    def counted(*given: Any) -> bool:
        sent.append(given[1])
        return put(*given)

    monkeypatch.setattr(Bucket, "put", counted)
    start(steps="1")
    assert sorted(f"{store.prefix}/{key}" for key in staged(store)) == sorted(sent)
    assert len(sent) == 3
    start(steps="2")
    assert len(sent) == 3
    # The same content elsewhere, a split less: only what is new is sent.
    other = tmp_path / "other"
    other.mkdir()
    (other / "train.txt").write_bytes((data / "test.txt").read_bytes())
    (other / "test.txt").write_bytes((data / "vali.txt").read_bytes())
    assert start("--data", str(other), steps="1")
    assert len(sent) == 3


def test_the_same_inputs_are_the_same_job(
    sagemaker: SageMaker, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    first = start(steps="30", seconds="0.1")
    assert start(steps="30", seconds="0.1") == first, "attached while it runs"
    # Neither the machine nor how it is paid for changes a byte of the model.
    assert start("--instance-type", "ml.m5.large", "--spot", "on", steps="30", seconds="0.1") == first
    assert sagemaker.count("CreateTrainingJob") == 1
    other = start(steps="1", seconds="0.0")
    assert other != first
    assert wait(other) == 0
    assert start(steps="1", seconds="0.0") == other, "found when it has completed"
    assert sagemaker.count("CreateTrainingJob") == 2
    assert len(first) <= NAME_LENGTH


def test_two_starts_at_once_make_one_job(sagemaker: SageMaker, start: Start) -> None:
    sagemaker.lose_answer("CreateTrainingJob")
    job = start(steps="1")
    assert sagemaker.count("CreateTrainingJob") == 2, "boto3 asked again, and was told that the name is taken"
    assert list(sagemaker.jobs) == [job]


def test_a_name_of_somebody_elses_job_is_refused(
    sagemaker: SageMaker, start: Start, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = start(steps="1")
    sagemaker.jobs[job].request["HyperParameters"] = {"steps": "other"}
    assert main(["sagemaker", "start", "--data", str(data), "--hyperparameter", "steps=1"]) == 4
    assert "was given something else" in capsys.readouterr().err


def test_a_failure_has_its_reason_and_a_successor_only_when_asked(
    sagemaker: SageMaker, start: Start, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = start(steps="2", fail="channel train: line 3 has no qid")
    assert wait(job) == 6
    said = capsys.readouterr().err
    assert "AlgorithmError: channel train: line 3 has no qid, exit code: 3" in said
    assert "| progress trees=2 of=2" in said, "the last lines of its log"
    again = ["sagemaker", "start", "--data", str(data), "--hyperparameter", "steps=2"]
    again += ["--hyperparameter", "fail=channel train: line 3 has no qid"]
    assert main(again) == 3
    assert "give --retry" in capsys.readouterr().err
    assert start("--retry", steps="2", fail="channel train: line 3 has no qid") == f"{job}-r2"
    assert wait(f"{job}-r2") == 6
    assert "going on from step 2" in "".join(
        e.message for e in next(iter(sagemaker.jobs[f"{job}-r2"].streams.values()))
    )
    assert start("--retry", steps="2", fail="channel train: line 3 has no qid") == f"{job}-r3"
    sagemaker.jobs[f"{job}-r3"].join()
    assert main(["sagemaker", "fetch", job]) == 6


def test_stop(sagemaker: SageMaker, start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    job = start(steps="1000", seconds="0.05")
    until(lambda: sagemaker.jobs[job].metrics or "Training" in str(sagemaker.jobs[job].transitions))
    assert main(["sagemaker", "stop", job]) == 0
    assert f"{job} is being stopped" in capsys.readouterr().err
    assert wait(job) == 7
    assert "was stopped by somebody" in capsys.readouterr().err
    assert main(["sagemaker", "stop", job]) == 0
    assert "is Stopped already" in capsys.readouterr().err
    assert main(["sagemaker", "fetch", job]) == 7


def test_a_program_that_hears_no_sigterm_is_killed(sagemaker: SageMaker, start: Start) -> None:
    sagemaker.grace = 0.5
    job = start(steps="1000", seconds="0.05", deaf="yes")
    until(lambda: any(sagemaker.jobs[job].streams.values()))
    assert main(["sagemaker", "stop", job]) == 0
    sagemaker.jobs[job].join()
    assert sagemaker.jobs[job].status == "Stopped"


def test_max_runtime(sagemaker: SageMaker, start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    job = start("--max-runtime-seconds", "60", steps="1000", seconds="0.05")
    sagemaker.jobs[job].request["StoppingCondition"]["MaxRuntimeInSeconds"] = 1
    assert wait(job) == 7
    assert "raise --max-runtime-seconds" in capsys.readouterr().err


def test_a_spot_interruption_goes_on_from_the_checkpoint(
    sagemaker: SageMaker, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    job = start("--spot", "on", steps="12", seconds="0.1")
    fake = sagemaker.jobs[job]
    assert fake.request["StoppingCondition"]["MaxWaitTimeInSeconds"] == 21_600
    until(lambda: "trees=4" in str(fake.streams))
    sagemaker.interrupt(job)
    assert wait(job) == 0
    said = capsys.readouterr().err
    assert said.index("Interrupted") < said.rindex("Training:") < said.index("Completed")
    first, second = (" ".join(event.message for event in stream) for stream in fake.streams.values())
    assert "trees=12" not in first
    assert "going on from step" in second
    assert "trees=3 " not in second


@pytest.mark.parametrize(
    ("prepare", "exit_code", "message"),
    [
        (SageMaker.quota, 8, "Service Quotas"),
        (
            lambda fake: fake.refuse(
                "CreateTrainingJob",
                "AccessDeniedException",
                "User: arn:aws:iam::123456789012:user/a is not authorized to perform: iam:PassRole on resource: x",
            ),
            5,
            "must be allowed iam:PassRole",
        ),
        (
            lambda fake: fake.refuse("DescribeTrainingJob", "ExpiredTokenException", "The security token is expired"),
            5,
            "Check which credentials",
        ),
        (lambda fake: fake.refuse("CreateTrainingJob", "CapacityError", "none left."), 8, "no instance is free"),
        (lambda fake: fake.refuse("CreateTrainingJob", "ResourceNotFound", "no such image"), 3, "no such"),
    ],
    ids=["quota", "pass-role", "expired", "capacity", "not-found"],
)
def test_refusals_say_what_to_do(
    sagemaker: SageMaker,
    start: Start,
    data: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    prepare: Callable[[SageMaker], object],
    exit_code: int,
    message: str,
) -> None:
    prepare(sagemaker)
    assert main(["sagemaker", "start", "--data", str(data)]) == exit_code
    found = capsys.readouterr()
    assert message in found.err
    assert found.out == ""
    assert sagemaker.jobs == {}


def test_a_role_that_sagemaker_may_not_take(
    sagemaker: SageMaker, start: Start, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--role", "arn:aws:iam::123456789012:role/other"]
    assert main(["sagemaker", "start", "--data", str(data), *options]) == 2
    assert "trust policy names sagemaker.amazonaws.com" in capsys.readouterr().err


def test_no_capacity(sagemaker: SageMaker, start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    sagemaker.no_capacity()
    job = start(steps="1")
    assert wait(job) == 8
    assert "with another --instance-type" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["wait", "logs", "stop", "fetch"])
def test_no_such_job(sagemaker: SageMaker, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sagemaker", verb, "nobody"]) == 3
    assert "there is no training job nobody" in capsys.readouterr().err


def test_no_credentials_and_no_region(
    sagemaker: SageMaker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AWS_REGION")
    assert main(["sagemaker", "stop", "job"]) == 2
    assert "set AWS_REGION" in capsys.readouterr().err
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert main(["sagemaker", "stop", "job"]) == 5
    assert "no credentials for AWS" in capsys.readouterr().err


def test_a_fetch_before_the_end(sagemaker: SageMaker, start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    job = start(steps="100", seconds="0.1")
    assert main(["sagemaker", "fetch", job]) == 3
    assert f"sagemaker wait {job}" in capsys.readouterr().err


def test_a_model_that_is_no_bundle_is_not_published(
    sagemaker: SageMaker, start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = start(steps="1")
    sagemaker.jobs[job].join()
    registry = tmp_path / "registry"
    assert main(["sagemaker", "fetch", job, "--registry", str(registry)]) == 3
    assert "manifest.json" in capsys.readouterr().err
    assert not registry.exists()


@pytest.mark.parametrize(("number", "stopping"), [(signal.SIGINT, False), (signal.SIGTERM, True)])
def test_an_interrupted_wait(
    sagemaker: SageMaker, start: Start, tmp_path: Path, number: signal.Signals, stopping: bool
) -> None:
    job = start(steps="1000", seconds="0.05")
    command = [sys.executable, "-m", "training", "sagemaker", "wait", job, "--poll", "0.1"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, *(["--stop-if-interrupted"] if stopping else [])], cwd=ROOT, stderr=log, env=os.environ
        )
        try:
            until(lambda: "Training:" in (tmp_path / "log").read_text())
            process.send_signal(number)
            assert process.wait(20) == 130
        finally:
            process.kill()
            process.wait()
    said = (tmp_path / "log").read_text()
    if stopping:
        assert "is being stopped" in said
        sagemaker.jobs[job].join()
        assert sagemaker.jobs[job].status == "Stopped"
    else:
        assert f"sagemaker wait {job}" in said
        assert f"sagemaker stop {job}" in said
        assert sagemaker.jobs[job].status == "InProgress"


def test_a_dry_run_asks_nobody(
    sagemaker: SageMaker, store: Store, start: Start, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sagemaker", "start", "--data", str(data), "--dry-run"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["RoleArn"] == ROLE
    assert body["HyperParameters"]["recipe"] == "mslr-small"
    assert store.listing() == []
    assert sagemaker.calls == []
    assert main(["sagemaker", "start", "--data", str(data)]) == 0
    (job,) = sagemaker.jobs.values()
    assert {**job.request, "EnableManagedSpotTraining": False} == body


def test_bad_settings_are_said_before_anything_is_sent(
    sagemaker: SageMaker, store: Store, start: Start, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = {
        ("--image", "podium-train:latest"): "by digest",
        ("--role", "podium"): "ARN of an IAM role",
        ("--subnets", "subnet-1"): "--security-groups",
        ("--set", "n_estimators=many"): "n_estimators",
        ("--hyperparameter", "steps"): "NAME=VALUE",
        ("--hyperparameter", "seed=3"): "each name once",
        ("--hyperparameter", f"note={'x' * 2501}"): "2500",
        ("--name", "Not A Name"): "cannot name a model",
        ("--unchecked",): "--name",
        ("--store", "s3://B"): "s3://bucket/prefix",
        ("--config", "nowhere.toml"): "nowhere.toml",
    }
    for options, message in table.items():
        assert main(["sagemaker", "start", "--data", str(data), *options]) in (2, 3), options
        assert message in capsys.readouterr().err, options
    assert store.listing() == []
    assert sagemaker.calls == []


def test_from_data_to_a_published_model(
    sagemaker: SageMaker, start: Start, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The image's own program, cut off once.
    sagemaker.runner = ProcessRunner()
    trees = ("--set", "n_estimators=60", "--set", "segment_trees=5", "--set", "max_depth=3")
    job = start("--spot", "on", *trees)
    until(lambda: "checkpoint of 10 trees" in str(sagemaker.jobs[job].streams))
    sagemaker.interrupt(job)
    assert wait(job) == 0
    said = capsys.readouterr().err
    assert "test:ndcg@10" in said
    assert sagemaker.jobs[job].interruptions == 1
    assert "going on from the checkpoint" in str(list(sagemaker.jobs[job].streams.values())[1])
    for existed in ("published: ", "published before: "):
        assert main(["sagemaker", "fetch", job, "--registry", str(tmp_path / "registry")]) == 0
        found = capsys.readouterr()
        assert existed in found.err
    (entry,) = open_registry(str(tmp_path / "registry")).list()
    assert entry.uri == found.out.strip()
    # The same bytes as on a laptop, without SageMaker and without interruption.
    home = ["--runs", str(tmp_path / "runs"), "--registry", str(tmp_path / "home")]
    assert main(["run", "--data", str(data), *trees, *home]) == 0
    assert capsys.readouterr().out.strip().rpartition("/")[2] == entry.version


def test_data_that_the_job_refuses_is_refused_at_home(
    sagemaker: SageMaker, store: Store, start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sagemaker.runner = ProcessRunner()
    for split in ("train", "test"):
        (tmp_path / f"{split}.txt").write_text("1 qid:1 1:0.5\n7 quid:1 1:0.5\n")
    assert main(["sagemaker", "start", "--data", str(tmp_path)]) == 2
    assert store.listing() == []
    assert main(["sagemaker", "start", "--data", str(tmp_path), "--unchecked", "--name", "bad"]) == 0
    assert wait(capsys.readouterr().out.strip()) == 6
    assert "data.txt:2" in capsys.readouterr().err
