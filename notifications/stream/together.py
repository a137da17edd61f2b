"""Work that is asked for one by one and done together: a storm of connects costs few queries."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

MOST = 500
"""Asked for together at most."""


class Together(Generic[Asked, Answer]):
    """Call it with one thing. `work` gets all that came while it was busy with others before.

    What fails for several is tried for each alone, so that nobody fails for another's sake.
    """

    def __init__(self, work: Callable[[Sequence[Asked]], Awaitable[Sequence[Answer]]]) -> None:
        self._work = work
        self._waiting: list[tuple[Asked, asyncio.Future[Answer]]] = []
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, asked: Asked) -> Answer:
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, future))
        if self._task is None:
            self._task = asyncio.create_task(self._answer())
        return await future

    def stop(self) -> None:
        """Give up what is under way; whoever waits for it is cancelled."""
        if self._task is not None:
            self._task.cancel()

    async def _answer(self) -> None:
        try:
            while self._waiting:
                some, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                await self._answer_some([pair for pair in some if not pair[1].done()])
        finally:
            self._task = None
            for _asked, future in self._waiting:  # the loop is ending
                future.cancel()

    async def _answer_some(self, some: Sequence[tuple[Asked, asyncio.Future[Answer]]]) -> None:
        if not some:
            return
        try:
            answers = await self._work([asked for asked, _future in some])
        except Exception as error:
            if len(some) > 1:
                for pair in some:
                    await self._answer_some([pair])
            elif not some[0][1].done():
                some[0][1].set_exception(error)
            return
        except BaseException:
            for _asked, future in some:
                future.cancel()
            raise
        for (_asked, future), answer in zip(some, answers, strict=True):
            if not future.done():
                future.set_result(answer)
