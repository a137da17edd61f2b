"""People, and a committed world: numbering happens only outside of transactions."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, User

from notifications import inbox_of
from notifications.stream.read import read_since

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ana(transactional_db):
    return User.objects.create_user("ana")


@pytest.fixture
def bo(transactional_db):
    return User.objects.create_user("bo")


@pytest.fixture
def dana(transactional_db):
    return User.objects.create_user("dana", is_staff=True)


@pytest.fixture
def jz(transactional_db):
    """The outsider: in no group, no list and not staff."""
    return User.objects.create_user("jz")


@pytest.fixture
def editors(transactional_db):
    return Group.objects.create(name="editors")


@pytest.fixture
def fresh():
    """The inbox of a person as a new page would see it: numbered, with the groups of now."""

    def open_inbox(person):
        inbox = inbox_of(User.objects.get(pk=person.pk))
        inbox.number()
        return inbox

    return open_inbox


@pytest.fixture
def titles(fresh):
    """What is in a person's inbox, newest first."""
    return lambda person, view="all": [item.title for item in fresh(person).page(view).items]


@pytest.fixture
def since(fresh):
    """What a person's client gets after a cursor: (stream, seq, op) of each entry, and why not."""

    def read(person, cursor, limit=100):
        inbox = fresh(person)
        reading = read_since(inbox.subscription, cursor, limit)
        entries = [
            (inbox.subscription.key(run.stream), fact.seq, str(fact.op))
            for run in reading.runs
            for fact in run.facts
        ]
        return entries, reading.why

    return read
