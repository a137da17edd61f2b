"""Who is connected and how a process fares: told in rounds, exact, and bounded."""

from __future__ import annotations

import uuid
from collections import Counter
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from notifications.audiences import disconnect
from notifications.models import Connection, Pending, Process, Sample
from notifications.stream import presence
from notifications.stream.presence import Figures, Presence
from notifications.stream.read import Subscription
from notifications.stream.socket import Socket
from notifications.stream.timing import Timing

pytestmark = pytest.mark.django_db(transaction=True)


class House:
    """A hub's people and its rounds."""

    def __init__(self):
        self.id = uuid.uuid4()
        self.presence = Presence()
        self.people = {}
        self.stats = Counter()
        self.latency, self.layer = Timing(), Timing()

    def comes(self, person, transport=Socket):
        socket = transport(Subscription(person.pk), None, "session")
        self.people.setdefault(person.pk, set()).add(socket)
        self.presence.moved.add(person.pk)
        return socket

    def goes(self, person, socket):
        self.people[person.pk].discard(socket)
        if not self.people[person.pk]:
            del self.people[person.pk]
        self.presence.moved.add(person.pk)

    def report(self, backlog=0):
        figures = Figures(self.stats, self.latency, self.layer, backlog)
        sockets = sum(len(mine) for mine in self.people.values())
        return self.presence.report(self.people, sockets, figures)

    def tell(self, backlog=0):
        report = self.report(backlog)
        presence.write(self.id, report)
        self.presence.wrote(report)
        return report

    def rows(self):
        return {
            (row.person_id, row.transport): (row.sockets, row.tabs)
            for row in Connection.objects.fresh().filter(process=self.id)
        }


class Polling(Socket):
    __slots__ = ()
    transport = "poll"


def test_people_come_and_go_and_the_rows_follow(ana, bo):
    house = House()
    first, second = house.comes(ana), house.comes(ana)
    second.tabs = 3
    polling = house.comes(ana, Polling)
    house.comes(bo)
    house.tell()
    assert house.rows() == {
        (ana.pk, "websocket"): (2, 4),
        (ana.pk, "poll"): (1, 1),
        (bo.pk, "websocket"): (1, 1),
    }
    assert Process.objects.online() == (2, 4)

    house.goes(ana, polling)
    house.goes(ana, second)
    house.goes(bo, next(iter(house.people[bo.pk])))
    house.tell()
    assert house.rows() == {(ana.pk, "websocket"): (1, 1)}
    house.goes(ana, first)
    house.tell()
    assert house.rows() == {}


def test_a_quiet_house_writes_no_row_of_a_person(ana):
    house = House()
    socket = house.comes(ana)
    house.tell()
    assert house.tell().lines == {}
    socket.heard()
    assert list(house.tell().lines) == [ana.pk]


def test_what_could_not_be_written_is_written_in_the_next_round(ana, bo):
    house = House()
    staying, leaving = house.comes(ana), house.comes(bo)
    house.tell()
    house.goes(bo, leaving)
    house.comes(ana)
    house.presence.failed(house.report())
    house.tell()
    assert house.rows() == {(ana.pk, "websocket"): (2, 2)}
    assert staying in house.people[ana.pk]


def test_a_storm_of_connects_is_told_in_bounded_rounds(ana, bo, jz, monkeypatch):
    monkeypatch.setattr(presence, "MOVED", 2)
    monkeypatch.setattr(presence, "LOOKED_AT", 0)
    house = House()
    for person in (ana, bo, jz):
        house.comes(person)
    assert len(house.tell().lines) == 2
    assert len(house.tell().lines) == 1
    assert len(house.rows()) == 3


def test_everybody_is_looked_at_in_turn(ana, bo, jz, monkeypatch):
    monkeypatch.setattr(presence, "LOOKED_AT", 1)
    house = House()
    sockets = [house.comes(person) for person in (ana, bo, jz)]
    house.tell()
    seen = []
    for _ in range(3):
        for socket in sockets:
            socket.heard()
        seen += house.tell().lines
    assert sorted(seen) == sorted([ana.pk, bo.pk, jz.pk])


def test_a_process_that_is_silent_is_not_counted_and_later_forgotten(ana):
    dead = House()
    dead.comes(ana)
    dead.tell()
    Process.objects.filter(pk=dead.id).update(beat=timezone.now() - timedelta(seconds=20))
    assert dead.rows() == {}
    Process.objects.filter(pk=dead.id).update(beat=timezone.now() - timedelta(hours=2))
    House().tell()
    assert not Process.objects.filter(pk=dead.id).exists()
    assert not Connection.objects.filter(process=dead.id).exists()


def test_a_minute_sums_its_rounds_and_the_next_begins_at_nothing(monkeypatch):
    now = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: now)
    house = House()
    house.stats["pushes"] += 5
    house.latency.took(0.004)
    house.layer.took(0.002)
    house.tell(backlog=7)
    house.stats["pushes"] += 2
    house.stats["welcome_resume"] += 1
    house.tell()
    sample = Sample.objects.get()
    assert (sample.pushes, sample.reconnects, sample.backlog) == (7, 1, 7)
    assert sample.latency[0] == 1
    assert sample.layer_ms == pytest.approx(2, abs=0.1)

    house.stats["pushes"] += 3
    monkeypatch.setattr(timezone, "now", lambda: now + timedelta(minutes=1))
    house.tell()
    assert [row.pushes for row in Sample.objects.order_by("minute")] == [7, 3]


def test_disconnect_is_told_in_the_log_to_every_process(ana, jz):
    disconnect([ana])
    [row] = Pending.objects.filter(op="access")
    assert (row.person_id, row.arg) == (ana.pk, {"disconnect": "now"})
    assert not User.objects.filter(pk=jz.pk, is_active=False).exists()
