"""Who is scored when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter


class Turns:
    """Lets one request through per turn of the event loop, first come, first served.

    Scoring blocks the loop. Between two turns the loop reads sockets, accepts connections and answers
    probes, so none of them waits for more than one scoring however many requests are queued.

    Args:
        waited: is told the seconds that each request waited.
    """

    def __init__(self, waited: Callable[[float], object]) -> None:
        self._lock = asyncio.Lock()
        self._waited = waited

    async def __aenter__(self) -> None:
        asked = perf_counter()
        await self._lock.acquire()
        self._waited(perf_counter() - asked)

    async def __aexit__(self, *_: object) -> None:
        # Released now, the next request would run within this very turn.
        asyncio.get_running_loop().call_soon(self._lock.release)
