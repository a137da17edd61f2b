"""The bell: rung once a transaction, after the commit, and never at the caller's cost."""

from __future__ import annotations

import asyncio

import pytest
from channels.layers import BaseChannelLayer, channel_layers
from django.db import transaction

from notifications import Everyone, broadcast, notify
from notifications.stream import bell
from notifications.stream.names import BELLS, layer_group, user_stream
from tests.live.process import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def rung():
    """What a hub of this process is told, in the order in which it is told."""
    loop = asyncio.new_event_loop()
    heard = []
    bell.listen(heard.append, loop)

    def listen():
        loop.run_until_complete(asyncio.sleep(0))
        return heard

    yield listen
    bell.unlisten(heard.append)
    loop.close()


class Recorder(BaseChannelLayer):
    """A layer that keeps what it is given; it may hang, or be broken."""

    def __init__(self):
        super().__init__()
        self.asked = 0
        self.sent = []
        self.hangs = self.broken = False

    async def group_send(self, group, message):
        self.asked += 1
        while self.hangs:  # noqa: ASYNC110 (told so by another thread)
            await asyncio.sleep(0.01)
        if self.broken:
            raise ConnectionError("the layer is down")
        self.sent.append((group, message["streams"]))


@pytest.fixture
def layer(monkeypatch):
    """A layer to other processes, and a ringer of our own for it."""
    recorder = Recorder()
    channel_layers.set("default", recorder)
    monkeypatch.setattr(bell, "_ringer", None)
    yield recorder
    recorder.hangs = False
    flushed()  # else it would go on in the next test, and be counted there
    channel_layers.backends.pop("default", None)


def flushed():
    assert bell.ringer().flush(30)


def test_the_bell_names_the_streams_after_the_commit_once_a_transaction(ana, bo, rung):
    with transaction.atomic():
        notify(ana, "1")
        notify([ana, bo], "2")
        broadcast(Everyone(), "3")
        assert rung() == []
    assert rung() == [{user_stream(ana.pk), user_stream(bo.pk), "everyone"}]


def test_a_rollback_does_not_ring(ana, rung):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        notify(ana, "Never")
        1 / 0  # noqa: B018
    with transaction.atomic():
        pass
    assert rung() == []


def test_what_a_savepoint_takes_back_is_not_rung_and_what_comes_after_is(ana, bo, rung):
    with transaction.atomic():
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            notify(bo, "Never")
            1 / 0  # noqa: B018
        with transaction.atomic():
            notify(ana, "Within")
        notify(ana, "After")
    assert set().union(*rung()) == {user_stream(ana.pk)}


def test_what_is_scheduled_is_not_rung_before_its_time(ana, rung):
    from datetime import timedelta

    from django.utils import timezone

    notify(ana, "Tomorrow", at=timezone.now() + timedelta(days=1))
    assert rung() == []


def test_other_processes_are_told_in_the_groups_of_the_streams(ana, layer):
    notify(ana, "Hello")
    flushed()
    name = user_stream(ana.pk)
    assert layer.sent == [(layer_group(name), [name])]


def test_many_streams_are_told_in_chunks_to_every_hub(layer):
    names = {f"user.{n}" for n in range(1_200)}
    bell.ring(names)
    flushed()
    assert [group for group, _ in layer.sent] == [BELLS] * 3
    assert [len(streams) for _, streams in layer.sent] == [500, 500, 200]
    assert {name for _, streams in layer.sent for name in streams} == names


def test_a_layer_that_hangs_never_makes_a_caller_wait(ana, layer, settings):
    settings.NOTIFICATIONS = {"BELL_TIMEOUT": 600.0}
    layer.hangs = True
    for _ in range(5):
        notify(ana, "Hello")
        wait_until(lambda: layer.asked, "the first bell is on its way")
    assert (layer.asked, layer.sent) == (1, [])  # and hangs still


def test_a_broken_layer_is_left_alone_for_a_while_and_no_caller_notices(ana, layer, monkeypatch):
    layer.broken = True
    monkeypatch.setattr(bell, "REST", 600.0)
    failed, skipped = bell.stats["failed"], bell.stats["skipped"]
    for _ in range(bell.FAILURES + 2):
        notify(ana, "Hello")
        flushed()
    assert bell.stats["failed"] - failed == bell.FAILURES
    assert bell.stats["skipped"] - skipped == 2
    layer.broken = False
    bell.ringer()._rest_until = 0.0
    notify(ana, "Hello")
    flushed()
    assert len(layer.sent) == 1


def test_an_in_memory_layer_is_not_asked_since_it_reaches_nobody_else(ana, monkeypatch):
    monkeypatch.setattr(bell, "_ringer", None)
    notify(ana, "Hello")
    assert bell._ringer is None
