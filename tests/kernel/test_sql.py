"""Statements about many rows."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from notifications import inbox_of
from notifications.models import Reader, Stream
from notifications.stream.read import read_counts
from notifications.stream.sql import MANY, among

pytestmark = pytest.mark.django_db(transaction=True)

STRANGE = ["plain", "it's", 'a "quote"', "{brace}", "com,ma", "back\\slash", "NULL", "per%cent", ""]


@pytest.mark.parametrize("more", [0, MANY])
def test_among_finds_what_is_among_them(more):
    names = [*STRANGE, *(f"user.{n}" for n in range(more))]
    Stream.objects.bulk_create(Stream(name=name) for name in [*names, "another"])
    with CaptureQueriesContext(connection) as queries:
        found = Stream.objects.filter(among(Stream, "name", names, "default"))
        assert set(found.values_list("name", flat=True)) == set(names)
    assert ("ANY(" in queries[0]["sql"]) == (bool(more) and connection.vendor == "postgresql")
    assert set(Stream.objects.filter(~among(Stream, "name", names, "default"))) == {
        Stream(name="another")
    }


@pytest.mark.parametrize("number", [0, 1, MANY])
def test_among_takes_keys_of_people(number):
    people = User.objects.bulk_create(User(username=f"p{n}") for n in range(MANY + 1))
    for person in people:
        inbox_of(person)
    keys = [person.pk for person in people][:number]
    mine = Reader.objects.filter(among(Reader, "person", keys, "default"), stream="everyone")
    assert sorted(mine.values_list("person_id", flat=True)) == keys
    users = User.objects.filter(among(User, "pk", set(keys), "default"))
    assert sorted(users.values_list("pk", flat=True)) == keys


@pytest.mark.skipif(connection.vendor != "postgresql", reason="nothing else compiles statements")
def test_what_is_asked_for_many_at_once_is_not_compiled():
    people = User.objects.bulk_create(User(username=f"p{n}") for n in range(MANY))
    subscriptions = [inbox_of(person).subscription for person in people]

    def switched_off() -> list[str]:
        with CaptureQueriesContext(connection) as queries:
            read_counts(subscriptions)
        return [query["sql"] for query in queries if "jit" in query["sql"]]

    with connection.cursor() as cursor:
        cursor.execute("SHOW jit")
        before = cursor.fetchone()
        assert switched_off() == ["SET LOCAL jit = off"]
        cursor.execute("SHOW jit")
        assert cursor.fetchone() == before
    subscriptions = subscriptions[1:]
    assert not switched_off()
