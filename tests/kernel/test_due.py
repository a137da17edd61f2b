"""The one statement with which every process asks every second whether anything has come due."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from notifications import Everyone, alert, alerts, broadcast, notify
from notifications.models import Alert, Notification, Pending
from notifications.stream.due import what_is_due
from notifications.stream.number import number

pytestmark = pytest.mark.django_db(transaction=True)

ALL = {"scheduled", "shared", "alerts", "expired", "lists"}


def due(since=timedelta(minutes=1)):
    found = what_is_due(timezone.now() - since)
    assert timezone.now() - timedelta(seconds=30) < found.until <= timezone.now()
    return {name for name in ALL if getattr(found, name)}


def test_nothing_is_due_when_all_has_its_number(ana):
    notify(ana, "Personal")
    assert due() == set()  # its reader numbers it, or the sweep
    broadcast(Everyone(), "To all")
    assert due() == {"shared"}
    number([f"user.{ana.pk}"])
    assert due() == set()


def test_what_is_scheduled_is_due_at_its_time(ana):
    soon = timezone.now() + timedelta(hours=1)
    notify(ana, "Later", at=soon)
    broadcast(Everyone(), "Later to all", at=soon)
    assert due() == set()
    past = timezone.now() - timedelta(seconds=1)
    Pending.objects.exclude(person=None).update(due=past)
    assert due() == {"scheduled"}
    Pending.objects.update(due=past)
    assert due() == {"scheduled", "shared"}


def test_an_alert_is_due_when_it_is_to_be_looked_at(ana):
    alert("disk", "Disk is full")
    assert due() == {"shared"}
    alerts.fold_what_waits()
    assert due() == set()
    Alert.objects.update(due=timezone.now() - timedelta(seconds=1))
    assert due() == {"alerts"}


def test_a_project_that_travels_in_time_finds_what_is_due_then(ana, time_travel):
    notify(ana, "Later", at=timezone.now() + timedelta(hours=1))
    alert("disk", "Disk is full", ttl=600)
    alerts.fold_what_waits()
    assert due() == set()
    time_travel(hours=2)
    assert due() == {"scheduled", "alerts"}


def test_what_expires_is_due_once(ana):
    notify(ana, "Short", expires=timedelta(hours=1))
    number([f"user.{ana.pk}"])
    assert due() == set()
    Notification.objects.update(expires=timezone.now() - timedelta(seconds=5))
    assert due() == {"expired"}
    assert due(since=timedelta(seconds=2)) == set()


def test_a_list_is_due_until_all_of_it_are_told(ana, bo, settings):
    settings.NOTIFICATIONS = {"LIST_AT_ONCE": 1}
    notify([ana, bo], "To a list")
    assert due() == {"lists"}
