from __future__ import annotations

import io
import json
import logging
from collections.abc import Generator
from typing import Any

import pytest

from service.telemetry import METRICS, Identity, Telemetry, configure_logging


@pytest.fixture
def restored_logging() -> Generator[None]:
    """`configure_logging` is for a whole process; a test gives back what it found."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    logging.getLogger("uvicorn").setLevel(logging.NOTSET)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.usefixtures("restored_logging")
class TestLogging:
    def test_an_event_is_one_json_line_with_the_identity(self):
        stream, telemetry = io.StringIO(), Telemetry("c0ffee")
        configure_logging("info", telemetry.identity, stream)
        telemetry.event("phase-done", phase="loading", seconds=0.5)
        telemetry.identity.model, telemetry.identity.version = "web", "20260101-0123456789ab"
        telemetry.event("request", status=200)
        first, second = lines(stream)
        assert first.pop("time").endswith("+00:00")
        assert first == {
            "level": "info",
            "event": "phase-done",
            "model": None,
            "version": None,
            "commit": "c0ffee",
            "phase": "loading",
            "seconds": 0.5,
        }
        assert (second["model"], second["version"]) == ("web", "20260101-0123456789ab")

    def test_less_severe_lines_are_left_out(self):
        stream, telemetry = io.StringIO(), Telemetry("c")
        configure_logging("warning", telemetry.identity, stream)
        telemetry.event("request")
        telemetry.event("unknown-variable", logging.WARNING)
        assert [line["event"] for line in lines(stream)] == ["unknown-variable"]

    def test_an_error_brings_its_traceback_on_the_same_line(self):
        stream, telemetry = io.StringIO(), Telemetry("c")
        configure_logging("info", telemetry.identity, stream)
        try:
            _ = 1 / 0
        except ZeroDivisionError as error:
            telemetry.event("internal-error", logging.ERROR, error=error)
        (line,) = lines(stream)
        assert "ZeroDivisionError: division by zero" in line["traceback"]
        assert "test_telemetry.py" in line["traceback"]

    def test_lines_of_libraries_come_the_same_way(self):
        stream = io.StringIO()
        configure_logging("info", Identity("c", "web", "1"), stream)
        logging.getLogger("uvicorn.error").info("Started server process")
        logging.getLogger("uvicorn.error").warning("Invalid HTTP %s received.", "request")
        (line,) = lines(stream)
        assert line["event"] == "log"
        assert line["message"] == "Invalid HTTP request received."
        assert (line["logger"], line["model"], line["commit"]) == ("uvicorn.error", "web", "c")

    def test_uvicorn_speaks_at_debug(self):
        stream = io.StringIO()
        configure_logging("debug", Identity("c"), stream)
        logging.getLogger("uvicorn.error").info("Started server process")
        assert "Started server process" in stream.getvalue()

    @pytest.mark.parametrize("value", ["\ud800", 10**30, {1: float("nan")}, object(), b"\xff"])
    def test_a_line_is_written_whatever_it_holds(self, value: object):
        stream, telemetry = io.StringIO(), Telemetry("c")
        configure_logging("info", telemetry.identity, stream)
        telemetry.event("odd", value=value)
        assert len(lines(stream)) == 1


def test_the_table_names_exactly_the_metrics():
    telemetry = Telemetry("c")
    ours = {family.name for family in telemetry.metrics.registry.collect() if family.name.startswith("podium_")}
    assert ours == {name.removesuffix("_total") for name in METRICS}
    assert all(text.endswith(".") for text in METRICS.values())


def test_two_applications_in_a_process_count_for_themselves():
    one, two = Telemetry("c"), Telemetry("c")
    one.metrics.answered("/v1/rank", "POST", 200, 0.01)
    sample = 'podium_requests_total{method="POST",route="/v1/rank",status="200"} 1.0'
    assert sample in one.metrics.render().decode()
    assert sample not in two.metrics.render().decode()


def test_invented_methods_are_one_series():
    metrics = Telemetry("c").metrics
    for method in ("BREW", "PROPFIND"):
        metrics.answered("unmatched", method, 405, 0.01)
    text = metrics.render().decode()
    assert 'podium_requests_total{method="other",route="unmatched",status="405"} 2.0' in text
    assert "BREW" not in text


def test_a_model_is_described():
    telemetry = Telemetry("c0ffee")
    telemetry.metrics.serves("web", "1", "sha256:00")
    telemetry.metrics.left("loading", 0.5)
    text = telemetry.metrics.render().decode()
    assert 'podium_model_info{commit="c0ffee",digest="sha256:00",name="web",version="1"} 1.0' in text
    assert 'podium_load_seconds{phase="loading"} 0.5' in text


def test_headers_hold_what_is_known():
    assert Identity("c").headers == [(b"x-podium-commit", b"c")]
    assert dict(Identity("c", "web", "1").headers) == {
        b"x-podium-commit": b"c",
        b"x-podium-model": b"web",
        b"x-podium-version": b"1",
    }
