"""Counts and pages cost the same for every inbox: so many statements, each a range of an index."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from notifications import Everyone, broadcast, inbox_of, notify
from notifications.models import Notification, Posting, Receipt
from notifications.stream.number import number

pytestmark = pytest.mark.django_db(transaction=True)

PEOPLE, EACH = 20, 150


@pytest.fixture
def town(ana):
    """Many inboxes with many rows, so that a planner has a choice."""
    people = [ana, *User.objects.bulk_create(User(username=f"p{n}") for n in range(PEOPLE))]
    for person in people:
        inbox_of(person)
    for n in range(EACH):
        notify(people, f"{n}")
        broadcast(Everyone(), f"To all {n}")
    number([f"user.{person.pk}" for person in people])
    inbox_of(ana).counts()  # a new database names its history
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return people


def plan_of(sql):
    postgres = connection.vendor == "postgresql"
    explain = "EXPLAIN" if postgres else "EXPLAIN QUERY PLAN"
    with transaction.atomic(), connection.cursor() as cursor:
        if postgres:  # these tables are small, and it would rather read them whole
            cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"{explain} {sql}")
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


def statements(work):
    with CaptureQueriesContext(connection) as queries:
        work()
    return [query["sql"] for query in queries]


def test_counts_are_one_statement_and_read_ranges_of_indexes(town):
    (sql,) = statements(inbox_of(town[0]).counts)
    plan = plan_of(sql)
    assert "receipt_unread" in plan
    sqlite = connection.vendor == "sqlite"  # it has its own names for what a constraint makes
    assert ("sqlite_autoindex_notifications_posting" if sqlite else "posting_stream_seq") in plan
    for model in (Receipt, Notification, Posting):
        table = model._meta.db_table
        assert f"Seq Scan on {table}" not in plan
        assert f"SCAN {table}" not in plan


def test_a_page_is_so_many_statements_whatever_the_inbox(town, jz):
    few, many = inbox_of(jz), inbox_of(town[0])
    notify(jz, "One")
    broadcast(Everyone(), "Two")
    for inbox in (few, many):
        inbox.number()
        assert len(statements(inbox.page)) == 2
    assert len(statements(lambda: many.page("unread"))) == 5
    for view, index in (("all", "receipt_inbox"), ("unread", "receipt_")):
        plan = plan_of(statements(lambda view=view: many.page(view))[-1])
        assert index in plan or "SEARCH c USING" in plan
        assert "posting_inbox" in plan
        for model, name in ((Receipt, "c"), (Notification, "n"), (Posting, "p")):
            assert f"Seq Scan on {model._meta.db_table}" not in plan
            assert f"SCAN {name}\n" not in plan + "\n"


def test_what_is_archived_is_found_by_the_index_that_holds_nothing_else(town):
    mine = inbox_of(town[0])
    ids = [item.id for item in mine.page(limit=100).items if item.stream.startswith("user.")][:2]
    mine.act("archive", ids)
    _counts, sql = statements(lambda: mine.page("archived"))
    assert "receipt_archived" in plan_of(sql)
    assert [item.id for item in mine.page("archived").items] == ids


def test_a_broadcast_is_two_statements_whatever_the_audience(town, django_assert_num_queries):
    with transaction.atomic(), django_assert_num_queries(2) as queries:
        broadcast(Everyone(), "To all")
    assert all(query["sql"].startswith("INSERT") for query in queries)
