"""The scaler's formula and the alerts, evaluated by Prometheus itself over series of our own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import skip_or_fail
from tests.deploy.queries import queries
from tests.deploy.render import rendered
from tests.platform.scaler import Demand

ARRIVED = 'haproxy_backend_sessions_total{{proxy="{}"}}'
WAITING = 'haproxy_backend_current_queue{{proxy="{}"}}'
ANSWERED = 'haproxy_backend_http_responses_total{{proxy="rank",code="{}"}}'
SERVERS = 'haproxy_backend_active_servers{proxy="rank"}'
BUSY = "podium_busy_seconds_total"
SCORED = 'podium_requests_total{route="/v1/rank",status="200"}'
PHASE = 'podium_phase{{pod="{}",phase="{}"}}'

Series = dict[str, str]


@pytest.fixture(scope="session")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        skip_or_fail("NO PROMTOOL: install Prometheus, as `apt-get install prometheus`")
    return found


def run(promtool: str, folder: Path, groups: Any, series: Series, expected: list[dict[str, Any]]) -> str:
    """What promtool says; empty if all came out as expected. A sample each 5 s, looked at after ten minutes."""
    given = [{"series": name, "values": values} for name, values in series.items()]
    test = {"interval": "5s", "input_series": given, "promql_expr_test": expected}
    (folder / "rules.yaml").write_text(yaml.safe_dump(groups))
    (folder / "tests.yaml").write_text(
        yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "5s", "tests": [test]})
    )
    command = [promtool, "test", "rules", "tests.yaml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    return "" if done.returncode == 0 else done.stdout + done.stderr


# Counters grow by so much each 5 s, so that 1000 are 200 a second.
LOAD: Series = {
    ARRIVED.format("rank"): "0+1000x200",
    ARRIVED.format("large"): "0+50x200",
    WAITING.format("rank"): "300x200",
    BUSY: "0+4x200",
    SCORED: "0+1000x200",
}
# None: no answer, which the autoscaler takes for a fault.
DEMANDS: dict[str, tuple[Series, Demand | None]] = {
    "nothing is scraped": ({}, None),
    "no gateway is scraped": ({BUSY: "0+4x200", SCORED: "0+1000x200"}, None),
    "idle, and so 0/0": (
        {
            ARRIVED.format("rank"): "5x200", WAITING.format("rank"): "0x200", BUSY: "1x200", SCORED: "500x200",
        },
        Demand(0, 0, 0, 0),
    ),
    "requests, and no pod has answered one yet": (
        {ARRIVED.format("rank"): "0+500x200", WAITING.format("rank"): "100x200"},
        Demand(100, 100, 0, 0),
    ),
    "busy, nothing answered": ({**LOAD, SCORED: "500x200"}, Demand(210, 300, 0.8, 0)),
    "load": (LOAD, Demand(210, 300, 0.8, 200)),
    "metadata and delayed work do not count": (
        {**LOAD, ARRIVED.format("about"): "0+9000x200", WAITING.format("jobs"): "900x200"},
        Demand(210, 300, 0.8, 200),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DEMANDS)
def test_the_query_gives_what_the_formula_does(case: str, promtool: str, deploy: Path, tmp_path: Path) -> None:
    series, demand = DEMANDS[case]
    query = queries(rendered(deploy, "staging"))["the scaler"]
    # In whole millionths of a worker, since promtool compares every bit.
    value = None if demand is None else round(demand.workers * 1e6)

    def said(value: int | None) -> str:
        samples = [] if value is None else [{"labels": "{}", "value": value}]
        expected = [{"expr": f"round(1e6 * ({query}))", "eval_time": "10m", "exp_samples": samples}]
        return run(promtool, tmp_path, {"groups": []}, series, expected)

    assert said(value) == ""
    assert "FAILED" in said((value or 0) + 1000)


HEALTHY: Series = {
    **LOAD,
    WAITING.format("rank"): "0x200",
    WAITING.format("large"): "0x200",
    SERVERS: "2x200",
    ANSWERED.format("2xx"): "0+1000x200",
    ANSWERED.format("5xx"): "0+5x200",
    PHASE.format("a", "ready"): "1x200",
    PHASE.format("b", "ready"): "1x200",
    'podium_model_info{pod="a",version="1",commit="c"}': "1x200",
    'podium_model_info{pod="b",version="1",commit="c"}': "1x200",
    'podium_load_retries_total{reason="registry-unavailable"}': "1x200",
    'podium_request_seconds_bucket{route="/v1/rank",status="200",le="0.25"}': "0+1000x200",
    'podium_request_seconds_bucket{route="/v1/rank",status="200",le="1.0"}': "0+1000x200",
    'podium_request_seconds_bucket{route="/v1/rank",status="200",le="+Inf"}': "0+1000x200",
}
# What is other than healthy, and the alert that says so. RankMixedModels and RankSlow wait longer than is looked at.
ALERTS: dict[str, tuple[Series, set[str]]] = {
    "all is well": ({}, set()),
    "no pod": ({SERVERS: "0x200"}, {"RankNoPod"}),
    "a model that fails": ({PHASE.format("c", "failed"): "1x200"}, {"RankModelFailed"}),
    "a registry out of reach": (
        {'podium_load_retries_total{reason="registry-unavailable"}': "1+1x200"}, {"RankRegistryUnreachable"},
    ),
    "a queue that stays": ({WAITING.format("rank"): "3x200"}, {"RankQueueHeld"}),
    "refusals": ({ANSWERED.format("5xx"): "0+50x200"}, {"RankRefusals"}),
    "as many pods as there may be": (
        {PHASE.format(f"p{number}", "ready"): "1x200" for number in range(18)}, {"RankAtMaximum"},
    ),
    "no gateway is scraped": (
        {WAITING.format("rank"): "0x10", WAITING.format("large"): "0x10"}, {"RankScalerBlind"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ALERTS)
def test_alerts_say_what_is_wrong_and_nothing_else(case: str, promtool: str, deploy: Path, tmp_path: Path) -> None:
    series, alerts = ALERTS[case]
    rules = rendered(deploy, "staging").one("PrometheusRule", "rank")["spec"]
    firing = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(alerts)]
    asked = 'group by (alertname) (ALERTS{alertstate="firing"})'
    expected = [{"expr": asked, "eval_time": "10m", "exp_samples": firing}]
    assert run(promtool, tmp_path, rules, {**HEALTHY, **series}, expected) == ""
