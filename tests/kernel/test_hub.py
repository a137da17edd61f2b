"""The hub on its own loop: nothing falls between two chairs, and one text serves all."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import OperationalError, connections
from django.utils import timezone

from notifications import Everyone, broadcast, inbox_of, notify
from notifications.models import Pending
from notifications.notices import render
from notifications.stream import bell
from notifications.stream import hub as hubs
from notifications.stream.hub import Above, Hub
from notifications.stream.names import BELLS, EVERYONE, layer_group
from notifications.stream.read import greet_all, new_epoch
from notifications.stream.socket import Socket
from notifications.testing import time_travel
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
    async with asyncio.timeout(30):
        while not truth():  # noqa: ASYNC110 (any truth, not an event of ours)
            await asyncio.sleep(0.01)


@pytest.fixture
def in_hub():
    """Run a scenario with a hub of its own."""

    def run(scenario):
        async def main():
            # Nobody here has a session, and none of them ends.
            above = Above(
                render,
                lambda keys: dict.fromkeys(keys, Close.LOGIN_REQUIRED),
                lambda keys: set(),
                set,
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


class Counted(asyncio.Event):
    """How often it was waited for."""

    times = 0

    async def wait(self):
        self.times += 1
        return await super().wait()


class Echo:
    """A layer that is well."""

    def __init__(self, hub):
        self.hub = hub

    async def send(self, channel, message):
        self.hub._take(message)

    async def group_add(self, group, channel): ...


def test_a_loop_of_the_hub_that_others_cancel_begins_again(ana, in_hub, monkeypatch):
    async def scenario(hub):
        socket, line = await connected(hub, ana)
        await hub.greet(socket, None)
        for task in asyncio.all_tasks():
            if task.get_name().startswith("notifications-"):
                task.cancel()
        await until(lambda: hub.stats["errors"] == 12)
        await do(notify, ana, "Hello")
        await until(line.titles)
        assert line.titles() == ["Hello"]

    in_hub(scenario)


def test_a_layer_that_is_well_but_takes_nobody_into_its_groups_is_not_healthy(
    ana, in_hub, monkeypatch
):
    monkeypatch.setattr(hubs, "SELF_TEST", 0.01)
    joined = []

    class Hasty(Echo):
        async def group_add(self, group, channel):
            joined.append(group)
            if len(joined) == 1:
                raise TimeoutError

    async def scenario(hub):
        socket, _line = await connected(hub, ana)
        await hub.greet(socket, None)
        monkeypatch.setattr(bell, "layer", lambda: Hasty(hub))
        hub._channel = "here"
        await hub._test_layer()
        assert not hub.healthy
        await hub._test_layer()
        assert hub.healthy
        groups = {BELLS, *map(layer_group, socket.subscription.streams)}
        assert set(joined[1:]) == groups
        assert joined[0] == BELLS

    in_hub(scenario)


def test_a_bell_that_is_here_but_not_yet_heard_is_no_sign_of_an_ill_layer(in_hub, monkeypatch):
    monkeypatch.setattr(hubs, "SELF_TEST", 0.01)

    class Late(Echo):
        async def send(self, channel, message):
            loop = asyncio.get_running_loop()

            def pass_on(hops):
                """As it goes from task to task, a turn of the loop each."""
                if hops:
                    loop.call_soon(pass_on, hops - 1)
                else:
                    self.hub._take(message)

            loop.call_later(hubs.SELF_TEST, pass_on, hubs.TURNS - 3)

    async def scenario(hub):
        await asyncio.sleep(0)  # its loops find that there is no layer, and wait
        monkeypatch.setattr(bell, "layer", lambda: Late(hub))
        hub._channel, hub.healthy, hub._joined_at = "here", True, time.monotonic()
        await hub._test_layer()
        assert hub.healthy
        assert not hub.stats["layer_failures"]

    in_hub(scenario)


def test_a_layer_that_takes_too_long_to_join_holds_nobody_up(ana, in_hub, monkeypatch):
    monkeypatch.setattr(hubs, "PATIENCE", 0.02)
    joined = []

    class Slow(Echo):
        async def group_add(self, group, channel):
            await asyncio.sleep(0.05)
            joined.append(group)

    async def scenario(hub):
        await asyncio.sleep(0)  # as above
        monkeypatch.setattr(bell, "layer", lambda: Slow(hub))
        hub._channel, hub.healthy = "here", True
        socket, _line = await connected(hub, ana)
        assert len(socket.subscription.streams) > len(joined) == 1
        assert not hub.healthy

    in_hub(scenario)


def test_who_goes_while_their_group_is_joined_leaves_it_when_the_layer_is_well_again(
    ana, in_hub, monkeypatch
):
    monkeypatch.setattr(hubs, "SELF_TEST", 0.01)
    left = []

    class Ill(Echo):
        async def group_add(self, group, channel):
            if self.hub.sockets:
                for socket in list(self.hub.sockets):
                    self.hub.detach(socket)
                self.hub._unhealthy("it is ill")

        async def group_discard(self, group, channel):
            left.append(group)

    async def scenario(hub):
        await asyncio.sleep(0)  # as above
        monkeypatch.setattr(bell, "layer", lambda: Ill(hub))
        hub._channel, hub.healthy = "here", True
        socket, _line = await connected(hub, ana)
        await asyncio.sleep(0.05)
        assert not left
        await hub._test_layer()
        assert hub.healthy
        assert sorted(left) == sorted(map(layer_group, socket.subscription.streams))

    in_hub(scenario)


def test_who_comes_while_all_groups_are_joined_anew_need_not_wait_for_all(in_hub, monkeypatch):
    joined = []

    class Busy(Echo):
        async def group_add(self, group, channel):
            joined.append(group)
            if len(joined) == 20:
                self.newcomer = asyncio.create_task(self.hub._join_or_leave(["user.new"]))
            await asyncio.sleep(0)

    async def scenario(hub):
        await asyncio.sleep(0)  # as above
        layer = Busy(hub)
        monkeypatch.setattr(bell, "layer", lambda: layer)
        hub._channel, hub.healthy = "here", True
        many = [f"user.{number}" for number in range(3 * hubs.JOINED_AT_ONCE)]
        hub.streams = {name: hubs._Own() for name in [*many, "user.new"]}
        await hub._join_all(layer, "here")
        assert set(joined) == {BELLS, *map(layer_group, hub.streams)}
        assert joined.index("notifications.user.new") < 1.5 * hubs.JOINED_AT_ONCE
        assert len(joined) == len(set(joined))

    in_hub(scenario)


def test_a_hub_that_stops_leaves_nobody_who_waits_for_a_group(ana, in_hub, settings, monkeypatch):
    settings.NOTIFICATIONS = {"BELL_TIMEOUT": 60.0}
    asked = asyncio.Event()

    class Hanging(Echo):
        async def group_add(self, group, channel):
            asked.set()
            await asyncio.sleep(60)

    async def scenario(hub):
        await asyncio.sleep(0)  # as above
        monkeypatch.setattr(bell, "layer", lambda: Hanging(hub))
        hub._channel, hub.healthy = "here", True
        coming = asyncio.create_task(connected(hub, ana))
        await asyncio.wait_for(asked.wait(), 30)
        await hub.aclose()
        await asyncio.wait([coming], timeout=10)
        assert coming.cancelled()
        monkeypatch.setattr(hub, "aclose", lambda: asyncio.sleep(0))  # it is closed

    in_hub(scenario)


def test_an_error_without_words_is_told_by_its_name(in_hub, caplog):
    async def scenario(hub):
        hub.healthy = True
        hub._unhealthy(TimeoutError())
        assert "is unhealthy: TimeoutError;" in caplog.text

    in_hub(scenario)


def test_while_those_who_ring_may_still_rest_the_sweep_is_short(ana, in_hub, settings, monkeypatch):
    """The layer is back, and a caller's process does not try it yet."""
    settings.NOTIFICATIONS = {"SWEEP": 600.0, "SWEEP_UNHEALTHY": 0.05}
    monkeypatch.setattr(bell, "ring", lambda streams: None)
    monkeypatch.setattr(bell, "REST", 600.0)

    async def scenario(hub):
        hub._sweep_now = sweeps = Counted()

        async def next_sweep():
            """The one that has begun is over."""
            begun = sweeps.times
            await until(lambda: sweeps.times > begun)

        socket, line = await connected(hub, ana)
        await hub.greet(socket, None)
        monkeypatch.setattr(bell, "layer", lambda: Echo(hub))
        hub._channel = "here"
        await hub._test_layer()
        assert hub.healthy
        await next_sweep()
        await next_sweep()
        await do(notify, ana, "Hello")
        await until(line.titles)
        monkeypatch.setattr(bell, "REST", -1.0)
        await next_sweep()
        await do(notify, ana, "Later")
        await asyncio.sleep(0.5)
        assert line.titles() == ["Hello"]

    in_hub(scenario)


def test_who_asks_to_go_on_has_acknowledged_what_came_before(ana, in_hub):
    """Else one who only asks would be heard, so never closed, and never get more."""

    async def scenario(hub):
        socket, line = await connected(hub, ana)
        await hub.greet(socket, None)
        for number in range(10):
            await do(notify, ana, f"{number}")
        await until(lambda: hub.streams[socket.subscription.own].pushed == 10)
        while len(line.titles()) < 10:
            before = len(line.titles())
            assert socket.behind
            await hub.sync(socket, socket.cursor())
            await until(lambda before=before: len(line.titles()) > before)
        assert line.titles() == [str(number) for number in range(10)]

    in_hub(scenario)


def test_when_the_last_socket_goes_nothing_of_it_is_kept(ana, bo, in_hub):
    async def scenario(hub):
        sockets = [(await connected(hub, person))[0] for person in (ana, ana, bo)]
        assert set(hub.streams) == {"everyone", f"user.{ana.pk}", f"user.{bo.pk}"}
        for socket in sockets:
            hub.detach(socket)
        assert (hub.sockets, hub.people, hub.streams) == ({}, {}, {})
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


def test_who_starts_again_in_a_shared_stream_gets_nothing_of_their_own_before(
    ana, in_hub, monkeypatch
):
    """Their own stream may speak of what the shared one has lost."""

    async def scenario(hub):
        monkeypatch.setattr(
            hub, "above", replace(hub.above, authenticate=lambda keys: dict.fromkeys(keys, mine))
        )
        socket, line = await connected(hub, ana)
        mine = socket.subscription
        await hub.greet(socket, None)
        await do(notify, ana, "First")
        await until(line.titles)
        hub._start_again([EVERYONE])
        own = mine.own
        assert not socket.push(own, socket.sent[own], socket.sent[own] + 1, "an act")
        await until(lambda: socket.live)
        await do(notify, ana, "Second")
        await until(lambda: line.titles() == ["First", "Second"])

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
        await until(lambda: "cannot be numbered" in caplog.text)

    in_hub(scenario)


# --- In trouble ------------------------------------------------------------------------------


def failing(times, work, error=OperationalError):
    """`work`, which the database refuses so many times first."""
    left = [times]

    def refused(*args):
        if left[0]:
            left[0] -= 1
            raise error("the database is away")
        return work(*args)

    return refused


def counts_of(line):
    return [frame["unread"] for frame in line.frames if frame["type"] == "counts"]


def test_counts_that_the_database_refused_are_told_when_it_is_back(ana, in_hub, monkeypatch):
    first = notify(ana, "First")

    async def scenario(hub):
        socket, line = await connected(hub, ana)
        await hub.greet(socket, None)
        monkeypatch.setattr(hubs, "read_counts", failing(1, hubs.read_counts))
        await do(first.recall)
        await until(lambda: counts_of(line))
        assert counts_of(line) == [0]

    in_hub(scenario)


def test_who_could_not_be_told_the_counts_is_told_when_they_can(ana, in_hub):
    first = notify(ana, "First")

    async def scenario(hub):
        one, line = await connected(hub, ana)
        other, silence = await connected(hub, ana)
        for socket in (one, other):
            await hub.greet(socket, None)
        other.live = False  # it syncs, and the database takes its time
        await do(first.recall)
        await until(lambda: counts_of(line))
        assert counts_of(silence) == []
        await hub.sync(other, other.cursor())
        await until(lambda: counts_of(silence))
        assert counts_of(silence) == [0]

    in_hub(scenario)


def test_a_look_at_a_session_that_the_database_refused_is_repeated(ana, in_hub):
    async def scenario(hub):
        socket, _line = await connected(hub, ana)
        await hub.greet(socket, None)
        refused = failing(1, hub.above.authenticate)
        hub.above = replace(hub.above, authenticate=refused, ended=lambda keys: set())
        hub._spawn(hub._recheck([socket]))
        await until(lambda: socket.closed is not None)
        assert socket.closed == Close.SESSION_CHANGED

    in_hub(scenario)


def test_when_one_cannot_be_given_new_streams_the_others_are_looked_at_again(
    ana, in_hub, monkeypatch
):
    """They may have left an audience too, and must not hear it any longer."""
    monkeypatch.setattr(hubs, "SESSION_SWEEP", 0.01)
    monkeypatch.setattr(hubs, "read_since", failing(1, hubs.read_since))

    async def scenario(hub):
        sockets = [(await connected(hub, ana))[0] for _ in range(3)]
        for socket in sockets:
            await hub.greet(socket, None)
        alone = replace(sockets[0].subscription, shared={})
        hub.above = replace(hub.above, authenticate=lambda keys: dict.fromkeys(keys, alone))
        hub._spawn(hub._recheck(sockets))
        await until(lambda: all(socket.subscription == alone for socket in sockets))
        assert sum(socket.closed is not None for socket in sockets) == 1

    in_hub(scenario)


def test_an_answer_about_a_session_that_was_overtaken_by_a_newer_one_is_void(ana, in_hub):
    async def scenario(hub):
        socket, _line = await connected(hub, ana)
        await hub.greet(socket, None)

        def slow(keys):
            socket.checked = time.monotonic() + 1  # another look began after ours, and is done
            return dict.fromkeys(keys, Close.LOGIN_REQUIRED)

        hub.above = replace(hub.above, authenticate=slow)
        await hub._recheck([socket])
        assert socket.closed is None

    in_hub(scenario)


def test_a_socket_that_cannot_begin_anew_is_closed_and_comes_back(ana, in_hub, monkeypatch):
    async def scenario(hub):
        socket, _line = await connected(hub, ana)
        early, _ = await connected(hub, ana)  # has not said hello
        await hub.greet(socket, None)
        monkeypatch.setattr(hubs, "read_since", failing(1, hubs.read_since))
        await do(new_epoch)
        await do(notify, ana, "Hello")
        await until(lambda: socket.closed is not None)
        assert socket.closed == Close.SERVER_ERROR
        assert early.closed is None

    in_hub(scenario)


def test_who_waits_for_a_slow_database_is_not_closed_for_being_silent(ana, in_hub, settings):
    settings.NOTIFICATIONS |= {"HEARTBEAT": 0.05}

    async def scenario(hub):
        waiting, _ = await connected(hub, ana)  # its welcome takes long
        silent, line = await connected(hub, ana)
        await hub.greet(silent, None)
        await until(lambda: silent.closed is not None)
        assert silent.closed == Close.HEARTBEAT_LOST
        assert [frame["type"] for frame in line.frames] == ["welcome", "hb", "hb"]
        assert waiting.closed is None
        await hub.greet(waiting, None)
        assert waiting.live

    in_hub(scenario)


def test_a_new_history_that_begins_while_a_socket_is_greeted_is_not_mixed_with_the_old_one(
    ana, in_hub
):
    for n in range(3):
        notify(ana, f"Old {n}")

    async def scenario(hub):
        first, _ = await connected(hub, ana)
        await hub.greet(first, None)
        waiting, silence = await connected(hub, ana)
        await do(new_epoch)
        socket, line = await connected(hub, ana)
        await hub.greet(socket, None)  # the hub knows of the old one only
        hub._sweep_now.set()
        await until(lambda: hub.epoch == socket.epoch == first.epoch)
        await do(notify, ana, "New")
        await until(lambda: line.titles() == ["New"])
        await until(lambda: first.live and socket.live)
        assert not first.behind
        assert silence.frames == []  # nothing comes before a welcome
        assert waiting.closed is None

    in_hub(scenario)


def test_a_socket_whose_server_made_it_wait_goes_on_as_soon_as_that_has_taken_all(ana, in_hub):
    class SlowLine(Line):
        def __init__(self):
            super().__init__()
            self.room = asyncio.Event()
            self.room.set()

        async def send(self, message):
            await self.room.wait()
            await super().send(message)

    async def scenario(hub):
        line = SlowLine()
        inbox = await do(inbox_of, ana)
        socket = Socket(inbox.subscription, line.send, "no session")
        assert hub.admit(socket) is None
        await hub.attach(socket)
        await hub.greet(socket, None)
        line.room.clear()
        for n in range(3):
            await do(notify, ana, f"{n}")
            await until(lambda n=n: hub.streams[inbox.subscription.own].pushed == n + 1)
        assert socket.behind
        line.room.set()
        await until(lambda: line.titles() == ["0", "1", "2"])

    in_hub(scenario)


def test_a_socket_that_syncs_while_it_is_read_further_is_read_to_the_end(
    ana, in_hub, monkeypatch, settings
):
    settings.NOTIFICATIONS |= {"READ_LIMIT": 2}

    async def scenario(hub):
        socket, line = await connected(hub, ana)
        await hub.greet(socket, None)
        for n in range(10):
            await do(notify, ana, f"{n}")
            await until(lambda n=n: hub.streams[socket.subscription.own].pushed == n + 1)
        run, interrupted = hub.run, []

        async def run_and_be_interrupted(work, *args, **threads):
            answer = await run(work, *args, **threads)
            if work is hubs.read_since and not interrupted:
                interrupted.append(True)
                await hub.sync(socket, socket.cursor())
            return answer

        monkeypatch.setattr(hub, "run", run_and_be_interrupted)
        assert socket.behind
        hub.acked(socket, socket.cursor())
        await until(lambda: line.titles() == [f"{n}" for n in range(10)])
        assert interrupted

    in_hub(scenario)


def test_no_moment_is_left_out_between_two_looks_at_the_clock(ana, in_hub, monkeypatch):
    looked = []
    found = hubs.what_is_due

    def look(since, now, local):
        looked.append((since, now))
        if len(looked) == 2:
            raise OperationalError("the database is away")
        return set()

    monkeypatch.setattr(hubs, "what_is_due", lambda since: replace(found(since), expired=True))
    monkeypatch.setattr(hubs, "_look_what_expired", look)
    monkeypatch.setattr(hubs, "DUE_SWEEP", 0.01)

    async def scenario(hub):
        began = hub._looked
        await until(lambda: len(looked) >= 5)
        answered = looked[:1] + looked[2:]
        assert [since for since, _now in answered] == [began, *(now for _since, now in answered)][
            :-1
        ]

    in_hub(scenario)


def test_what_expired_is_counted_also_while_a_schedule_cannot_be_delivered(
    ana, in_hub, monkeypatch
):
    looked = []
    found = hubs.what_is_due

    def due(since):
        return replace(found(since), scheduled=True, expired=True)

    def deliver(local, lately):
        assert not lately  # until all that was due meanwhile is delivered
        raise OperationalError("the database is away")

    monkeypatch.setattr(hubs, "what_is_due", due)
    monkeypatch.setattr(hubs, "_deliver_what_is_due", deliver)
    monkeypatch.setattr(hubs, "_look_what_expired", lambda *given: looked.append(given) or set())
    monkeypatch.setattr(hubs, "DUE_SWEEP", 0.01)

    async def scenario(hub):
        await until(lambda: len(looked) >= 2)
        (first, until_then, _), (since, _, _), *_ = looked
        assert first < until_then == since

    in_hub(scenario)


# --- The schedule, and lists ----------------------------------------------------------------


def test_what_is_due_is_numbered_for_those_who_are_here_and_for_the_shared_streams(ana, jz):
    """Others number it when they come: a list of a million sleepers costs nothing."""
    long_ago = timezone.now() - timedelta(minutes=5)
    just_now = timezone.now() - timedelta(seconds=1)
    mine, theirs = f"user.{ana.pk}", f"user.{jz.pk}"
    notify([ana, jz], "Later", at=timezone.now() + timedelta(hours=1))
    assert hubs._deliver_what_is_due([mine], lately=False) == set()
    Pending.objects.update(due=long_ago)
    broadcast(Everyone(), "To all", at=just_now)
    assert hubs._deliver_what_is_due([mine], lately=True) == {"everyone"}
    assert hubs._deliver_what_is_due([mine], lately=True) == set()
    assert hubs._deliver_what_is_due([mine], lately=False) == {mine}
    assert set(Pending.objects.values_list("stream", flat=True)) == {theirs}


def test_a_schedule_comes_to_open_sockets_and_expiry_counts_anew(ana, bo, in_hub):
    async def scenario(hub):
        mine, line = await connected(hub, ana)
        await hub.greet(mine, None)
        await do(broadcast, Everyone(), "Short", expires=timedelta(hours=1))
        await until(lambda: line.titles() == ["Short"])
        due = timezone.now() + timedelta(seconds=1.5)
        await do(notify, [ana, bo], "Later", at=due)
        await until(lambda: line.titles() == ["Short", "Later"])
        assert timezone.now() >= due
        assert counts_of(line) == []
        with time_travel(hours=2):
            await until(lambda: counts_of(line))
            assert counts_of(line) == [1]

    in_hub(scenario)


def test_a_long_list_is_told_by_a_hub_that_is_free(ana, bo, jz, in_hub, settings):
    settings.NOTIFICATIONS = {"SWEEP": 600.0, "SWEEP_UNHEALTHY": 600.0, "LIST_AT_ONCE": 1}

    async def scenario(hub):
        mine, line = await connected(hub, ana)
        other, silence = await connected(hub, jz)
        for socket in (mine, other):
            await hub.greet(socket, None)
        await do(notify, [ana, bo], "To a list")
        await until(line.titles)
        assert line.titles() == ["To a list"]
        assert silence.titles() == []

    in_hub(scenario)
