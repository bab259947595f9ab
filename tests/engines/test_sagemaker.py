"""The SageMaker of the tests refuses what SageMaker does, and gives a container what SageMaker gives it."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.engines import aws_requests
from tests.engines.emulator import BUCKET, Store
from tests.engines.sagemaker import IMAGE, ROLE, SageMaker
from tests.engines.sagemaker_runner import ProcessRunner

BODY: dict[str, Any] = {
    "TrainingJobName": "job",
    "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
    "RoleArn": ROLE,
    "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/out"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
}


@pytest.fixture
def client(sagemaker: SageMaker) -> Iterator[Any]:
    session: Any = boto3.session.Session()
    made = session.client("sagemaker", region_name="us-east-1")
    yield made
    made.close()


def program(sagemaker: SageMaker, text: str) -> None:
    """Makes jobs run this Python, `ml` being the folder of /opt/ml."""
    start = "import os, sys, json, time, signal; from pathlib import Path; ml = Path(sys.argv[1])\n"
    sagemaker.runner = ProcessRunner(lambda tree: [sys.executable, "-c", start + text, str(tree)])


def ended(sagemaker: SageMaker, client: Any, name: str = "job") -> dict[str, Any]:
    sagemaker.jobs[name].join()
    return client.describe_training_job(TrainingJobName=name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"TrainingJobName": "a_b"}, "does not match"),
        ({"TrainingJobName": "a" * 64}, "above 63"),
        ({"RoleArn": "arn:aws:iam::1:role/x"}, "RoleArn"),
        ({"HyperParameters": {"a": "x" * 2501}}, "above 2500"),
        ({"ResourceConfig": {**BODY["ResourceConfig"], "InstanceType": "ml.m9.large"}}, "none of those allowed"),
        ({"ResourceConfig": {**BODY["ResourceConfig"], "InstanceCount": 0}}, "at least 1"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 90}}, "EnableManagedSpotTraining"),
        ({"EnableManagedSpotTraining": True}, "MaxWaitTimeInSeconds"),
        ({"Tags": [{"Key": "a!", "Value": "b"}]}, "does not match"),
        ({"OutputDataConfig": {"S3OutputPath": "/tmp/x"}}, "does not match"),  # noqa: S108
    ],
)
def test_a_request_that_aws_refuses(sagemaker: SageMaker, client: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ClientError, match=message) as caught:
        client.create_training_job(**BODY | changes)
    assert "ValidationException" in str(caught.value)
    assert sagemaker.jobs == {}


def test_what_botocore_would_not_send_is_seen_too() -> None:
    lacking = {key: value for key, value in BODY.items() if key != "RoleArn"}
    assert aws_requests.problems("sagemaker", "CreateTrainingJob", BODY) == []
    assert aws_requests.problems("sagemaker", "CreateTrainingJob", lacking) == [".RoleArn is required"]
    assert aws_requests.problems("sagemaker", "CreateTrainingJob", BODY | {"X": 1}) == [".X is unknown"]
    empty = BODY | {"VpcConfig": {"Subnets": [], "SecurityGroupIds": ["sg-1"]}, "InputDataConfig": []}
    assert len(aws_requests.problems("sagemaker", "CreateTrainingJob", empty)) == 2
    wrong = BODY | {"EnableNetworkIsolation": "yes", "HyperParameters": [], "Tags": {}, "StoppingCondition": 3}
    assert len(aws_requests.problems("sagemaker", "CreateTrainingJob", wrong)) == 4


def test_a_name_is_taken_once(sagemaker: SageMaker, client: Any) -> None:
    program(sagemaker, "")
    client.create_training_job(**BODY)
    with pytest.raises(client.exceptions.ResourceInUse, match="must be unique"):
        client.create_training_job(**BODY)
    with pytest.raises(ClientError, match="Requested resource not found"):
        client.describe_training_job(TrainingJobName="other")
    sagemaker.jobs["job"].join()
    with pytest.raises(ClientError, match="in status Completed"):
        client.stop_training_job(TrainingJobName="job")
    (summary,) = client.list_training_jobs(NameContains="jo")["TrainingJobSummaries"]
    assert summary["TrainingJobStatus"] == "Completed"
    client.add_tags(ResourceArn=summary["TrainingJobArn"], Tags=[{"Key": "a", "Value": "b"}])
    assert client.list_tags(ResourceArn=summary["TrainingJobArn"])["Tags"] == [{"Key": "a", "Value": "b"}]


@pytest.mark.parametrize("mode", ["File", "FastFile"])
def test_a_container_finds_what_sagemaker_gives_it(
    sagemaker: SageMaker, client: Any, store: Store, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write("in/a.txt", b"one")
    store.write("in/deep/b.txt", b"two")
    program(
        sagemaker,
        "print(json.dumps({str(p.relative_to(ml)): p.read_text() for p in sorted(ml.rglob('*')) if p.is_file()}))\n"
        "print(json.dumps([oct((ml / 'input/data/train/a.txt').stat().st_mode), *sorted(os.environ)]))\n"
        "(ml / 'model/m').write_text('m'); (ml / 'output/data/o').write_text('o')",
    )
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"{store.uri}/in/"}}
    client.create_training_job(
        **BODY
        | {
            "HyperParameters": {"seed": "7"},
            "Environment": {"GIVEN": "yes"},
            "InputDataConfig": [{"ChannelName": "train", "DataSource": source, "InputMode": mode}],
            "OutputDataConfig": {"S3OutputPath": store.uri},
        }
    )
    about = ended(sagemaker, client)
    assert about["TrainingJobStatus"] == "Completed"
    assert about["ModelArtifacts"]["S3ModelArtifacts"] == f"{store.uri}/job/output/model.tar.gz"
    assert {"job/output/model.tar.gz", "job/output/output.tar.gz"} <= set(store.listing())
    ((tree, rights),) = [[json.loads(e.message) for e in stream] for stream in sagemaker.jobs["job"].streams.values()]
    assert tree["input/data/train/a.txt"] == "one"
    assert tree["input/data/train/deep/b.txt"] == "two"
    assert json.loads(tree["input/config/hyperparameters.json"]) == {"seed": "7"}
    assert json.loads(tree["input/config/inputdataconfig.json"])["train"]["TrainingInputMode"] == mode
    assert json.loads(tree["input/config/resourceconfig.json"])["hosts"] == ["algo-1"]
    assert rights[0].endswith("444" if mode == "FastFile" else "644")
    assert {"TRAINING_JOB_NAME", "GIVEN"} <= set(rights)
    assert not [name for name in rights if name.startswith("AWS_") and name != "AWS_REGION"], "no credentials"


def test_a_failure_is_cut_and_leaves_no_model(sagemaker: SageMaker, client: Any, store: Store) -> None:
    program(sagemaker, "(ml / 'output/failure').write_text('x' * 3000); (ml / 'model/m').write_text('m'); sys.exit(9)")
    client.create_training_job(**BODY | {"OutputDataConfig": {"S3OutputPath": store.uri}})
    about = ended(sagemaker, client)
    assert about["TrainingJobStatus"] == "Failed"
    assert about["FailureReason"].startswith("AlgorithmError: xxx")
    assert len(about["FailureReason"]) == 1024
    assert store.listing() == []


def test_a_stopped_job_keeps_the_model_it_saved(sagemaker: SageMaker, client: Any, store: Store) -> None:
    program(
        sagemaker,
        "def end(*_):\n (ml / 'model/m').write_text('m'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end); print('ready', flush=True); time.sleep(60)",
    )
    client.create_training_job(**BODY | {"OutputDataConfig": {"S3OutputPath": store.uri}})
    job = sagemaker.jobs["job"]
    while not any(job.streams.values()):
        assert not job.done.wait(0.02)
    client.stop_training_job(TrainingJobName="job")
    about = ended(sagemaker, client)
    assert about["TrainingJobStatus"] == "Stopped"
    assert [each["Status"] for each in about["SecondaryStatusTransitions"]][-3:] == ["Stopping", "Uploading", "Stopped"]
    assert store.listing() == ["job/output/model.tar.gz"]


def test_only_a_spot_job_is_interrupted(sagemaker: SageMaker, client: Any) -> None:
    program(sagemaker, "time.sleep(0.2)")
    client.create_training_job(**BODY)
    with pytest.raises(ValueError, match="no spot job"):
        sagemaker.interrupt("job")


def test_checkpoints_outlive_an_instance_and_nothing_else_does(sagemaker: SageMaker, client: Any, store: Store) -> None:
    program(
        sagemaker,
        "seen = sorted(p.name for f in ('checkpoints', 'model', 'output/data') for p in (ml / f).iterdir())\n"
        "print('seen', seen, flush=True)\n"
        "if seen: sys.exit(0)\n"
        "for f in ('checkpoints', 'model', 'output/data'): (ml / f / f[0]).write_text('x')\n"
        "time.sleep(60)",
    )
    spot = {
        "EnableManagedSpotTraining": True,
        "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60},
        "CheckpointConfig": {"S3Uri": f"{store.uri}/kept"},
    }
    client.create_training_job(**BODY | spot)
    while "kept/c" not in store.listing():
        assert not sagemaker.jobs["job"].done.wait(0.02)
    sagemaker.interrupt("job")
    about = ended(sagemaker, client)
    assert about["TrainingJobStatus"] == "Completed"
    lines = [event.message for stream in sagemaker.jobs["job"].streams.values() for event in stream]
    assert lines == ["seen []", "seen ['c']"]


def test_it_leaves_nothing_on_this_machine(store: Store, tmp_path: Path) -> None:
    from tests.engines.sagemaker import running

    with running(store.client) as fake:
        scratch = fake.scratch
        (scratch / "x").mkdir()
        (scratch / "x" / "y").write_text("z")
        (scratch / "x").chmod(0o555)
    assert not scratch.exists()
