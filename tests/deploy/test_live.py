"""What the manifests say of running programs, asked of running programs: the service and HAProxy."""

from __future__ import annotations

import http.client
import json
import random
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.deploy.numbers import gateway, quantity
from tests.deploy.queries import Series, missing, parsed, queries, series
from tests.deploy.render import Rendered, container, environ, rendered
from tests.engines import haproxy
from tests.engines.emulator import free_port
from tests.platform.scaler import DEFAULT_BUSY_SECONDS, DRAIN_SECONDS, Rule
from tests.service.bundles import make_bundle

WIDTH, DOCUMENTS = 136, 2000


class Pod:
    """A service process with the numbers of the rendered pod."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self.process = process

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, {"content-type": "application/json", **named})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def peak(self) -> int:
        """Bytes of memory at the most so far."""
        (kib,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())
        return int(kib) * 1024


@pytest.fixture(scope="module")
def pod(deploy: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Pod]:
    folder = tmp_path_factory.mktemp("pod") / "bundle"
    manifest = make_bundle(folder, names=[f"feature_{number}" for number in range(WIDTH)])
    given = environ(rendered(deploy, "staging").templates["Deployment rank"])
    given |= {"PODIUM_MODEL": str(folder), "PODIUM_MODEL_SHA256": manifest.digest, "PODIUM_MODEL_FOLDER": str(folder)}
    port = free_port()
    command = [sys.executable, "-m", "service", "serve", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env=given, stdout=subprocess.DEVNULL)
    running = Pod(port, process)
    ends = time.monotonic() + 60
    try:
        while time.monotonic() < ends:
            with suppress(OSError):
                if running.ask("GET", "/readyz")[0] == 200:
                    break
            time.sleep(0.05)
        yield running
    finally:
        process.terminate()
        process.wait(30)


def ranking(documents: int) -> bytes:
    draw = random.Random(1)
    items = [
        {"id": f"document-{number}", "features": [draw.uniform(-1e6, 1e6) for _ in range(WIDTH)]}
        for number in range(documents)
    ]
    return json.dumps({"items": items}).encode()


@pytest.fixture(scope="module")
def live(pod: Pod, tmp_path_factory: pytest.TempPathFactory) -> Series:
    """What Prometheus would scrape of one pod that has ranked, by both protocols, and of one gateway."""
    assert pod.ask("POST", "/v1/rank", ranking(2))[0] == 200
    rows = {"name": "features", "datatype": "FP32", "shape": [1, WIDTH], "data": [0.5] * WIDTH}
    assert pod.ask("POST", "/v2/models/tiny/infer", json.dumps({"inputs": [rows]}).encode())[0] == 200
    assert pod.ask("POST", "/v1/rank", b"{")[0] == 400
    given = haproxy.environment("127.0.0.1:9", pod.port)
    with (
        haproxy.running(tmp_path_factory.mktemp("gateway"), given) as door,
        urllib.request.urlopen(door.metrics_url, timeout=10) as answer,  # noqa: S310 - loopback
    ):
        return series(pod.ask("GET", "/metrics")[1].decode(), answer.read().decode())


def test_what_is_asked_of_prometheus_is_there(found: Rendered, live: Series) -> None:
    asked = queries(found)
    assert len(asked) > 25
    assert list(missing(asked, live)) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sum(rate(podium_busy_second_total[5m]))", "no metric podium_busy_second_total"),
        ('haproxy_backend_current_queue{proxy="ranks"}', "proxy Equal 'ranks'"),
        ('haproxy_backend_current_queue{proxy=~"rank|huge"}', "proxy Re 'rank|huge'"),
        ('podium_requests_total{code="200"}', "code Equal '200'"),
        ('podium_phase{phase="broken"}', "phase Equal 'broken'"),
        ("sum(rate(podium_items_sum[5m])", "unclosed"),
    ],
)
def test_what_is_not_there_is_noticed(text: str, words: str, live: Series) -> None:
    (said,) = missing({"here": text}, live)
    assert words in said


def test_the_grammar_finds_every_selector() -> None:
    (answer,) = parsed(['sum(rate(a{x="1"}[5m])) / (b > 0 or vector(0.1)) + min_over_time(sum(c)[1m:5s]) - absent(-d)'])
    assert {name for name, _ in answer["asked"]} == {"a", "b", "c", "d"}


def test_the_most_work_at_once_fits_into_the_memory(pod: Pod, deploy: Path) -> None:
    """As many requests as a pod lets in, each of the most documents."""
    template = rendered(deploy, "staging").templates["Deployment rank"]
    body, answers = ranking(DOCUMENTS), list[int]()
    assert len(body) > 5_000_000

    def ask() -> None:
        answers.append(pod.ask("POST", "/v1/rank", body)[0])

    threads = [threading.Thread(target=ask) for _ in range(int(environ(template)["PODIUM_MAX_IN_FLIGHT"]))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Where they do not come at the same moment some may be refused for want of room; none fails.
    assert set(answers) <= {200, 503}
    assert answers.count(200) >= 1
    limit = quantity(container(template)["resources"]["limits"]["memory"])
    # As much again for a model of more and deeper trees.
    assert pod.peak() < limit / 1.5


def test_the_gateway_takes_the_rendered_configuration(found: Rendered, tmp_path: Path) -> None:
    (tmp_path / "haproxy.cfg").write_text(found.haproxy)
    (tmp_path / "hashes").write_text(haproxy.key_line("a key", "a caller"))
    # As in a pod but for the two places that a pod has and this machine has not.
    given = gateway(found) | {
        "PODIUM_GATEWAY_NAMESPACE": "podium",
        "PODIUM_GATEWAY_KEYS": str(tmp_path / "hashes"),
    }
    done = haproxy.checked(given, tmp_path / "haproxy.cfg")
    assert done.returncode == 0, done.stderr


def test_the_laptop_has_the_clusters_numbers(found: Rendered) -> None:
    in_cluster = {name: gateway(found)[haproxy.PREFIX + name] for name in haproxy.NUMBERS}
    assert in_cluster == dict(haproxy.NUMBERS)
    spec = found.one("ScaledObject", "rank")["spec"]
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    up, down = (
        {each["type"]: (each["value"], each["periodSeconds"]) for each in behavior[way]["policies"]}
        for way in ("scaleUp", "scaleDown")
    )
    rule = Rule()
    # Production has one more at least.
    assert spec["minReplicaCount"] in {rule.least, rule.least + 1}
    assert spec["maxReplicaCount"] == rule.most
    assert up == {"Percent": (rule.up_percent, rule.up_period), "Pods": (rule.up_pods, rule.up_period)}
    assert down == {"Percent": (rule.down_percent, rule.down_period), "Pods": (rule.down_pods, rule.down_period)}
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] == rule.window
    demand, cpu = spec["triggers"]
    assert float(demand["metadata"]["threshold"]) == rule.target
    assert float(cpu["metadata"]["value"]) == rule.cpu * 100
    assert f"/ {DRAIN_SECONDS:.0f}" in demand["metadata"]["query"]
    assert f"vector({DEFAULT_BUSY_SECONDS})" in demand["metadata"]["query"]
