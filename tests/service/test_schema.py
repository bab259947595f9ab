import pytest

from service.schema import FeatureSchema


def test_schema_keeps_the_order_of_its_names() -> None:
    schema = FeatureSchema.from_names(["b", "a"])
    assert schema.width == 2
    assert schema.index == {"b": 0, "a": 1}


def test_hash_tells_orders_and_boundaries_apart() -> None:
    hashes = {FeatureSchema.from_names(names).sha256 for names in (["a", "b"], ["b", "a"], ["ab"], ["a,b"], ["a"])}
    assert len(hashes) == 5
    assert FeatureSchema.from_names(["a", "b"]).sha256 == FeatureSchema.from_names(("a", "b")).sha256


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "at least one"),
        (["a", ""], "feature 1: ''"),
        (["a", "b", "a"], "'a' stands at columns 0 and 2"),
        (["a\n"], "printable"),
        (["x" * 129], "128"),
    ],
)
def test_bad_names_are_refused(names: list[str], said: str) -> None:
    with pytest.raises(ValueError, match="feature") as caught:
        FeatureSchema.from_names(names)
    assert said in str(caught.value)
