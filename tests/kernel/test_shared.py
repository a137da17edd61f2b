"""Shared audiences: who comes later sees nothing older; what is read one by one stays exact."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from notifications import Everyone, Group, Staff, broadcast, inbox_of
from notifications import inbox as inboxes
from notifications.models import Posting, Reader, Receipt
from notifications.reach import Result, result
from notifications.stream.number import number
from notifications.wire import Counts

pytestmark = pytest.mark.django_db(transaction=True)


# --- Joining while something waits for its number --------------------------------------------


def test_who_joins_a_group_does_not_see_what_waits_there_for_a_number(bo, editors, titles):
    broadcast(Group(editors), "Before")
    bo.groups.add(editors)
    broadcast(Group(editors), "After")
    assert titles(bo) == ["After"]


def test_who_becomes_staff_does_not_see_what_waits_there_for_a_number(bo, titles):
    broadcast(Staff(), "Before")
    bo.is_staff = True
    bo.save()
    broadcast(Staff(), "After")
    assert titles(bo) == ["After"]


def test_a_newcomer_does_not_see_what_waits_for_a_number_since_before_they_came(ana, titles):
    broadcast(Everyone(), "Before")
    newcomer = User.objects.create_user("new", date_joined=timezone.now())
    broadcast(Everyone(), "After")
    assert titles(newcomer) == ["After"]
    assert titles(ana) == ["After", "Before"]


def test_what_is_scheduled_before_and_delivered_after_the_joining_is_seen(bo, editors, titles):
    broadcast(Group(editors), "Planned", at=timezone.now() + timedelta(milliseconds=1))
    bo.groups.add(editors)
    assert titles(bo) in ([], ["Planned"])  # by which was first


# --- Read one by one ---------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch):
    """What ten thousand broadcasts do happens after a few dozen."""
    monkeypatch.setattr(inboxes, "WALKED", 10)
    monkeypatch.setattr(Counts, "CAP", 5)


def many(number_of):
    sent = [broadcast(Everyone(), f"News {n}") for n in range(number_of)]
    number(["everyone"])
    return sent


def walk(person):
    """How many postings a count has to look at before it knows enough."""
    reader = Reader.objects.get(person=person, stream="everyone")
    above = Posting.objects.filter(stream="everyone", seq__gt=reader.read_seq).order_by("seq")
    read = Receipt.objects.filter(person=person).exclude(read=None)
    handled = set(read.values_list("notification_id", flat=True))
    unread = 0
    for walked, posting in enumerate(above, 1):
        unread += posting.pk not in handled
        if unread == Counts.CAP:
            return walked
    return above.count()


@pytest.mark.parametrize("seen", [True, False], ids=["seen", "unseen"])
@pytest.mark.parametrize("left", [0, 1, 3, 12])
def test_read_one_by_one_in_any_order_counts_stay_exact_and_their_walk_short(
    ana, fresh, small, seen, left
):
    fresh(ana)
    sent = many(60)
    inbox = fresh(ana)
    if seen:
        inbox.mark_seen(upto=inbox.counts().at)
    chance = random.Random(left)
    order = chance.sample(sent, len(sent))
    if left:  # the oldest stays unread, which is the worst
        order = [one for one in order if one is not sent[0]]
        order = order[: len(sent) - left]
    unread = {one.pk for one in sent}
    archived = set()
    for turn, one in enumerate(order):
        if turn % 7 == 3:
            inbox.archive([one.pk])
            archived.add(one.pk)
        else:
            inbox.mark_read([one.pk])
        unread.discard(one.pk)
        counts = inbox.counts()
        cap = Counts.CAP
        assert counts.unread == min(len(unread), cap)
        assert counts.unseen == (0 if seen else min(len(unread), cap))
        assert walk(ana) <= 10 + cap + 1
    shown = {item.id for item in inbox.page("unread", limit=100).items}
    assert shown == unread
    reader = Reader.objects.get(person=ana, stream="everyone")
    assert reader.from_seq <= reader.read_seq <= reader.seen_seq
    for one in sent[:3]:
        expected_read = int(one.pk not in unread | archived)
        expected_seen = int(seen or one.pk not in unread)
        assert result(one) == Result(1, expected_seen, expected_read)
    inbox.unarchive(archived)
    assert {item.id for item in inbox.page("unread", limit=100).items} == unread | archived
    inbox.mark_read(upto=inbox.counts().at)
    assert inbox.counts().unread == inbox.counts().unseen == 0
    assert inbox.page("unread").items == []


def test_seeing_all_sees_those_that_were_left_behind_too(ana, fresh, small):
    fresh(ana)
    sent = many(40)
    inbox = fresh(ana)
    for one in sent[1:]:
        inbox.mark_read([one.pk])
    assert (inbox.counts().unseen, inbox.counts().unread) == (1, 1)
    assert Reader.objects.get(person=ana, stream="everyone").read_seq > 20
    assert inbox.mark_seen(upto=inbox.counts().at) == 1
    assert (inbox.counts().unseen, inbox.counts().unread) == (0, 1)


def test_a_reader_of_the_newest_only_writes_no_rows_for_the_others(ana, fresh, small):
    fresh(ana)
    sent = many(40)
    inbox = fresh(ana)
    inbox.mark_read([one.pk for one in sent[-3:]])
    assert Receipt.objects.filter(person=ana).count() == 3
    assert inbox_of(ana).counts().unread == Counts.CAP
