from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.location import BadUri, ModelRef, local_path, parse_model_uri


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///a/b", "/a/b"),
        ("file:///a/b/", "/a/b"),
        ("file:///a//b", "/a/b"),
        ("file://localhost/a", "/a"),
        ("file:/a/b", "/a/b"),
        ("FILE:///a", "/a"),
        ("file:///", "/"),
        ("file:///a%20b/%C3%A9", "/a b/é"),
        ("file:///a%25b", "/a%b"),
        ("/a/b", "/a/b"),
        ("//a/b", "/a/b"),
        ("//", "/"),
        ("/a%20b", "/a%20b"),
        ("/nowhere/../b", "/b"),
    ],
)
def test_addresses_of_folders(uri: str, path: str) -> None:
    assert local_path(uri) == Path(path)


def test_plain_paths_are_relative_to_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real" / "below").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "below")
    monkeypatch.chdir(tmp_path)
    assert local_path("a/b") == tmp_path / "a" / "b"
    assert local_path("./s3:x") == tmp_path / "s3:x"
    assert local_path("link/../a") == tmp_path / "real" / "a"


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("", "no address"),
        ("\0", "no address"),
        ("/a\n", "no address"),
        ("file:///a\tb", "no address"),
        ("s3://bucket/prefix", "s3: is not supported; give file:///folder"),
        ("https://example.org/a", "https: is not supported"),
        ("s3:/bucket", "s3: is not supported"),
        ("file://host/a", "host 'host'"),
        ("file://a/b", "host 'a'"),
        ("file:a/b", "relative"),
        ("file://", "relative"),
        ("file:", "relative"),
        ("file:///a?b", "%3F"),
        ("file:///a#b", "%23"),
        ("file:///a%2", "%25"),
        ("file:///a%zz", "%25"),
        ("file:///a%FF", "UTF-8"),
        ("file:///a/../b", "'..'"),
        ("file:///a/%2e%2E/b", "'%2e%2E'"),
        ("file:///a/./b", "'.'"),
        ("file:///a%2Fb", "'a%2Fb'"),
        ("file:///a%00b", "'a%00b'"),
        ("file:///a%0Ab", "'a%0Ab'"),
    ],
)
def test_what_is_no_address_is_refused_with_what_to_write(uri: str, said: str) -> None:
    with pytest.raises(BadUri) as refused:
        parse_model_uri(uri)
    assert said in str(refused.value)


def test_a_models_address_names_its_registry() -> None:
    version = "20240101-0123456789ab-dirty"
    for uri in (f"file:///r%20s/models/mslr/{version}", f"/r s/models/mslr/{version}/"):
        expected = ModelRef(f"file:///r%20s/models/mslr/{version}", "file:///r%20s", "mslr", version)
        assert parse_model_uri(uri) == expected
    assert parse_model_uri("/models/a/b").registry == "file:///"


@pytest.mark.parametrize(
    "path", ["/", "/a", "/models", "/models/a", "/opt/bundle", "/r/models/Upper/1", "/models/a/b/c"]
)
def test_any_other_address_is_a_folder_with_one_bundle(path: str) -> None:
    assert parse_model_uri(path) == ModelRef(Path(path).as_uri(), folder=Path(path))


@settings(max_examples=300)
@given(st.text() | st.text("/.%2eEfF0:", max_size=12))
@example("//")
def test_parsing_refuses_or_gives_an_absolute_path_that_its_uri_leads_back_to(text: str) -> None:
    for uri in (text, f"file:///{text}", f"file:///r/models/{text}"):
        try:
            ref = parse_model_uri(uri)
        except BadUri:
            continue
        path = local_path(uri)
        assert path.is_absolute()
        assert ".." not in path.parts
        assert "\0" not in str(path)
        assert parse_model_uri(ref.uri) == ref
        assert local_path(ref.uri) == path
