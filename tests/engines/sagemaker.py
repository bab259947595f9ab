"""SageMaker's training jobs over HTTP on this machine, for boto3 as it is: requests are checked against AWS's own
model, and each job runs a real program on the files that SageMaker would give it.

It speaks of CloudWatch Logs too, for the lines that jobs print. S3 is the emulator's. Signatures are not checked.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.engines import aws_requests, sagemaker_logs
from tests.engines.aws_requests import Refused
from tests.engines.emulator import free_port
from tests.engines.images import as_root
from tests.engines.sagemaker_jobs import CAPACITY, Job
from tests.engines.sagemaker_runner import ProcessRunner, Runner

ACCOUNT, REGION = "123456789012", "us-east-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/podium-training"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/podium-train@sha256:{'0123456789abcdef' * 4}"
ENDPOINTS = ("AWS_ENDPOINT_URL_SAGEMAKER", "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS")
_SERVICES = {"SageMaker": "sagemaker", "Logs_20140328": "logs"}


@dataclass
class SageMaker:
    """The service, and what a test does to it.

    Args:
        s3: a client of the store that jobs read and write.
        grace: seconds from SIGTERM to SIGKILL; SageMaker's are 120.
    """

    s3: Any
    scratch: Path
    runner: Runner = field(default_factory=ProcessRunner)
    grace: float = 120.0
    endpoint: str = ""
    jobs: dict[str, Job] = field(default_factory=dict[str, Job])
    tags: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    calls: list[tuple[str, Any]] = field(default_factory=list[tuple[str, Any]])
    _refusals: dict[str, list[Refused | None]] = field(default_factory=dict[str, "list[Refused | None]"])
    _faults: list[str] = field(default_factory=list[str])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def refuse(self, operation: str, code: str, message: str, status: int = 400) -> None:
        """The next call of the operation gets this error."""
        self._refusals.setdefault(operation, []).append(Refused(code, message, status))

    def lose_answer(self, operation: str) -> None:
        """The next call of the operation is obeyed, and its answer never arrives."""
        self._refusals.setdefault(operation, []).append(None)

    def quota(self) -> None:
        """The next job is over the account's limit."""
        message = (
            "The account-level service limit 'ml.m5.4xlarge for training job usage' is 0 Instances, with current "
            "utilization of 0 Instances and a request delta of 1 Instances. Please use AWS Service Quotas to request "
            "an increase for this quota."
        )
        self.refuse("CreateTrainingJob", "ResourceLimitExceeded", message)

    def no_capacity(self) -> None:
        """The next job fails for want of an instance."""
        self._faults.append(CAPACITY)

    def interrupt(self, name: str) -> None:
        """As `Job.interrupt`."""
        self.jobs[name].interrupt()

    def count(self, operation: str) -> int:
        return sum(called == operation for called, _ in self.calls)

    def environment(self) -> dict[str, str]:
        """The variables that point a process's boto3 here."""
        return {"AWS_REGION": REGION, **dict.fromkeys(ENDPOINTS, self.endpoint)}

    def answer(self, service: str, operation: str, body: Any) -> tuple[Any, bool]:
        """The answer to a request, and whether it shall arrive. Raises Refused."""
        with self._lock:
            self.calls.append((operation, body))
            wanted = self._refusals.get(operation)
            outcome = wanted.pop(0) if wanted else Refused("", "")
            if outcome is not None and outcome.code:
                raise outcome
            act = self._acts().get(operation)
            if act is None or not aws_requests.known(service, operation):
                raise Refused("UnknownOperationException", f"{operation} is not acted here")
            if wrong := aws_requests.problems(service, operation, body):
                raise Refused("ValidationException", f"{len(wrong)} validation error detected: {'; '.join(wrong)}")
            return act(body), outcome is not None

    def close(self) -> None:
        for job in self.jobs.values():
            job.grace = 0
            job.stop()
        for job in self.jobs.values():
            job.join()

    def _acts(self) -> dict[str, Callable[[Any], Any]]:
        return {
            "CreateTrainingJob": self._create,
            "DescribeTrainingJob": lambda body: self._job(body).describe(),
            "StopTrainingJob": self._stop,
            "ListTrainingJobs": self._list,
            "AddTags": self._add_tags,
            "ListTags": lambda body: {"Tags": _pairs(self.tags.get(body["ResourceArn"], {}))},
            "DescribeLogStreams": lambda body: sagemaker_logs.streams(self.jobs, body),
            "GetLogEvents": lambda body: sagemaker_logs.events(self.jobs, body),
        }

    def _create(self, body: dict[str, Any]) -> dict[str, Any]:
        name = body["TrainingJobName"]
        arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/{name}"
        if name in self.jobs:
            raise Refused(
                "ResourceInUse",
                "Training job names must be unique within an AWS account and region, and a training job with this name "
                f"already exists ({arn})",
            )
        _check(body)
        if body["RoleArn"] != ROLE:
            raise Refused(
                "ValidationException",
                f"Could not assume role {body['RoleArn']}. Please ensure that the role exists and allows principal "
                "'sagemaker.amazonaws.com' to assume the role.",
            )
        (scratch := self.scratch / name).mkdir()
        fault = self._faults.pop(0) if self._faults else None
        self.jobs[name] = job = Job(arn, body, self.runner, self.s3, scratch, self.grace, fault)
        self.tags[arn] = {each["Key"]: each["Value"] for each in body.get("Tags", ())}
        job.start()
        return {"TrainingJobArn": arn}

    def _stop(self, body: dict[str, Any]) -> dict[str, Any]:
        job = self._job(body)
        if job.status not in ("InProgress", "Stopping"):
            raise Refused(
                "ValidationException",
                f"The request was rejected because the training job is in status {job.status}.",
            )
        job.stop()
        return {}

    def _list(self, body: dict[str, Any]) -> dict[str, Any]:
        found = [job for name, job in self.jobs.items() if body.get("NameContains", "") in name]
        keys = ("TrainingJobName", "TrainingJobArn", "CreationTime", "LastModifiedTime", "TrainingJobStatus")
        described = [job.describe() for job in found]
        summaries = [{key: each[key] for key in keys} for each in described]
        wanted = body.get("StatusEquals")
        return {"TrainingJobSummaries": [each for each in summaries if wanted in (None, each["TrainingJobStatus"])]}

    def _add_tags(self, body: dict[str, Any]) -> dict[str, Any]:
        tags = self.tags.setdefault(body["ResourceArn"], {})
        tags.update({each["Key"]: each["Value"] for each in body["Tags"]})
        return {"Tags": _pairs(tags)}

    def _job(self, body: dict[str, Any]) -> Job:
        try:
            return self.jobs[body["TrainingJobName"]]
        except KeyError:
            # Not the ResourceNotFound of its model: this is what the service says.
            raise Refused("ValidationException", "Requested resource not found.") from None


@contextmanager
def running(s3: Any, runner: Runner | None = None, *, grace: float = 120.0) -> Generator[SageMaker]:
    """Runs the service on a free port of this machine until the block ends, and with it all jobs."""
    scratch = Path(tempfile.mkdtemp(prefix="podium-sagemaker-"))
    fake = SageMaker(s3, scratch, runner or ProcessRunner(), grace)
    server = ThreadingHTTPServer(("127.0.0.1", free_port()), type("Handler", (_Handler,), {"fake": fake}))
    fake.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield fake
    finally:
        fake.close()
        server.shutdown()
        thread.join()
        server.server_close()
        _remove(scratch)


class _Handler(BaseHTTPRequestHandler):
    fake: SageMaker
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            service, operation = self._target()
            answer, arrives = self.fake.answer(service, operation, json.loads(body))
        except Refused as refused:
            # Both spellings: SageMaker's model says Message, CloudWatch's message.
            said = {"__type": refused.code, "message": str(refused), "Message": str(refused)}
            self._send(refused.status, said)
            return
        if arrives:
            self._send(200, answer)
        else:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        pass

    def _target(self) -> tuple[str, str]:
        if not self.headers.get("Authorization", "").startswith("AWS4-HMAC-SHA256 Credential="):
            raise Refused("MissingAuthenticationTokenException", "Missing Authentication Token", 403)
        prefix, _, operation = self.headers.get("X-Amz-Target", "").partition(".")
        if prefix not in _SERVICES:
            raise Refused("UnknownOperationException", f"no service has the prefix {prefix!r}", 404)
        return _SERVICES[prefix], operation

    def _send(self, status: int, document: Any) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _check(body: dict[str, Any]) -> None:
    """What SageMaker refuses, and its model does not tell."""
    conditions = body.get("StoppingCondition", {})
    wait, runtime = conditions.get("MaxWaitTimeInSeconds"), conditions.get("MaxRuntimeInSeconds", 86400)
    resources = body.get("ResourceConfig", {})
    spot = body.get("EnableManagedSpotTraining", False)
    algorithm = body["AlgorithmSpecification"]
    wrong = {
        "TrainingImage is missing": "TrainingImage" not in algorithm,
        "ResourceConfig lacks InstanceType, InstanceCount or VolumeSizeInGB": not {
            "InstanceType",
            "InstanceCount",
            "VolumeSizeInGB",
        }
        <= set(resources),
        "InstanceCount and VolumeSizeInGB are at least 1": 0
        in (resources.get("InstanceCount"), resources.get("VolumeSizeInGB")),
        "this fake has one host": resources.get("InstanceCount", 1) > 1,
        "MaxWaitTimeInSeconds above or equal to MaxRuntimeInSeconds must be present if EnableManagedSpotTraining is "
        "set to true": spot and (wait is None or wait < runtime),
        "MaxWaitTimeInSeconds can only be set if EnableManagedSpotTraining is set": not spot and wait is not None,
        "a metric's regex has no group": any(
            re.compile(each["Regex"]).groups < 1 for each in algorithm.get("MetricDefinitions", ())
        ),
    }
    if faults := [message for message, found in wrong.items() if found]:
        raise Refused("ValidationException", "; ".join(faults))


def _pairs(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def _remove(folder: Path) -> None:
    # FastFile's folders are read-only, and a container's files are root's.
    for path in (folder, *folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            try:
                path.chmod(0o755)
            except PermissionError:
                subprocess.run(as_root("rm", "-rf", folder), check=True)
                return
    shutil.rmtree(folder)
