"""The images: built as the README says, run by runc as a cluster would run them, and looked into."""

import re
import shlex
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.bundle import read_manifest, verify
from tests.conftest import ROOT, skip_or_fail
from tests.engines.containers import Container, container
from tests.engines.images import (
    COMMIT,
    CREATED,
    EPOCH,
    MARK,
    SOURCE,
    EngineMissing,
    Images,
    as_root,
    require_engine,
    run,
)
from tests.service.bundles import make_bundle
from tests.training.opt_ml import make_tree, write_config
from training.cli import main as train_main
from training.sample import cache_folder
from training.server import free_port
from training.synthetic import synthetic_fold, write_fold

GOOD = {"items": [{"id": "a", "features": [1, 2, 3, 4]}, {"id": "b", "features": {"age": 1}}]}
COMMANDS = re.findall(r"^docker .*$", (ROOT / "README.md").read_text(), re.MULTILINE)
SECONDS = 60.0
MEGABYTE = 1_000_000
# Apparent bytes: what a node pulls and unpacks before a new pod can start.
BUDGET = 320 * MEGABYTE


@pytest.fixture(scope="session")
def images() -> Images:
    try:
        require_engine()
    except EngineMissing as missing:
        skip_or_fail(str(missing))
    return Images(cache_folder() / "images")


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("image") / "bundle"
    make_bundle(folder)
    # As a careful user's folders are: the image's user is another one.
    for path in folder.iterdir():
        path.chmod(0o600)
    folder.chmod(0o700)
    return folder


def build(images: Images, target: str, model: Path | None = None, *, again: bool = False) -> str:
    """The image of the README's `docker build` for a target."""
    (command,) = [each for each in COMMANDS if "docker build " in each and target == target_of(each)]
    arguments = shlex.split(command)[2:]
    assert arguments[-3:-1] == ["-t", arguments[-2]]
    assert arguments[-1] == "."
    options = arguments[:-3]
    if "--build-context" not in options:
        return images.build(options, again=again)
    at = options.index("--build-context")
    assert model is not None
    assert options[at + 1] == "model=path/to/bundle"
    return images.build([*options[:at], *options[at + 2 :]], {"model": model}, again=again)


def target_of(command: str) -> str:
    found = re.search(r"--target (\S+)", command)
    return found[1] if found else "train"


@pytest.fixture(scope="session")
def serve_image(images: Images) -> str:
    return build(images, "serve")


@pytest.fixture(scope="session")
def train_image(images: Images, serve_image: str) -> str:
    # After the other, whose layers it starts with: two at once would build them twice.
    del serve_image
    return build(images, "train")


class Service:
    """A container of the service, and a port of its own on loopback."""

    def __init__(self) -> None:
        self.port = free_port()
        self.env = {"PODIUM_HOST": "127.0.0.1", "PODIUM_PORT": str(self.port)}

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=SECONDS)

    def rank(self) -> dict[str, Any]:
        return httpx.post(f"http://127.0.0.1:{self.port}/v1/rank", json=GOOD, timeout=SECONDS).json()

    def settled(self, running: Container) -> httpx.Response:
        """The first answer of /readyz that is final."""
        ends = time.monotonic() + SECONDS
        while True:
            assert running.process.poll() is None, running.log.read_text()
            assert time.monotonic() < ends, running.log.read_text()
            try:
                answer = self.get("/readyz")
            except httpx.TransportError:
                time.sleep(0.02)
                continue
            if answer.is_success or answer.json()["phase"] == "failed":
                return answer
            time.sleep(0.02)


def readable(folder: Path) -> Path:
    """A bundle as a volume shows it to the service's user."""
    folder.chmod(0o755)
    for path in folder.iterdir():
        path.chmod(0o644)
    return folder


def run_options(command: str) -> dict[str, list[str]]:
    words = shlex.split(command)[2:-1]
    found: dict[str, list[str]] = {}
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word.startswith("-"):
            found.setdefault(word, []).append("" if following.startswith("-") else following)
    return found


def test_it_serves_a_mounted_model_and_stops_when_asked(images: Images, serve_image: str, tmp_path: Path) -> None:
    (command,) = [each for each in COMMANDS if each.startswith("docker run")]
    given = run_options(command)
    assert set(given) == {"--read-only", "-p", "-v", "-e"}
    assert given["-p"] == ["8000:8000"]
    (where,) = [each.removeprefix("$PWD/bundle:").removesuffix(":ro") for each in given["-v"]]
    make_bundle(tmp_path / "bundle")
    service = Service()
    env = service.env | dict(each.split("=", 1) for each in given["-e"])
    mounts = {where: readable(tmp_path / "bundle")}
    with container(images, serve_image, tmp_path, env=env, mounts=mounts) as running:
        assert service.settled(running).status_code == 200, running.log.read_text()
        answer = service.rank()
        assert [item["rank"] for item in answer["items"]] == [1, 2], answer
        assert service.get("/version").json()["commit"] == COMMIT
        status = Path("/proc", str(running.pid()), "status").read_text()
        assert re.search(r"^Uid:\s+10001\s+10001\s+10001\s+10001$", status, re.MULTILINE), status
        assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE), status
        assert re.search(r"^NSpid:\s+\d+\s+1$", status, re.MULTILINE), "the service is not process 1: no signal comes"
        started = time.monotonic()
        running.signal("TERM")
        assert running.process.wait(SECONDS) == 0, running.log.read_text()
        # Kubernetes kills after 30 s; with nothing under way there is nothing to wait for.
        assert time.monotonic() - started < 5
    assert "Traceback" not in running.log.read_text()
    assert '"stopped"' in running.log.read_text()


@pytest.mark.usefixtures("serve_image")
def test_the_model_inside_is_served_as_whoever_runs_it(images: Images, bundle: Path, tmp_path: Path) -> None:
    # Some clusters give every namespace users of its own.
    image = build(images, "serve-with-model", bundle)
    service = Service()
    with container(images, image, tmp_path, env=service.env, user=1_000_650_000) as running:
        assert service.settled(running).status_code == 200, running.log.read_text()
        assert service.rank()["model"]["name"] == "tiny"


@pytest.mark.usefixtures("serve_image")
def test_a_bundle_that_is_not_whole_makes_no_image(images: Images, tmp_path: Path) -> None:
    make_bundle(tmp_path / "bundle")
    model = bytearray((tmp_path / "bundle" / "model.ubj").read_bytes())
    model[len(model) // 2] ^= 1
    (tmp_path / "bundle" / "model.ubj").write_bytes(model)
    with pytest.raises(RuntimeError, match=r"model\.ubj"):
        build(images, "serve-with-model", tmp_path / "bundle")


def test_a_missing_model_is_said_and_ends_the_process(images: Images, serve_image: str, tmp_path: Path) -> None:
    with container(images, serve_image, tmp_path) as running:
        assert running.process.wait(SECONDS) == 2
    assert "set PODIUM_MODEL" in running.log.read_text()


def test_it_trains(images: Images, train_image: str, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    for arguments in (
        ["synthetic", "--out", "data", "--queries", "20"],
        ["run", "--data", "data", "--set", "n_estimators=10"],
    ):
        with container(images, train_image, tmp_path, arguments, writable={"/work": work}) as running:
            assert running.process.wait(SECONDS) == 0, running.log.read_text()
    (folder,) = (work / ".podium" / "registry" / "models" / "mslr").iterdir()
    manifest = read_manifest(folder)
    assert (manifest.commit, manifest.dirty) == (COMMIT, False)
    assert manifest.version.startswith("20231114-")
    assert subprocess.run([sys.executable, "-m", "service", "verify", folder], cwd=ROOT, check=False).returncode == 0


def test_it_is_a_sagemaker_training_image(images: Images, train_image: str, tmp_path: Path) -> None:
    write_fold(synthetic_fold(seed=1, queries=15, width=9), tmp_path / "data")
    asked = {"n_estimators": "10", "segment_trees": "5", "subsample": "0.7"}
    inside = make_tree(tmp_path / "inside", tmp_path / "data", {**asked, "commit": COMMIT})
    (tmp_path / "scratch").mkdir()
    writable = {"/opt/ml": inside, "/tmp": tmp_path / "scratch"}  # noqa: S108 - the container's own
    # As SageMaker calls it.
    with container(images, train_image, tmp_path, ["train"], writable=writable) as running:
        assert running.process.wait(SECONDS) == 0, running.log.read_text()
    manifest = verify(inside / "model")
    assert (manifest.commit, manifest.dirty, manifest.version[:9]) == (COMMIT, False, "20231114-")
    outside = make_tree(tmp_path / "outside", tmp_path / "data", asked)
    assert train_main(["train", "--root", str(outside)]) == 0
    models = [(root / "model" / "model.ubj").read_bytes() for root in (inside, outside)]
    assert models[0] == models[1], "the image trains another model than this machine"
    # And as the program for those who replace the entry point.
    write_config(inside, "hyperparameters", {"sed": "1"})
    with container(images, train_image, tmp_path, writable=writable, entrypoint=["train"]) as running:
        assert running.process.wait(SECONDS) == 2, running.log.read_text()
    assert "did you mean seed?" in (inside / "output" / "failure").read_text()


def test_its_configuration_is_what_a_cluster_needs(images: Images, serve_image: str, train_image: str) -> None:
    config = images.inspect(serve_image)["config"]
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["python", "-m", "service"], "a shell in between would keep the signals"
    assert config["Cmd"] == ["serve"]
    assert config["StopSignal"] == "SIGTERM"
    assert list(config["ExposedPorts"]) == ["8000/tcp"]
    assert {"PODIUM_HOST=0.0.0.0", f"PODIUM_COMMIT={COMMIT}", "PYTHONDONTWRITEBYTECODE=1"} <= set(config["Env"])
    for image, title in ((serve_image, "podium-serve"), (train_image, "podium-train")):
        labels = images.inspect(image)["config"]["Labels"]
        labels = {key.rpartition(".")[2]: text for key, text in labels.items() if key.startswith("org.opencontainers.")}
        about = {"title": title, "revision": COMMIT, "source": SOURCE, "created": CREATED, "licenses": "Apache-2.0"}
        assert labels == about
    assert images.inspect(train_image)["config"]["Entrypoint"] == ["python", "-m", "training"]


def files(folder: Path) -> Iterator[tuple[str, int]]:
    """Path and apparent size of every file that is not a directory."""
    listed = run("find", folder, "-xdev", "!", "-type", "d", "-printf", r"%P\t%s\n")
    for line in listed.splitlines():
        path, _, size = line.rpartition("\t")
        yield path, int(size)


UNWANTED = re.compile(
    r"(^|/)(pip|setuptools|wheel|ensurepip|polars|pyarrow|sklearn|scikit_learn|pandas|httpx|hypothesis|_?pytest)"
    r"(-[\w.]+\.(dist|egg)-info)?/"
    r"|(^|/)(pip[\d.]*|easy_install|gcc|cc|c\+\+|g\+\+|clang|ld|make|git)$"
    r"|\.whl$|(^|/)(tests|\.git|\.github|\.venv|\.podium)/|^app/(?!service/|LICENSE$)|^(root|home)/.*cache"
)


def test_nothing_is_in_it_that_does_not_serve(images: Images, serve_image: str) -> None:
    with images.mounted(images.base()) as folder:
        below = dict(files(folder))
    with images.mounted(serve_image) as folder:
        inside = dict(files(folder))
        own = [folder / "opt/venv", folder / "app"]
        sources = [path for path in inside if path.startswith(("opt/", "app/")) and path.endswith(".py")]
        assert len(sources) > 1000
        assert [path for path in inside if UNWANTED.search(path)] == []
        assert any(UNWANTED.search(path) for path in below), "a base without pip proves nothing"
        assert [path for path in sources if compiled(path) not in inside] == []
        # 1: checked by hash; 2, the bit that is not set: the source is looked at before each import.
        heads = {(folder / compiled(path)).read_bytes()[4:8] for path in sources[:: len(sources) // 50]}
        assert heads == {struct.pack("<I", 1)}
        writable = run("find", *own, "!", "-type", "l", "(", "-perm", "/022", "-o", "!", "-user", "0", ")")
        assert writable == "", "the service's user could change what it runs"
        unreadable = run("find", *own, "!", "-type", "l", "!", "-perm", "-444")
        assert unreadable == ""
    above = sum(size for path, size in inside.items() if path not in below)
    assert above <= BUDGET, f"{above / MEGABYTE:.0f} MB above its base"
    (said,) = re.findall(r"adds (\d+) MB to its base", (ROOT / "README.md").read_text())
    assert above / MEGABYTE == pytest.approx(int(said), rel=0.1), "the README gives another size"


def compiled(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder}/__pycache__/{name.removesuffix('.py')}.cpython-311.pyc"


@pytest.mark.parametrize("target", ["serve_image", "train_image"])
def test_no_secret_of_the_build_is_kept(images: Images, target: str, request: pytest.FixtureRequest) -> None:
    image: str = request.getfixturevalue(target)
    with images.mounted(image) as folder:
        ours = [folder / name for name in ("opt", "app", "etc", "run", "root", "tmp", "var")]
        found = subprocess.run(as_root("grep", "-rlF", MARK, *ours), capture_output=True, text=True, check=False)
        assert (found.returncode, found.stdout) == (1, ""), found.stderr
        assert run("find", folder / "run", folder / "tmp", "-type", "f") == ""
    assert MARK not in str(images.inspect(image))


def test_two_builds_give_the_same_bytes(images: Images, serve_image: str) -> None:
    again = build(images, "serve", again=True)
    assert again != serve_image
    assert images.inspect(again)["rootfs"] == images.inspect(serve_image)["rootfs"]
    assert images.inspect(again)["created"].startswith(CREATED.removesuffix("Z"))
    assert EPOCH == 1_700_000_000


def test_the_linter_has_nothing_to_say() -> None:
    command = [Path(sys.prefix, "bin", "hadolint"), "--failure-threshold", "style", ROOT / "Dockerfile"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_only_what_is_copied_goes_to_the_builder() -> None:
    kept = (ROOT / ".dockerignore").read_text().split()
    copied = re.findall(r"^COPY (?!--from)(\S+) ", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert kept[kept.index("*") :][0] == "*"
    assert sorted(each.removeprefix("!") for each in kept if each.startswith("!")) == sorted(copied)
