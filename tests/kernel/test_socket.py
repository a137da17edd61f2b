"""One socket: written to without a task, never ahead of its window, and honest when it lags."""

from __future__ import annotations

import asyncio
from unittest import mock

import pytest

from notifications.conf import conf
from notifications.feeds import QUEUE, Feed
from notifications.stream.read import Subscription
from notifications.stream.socket import Socket
from notifications.wire import HEARTBEAT, Close


class Line:
    """What a server's `send` does: it takes frames at once, or waits while its buffer is full."""

    def __init__(self):
        self.taken = []
        self.room = asyncio.Event()
        self.room.set()
        self.gone = False

    async def send(self, message):
        await self.room.wait()
        if self.gone:
            raise OSError("the line is gone")
        self.taken.append(message.get("text") or message.get("code"))


def in_loop(test):
    def run():
        async def scenario():
            line = Line()
            subscription = Subscription(41, {"everyone": 0})
            socket = Socket(subscription, line.send, "s")
            socket.live = True
            await test(socket, line)

        asyncio.run(scenario())

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return run


@in_loop
async def test_a_frame_is_taken_at_once_and_makes_no_task(socket, line):
    before = len(asyncio.all_tasks())
    socket.write("a")
    socket.write("b")
    assert line.taken == ["a", "b"]
    assert len(asyncio.all_tasks()) == before


@in_loop
async def test_a_full_line_makes_the_socket_wait_and_nothing_is_lost(socket, line):
    line.room.clear()
    socket.write("a")
    assert not socket.writable
    assert not socket.window_open
    line.room.set()
    await socket.drained()
    assert socket.writable
    socket.write("b")
    assert line.taken == ["a", "b"]


@in_loop
async def test_who_asks_just_when_it_was_taken_does_not_hold_up_the_loop(socket, line):
    line.room.clear()
    socket.write("a")
    line.room.set()
    while not socket._finishing.done():  # noqa: ASYNC110 (its callback must not have run)
        await asyncio.sleep(0)
    assert not socket.writable  # it is done, and what is done after it has not been
    await socket.drained()
    assert socket.writable


@in_loop
async def test_a_close_comes_after_the_frame_that_waits(socket, line):
    line.room.clear()
    socket.write("a")
    socket.close(Close.DRAINING)
    line.room.set()
    await socket.drained()
    assert line.taken == ["a", 4102]
    assert (socket.closed, socket.live) == (4102, False)


@in_loop
async def test_a_line_that_is_gone_raises_nothing_and_is_known(socket, line):
    line.gone = True
    socket.write("a")
    assert (socket.closed, socket.live) == (1006, False)
    line.gone = False
    line.room.clear()
    socket.closed = None
    socket.write("b")
    line.gone = True
    line.room.set()
    with pytest.raises(OSError, match="gone"):
        await socket.drained()
    await asyncio.sleep(0)
    assert socket.closed == 1006


@in_loop
async def test_the_window_closes_when_nobody_acknowledges(socket, line):
    for seq in range(1, conf.window + 1):
        assert socket.window_open
        socket.write_items("user.41", seq, "items")
    assert not socket.window_open
    socket.ack(None)
    assert socket.unacked == conf.window - conf.window // 2
    socket.ack(socket.cursor())
    assert socket.unacked == 0


@in_loop
async def test_the_answer_to_a_heartbeat_acknowledges_what_came_before_it(socket, line):
    for seq in range(1, 11):
        socket.write_items("user.41", seq, "items")
    socket.write_heartbeat("hb")
    socket.write_items("user.41", 11, "items")
    socket.ack(None)
    assert socket.unacked == 1


@in_loop
async def test_a_client_may_say_much_at_once_but_not_for_long(socket, line):
    with mock.patch("notifications.stream.socket.time") as clock:
        clock.monotonic.return_value = now = socket._heard
        said = 0
        while socket.heard():
            said += 1
            assert said < 10_000
        assert said == conf.frames_burst
        socket._allowance = 0
        clock.monotonic.return_value = now = now + 1.5 / conf.frames_per_second  # it is quiet
        assert socket.heard()
        assert not socket.heard()
        clock.monotonic.return_value = now + 3_600
        socket.heard()
        assert socket._allowance == conf.frames_burst - 1


@in_loop
async def test_the_window_closes_by_bytes_too_and_the_client_is_asked_to_acknowledge(socket, line):
    frame = "x" * 100_000
    socket.write_items("user.41", 1, frame)
    socket.write_items("user.41", 2, frame)
    assert socket.window_open
    socket.write_items("user.41", 3, frame)
    assert not socket.window_open
    assert line.taken[-1] == HEARTBEAT  # three frames are no half window: it would not ack itself
    socket.ack(None)
    assert (socket.window_open, socket.unacked) == (True, 0)


def test_frames_that_nobody_will_take_leave_no_task():
    async def scenario():
        feed = Feed(Subscription(41, {"everyone": 0}), "s")
        before = len(asyncio.all_tasks())
        for number in range(QUEUE + 3):
            feed.write(f"{number}")
        assert not feed.writable
        assert len(asyncio.all_tasks()) > before
        feed.taken()
        await feed.drained()
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == before

    asyncio.run(scenario())
