import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.release import Release, ReleaseError, read
from service.manifest import valid_name
from tests.conftest import ROOT
from tests.infra.single import RELEASE

DATA = {name.replace("_", "-"): value for name, value in vars(RELEASE).items()}
GOOD: Mapping[str, Any] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "release", "annotations": {"config.kubernetes.io/local-config": "true"}},
    "data": DATA,
}


def write(deploy: Path, document: Any, environment: str = "staging") -> Path:
    path = deploy / environment / "release.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return path


def changed(**data: Any) -> dict[str, Any]:
    given = {**DATA, **{name.replace("_", "-"): value for name, value in data.items()}}
    return {**GOOD, "data": {name: value for name, value in given.items() if value is not None}}


def test_a_release_is_read(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    assert read(tmp_path, "staging") == RELEASE


def test_on_day_0_there_is_none(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    assert read(tmp_path, "production") is None
    assert read(tmp_path / "nowhere", "staging") is None


def test_a_model_has_its_address_in_the_bucket() -> None:
    assert RELEASE.model_uri("data") == "s3://data/models/mslr/20260102-0123456789ab"
    assert RELEASE.model_prefix == "models/mslr/20260102-0123456789ab"


def test_names_are_those_that_the_registry_takes(tmp_path: Path) -> None:
    for name in ("a", "mslr", "web-30k_v1.2", "0", "a" * 63):
        assert valid_name(name)
        write(tmp_path, changed(model_name=name))
        release = read(tmp_path, "staging")
        assert isinstance(release, Release)
        assert release.model_name == name
    for name in ("", "-a", "a-", "A", "a/b", "..", "a" * 64, "a\n"):
        assert not valid_name(name)
        write(tmp_path, changed(model_name=name))
        with pytest.raises(ReleaseError, match=r"data\.model-name"):
            read(tmp_path, "staging")


BAD: list[tuple[Any, str]] = [
    ("", "the document is NoneType: write keys and values"),
    ("[1]", "the document is list"),
    ("a: [", "is no YAML"),
    ("a: 1\na: 2", "a stands twice"),
    (yaml.safe_dump(dict(GOOD)) + "---\nb: 1\n", "is no YAML"),
    (yaml.safe_dump(dict(GOOD)).replace("data:", "data: &a\n  <<: *a"), "is no YAML"),
    ({**GOOD, "kind": "Secret"}, "kind is 'Secret': a release is a ConfigMap of v1, write 'ConfigMap'"),
    ({**GOOD, "apiVersion": "v2"}, "apiVersion is 'v2'"),
    ({**GOOD, "immutable": True}, "immutable is unknown: remove it"),
    ({name: GOOD[name] for name in ("apiVersion", "kind", "data")}, "metadata is missing"),
    ({**GOOD, "metadata": []}, "metadata is list"),
    ({**GOOD, "metadata": {**GOOD["metadata"], "name": "releases"}}, "metadata.name is 'releases'"),
    ({**GOOD, "metadata": {**GOOD["metadata"], "namespace": "podium"}}, "metadata.namespace is unknown"),
    ({**GOOD, "metadata": {"name": "release"}}, "metadata.annotations is missing"),
    ({**GOOD, "metadata": {"name": "release", "annotations": {}}}, "needs config.kubernetes.io/local-config"),
    (
        {**GOOD, "metadata": {"name": "release", "annotations": {"config.kubernetes.io/local-config": True}}},
        'needs config.kubernetes.io/local-config: "true", a string',
    ),
    ({**GOOD, "data": None}, "data is NoneType"),
    (changed(serve_amd64=None), "data.serve-amd64 is missing"),
    (changed(serve_arm64="sha256:" + "1" * 64), "data.serve-arm64 is unknown"),
    (changed(serve_amd64="latest"), "data.serve-amd64 is 'latest': give sha256: and 64 hex digits"),
    (changed(serve_amd64="1" * 64), "data.serve-amd64 is"),
    (changed(serve_amd64="sha256:" + "1" * 63), "data.serve-amd64 is"),
    (changed(serve_amd64="sha256:" + "A" * 64), "data.serve-amd64 is"),
    (changed(serve_amd64="sha256:" + "1" * 64 + "\n"), "data.serve-amd64 is"),
    (changed(serve_index="repo@sha256:" + "1" * 64), "data.serve-index is"),
    (changed(serve_commit="main"), "data.serve-commit is 'main': give the 40 hex digits of a commit"),
    (changed(serve_commit=int("3" * 40)), "in quotes"),
    (changed(train_amd64=12), "data.train-amd64 is 12"),
    (changed(train_commit="5" * 39), "data.train-commit is"),
    (changed(model_version="newest!"), "data.model-version is"),
    (changed(model_version=20260102), "data.model-version is 20260102"),
    (changed(model_sha256="6" * 64), "data.model-sha256 is"),
]


@pytest.mark.parametrize(("document", "says"), BAD)
def test_what_is_not_exactly_a_release_is_refused(tmp_path: Path, document: Any, says: str) -> None:
    path = write(tmp_path, document)
    with pytest.raises(ReleaseError) as refused:
        read(tmp_path, "staging")
    assert says in str(refused.value)
    assert str(refused.value).startswith(str(path))


def test_a_file_that_cannot_be_read_is_no_day_0(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ReleaseError, match="cannot be read"):
        read(tmp_path, "staging")
    path.unlink()
    path.mkdir()
    with pytest.raises(ReleaseError, match="cannot be read"):
        read(tmp_path, "staging")


def test_the_readme_shows_a_release() -> None:
    (shown,) = re.findall(r"^ *```yaml\n(.*?)^ *```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    document = yaml.safe_load(shown)
    assert set(document["data"]) == set(DATA)
    assert {key: each for key, each in document.items() if key != "data"} == {
        key: each for key, each in GOOD.items() if key != "data"
    }
