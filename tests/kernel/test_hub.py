"""The hub on its own loop: nothing falls between two chairs, and one text serves all."""

from __future__ import annotations

import asyncio
import json

import pytest
from django.db import connections

from notifications import Everyone, broadcast, inbox_of, notify
from notifications.audiences import ended_sessions
from notifications.notices import render
from notifications.stream import hub as hubs
from notifications.stream.hub import Above, Hub
from notifications.stream.read import greet_all
from notifications.stream.socket import Socket
from notifications.wire import Close

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def no_sweep(settings):
    """Whatever arrives here came by the bell."""
    settings.NOTIFICATIONS = {"SWEEP": 600.0, "SWEEP_UNHEALTHY": 600.0, "WINDOW": 4}


class Line:
    """The other end of a socket: it keeps what it is sent."""

    def __init__(self):
        self.frames = []

    async def send(self, message):
        if "text" in message:
            self.frames.append(json.loads(message["text"]))

    def titles(self):
        return [
            item["notification"]["title"]
            for frame in self.frames
            if frame["type"] == "items"
            for item in frame["items"]
            if item["op"] == "created"
        ]


async def do(work, *args, **more):
    """Something in another thread, as a request would do it."""

    def act():
        try:
            return work(*args, **more)
        finally:
            connections.close_all()

    return await asyncio.to_thread(act)


async def until(truth):
    async with asyncio.timeout(10):
        while not truth():  # noqa: ASYNC110 (any truth, not an event of ours)
            await asyncio.sleep(0.01)


@pytest.fixture
def in_hub():
    """Run a scenario with a hub of its own."""

    def run(scenario):
        async def main():
            above = Above(
                render, lambda keys: dict.fromkeys(keys, Close.LOGIN_REQUIRED), ended_sessions, set
            )
            hub = Hub.here(above)
            try:
                await scenario(hub)
            finally:
                await hub.aclose()

        asyncio.run(main())

    return run


async def connected(hub, person, language="en"):
    line = Line()
    inbox = await do(inbox_of, person)
    socket = Socket(inbox.subscription, line.send, "no session")
    socket.language = language
    assert hub.admit(socket) is None
    await hub.attach(socket)
    return socket, line


def test_news_reaches_its_person_and_nobody_else(ana, jz, in_hub):
    async def scenario(hub):
        mine, line = await connected(hub, ana)
        other, silence = await connected(hub, jz)
        for socket in (mine, other):
            await hub.greet(socket, None)
        await do(notify, ana, "Hello")
        await until(line.titles)
        assert line.titles() == ["Hello"]
        assert silence.titles() == []

    in_hub(scenario)


def test_what_is_numbered_while_a_first_socket_is_being_greeted_is_not_lost(
    ana, in_hub, monkeypatch
):
    async def scenario(hub):
        socket, line = await connected(hub, ana)
        run = hub.run

        async def run_and_be_overtaken(work, *args, **threads):
            answer = await run(work, *args)
            if work is greet_all:
                await do(notify, ana, "In between")
                await until(lambda: socket.subscription.own not in hub._dirty)
                await asyncio.sleep(0.2)  # by now the collector has numbered, and pushed to nobody
            return answer

        monkeypatch.setattr(hub, "run", run_and_be_overtaken)
        await hub.greet(socket, None)
        await until(line.titles)
        assert line.titles() == ["In between"]

    in_hub(scenario)


def test_one_text_is_written_for_each_language_however_many_sockets(ana, in_hub, monkeypatch):
    async def scenario(hub):
        lines = []
        for language in ("en", "en", "en", "de"):
            socket, line = await connected(hub, ana, language)
            await hub.greet(socket, None)
            lines.append(line)
        written = []
        write_runs = hubs.write_runs

        def counting(runs, key, language, render):
            written.append(language)
            return write_runs(runs, key, language, render)

        monkeypatch.setattr(hubs, "write_runs", counting)
        await do(broadcast, Everyone(), "Hello")
        await until(lambda: all(line.titles() for line in lines))
        assert sorted(written) == ["de", "en"]

    in_hub(scenario)


def test_a_socket_behind_gets_the_rest_in_order_when_it_acknowledges(ana, in_hub):
    async def scenario(hub):
        socket, line = await connected(hub, ana)
        await hub.greet(socket, None)
        for number in range(10):
            await do(notify, ana, f"{number}")
            await until(lambda number=number: socket.behind or len(line.titles()) > number)
        assert line.titles() == ["0", "1", "2", "3"]  # the window is four frames
        assert socket.behind
        await until(lambda: hub.streams[socket.subscription.own].pushed == 10)
        hub.acked(socket, socket.cursor())
        await until(lambda: len(line.titles()) == 10)
        assert line.titles() == [str(number) for number in range(10)]
        seqs = [frame["prev"] for frame in line.frames if frame["type"] == "items"]
        assert seqs == sorted(seqs)

    in_hub(scenario)


def test_when_the_last_socket_goes_nothing_of_it_is_kept(ana, bo, in_hub):
    async def scenario(hub):
        sockets = [(await connected(hub, person))[0] for person in (ana, ana, bo)]
        assert set(hub.streams) == {"everyone", f"user.{ana.pk}", f"user.{bo.pk}"}
        for socket in sockets:
            hub.detach(socket)
        assert (hub.sockets, dict(hub.people), hub.streams) == (set(), {}, {})
        assert not any(hub._slots)

    in_hub(scenario)


def test_a_socket_that_goes_while_it_is_behind_is_not_read_further(ana, in_hub):
    async def scenario(hub):
        socket, _line = await connected(hub, ana)
        await hub.greet(socket, None)
        hub._fall_behind(socket)
        hub.detach(socket)
        await until(lambda: not hub._catching_up)
        assert not hub.stats["errors"]
        assert not hub.stats["catch_ups"]

    in_hub(scenario)


def test_one_stream_that_cannot_be_numbered_does_not_stop_the_others(
    ana, bo, in_hub, monkeypatch, caplog
):
    from django.db import IntegrityError

    number = hubs.number

    def poisoned(streams, *more):
        if f"user.{bo.pk}" in streams:
            raise IntegrityError("poison")
        return number(streams, *more)

    async def scenario(hub):
        socket, line = await connected(hub, ana)
        other, _ = await connected(hub, bo)
        for one in (socket, other):
            await hub.greet(one, None)
        monkeypatch.setattr(hubs, "number", poisoned)
        await do(notify, [ana, bo], "Hello")
        await until(line.titles)

    in_hub(scenario)
    assert "cannot be numbered" in caplog.text
