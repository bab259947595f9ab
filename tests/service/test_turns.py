from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Generator
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from service import turns
from service.admission import Admission, Expired, Refusal, Ticket
from service.turns import Turns, has_left

NEVER = 1e12


class Place:
    """Turns with all they count."""

    def __init__(self, max_in_flight: int = 100, max_queue: float = 100.0) -> None:
        self.waits: list[float] = []
        self.slices: list[float] = []
        self.admission = Admission(max_in_flight, max_queue)
        self.turns = Turns(self.admission, self.waits.append, self.slices.append)

    def enter(self, size: int = 1000, deadline: float = NEVER) -> Ticket:
        return self.admission.enter("rank", size, 0.0, deadline)

    async def request(self, steps: Generator[None, None, Any], size: int = 1000, *, left: bool = False) -> Any:
        ticket = self.enter(size)
        try:
            return await self.turns.run(ticket, size, steps, lambda: left)
        finally:
            self.admission.leave(ticket)

    def assert_empty(self) -> None:
        assert self.admission.in_flight == 0
        assert self.admission.next() is None
        assert self.admission.backlog == 0


def counting(log: list[str], name: str, slices: int) -> Generator[None, None, str]:
    for number in range(slices):
        log.append(f"{name}{number}")
        if number < slices - 1:
            yield
    return name


def within(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 20))


@pytest.fixture
def one_slice_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.0)


def test_each_gets_its_answer_first_come_first_served():
    log: list[str] = []
    place = Place()

    async def scenario() -> list[str]:
        return await asyncio.gather(*(place.request(counting(log, name, 2)) for name in "abc"))

    assert within(scenario()) == ["a", "b", "c"]
    assert log == ["a0", "a1", "b0", "b1", "c0", "c1"]
    assert len(place.waits) == 3
    assert len(place.slices) == 6
    assert min(place.waits + place.slices) >= 0
    place.assert_empty()


@pytest.mark.usefixtures("one_slice_a_turn")
def test_a_short_request_goes_between_the_slices_of_a_long_one():
    log: list[str] = []
    place = Place()

    async def scenario() -> None:
        long = asyncio.create_task(place.request(counting(log, "long", 50), 1_000_000))
        while not log:
            await asyncio.sleep(0)
        await place.request(counting(log, "short", 1))
        assert not long.done()
        await long

    within(scenario())
    assert log.index("short0") < log.index("long49")
    place.assert_empty()


@pytest.mark.usefixtures("one_slice_a_turn")
def test_others_have_turns_between_two_slices():
    log: list[str] = []
    place = Place()

    async def bystander() -> None:
        while True:
            log.append(".")
            await asyncio.sleep(0)

    async def scenario() -> None:
        other = asyncio.create_task(bystander())
        await place.request(counting(log, "a", 3))
        other.cancel()

    within(scenario())
    first, second, third = (log.index(f"a{number}") for number in range(3))
    assert second - first > turns.BREATHS
    assert third - second > turns.BREATHS


def test_short_slices_share_a_turn(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(turns, "TURN_SECONDS", 60.0)
    log: list[str] = []
    place = Place()

    async def bystander() -> None:
        while True:
            log.append(".")
            await asyncio.sleep(0)

    async def scenario() -> None:
        other = asyncio.create_task(bystander())
        await asyncio.gather(place.request(counting(log, "a", 3)), place.request(counting(log, "b", 1)))
        other.cancel()

    within(scenario())
    assert "a0,a1,a2,b0" in ",".join(log)


def failing() -> Generator[None, None, None]:
    yield
    raise ValueError("bad request")


def test_a_failure_is_its_own_and_keeps_no_place():
    log: list[str] = []
    place = Place()

    async def scenario() -> None:
        for _ in range(3):
            with pytest.raises(ValueError, match="bad request"):
                await place.request(failing())
        answers = await asyncio.gather(
            place.request(failing()), place.request(counting(log, "a", 2)), return_exceptions=True
        )
        assert isinstance(answers[0], ValueError)
        assert answers[1] == "a"

    within(scenario())
    place.assert_empty()


@pytest.mark.usefixtures("one_slice_a_turn")
def test_a_cancelled_request_stops_and_keeps_no_place():
    log: list[str] = []
    place = Place()

    async def scenario() -> None:
        task = asyncio.create_task(place.request(counting(log, "a", 100)))
        while not log:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        done = len(log)
        assert await place.request(counting(log, "b", 1)) == "b"
        assert log[done:] == ["b0"]

    within(scenario())
    place.assert_empty()


def test_who_left_while_waiting_is_not_scored():
    log: list[str] = []
    place = Place()

    async def scenario() -> None:
        with pytest.raises(ClientDisconnect):
            await place.request(counting(log, "a", 1), left=True)

    within(scenario())
    assert log == []
    place.assert_empty()


def test_what_expires_while_waiting_is_not_scored():
    log: list[str] = []
    place = Place()

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        ticket = place.enter(deadline=turns.perf_counter() + 0.05)
        waiting = asyncio.create_task(place.turns.run(ticket, 1000, counting(log, "a", 1), lambda: False))
        # The request queues itself in the next turn, and by the turn after that the loop was held for too long.
        loop.call_soon(lambda: loop.call_soon(time.sleep, 0.1))
        await asyncio.sleep(0)
        with pytest.raises(Expired):
            await waiting
        place.admission.leave(ticket)

    place.turns._breaths = 5
    within(scenario())
    assert log == []
    place.assert_empty()


def test_a_refusal_comes_before_any_work():
    log: list[str] = []
    place = Place(max_queue=0.0)

    async def scenario() -> list[Any]:
        return await asyncio.gather(*(place.request(counting(log, name, 1)) for name in "ab"), return_exceptions=True)

    first, second = within(scenario())
    assert first == "a"
    assert isinstance(second, Refusal)
    assert log == ["a0"]
    place.assert_empty()


def test_a_client_that_is_there_has_not_left():
    async def scenario() -> None:
        gone = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await gone.wait()
            return {"type": "http.disconnect"}

        assert not has_left(receive)
        assert not has_left(receive)
        assert not gone._waiters  # pyright: ignore[reportAttributeAccessIssue] - nothing is left behind
        gone.set()
        assert has_left(receive)

    within(scenario())
