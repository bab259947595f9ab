from __future__ import annotations

import os
import select
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from service.ranker import Ranker
from tests.bench.foreign import FOREIGN, PeerFailed, ask, tree
from tests.bench.peer import Floats
from tests.bench.served import PORTS
from tests.engines.environments import python_for, requirement
from tests.service.bundles import NAMES, make_bundle

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a server is bound to one core")
# The second is the first as an IPv6 address.
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F"}
LISTENS = "0A"


def queries() -> list[Floats]:
    random = np.random.default_rng(7)
    # One alone, and more than one block of XGBoost's.
    return [random.normal(size=(size, len(NAMES))).round(4).astype(np.float32) for size in (1, 10, 70)]


def listening(pids: list[int]) -> set[tuple[str, int]]:
    """Addresses as the kernel writes them, and ports."""
    sockets = {str(each.readlink()) for pid in pids for each in Path(f"/proc/{pid}/fd").iterdir() if each.is_symlink()}
    found: set[tuple[str, int]] = set()
    for version in ("tcp", "tcp6"):
        for line in Path(f"/proc/self/net/{version}").read_text().splitlines()[1:]:
            _, local, _, state, *others = line.split()
            if state == LISTENS and f"socket:[{others[5]}]" in sockets:
                address, _, port = local.partition(":")
                found.add((address, int(port, 16)))
    return found


@pytest.mark.parametrize("name", FOREIGN)
def test_a_peer_scores_as_we_do_on_its_one_core_and_leaves_nothing(name: str, tmp_path: Path):
    python_for(requirement(f"bench-{name}"))
    manifest = make_bundle(tmp_path / "bundle")
    ours, peer = Ranker.load(tmp_path / "bundle" / "model.ubj", manifest.schema), FOREIGN[name]
    core = max(os.sched_getaffinity(0))
    with peer.started(tmp_path / "bundle", core) as server:
        for format_, wire in peer.wires.items():
            for rows in queries():
                answer = ask(server.port, wire.request(rows))
                assert answer.status == 200, (format_, answer.body)
                scores = wire.scores(answer.body, answer.headers)
                assert np.allclose(scores, ours.score(rows), rtol=1e-5, atol=0), format_
        pids = tree(server.pid)
        assert {frozenset(os.sched_getaffinity(pid)) for pid in pids} == {frozenset({core})}
        places = listening(pids)
        assert {address for address, _ in places} <= LOOPBACK
        assert {server.port} <= {port for _, port in places} <= set(PORTS)
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
    with pytest.raises(ConnectionRefusedError):
        ask(server.port, b"")


@pytest.mark.parametrize("name", FOREIGN)
def test_a_peer_says_what_it_is_made_of(name: str):
    python_for(requirement(f"bench-{name}"))
    made_of = FOREIGN[name].versions()
    assert {made_of["xgboost-cpu"], made_of["python"]} == {"3.2.0", ".".join(map(str, sys.version_info[:3]))}
    assert len(made_of) >= 5


def test_what_a_peer_started_does_not_outlive_it(tmp_path: Path):
    python_for(requirement("bench-bentoml"))
    make_bundle(tmp_path / "bundle")
    with FOREIGN["bentoml"].started(tmp_path / "bundle", max(os.sched_getaffinity(0))) as server:
        pids = tree(server.pid)
        assert len(pids) > 1
        descriptors = [os.pidfd_open(pid) for pid in pids]
        # As when memory has run out: it has no time to stop those.
        os.kill(server.pid, signal.SIGKILL)
        assert select.select(descriptors[:1], [], [], 10)[0]
    ended, _, _ = select.select(descriptors, [], [], 0)
    assert ended == descriptors
    for descriptor in descriptors:
        os.close(descriptor)


def test_a_peer_that_does_not_start_is_named_with_the_end_of_its_output(tmp_path: Path):
    python_for(requirement("bench-naive"))
    make_bundle(tmp_path / "bundle")
    (tmp_path / "bundle" / "model.ubj").write_bytes(b"no model")
    with (
        pytest.raises(PeerFailed, match=r"(?s)^naive: it ended with 1; the end of its output:\n.*XGBoostError"),
        FOREIGN["naive"].started(tmp_path / "bundle", max(os.sched_getaffinity(0))),
    ):
        pass


def test_json_has_four_digits_and_binary_the_same_values():
    rows = np.array([[2.1, 0.1234], [1e6, -3.0]], np.float32)
    for name, peer in FOREIGN.items():
        assert b"2.1,0.1234" in peer.wires["json"].request(rows), name
    asked = FOREIGN["kserve"].wires["binary"].request(rows)
    assert asked.endswith(rows.tobytes())


def test_an_answer_whose_bytes_are_not_what_it_says_is_refused():
    header = b'{"outputs":[{"name":"a","datatype":"FP32","shape":[2],"parameters":{"binary_data_size":8}}]}'
    scores, headers = FOREIGN["kserve"].wires["binary"].scores, {"inference-header-content-length": str(len(header))}
    assert scores(header + np.array([1, 2], "<f4").tobytes(), headers) == [1.0, 2.0]
    with pytest.raises(ValueError, match="are not what it says"):
        scores(header + bytes(4), headers)


def test_naive_answers_are_put_back_into_the_order_of_the_rows():
    body = b'[{"id":"doc-1","score":2.0},{"id":"doc-0","score":1.0}]'
    assert FOREIGN["naive"].wires["json"].scores(body, {}) == [1.0, 2.0]
