"""One training job of the SageMaker fake: its states as SageMaker tells them, over a program that really runs."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.engines.sagemaker_runner import Program, Runner
from tests.engines.sagemaker_tree import HOST, NoData, Tree

CAPACITY = (
    "CapacityError: Unable to provision requested ML compute capacity. "
    "Please retry using a different ML instance type or after some time."
)
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Event:
    """A line of a log stream, timed in milliseconds since 1970."""

    timestamp: int
    message: str


@dataclass
class Job:
    """Runs on a thread of its own from `start` until `done` is set.

    Args:
        grace: seconds from SIGTERM to SIGKILL; SageMaker's are 120.
        fault: the reason with which it fails before an instance is there.
    """

    arn: str
    request: dict[str, Any]
    runner: Runner
    s3: Any
    scratch: Path
    grace: float = 120.0
    fault: str | None = None
    created: float = field(default_factory=time.time)
    status: str = "InProgress"
    failure: str | None = None
    artifacts: str | None = None
    interruptions: int = 0
    transitions: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    streams: dict[str, list[Event]] = field(default_factory=dict[str, list[Event]])
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    done: threading.Event = field(default_factory=threading.Event)
    lock: threading.RLock = field(default_factory=threading.RLock)
    _stop: str | None = None
    _interrupt: bool = False
    _training: float | None = None
    _ended: float | None = None
    _thread: threading.Thread | None = None

    @property
    def name(self) -> str:
        return self.request["TrainingJobName"]

    def start(self) -> None:
        self._enter("Starting", "Preparing the instances for training")
        self._thread = threading.Thread(target=self._run, name=self.name)
        self._thread.start()

    def stop(self, how: str = "Stopped") -> None:
        """Ends the job by SIGTERM. Nothing happens where it has ended."""
        with self.lock:
            if self.status == "InProgress":
                self.status = "Stopping"
                self._stop = how

    def interrupt(self) -> None:
        """What EC2 does to a spot instance: SIGTERM, then the instance is gone and the job starts on another."""
        with self.lock:
            if not self.request.get("EnableManagedSpotTraining"):
                raise ValueError(f"{self.name} is no spot job: nothing interrupts it")
            self._interrupt = True

    def join(self, seconds: float = 60.0) -> None:
        if not self.done.wait(seconds):
            raise TimeoutError(f"{self.name} is {self.status} after {seconds} s: {self.describe()}")
        if self._thread:
            self._thread.join()

    def describe(self) -> dict[str, Any]:
        """The answer to DescribeTrainingJob."""
        with self.lock:
            copied = {name: value for name, value in self.request.items() if name != "Tags"}
            about: dict[str, Any] = {
                **copied,
                "TrainingJobArn": self.arn,
                "TrainingJobStatus": self.status,
                "SecondaryStatus": self.transitions[-1]["Status"],
                "SecondaryStatusTransitions": [dict(each) for each in self.transitions],
                "CreationTime": self.created,
                "LastModifiedTime": self.transitions[-1]["StartTime"],
                "ModelArtifacts": {"S3ModelArtifacts": self.artifacts or ""},
                "FinalMetricDataList": list(self.metrics.values()),
            }
            if self._training is not None:
                about["TrainingStartTime"] = self._training
            if self._training is not None and self._ended is not None:
                about["TrainingEndTime"] = self._ended
                about["TrainingTimeInSeconds"] = about["BillableTimeInSeconds"] = int(self._ended - self._training) + 1
            return about | ({"FailureReason": self.failure} if self.failure is not None else {})

    def _run(self) -> None:
        try:
            if self.fault is not None:
                self._end("Failed", "Failed", self.fault)
                return
            while not self._instance(self.scratch / f"instance-{self.interruptions}"):
                self.interruptions += 1
                self._enter("Starting", "Preparing the instances for training")
        except NoData as missing:
            self._end("Failed", "Failed", f"ClientError: Data download failed:{missing}")
        except Exception as error:  # the test that waits for this job must hear of it
            self._end("Failed", "Failed", f"InternalServerError: the fake broke: {error!r}")
            raise
        finally:
            self.done.set()

    def _instance(self, scratch: Path) -> bool:
        """Runs the job on one instance; False where that was interrupted."""
        tree = Tree(scratch / "ml", self.request, self.s3)
        tree.make()
        self._enter("Downloading", "Downloading input data")
        tree.download()
        self._enter("Training", "Training image download completed. Training in progress.")
        with self.lock:
            self._training = self._training or time.time()
        env = {
            "TRAINING_JOB_NAME": self.name,
            "TRAINING_JOB_ARN": self.arn,
            "AWS_REGION": self.arn.split(":")[3],
            **self.request.get("Environment", {}),
        }
        # The files that a container of root's leaves are root's: the scratch folder's owner removes them.
        with self.runner.run(tree.root, scratch, env) as program, tree.syncing():
            code = self._watch(program)
        if self._interrupt and not self._stop:
            self._interrupt = False
            self._enter("Interrupted", "The training job is interrupted due to spot capacity")
            shutil.rmtree(tree.root, ignore_errors=True)
            return False
        self._finish(tree, code)
        return True

    def _watch(self, program: Program) -> int:
        """Waits for the program's end, which others may hasten; meanwhile its lines become log events."""
        stream = self.streams.setdefault(f"{self.name}/{HOST}-{time.time_ns() // 1_000_000}", [])
        lines = _Lines(program.log)
        conditions = self.request["StoppingCondition"]
        told: float | None = None
        while True:
            code = program.poll()
            self._log(stream, lines.read(last=code is not None))
            if code is not None:
                return code
            started = self._training or time.time()
            if time.time() - started > conditions.get("MaxRuntimeInSeconds", 86400):
                self.stop("MaxRuntimeExceeded")
            if time.time() - self.created > conditions.get("MaxWaitTimeInSeconds", 10**9):
                self.stop("MaxWaitTimeExceeded")
            if told is None and (self._stop or self._interrupt):
                if self._stop:
                    self._enter("Stopping", "Stopping the training job")
                program.signal("TERM")
                told = time.monotonic()
            elif told is not None and time.monotonic() - told > self.grace:
                program.signal("KILL")
            time.sleep(_POLL_SECONDS)

    def _finish(self, tree: Tree, code: int) -> None:
        failed = code != 0 and self._stop is None
        if not failed:
            self._enter("Uploading", "Uploading generated training model")
            self.artifacts = tree.upload("model", "model.tar.gz", even_empty=True)
        tree.upload("output/data", "output.tar.gz", even_empty=False)
        if failed:
            self._end("Failed", "Failed", f"AlgorithmError: {tree.failure()}, exit code: {code}"[:1024])
        elif self._stop:
            self._end("Stopped", self._stop)
        else:
            self._end("Completed", "Completed")

    def _enter(self, secondary: str, message: str = "") -> None:
        with self.lock:
            now = time.time()
            if self.transitions:
                self.transitions[-1]["EndTime"] = now
            self.transitions.append({"Status": secondary, "StartTime": now, "StatusMessage": message})

    def _end(self, status: str, secondary: str, failure: str | None = None) -> None:
        with self.lock:
            self._enter(secondary, failure or f"Training job {secondary.lower()}")
            self.transitions[-1]["EndTime"] = self._ended = time.time()
            self.failure, self.status = failure, status

    def _log(self, stream: list[Event], lines: list[str]) -> None:
        now = time.time()
        with self.lock:
            # CloudWatch takes no empty message.
            stream += [Event(int(now * 1000), line) for line in lines if line]
            for definition in self.request["AlgorithmSpecification"].get("MetricDefinitions", ()):
                for line in lines:
                    self._measure(definition, line, now)

    def _measure(self, definition: Mapping[str, str], line: str, now: float) -> None:
        found = re.search(definition["Regex"], line)
        if found:
            name = definition["Name"]
            self.metrics[name] = {"MetricName": name, "Value": float(found[1]), "Timestamp": now}


class _Lines:
    """The lines of a file that grows."""

    def __init__(self, log: Path) -> None:
        self._file = log.open(errors="replace")
        self._rest = ""

    def read(self, *, last: bool = False) -> list[str]:
        """The whole lines that came since the last look; with `last` also one without an end."""
        *whole, self._rest = (self._rest + self._file.read()).split("\n")
        if last:
            self._file.close()
            whole.append(self._rest)
        return [line.rstrip("\r") for line in whole]
