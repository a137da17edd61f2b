"""A loop that was late itself blames nobody else."""

from __future__ import annotations

import asyncio
import time

import pytest

from notifications.stream.timing import TURNS, Within


def test_an_answer_that_came_while_the_loop_was_busy_is_in_time():
    async def ask() -> str:
        answer = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(pass_on, answer, TURNS - 2)
        async with Within(0.01):
            await asyncio.sleep(0)
            time.sleep(0.05)  # noqa: ASYNC251 (that is the point)
            return await answer

    def pass_on(answer: asyncio.Future[str], hops: int) -> None:
        """As it goes through callbacks and tasks, a turn of the loop each."""
        if hops:
            asyncio.get_running_loop().call_soon(pass_on, answer, hops - 1)
        else:
            answer.set_result("here")

    assert asyncio.run(ask()) == "here"


def test_who_does_not_answer_is_not_waited_for():
    async def ask() -> None:
        async with Within(0.05):
            await asyncio.sleep(30)

    began = time.monotonic()
    with pytest.raises(TimeoutError):
        asyncio.run(ask())
    assert 0.05 <= time.monotonic() - began < 15


def test_what_comes_after_is_not_cut_short():
    complaints = []

    async def ask() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: complaints.append(context))
        async with Within(0.02):
            pass
        await asyncio.sleep(0.1)
        with pytest.raises(ValueError, match="its own"):
            async with Within(0.02):
                raise ValueError("its own")
        await asyncio.sleep(0.1)

    asyncio.run(ask())
    assert not complaints
