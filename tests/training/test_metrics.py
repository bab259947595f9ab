from __future__ import annotations

import re

import pytest
from botocore.loaders import Loader

from tests.training.tiny import tiny_queries
from training.evaluate import measured
from training.metrics import METRIC_DEFINITIONS, evaluation_line, progress_line
from training.queries import Queries


def found(*lines: str) -> dict[str, list[str]]:
    """What SageMaker makes of these lines: every definition is searched for in every line."""
    pairs = [(each["Name"], re.search(each["Regex"], line)) for each in METRIC_DEFINITIONS for line in lines]
    values: dict[str, list[str]] = {}
    for name, match in pairs:
        if match:
            values.setdefault(name, []).append(match[1])
    return values


def test_definitions_are_such_as_sagemaker_takes() -> None:
    shapes = Loader().load_service_model("sagemaker", "service-2")["shapes"]
    assert len(METRIC_DEFINITIONS) <= shapes["MetricDefinitionList"]["max"]
    names = [each["Name"] for each in METRIC_DEFINITIONS]
    assert len(set(names)) == len(names)
    for each in METRIC_DEFINITIONS:
        assert set(each) == {"Name", "Regex"}
        assert 0 < len(each["Name"]) <= shapes["MetricName"]["max"]
        assert 0 < len(each["Regex"]) <= shapes["MetricRegex"]["max"]
        assert re.compile(each["Regex"]).groups == 1


def test_every_number_is_read_back() -> None:
    queries = tiny_queries(20, seed=3)
    lines = [progress_line(20, 300, 12.34, 0.5), progress_line(21, 300, 1234567.0, None)]
    expected = {
        "progress:trees": ["20", "21"],
        "progress:seconds": ["12.3", "1234567.0"],
        "progress:ndcg@10": ["0.500000"],
    }
    for split, channel in (("vali", "validation"), ("test", "test")):
        evaluation = measured(queries.features[:, 0] * -1, queries, split=split).to_json()
        lines.append(evaluation_line(split, evaluation))
        for cutoff in (1, 3, 5, 10):
            expected[f"{channel}:ndcg@{cutoff}"] = [f"{evaluation[f'ndcg@{cutoff}']['skip']:.6f}"]
    assert found(*lines) == expected
    assert set(expected) == {each["Name"] for each in METRIC_DEFINITIONS}


@pytest.mark.parametrize("value", [0.0, 1.0, 1e-9])
def test_the_ends_of_the_scale(value: float) -> None:
    assert found(progress_line(1, 1, 0.0, value))["progress:ndcg@10"] == [f"{value:.6f}"]


def test_no_number_is_no_metric() -> None:
    queries = tiny_queries(3)
    blank = Queries(queries.features, queries.relevance * 0, queries.qids, queries.offsets)
    line = evaluation_line("test", measured(queries.features[:, 0], blank, split="test").to_json())
    assert line == "evaluation queries=3"
    assert found(line) == {}


def test_other_lines_are_no_metrics() -> None:
    assert found("checkpoint of 20 trees", "data 00ff: train 3 queries of 40 rows", "model m 1 sha256:00") == {}
