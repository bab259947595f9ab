import json

import numpy as np
import xgboost as xgb
from hypothesis import given
from hypothesis import strategies as st

from service.golden import golden_documents, golden_queries, shortest, split_thresholds
from service.ranker import Ranker, booster_from_bytes
from service.schema import FeatureSchema
from tests.service.bundles import NAMES, train_model


def make_ranker(model: bytes) -> Ranker:
    return Ranker(booster_from_bytes(model), FeatureSchema.from_names(NAMES))


def test_thresholds_are_the_trees_own() -> None:
    model = train_model(trees=20)
    text: list[str] = xgb.Booster(model_file=bytearray(model)).get_dump(dump_format="json")
    expected: dict[int, set[float]] = {}
    nodes = [json.loads(tree) for tree in text]
    while nodes:
        node = nodes.pop()
        if "split" in node:
            expected.setdefault(int(node["split"][1:]), set()).add(float(np.float32(node["split_condition"])))
            nodes.extend(node["children"])
    found = split_thresholds(model)
    assert found.keys() == expected.keys()
    for column, values in found.items():
        # The dump shortens its decimals, so values agree to its digits and their number exactly.
        np.testing.assert_allclose(values, sorted(expected[column]), rtol=1e-6)


def test_dart_models_have_thresholds_too() -> None:
    assert split_thresholds(train_model(booster="dart", rate_drop=0.5))


def test_documents_lie_on_beside_and_between_thresholds() -> None:
    thresholds = {0: np.array([0.5, 2.0], np.float32), 2: np.array([-1.0], np.float32)}
    drawn = golden_documents(thresholds, width=4, seed=0, count=400)
    assert drawn.shape == (400, 4)
    assert drawn.dtype == np.float32
    near = np.float32(-1.0)
    beside = {float(np.nextafter(near, np.float32(-9))), -1.0, float(np.nextafter(near, np.float32(9)))}
    assert set(drawn[~np.isnan(drawn[:, 2]), 2].tolist()) == beside
    assert 1.25 in drawn[:, 0].tolist()
    assert 0.05 < np.isnan(drawn).mean() < 0.15


def test_golden_rows_can_tell_every_threshold_side_apart() -> None:
    # `<` against `<=` is the classic mistake of a second implementation: rows on a threshold must exist.
    model = train_model(trees=20)
    thresholds = split_thresholds(model)
    drawn = golden_documents(thresholds, len(NAMES), 0, 145)
    for column, values in thresholds.items():
        assert np.isin(drawn[:, column], values).any()


def test_same_model_and_seed_give_the_same_bytes() -> None:
    model = train_model()
    thresholds = split_thresholds(model)
    assert golden_queries(make_ranker(model), thresholds) == golden_queries(make_ranker(model), thresholds)
    assert golden_queries(make_ranker(model), thresholds) != golden_queries(make_ranker(model), thresholds, seed=1)


def test_wire_format_gives_the_float32_values_back() -> None:
    model = train_model()
    ranker = make_ranker(model)
    thresholds = split_thresholds(model)
    lines = golden_queries(ranker, thresholds).splitlines()
    drawn = golden_documents(thresholds, len(NAMES), 0, 145)
    rows = [item["features"] for line in lines for item in json.loads(line)["request"]["items"]]
    assert {type(row) for row in rows} == {list, dict}, "both forms of the wire format are proven"
    full = [row if isinstance(row, list) else [row.get(name) for name in NAMES] for row in rows]
    assert np.array_equal(np.array(full, np.float64).astype(np.float32), drawn, equal_nan=True)
    assert [len(json.loads(line)["scores"]) for line in lines] == [1, 2, 13, 64, 65]


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_shortest_decimal_gives_the_float32_back(value: float) -> None:
    single = np.float32(value)
    text = json.dumps(shortest(single))
    assert np.float32(float(text)).tobytes() == single.tobytes()
