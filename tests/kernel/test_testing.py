"""The test kit that projects use: it says what was said, and fails when it was not."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import TestCase, TransactionTestCase
from django.utils import timezone

from notifications import Everyone, Group, Notice, broadcast, inbox_of, notify
from notifications.testing import (
    NotificationsMixin,
    assert_not_notified,
    assert_notified,
)
from notifications.testing import live_client as connect
from project.demo.models import Order
from project.demo.notices import OrderMoved, OrderReceived

pytestmark = pytest.mark.django_db(transaction=True)


class Poked(Notice):
    kind = "test_poked"
    person: User
    hard: bool = False

    def recipients(self):
        return self.person

    def title(self):
        return f"{self.person} was poked"


# --- What was said ---


def test_it_finds_a_kind_by_person_and_fields(ana, bo, jz):
    notify(Poked(person=ana))
    notify(Poked(person=bo, hard=True))
    (one,) = assert_notified(ana, Poked)
    assert one.title == "ana was poked"
    assert_notified(bo, Poked, person=bo, hard=True, title="bo was poked", level="info")
    assert_not_notified(bo, Poked, hard=False)
    assert_not_notified(jz)


def test_it_fails_with_what_was_said_instead(ana, jz):
    notify(ana, "Something else")
    with pytest.raises(AssertionError, match=r"(?s)ana to be sent Poked 1 times.*Something else"):
        assert_notified(ana, Poked)
    with pytest.raises(AssertionError, match="jz was sent nothing"):
        assert_notified(jz)
    with pytest.raises(AssertionError, match="0 times, and it was 1 times"):
        assert_not_notified(ana, title="Something else")
    with pytest.raises(TypeError, match="'tilte' cannot be expected"):
        assert_notified(ana, tilte="Something else")


def test_an_audience_counts_for_those_in_it(ana, jz, editors):
    ana.groups.add(editors)
    broadcast(Group(editors), "For editors")
    broadcast(Everyone(), "For all")
    assert_notified(ana, times=2)
    assert_notified(Group(editors), title="For editors")
    assert_not_notified(jz, title="For editors")


def test_what_was_rolled_back_or_withdrawn_was_not_said(ana):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        notify(ana, "Never")
        assert_notified(ana, title="Never")
        raise ZeroDivisionError
    notify(ana, "Withdrawn").recall()
    assert_not_notified(ana)


def test_an_outbox_begins_where_it_is_made(ana, outbox, request):
    notify(ana, "During")
    from notifications.testing import Outbox

    later = Outbox()
    notify(ana, "Later")
    assert [one.title for one in outbox] == ["During", "Later"]
    assert len(later) == 1
    assert later[0].title == "Later"


# --- The clock ---


def test_what_is_scheduled_comes_when_its_time_has_come(ana, titles, time_travel):
    notify(ana, "In an hour", at=timezone.now() + timedelta(hours=1))
    assert titles(ana) == []
    time_travel(minutes=59)
    assert titles(ana) == []
    time_travel(minutes=2)
    assert titles(ana) == ["In an hour"]


def test_what_expires_is_gone_afterwards(ana, titles, time_travel):
    notify(ana, "For a minute", expires=timedelta(minutes=1))
    assert titles(ana) == ["For a minute"]
    time_travel(to=timezone.now() + timedelta(minutes=2))
    assert titles(ana) == []
    assert inbox_of(ana).counts().unread == 0


# --- The live client ---


def test_a_live_client_hears_its_person_and_nobody_else(ana, jz, live_client):
    notify(ana, "Before she came")
    mine, outsider = live_client(ana), live_client(jz)
    assert mine.unread == 1
    notify(ana, "Hello")
    broadcast(Everyone(), "To all")
    assert sorted(mine.titles()) == ["Hello", "To all"]
    assert outsider.titles() == ["To all"]
    outsider.assert_not_heard("Hello")
    with pytest.raises(AssertionError, match="jz did not hear 'Hello'"):
        outsider.assert_heard("Hello")
    assert mine.assert_heard("Hello")["level"] == "info"
    assert mine.unread == 3


def test_a_live_client_acts_and_its_other_window_agrees(ana, live_client):
    one, other = live_client(ana), live_client(ana)
    sent = notify(ana, "Read me")
    one.settle()
    answer = one.do("read", ids=[sent.pk])
    assert (answer["ok"], answer["counts"]["unread"]) == (True, 0)
    assert one.do("read", ids=[sent.pk + 1])["error"]["code"] == "not_yours"
    other.wait_until(lambda: other.unread == 0, "the other window's badge to go")
    sent.recall()
    assert one.titles() == other.titles() == []


def test_a_live_client_applies_more_than_its_window(ana, live_client):
    client = live_client(ana)
    wanted = [f"Number {n}" for n in range(150)]
    for title in wanted:
        notify(ana, title)
    assert client.titles() == wanted


def test_a_live_client_hears_a_schedule_come_due(ana, live_client, time_travel):
    client = live_client(ana)
    notify(ana, "Tomorrow", at=timezone.now() + timedelta(days=1))
    assert client.titles() == []
    time_travel(days=1, seconds=1)
    client.assert_heard("Tomorrow")


def test_a_live_client_of_a_disabled_account_says_why(ana):
    ana.is_active = False
    ana.save()
    with pytest.raises(AssertionError, match="closed with 4004"), connect(ana):
        pass


def test_nothing_is_left_of_a_live_client(ana):
    before = set(threading.enumerate())
    with connect(ana) as client:
        client.settle()
    left = [thread for thread in threading.enumerate() if thread not in before]
    assert not [thread for thread in left if thread.is_alive() and not thread.daemon]


# --- unittest ---


class InATestCase(NotificationsMixin, TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.ana = User.objects.create_user("ana")
        notify(cls.ana, "Before the test")

    def test_what_was_said_in_this_test(self):
        notify(Poked(person=self.ana))
        self.assert_notified(self.ana, Poked)
        self.assert_notified(self.ana)
        self.assert_not_notified(self.ana, title="Before the test")

    def test_the_clock_is_back(self):
        before = timezone.now()
        self.time_travel(hours=1)
        assert timezone.now() > before + timedelta(minutes=59)
        self.doCleanups()
        assert timezone.now() < before + timedelta(minutes=59)

    def test_a_live_client_says_what_it_needs(self):
        assert connection.in_atomic_block
        with pytest.raises(RuntimeError, match="use TransactionTestCase"):
            self.live_client(self.ana)


class ShippedInATestCase(NotificationsMixin, TestCase):
    """What a test saves is one transaction to the database, and several to the rules."""

    def setUp(self):
        super().setUp()
        ana = User.objects.create_user("ana")
        self.order = Order.objects.create(buyer=ana)

    def test_a_change_is_told_though_the_test_has_made_the_order(self):
        self.order.status = Order.Status.SHIPPED
        self.order.save()
        self.assert_notified(self.order.buyer, OrderReceived, order=self.order)
        self.assert_notified(self.order.buyer, OrderMoved, order=self.order, status="shipped")

    def test_a_transaction_of_the_code_under_test_is_still_one(self):
        with transaction.atomic():
            for status in (Order.Status.PAID, Order.Status.SHIPPED):
                self.order.status = status
                self.order.save()
        self.assert_notified(self.order.buyer, OrderMoved, status="shipped")
        self.assert_not_notified(self.order.buyer, OrderMoved, status="paid")


class InATransactionTestCase(NotificationsMixin, TransactionTestCase):
    def test_a_live_client(self):
        ana = User.objects.create_user("ana")
        client = self.live_client(ana)
        notify(ana, "Hello")
        client.assert_heard("Hello")
