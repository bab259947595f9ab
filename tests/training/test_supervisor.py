"""Supervisors with workers that do next to nothing; those that train are in test_distributed."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.training.several import FIRST, HOSTS, SECOND, THIRD, Job, until
from training.supervisor import BROKEN, XGBOOST_EXIT

# Long for a test, short for a process that is forgotten.
WORK = ("sh", "-c", "echo at work >&2; exec sleep 60")
DONE = ("true",)
NOTICED = 2


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def started(folder: Path) -> Job:
    job = Job(HOSTS, folder)
    for host in HOSTS:
        job.start(host, WORK)
    job.everywhere("at work")
    return job


def test_all_end_well_whoever_comes_first(tmp_path: Path) -> None:
    with Job(HOSTS, tmp_path) as job:
        for host, seconds in ((THIRD, "0"), (SECOND, "0.7"), (FIRST, "0.1")):
            job.start(host, ("sleep", seconds), hosts=[SECOND, THIRD, FIRST])
            time.sleep(0.3)
        assert job.ended() == dict.fromkeys(HOSTS, 0), job.logs()
        assert job.err(FIRST) in [f"{a} has come; waiting for {b}\n" for a, b in ((SECOND, THIRD), (THIRD, SECOND))]
        assert [job.err(host) for host in HOSTS[1:]] == ["", ""]


def test_one_host_alone_needs_nobody(tmp_path: Path) -> None:
    with Job([FIRST], tmp_path) as job:
        job.start(FIRST, ("sh", "-c", "echo $PODIUM_HOSTS $PODIUM_HOST $PODIUM_WORKERS_PORT $PODIUM_HOSTS_TOKEN"))
        assert job.ended() == {FIRST: 0}
        assert job.out(FIRST) == f"{FIRST} {FIRST} {job.port + 1}\n", "and the token stays with the supervisor"


@pytest.mark.parametrize("what", ["worker", "supervisor"])
@pytest.mark.parametrize("host", [FIRST, THIRD])
def test_a_killed_process_ends_the_job_at_once_and_is_named(host: str, what: str, tmp_path: Path) -> None:
    others = [each for each in HOSTS if each != host]
    with started(tmp_path) as job:
        workers = [job.worker(each) for each in HOSTS]
        os.kill(job.worker(host) if what == "worker" else job.processes[host].pid, signal.SIGKILL)
        assert job.ended(*others, within=NOTICED) == dict.fromkeys(others, 5), job.logs()
        for each in others:
            assert f"podium: host {host}: its " in job.err(each)
            assert ("ended by SIGKILL" if what == "worker" else "its connection closed") in job.err(each)
        survivors = [worker for each, worker in zip(HOSTS, workers, strict=True) if each != host or what == "worker"]
        assert all(gone(worker) for worker in survivors)
        if what == "worker":
            assert job.ended(host, within=NOTICED) == {host: 128 + signal.SIGKILL}
        else:
            os.kill(workers[HOSTS.index(host)], signal.SIGKILL)  # `sleep` does not look at its standard input


def test_a_worker_that_fails_says_why_on_every_host(tmp_path: Path) -> None:
    with Job(HOSTS, tmp_path) as job:
        fails = ("sh", "-c", "echo reading >&2; echo 'podium: train.txt:7: no label' >&2; exit 2")
        for host in HOSTS:
            job.start(host, fails if host == SECOND else WORK)
        assert job.ended() == dict.fromkeys(HOSTS, 2)
        for host in HOSTS:
            assert f"host {SECOND}: its worker ended with exit code 2: train.txt:7: no label" in job.err(host)


@pytest.mark.parametrize("code", [BROKEN, XGBOOST_EXIT])
def test_whom_a_collective_broke_under_is_not_to_blame(code: int, tmp_path: Path) -> None:
    # The order in which the news of a dead host comes: its neighbours' workers end before it is known to be gone.
    with Job(HOSTS, tmp_path) as job:
        breaks = ("sh", "-c", f"echo at work >&2; sleep 0.3; exit {code}")
        job.start(FIRST, breaks)
        job.start(SECOND, breaks)
        job.start(THIRD, ("sh", "-c", "echo at work >&2; sleep 0.6; kill -9 $$"))
        assert job.ended() == {FIRST: 5, SECOND: 5, THIRD: 137}, job.logs()
        assert all(f"host {THIRD}: its worker was ended by SIGKILL" in job.err(host) for host in HOSTS)


def test_a_collective_that_broke_by_nobodys_end_is_an_error_too(tmp_path: Path) -> None:
    with Job(HOSTS, tmp_path) as job:
        for host in HOSTS:
            job.start(host, ("sh", "-c", f"echo 'podium: time ran out' >&2; exit {BROKEN}") if host == THIRD else WORK)
        assert set(job.ended().values()) <= {5, BROKEN}, job.logs()
        assert all(f"host {THIRD}: its worker ended with exit code 75: time ran out" in job.err(host) for host in HOSTS)


@pytest.mark.parametrize("host", [FIRST, SECOND])
def test_a_host_that_falls_silent_is_given_up(host: str, tmp_path: Path) -> None:
    others = [each for each in HOSTS if each != host]
    with Job(HOSTS, tmp_path) as job:
        for each in HOSTS:
            job.start(each, WORK, silent=1.5)
        job.everywhere("at work")
        worker = job.worker(host)
        os.kill(job.processes[host].pid, signal.SIGSTOP)
        assert job.ended(*others, within=1.5 + NOTICED) == dict.fromkeys(others, 5)
        assert all(f"host {host}: silent for 1.5 s" in job.err(each) for each in others)
        os.kill(worker, signal.SIGKILL)


def test_missing_hosts_are_named_in_time(tmp_path: Path) -> None:
    with Job(HOSTS, tmp_path) as job:
        job.start(SECOND, WORK, join=30)
        job.start(FIRST, WORK, join=1)
        assert job.ended(FIRST, SECOND, within=10) == {FIRST: 5, SECOND: 5}
        assert all(f"host {THIRD}: did not come within 1 s" in job.err(host) for host in (FIRST, SECOND))
        assert "at work" not in job.logs(), "nobody began"


def test_a_missing_first_host_is_named_in_time(tmp_path: Path) -> None:
    with Job(HOSTS, tmp_path) as job:
        job.start(SECOND, WORK, join=1)
        assert job.ended(SECOND, within=10) == {SECOND: 5}
        assert f"host {FIRST}: could not be reached within 1 s" in job.err(SECOND)


def test_a_host_that_dies_while_others_are_awaited_is_named(tmp_path: Path) -> None:
    with Job(HOSTS, tmp_path) as job:
        job.start(FIRST, WORK)
        second = job.start(SECOND, WORK)
        until(lambda: f"{SECOND} has come" in job.err(FIRST), job)
        second.kill()
        assert job.ended(FIRST, within=10) == {FIRST: 5}
        assert f"host {SECOND}: its connection closed" in job.err(FIRST)


def test_hosts_that_were_told_differently_refuse_one_another(tmp_path: Path) -> None:
    with Job(HOSTS, tmp_path) as job:
        job.start(FIRST, WORK)
        job.start(SECOND, WORK, hosts=[FIRST, SECOND])
        assert job.ended(FIRST, SECOND, within=10) == {FIRST: 3, SECOND: 3}
        for host in (FIRST, SECOND):
            assert f"{SECOND} was told of the hosts {FIRST},{SECOND}, {FIRST} of {','.join(HOSTS)}" in job.err(host)


def test_who_does_not_know_the_token_or_comes_twice_stays_outside(tmp_path: Path) -> None:
    with Job(HOSTS, tmp_path) as job:
        job.start(FIRST, WORK, join=5)
        job.launch(SECOND, "fit", word="another")
        assert job.ended(SECOND, within=10) == {SECOND: 3}
        assert f"its token is not that of {FIRST}" in job.err(SECOND)
        job.start(THIRD, WORK)
        until(lambda: f"{THIRD} has come" in job.err(FIRST), job)
        again = job.processes[THIRD]
        job.start(THIRD, WORK)
        assert job.ended(THIRD, within=10) == {THIRD: 3}
        assert f"{THIRD} is here already" in job.err(THIRD)
        assert job.ended(FIRST) == {FIRST: 5}
        assert again.wait(10) == 5
        assert f"host {SECOND}: did not come within 5 s (" in job.err(FIRST)


NOISE = (
    b"",
    b"GET / HTTP/1.1\r\n\r\n",
    b"[1]\n",
    b'{"host": 1, "proof": 2, "hosts": 3}\n',
    '{"host": "é", "proof": "é", "hosts": ""}\n'.encode(),
    b'{"host": "\\ud800", "proof": "\\ud800", "hosts": ""}\n',
    b"\xff\xfe\xfd\n",
    b"x" * 100_000,
    b"[" * 10_000 + b"\n",
)


def test_strangers_change_nothing(tmp_path: Path) -> None:
    with Job(HOSTS, tmp_path) as job, ExitStack() as open_until_the_end:
        job.start(FIRST, ("sleep", "0.1"))

        def listens() -> bool:
            try:
                socket.create_connection((FIRST, job.port), timeout=1).close()
            except OSError:
                return False
            return True

        until(listens, job)
        for noise in NOISE:
            stranger = open_until_the_end.enter_context(socket.create_connection((FIRST, job.port), timeout=5))
            with suppress(OSError):  # it may have had enough of the long one
                stranger.sendall(noise)
        for host in (SECOND, THIRD):
            job.start(host, ("sleep", "0.1"))
        assert job.ended() == dict.fromkeys(HOSTS, 0), job.logs()
        assert "Traceback" not in job.logs()


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with Job(HOSTS, tmp_path) as job, socket.socket() as taken:
        taken.bind((FIRST, job.port))
        taken.listen()
        job.start(FIRST, WORK)
        assert job.ended(FIRST) == {FIRST: 3}
        assert f"cannot listen on {FIRST}:{job.port}: " in job.err(FIRST)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_supervisor_that_is_stopped_stops_its_worker_and_the_job(number: signal.Signals, tmp_path: Path) -> None:
    with started(tmp_path) as job:
        worker = job.worker(SECOND)
        job.processes[SECOND].send_signal(number)
        codes = job.ended(within=NOTICED)
        # SIGTERM is how a job is stopped, and that holds for all; anything else is one host's end.
        others = 143 if number == signal.SIGTERM else 5
        assert codes == {FIRST: others, SECOND: 128 + number, THIRD: others}, job.logs()
        assert gone(worker)
        assert all(f"host {SECOND}: its " in job.err(host) for host in (FIRST, THIRD))


def test_sigterm_reaches_a_worker_that_ends_well(tmp_path: Path) -> None:
    # As one does that saves a checkpoint first.
    waits = (sys.executable, "-c", (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
        "print('at work', file=sys.stderr, flush=True)\n"
        "time.sleep(60)\n"
    ))  # fmt: skip
    with Job([FIRST], tmp_path) as job:
        job.start(FIRST, waits)
        job.everywhere("at work")
        job.processes[FIRST].terminate()
        assert job.ended() == {FIRST: 7}
