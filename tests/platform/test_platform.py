"""What `make platform` says, and the parts that only a load has."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.bench.http import queries
from tests.conftest import ROOT
from tests.engines.environments import python_for, requirement
from tests.platform import __main__ as platform
from tests.platform.load import Load, Outcome, drive
from tests.platform.pods import Fleet
from tests.platform.rig import models, rig


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_stands_up_and_ends(sent: signal.Signals, code: int, tmp_path: Path):
    models(tmp_path)
    registry = (tmp_path / "registry").as_uri()
    command = [sys.executable, "-m", "tests.platform", "--registry", registry, "--pods", "1", "--seconds", "30"]
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environ = {**os.environ, "TMPDIR": str(scratch)}
    with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        found = re.search(r"(http://\S+) \(metrics: (\S+)\), with ranked (\S+)", first)
        assert found, first
        url, metrics, version = found.groups()
        pod = process.stdout.readline().rpartition(" ")[2].strip()
        answer = httpx.get(f"{url}/version")
        for _ in range(100):
            if answer.is_success:
                break
            time.sleep(0.05)
            answer = httpx.get(f"{url}/version")
        assert answer.json()["model"]["version"] == version
        assert httpx.get(metrics).is_success
        assert list(scratch.glob("podium-platform-*"))
        process.send_signal(sent)
        assert process.wait(30) == code
    assert not list(scratch.glob("podium-platform-*"))
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{pod}/livez")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/gateway/livez")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--registry", "file:///no/such/registry"], "no such|does not exist|there is no|cannot"),
        (["--roll", "20200101-0123456789ab"], "a roll to 20200101-0123456789ab needs it"),
    ],
)
def test_what_cannot_be_is_said(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]):
    assert platform.main(arguments) == 2
    assert re.search(says, capsys.readouterr().err)


@pytest.mark.parametrize(
    "arguments", [["--load", "flood"], ["--pods", "x"], ["--nonsense"], ["--load", "burst", "--roll", "other"]]
)
def test_other_arguments_are_refused(arguments: list[str]):
    with pytest.raises(SystemExit):
        platform.main(arguments)


def test_the_version_to_roll_to_is_not_the_one_that_is_served(tmp_path: Path):
    models(tmp_path)
    found = platform._registry((tmp_path / "registry").as_uri(), tmp_path)
    assert len(found) == 2
    for wanted in (found[0].version, found[1].version, "other"):
        served, target = platform._chosen(found, wanted)
        assert target is not None
        assert served.version != target.version
        assert wanted in (target.version, "other")
    assert platform._chosen(found, None) == (found[0], None)


def test_a_run_becomes_a_plot(tmp_path: Path):
    moments = [{"at": at / 5, "waiting": at % 3, "ready": 1, "wanted": 1 + at // 8} for at in range(20)]
    outcomes = [{"planned": at / 9, "seconds": 0.01 * at, "status": 503 if at == 5 else 200} for at in range(1, 30)]
    run = {"title": "a run", "speed": 10.0, "moments": moments, "outcomes": outcomes}
    (tmp_path / "run.json").write_text(json.dumps(run))
    command = [python_for(requirement("bench-plots")), ROOT / "tests/platform/plot.py", tmp_path / "run.json"]
    for name in ("a.svg", "b.svg"):
        subprocess.run([*command, tmp_path / name], check=True)
    assert "</svg>" in (tmp_path / "a.svg").read_text()
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_what_gets_no_answer_has_failed():
    load = asyncio.run(drive(9, list(queries(1, count=1)), 200, 0.1))
    assert load.sent > 5
    assert load.statuses == {0: load.sent}
    assert load.failed == load.sent
    late = Load([Outcome(0, 1, 200, "a"), Outcome(0, 2, 503)], sent=3)
    assert late.failed == 2
    assert late.versions == {"a": 1}


def test_even_arrivals_are_as_far_apart():
    load = asyncio.run(drive(9, list(queries(1, count=1)), 100, 0.5, even=True))
    planned = sorted(outcome.planned for outcome in load.outcomes)
    assert {round(after - before, 4) for before, after in itertools.pairwise(planned)} == {0.01}


def test_a_pod_that_died_is_replaced_and_one_that_never_starts_is_said(tmp_path: Path):
    (model,) = models(tmp_path, 1)

    async def go(fleet: Fleet) -> None:
        with pytest.raises(RuntimeError, match="not ready"):
            await fleet.published(fleet.start("file:///no/such/model"), 3)
        fleet.kill(fleet.pods[0])
        fleet.lost(fleet.pods[0])
        await fleet.prepare(model.uri, 1)
        assert fleet.zone.addresses(fleet.name) == ()
        (prepared,) = fleet.prepared
        (pod,) = await fleet.launch(model.uri)
        assert pod is prepared
        assert fleet.zone.addresses(fleet.name) == (pod.address,)
        assert await fleet.retire(pod, 0) == 0
        assert fleet.zone.addresses(fleet.name) == ()

    with rig(tmp_path) as made:
        asyncio.run(go(made.fleet))
