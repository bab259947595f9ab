from __future__ import annotations

import asyncio

import pytest

from service.admission import Turns


def test_one_a_turn_first_come_first_served():
    waits: list[float] = []
    served: list[tuple[int, int]] = []
    turn = 0

    async def request(turns: Turns, number: int) -> None:
        async with turns:
            served.append((number, turn))

    async def scenario() -> None:
        nonlocal turn
        turns = Turns(waits.append)
        requests = [asyncio.create_task(request(turns, number)) for number in range(5)]
        while not all(task.done() for task in requests):
            await asyncio.sleep(0)
            turn += 1

    asyncio.run(scenario())
    assert [number for number, _ in served] == [0, 1, 2, 3, 4]
    assert len({turn for _, turn in served}) == 5
    assert len(waits) == 5
    assert all(wait >= 0 for wait in waits)


def test_a_failed_request_gives_its_turn_on():
    async def scenario() -> None:
        turns = Turns(lambda _: None)
        for _ in range(3):
            with pytest.raises(ValueError, match="bad request"):
                async with turns:
                    raise ValueError("bad request")
        async with asyncio.timeout(1), turns:
            pass

    asyncio.run(scenario())


def test_a_cancelled_wait_keeps_no_turn():
    async def scenario() -> None:
        turns = Turns(lambda _: None)
        async with turns:
            waiting = asyncio.create_task(turns.__aenter__())
            await asyncio.sleep(0)
            waiting.cancel()
        async with asyncio.timeout(1), turns:
            pass

    asyncio.run(scenario())
