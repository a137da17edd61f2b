"""How long something took, counted into buckets: cheap enough for every push. How long it may."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from types import TracebackType

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds; what took longer is in the last bucket."""


class Timing:
    """A histogram of seconds, touched by one thread."""

    __slots__ = ("counts", "last", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0
        self.last = 0.0

    def took(self, seconds: float) -> None:
        self.last = seconds = max(0.0, seconds)  # two machines' clocks may differ
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


TURNS = 8
"""Of the event loop, in which an answer that is there comes to whoever waits for it."""


class Within:
    """`asyncio.timeout`, but a loop that was late itself lets come what is there, before it blames
    others: in a storm of connects one turn takes longer than a healthy Redis may."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timeout = asyncio.timeout(None)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.Handle = self._loop.call_later(self._seconds, self._over, TURNS)

    async def __aexit__(
        self,
        type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._handle.cancel()
        await self._timeout.__aexit__(type, error, traceback)

    def _over(self, turns: int) -> None:
        if turns:
            self._handle = self._loop.call_soon(self._over, turns - 1)
        else:
            self._timeout.reschedule(self._loop.time())
