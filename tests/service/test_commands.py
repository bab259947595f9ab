from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from service import bundle
from service.__main__ import main
from service.manifest import Manifest
from service.registry import open_registry
from tests.engines.emulator import Store
from tests.service.bundles import make_bundle

PIN = "0" * 64


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and no registry in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PODIUM_REGISTRY", raising=False)
    return tmp_path


@pytest.fixture
def versions(checkout: Path) -> tuple[Manifest, Manifest]:
    """Two versions of the model `tiny` in the default registry, the second one published last."""
    first = make_bundle(checkout / "first", metrics={"ndcg@10": 0.25})
    second = make_bundle(
        checkout / "second", seed=1, names=("age", "bm25", "length", "ctr"), metrics={"ndcg@10": 0.375}
    )
    registry = open_registry(".podium/registry")
    registry.publish(checkout / "first")
    registry.publish(checkout / "second")
    return first, second


def ids(manifest: Manifest) -> str:
    return f"{manifest.name}/{manifest.version}"


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main([*arguments, "--json"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    return json.loads(said.out)


def test_list(versions: tuple[Manifest, Manifest], capsys: pytest.CaptureFixture[str]) -> None:
    first, second = versions
    assert main(["list"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["NAME", "VERSION", "COMMIT", "SIZE", "CREATED"]
    assert [line.split()[:3] for line in lines] == [["tiny", m.version, "0000000000"] for m in (second, first)]
    listed = as_json(capsys, "list", "tiny")
    assert [entry["version"] for entry in listed] == [second.version, first.version]
    assert listed[0]["metrics"] == {"ndcg@10": 0.375}
    assert listed[0]["problem"] is None
    assert as_json(capsys, "list", "other") == []
    assert main(["list", "other"]) == 0
    assert "no versions of other" in capsys.readouterr().out


def test_a_broken_version_is_listed_and_named(
    versions: tuple[Manifest, Manifest], capsys: pytest.CaptureFixture[str]
) -> None:
    _, second = versions
    Path(".podium/registry/models/tiny", second.version, bundle.MODEL).unlink()
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert f"broken: {ids(second)}: model.ubj is listed" in out
    assert "model.ubj" in as_json(capsys, "list")[0]["problem"]


def test_a_hostile_name_does_not_reach_the_terminal(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (checkout / "registry" / "models" / "\x1b[31mred" / "v").mkdir(parents=True)
    (checkout / "registry" / "models" / os.fsdecode(b"\xff") / "v").mkdir(parents=True)
    assert main(["list", "--registry", "registry"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\\x1b[31mred" in out
    assert len(as_json(capsys, "list", "--registry", "registry")) == 2


def test_where_the_registry_is(
    versions: tuple[Manifest, Manifest], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PODIUM_REGISTRY", "file:///nowhere/at/all")
    assert main(["list"]) == 5
    assert capsys.readouterr().err.startswith("podium: registry file:///nowhere/at/all does not exist")
    assert main(["list", "--registry", ".podium/registry"]) == 0
    monkeypatch.setenv("PODIUM_REGISTRY", "")
    assert main(["list"]) == 0


@pytest.mark.parametrize("how", ["name", "version", "uri", "path", "folder", "dotted"])
def test_show_takes_a_name_a_version_an_address_or_a_folder(
    versions: tuple[Manifest, Manifest], checkout: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    _, second = versions
    path = checkout / ".podium" / "registry" / "models" / "tiny" / second.version
    target = {
        "name": "tiny",
        "version": ids(second),
        "uri": path.as_uri(),
        "path": str(path),
        "folder": (checkout / "second").as_uri(),
        "dotted": "./second",
    }[how]
    shown = as_json(capsys, "show", target)
    assert (shown["digest"], shown["metrics"]) == (second.digest, {"ndcg@10": 0.375})
    assert shown["uri"] == (checkout / "second" if how in ("folder", "dotted") else path).as_uri()
    assert main(["show", target]) == 0
    out = capsys.readouterr().out
    for text in (ids(second), second.digest, "age, bm25, length, ctr", "metrics.ndcg@10", "0.375", "files.model.ubj"):
        assert text in out


def test_diff(versions: tuple[Manifest, Manifest], capsys: pytest.CaptureFixture[str]) -> None:
    first, second = versions
    assert main(["diff", ids(first), "tiny"]) == 0
    head, *lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert head == f"{ids(first)} -> {ids(second)}"
    assert "- features.clicks column 2" in lines
    assert "+ features.ctr column 3" in lines
    assert "~ features.age column 3 -> 0" in lines
    assert "~ metrics.ndcg@10 0.25 -> 0.375 (+0.125)" in lines
    differences = as_json(capsys, "diff", ids(first), "tiny")["differences"]
    assert len(differences) == len(lines)
    (metric,) = [difference for difference in differences if difference["section"] == "metrics"]
    expected = {"key": "ndcg@10", "kind": "changed", "before": 0.25, "after": 0.375, "delta": 0.125}
    assert metric == {"section": "metrics", **expected}


def test_diff_of_the_same(versions: tuple[Manifest, Manifest], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "tiny", "./second"]) == 0
    assert "same content" in capsys.readouterr().out
    assert as_json(capsys, "diff", "tiny", "./second")["differences"] == []


def test_verify_says_each_step(versions: tuple[Manifest, Manifest], capsys: pytest.CaptureFixture[str]) -> None:
    first, second = versions
    assert main(["verify", ids(first), "--sha256", first.digest]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["files", "digest", "model", "golden", "verified"]
    assert f"{first.digest}, as pinned" in lines[1]
    assert lines[-1] == f"verified {ids(first)}"
    proof = as_json(capsys, "verify", "tiny")
    assert (proof["verified"], proof["digest"]) == (True, second.digest)
    assert list(proof["steps"]) == ["files", "digest", "model", "golden"]


def test_verify_replays_the_golden_queries(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_bundle(checkout / "a")
    lines = (checkout / "a" / bundle.GOLDEN).read_bytes().splitlines()
    query = json.loads(lines[0])
    query["scores"][0] += 1
    make_bundle(checkout / "wrong", contents={bundle.GOLDEN: b"\n".join([json.dumps(query).encode(), *lines[1:]])})
    assert main(["verify", "./wrong"]) == 3
    said = capsys.readouterr()
    assert [line.split()[0] for line in said.out.splitlines()] == ["files", "digest", "model"]
    assert said.err.startswith("podium: golden query 'golden-0', item 'golden-0-0'")


def test_verify_loads_the_model(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_bundle(checkout / "wrong", contents={bundle.MODEL: b"no booster"})
    assert main(["verify", "./wrong"]) == 3
    assert "model.ubj" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["tiny", "./second"])
def test_fetch(
    versions: tuple[Manifest, Manifest], checkout: Path, capsys: pytest.CaptureFixture[str], target: str
) -> None:
    _, second = versions
    folder = checkout / "into" / "tiny" / second.version
    for _ in range(2):
        assert main(["fetch", target, "--into", "into"]) == 0
        assert capsys.readouterr().out == f"{folder}\n"
    assert bundle.verify(folder) == second
    fetched = as_json(capsys, "fetch", target, "--into", "into", "--sha256", second.digest)
    assert (fetched["folder"], fetched["digest"]) == (str(folder), second.digest)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["show", "other"], 3, "no sound version of other"),
        (["show", "tiny/20200101-0123456789ab"], 3, "has no tiny/20200101-0123456789ab"),
        (["show", "tiny/Upper"], 3, "'tiny/Upper' is no folder, and no NAME or NAME/VERSION either"),
        (["show", "./nowhere"], 3, "'./nowhere' is no folder"),
        (["show", "."], 3, "manifest.json"),
        (["show", "../.."], 3, "manifest.json"),
        (["show", "s3://bucket/tiny/1"], 2, "names no model: give s3://bucket/prefix/models/NAME/VERSION"),
        (
            ["show", "https://bucket/models/tiny/1"],
            2,
            "https: is not supported; give s3://bucket/prefix, file:///folder",
        ),
        (["show", "file:///a/%2e%2e/b"], 2, "no name of a folder"),
        (["list", "--registry", "s3://Bucket"], 2, "names no bucket: give s3://bucket/prefix"),
        (["list", "--registry", "nowhere"], 5, "does not exist"),
        (["list", "--registry", "file"], 5, "is not a folder"),
        (["list", ".."], 2, "'..' is no model name"),
        (["list", "\0"], 2, "is no model name"),
        (["diff", "tiny", ""], 2, "no address"),
        (["verify", "tiny", "--sha256", PIN], 3, "the pinned digest is"),
        (["fetch", "tiny", "--into", "new", "--sha256", PIN], 3, "the pinned digest is"),
        (["fetch", "./first", "--into", "new", "--sha256", PIN], 3, "the pinned digest is"),
        (["fetch", "tiny", "--into", "file"], 3, "cannot write"),
        (["fetch", "./first", "--into", "file"], 3, "cannot write"),
    ],
)
@pytest.mark.usefixtures("versions")
def test_errors_are_for_people(
    checkout: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    (checkout / "file").touch()
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("podium: ")
    assert said in err
    assert len(err.splitlines()) <= 3
    assert not (checkout / "new").exists()


@pytest.mark.parametrize(
    "arguments",
    [[], ["nonsense"], ["show"], ["fetch", "tiny"], ["list", "--jason"], ["verify", "tiny", "--sha256", "12ab"]],
)
def test_bad_usage_is_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert "usage: python -m service" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["list", "show", "diff", "verify", "fetch"])
def test_help_shows_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([verb, "--help"])
    assert left.value.code == 0
    assert f"examples:\n  python -m service {verb}" in capsys.readouterr().out


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    root = str(Path(__file__).parents[2])
    environ = os.environ | {"PYTHONPATH": root}
    return subprocess.run(
        [sys.executable, *arguments], env=environ, capture_output=True, text=True, check=False, timeout=60, **options
    )


def test_only_what_needs_xgboost_waits_for_it(versions: tuple[Manifest, Manifest]) -> None:
    script = (
        "import sys; from service.__main__ import main\n"
        "for verb in (['list'], ['show', 'tiny'], ['fetch', 'tiny', '--into', 'into']): assert main(verb) == 0\n"
        "heavy = {'xgboost', 'scipy', 'sklearn', 'pandas', 'starlette'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = run("-c", script)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_command_line_itself(versions: tuple[Manifest, Manifest]) -> None:
    done = run("-m", "service", "list")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("NAME")
    done = run("-m", "service", "show", "./nowhere")
    assert (done.returncode, done.stdout) == (3, "")


def test_a_closed_pipe_is_no_error(versions: tuple[Manifest, Manifest]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-m", "service", "list"],
        env=os.environ | {"PYTHONPATH": root},
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_interrupt_says_so_and_leaves_nothing_half_made(versions: tuple[Manifest, Manifest], checkout: Path) -> None:
    script = (
        "import os, signal, sys\nfrom service import transfer\nfrom service.__main__ import main\n"
        "transfer.shutil.copyfileobj = lambda *a: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.exit(main(['fetch', 'tiny', '--into', 'into']))"
    )
    done = run("-c", script)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "podium: interrupted; nothing was left half-made\n"
    assert [path for path in (checkout / "into").rglob("*") if path.is_file()] == []


# The same verbs over a registry in S3.


@pytest.fixture
def in_s3(store: Store, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    """A version of the model `tiny` in the registry that PODIUM_REGISTRY names."""
    monkeypatch.setenv("PODIUM_REGISTRY", store.uri)
    manifest = make_bundle(checkout / "first")
    open_registry(store.uri).publish(checkout / "first")
    return manifest


def test_the_verbs_work_over_s3(
    store: Store, in_s3: Manifest, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = f"{store.uri}/models/{ids(in_s3)}"
    assert [entry["uri"] for entry in as_json(capsys, "list")] == [uri]
    assert as_json(capsys, "show", "tiny")["uri"] == as_json(capsys, "show", uri)["uri"] == uri
    assert as_json(capsys, "diff", uri, "./first")["differences"] == []
    assert as_json(capsys, "verify", "tiny", "--sha256", in_s3.digest)["verified"] is True
    fetched = as_json(capsys, "fetch", uri, "--into", "into")
    assert bundle.verify(Path(fetched["folder"])) == in_s3
    assert Path(fetched["folder"]) == checkout / "into" / "tiny" / in_s3.version


S3_MISTAKES: list[tuple[list[str], dict[str, str], int, str]] = [
    (["show", "tiny/20200101-0123456789ab"], {}, 3, "has no tiny/20200101-0123456789ab"),
    (["show", "other"], {}, 3, "holds no sound version of other"),
    (["show", "{uri}/tiny"], {}, 2, "names no model"),
    (["list", "..", "--registry", "{uri}"], {}, 2, "'..' is no model name"),
    (["list", "--registry", "s3://podium-nowhere"], {}, 5, "s3://podium-nowhere at http://127.0.0.1:"),
    (["list"], {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"}, 5, "denies access (InvalidAccessKeyId"),
    (["list"], {"PODIUM_S3_ENDPOINT": "localhost"}, 2, "PODIUM_S3_ENDPOINT='localhost': give https://host"),
    (["list"], {"PODIUM_S3_REGION": "!"}, 2, "PODIUM_S3_REGION='!': give the name of a region"),
    (["verify", "tiny", "--sha256", PIN], {}, 3, "the pinned digest is"),
    (["fetch", "tiny", "--into", "new", "--sha256", PIN], {}, 3, "the pinned digest is"),
    (["fetch", "tiny", "--into", "first/model.ubj"], {}, 3, "cannot write"),
]


@pytest.mark.parametrize("case", S3_MISTAKES, ids=lambda case: " ".join(case[0])[:40])
@pytest.mark.usefixtures("in_s3")
def test_mistakes_over_s3_are_for_people(
    store: Store,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    case: tuple[list[str], dict[str, str], int, str],
) -> None:
    arguments, environ, code, said = case
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert main([argument.format(uri=store.uri) for argument in arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("podium: ")
    assert said in err
    assert not Path("new").exists()
