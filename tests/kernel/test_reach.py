"""How many an audience has, and how many have seen and read what it was told."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from notifications import Everyone, Group, Staff, Users, broadcast, notify
from notifications.audiences import audience_of
from notifications.models import Connection, Process
from notifications.reach import Result, online, result, size

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_size_of_an_audience_counts_each_person_once(ana, bo, dana, jz, editors):
    bo.groups.add(editors)
    disabled = User.objects.create_user("gone", is_active=False)
    twice = User.objects.filter(pk__in=[ana.pk, bo.pk]) | User.objects.filter(groups=editors)
    assert size(Everyone()) == 4
    assert size(Staff()) == size(Group("editors")) == 1
    assert size(Users(twice)) == 2
    assert size(Group("editors") | Staff() | Users([ana])) == 3
    assert size(Everyone() - Group("editors")) == 3
    assert disabled.pk


def test_about_how_many_of_them_are_online(ana, bo, jz, editors):
    bo.groups.add(editors)
    here = Process.objects.create(people=2, sockets=3)
    gone = Process.objects.create(people=9, beat=timezone.now() - timedelta(minutes=1))
    for process, person in ((here, ana), (here, bo), (gone, jz)):
        for transport in ("websocket", "poll"):
            Connection.objects.create(
                process=process,
                person=person,
                transport=transport,
                sockets=1,
                tabs=1,
                since=timezone.now(),
                heard=timezone.now(),
            )
    assert online(Everyone()) == 2
    assert online(Group("editors")) == 1
    assert online(Users([ana, bo, jz])) == 2
    assert online(Staff()) == 0


@pytest.mark.parametrize("shared", [True, False], ids=["everyone", "a list"])
def test_reached_seen_and_read_whatever_way_they_came_to_be(
    ana, bo, dana, jz, fresh, django_assert_max_num_queries, shared
):
    people = [ana, bo, dana, jz]
    earlier = notify(people, "Earlier") if not shared else broadcast(Everyone(), "Earlier")
    sent = notify(people, "News") if not shared else broadcast(Everyone(), "News")
    assert result(sent) == Result(4, 0, 0)
    fresh(ana).mark_read([sent.pk])
    fresh(bo).mark_seen([sent.pk])
    inbox = fresh(dana)
    inbox.mark_read(upto=inbox.counts().at)
    assert result(sent) == Result(4, 3, 2)
    inbox.mark_unread([sent.pk])
    fresh(jz).mark_seen(upto=fresh(jz).counts().at)
    with django_assert_max_num_queries(3):
        assert result(sent) == Result(4, 4, 1)
    assert result(earlier) == Result(4, 2, 1)


def test_who_came_later_or_left_is_not_reached(ana, bo, jz, editors, fresh):
    ana.groups.add(editors)
    sent = broadcast(Group(editors), "News")
    fresh(ana)
    bo.groups.add(editors)
    assert result(sent) == Result(1, 0, 0)
    fresh(ana).mark_read([sent.pk])
    ana.groups.remove(editors)
    assert result(sent) == Result(1, 1, 1)  # she has read it, so it has reached her
    to_all = broadcast(Everyone(), "To all")
    fresh(ana)
    User.objects.create_user("new", date_joined=timezone.now() + timedelta(seconds=1))
    assert result(to_all).reached == 3
    editors.delete()
    assert result(sent) == Result(1, 1, 1)


def test_an_audience_is_found_by_its_stream(editors):
    for audience in (Everyone(), Staff(), Group(editors)):
        assert audience_of(audience.stream()) == audience
    assert audience_of("group.0") is None
    assert audience_of("alerts") is None
