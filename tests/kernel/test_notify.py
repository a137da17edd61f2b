"""The front door: what is stored, what is refused, and what it costs the caller."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import connection, transaction
from django.utils import timezone

from notifications import Everyone, Group, Staff, Users, anotify, broadcast, errors, notify
from notifications.models import Entry, Notification, Pending, Posting, Receipt
from notifications.signals import notification_recalled, notification_sent

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_notification_for_a_person_is_in_their_inbox_and_nobody_elses(ana, jz, titles):
    notify(ana, "Export ready", url="/exports/7/", level="success")
    assert titles(ana) == ["Export ready"]
    assert titles(jz) == []


def test_everything_that_was_said_is_kept(ana, bo, fresh):
    later = timezone.now() + timedelta(hours=1)
    notify(
        ana,
        "Build failed",
        body="On main.",
        url="https://ci.example/7",
        level="error",
        kind="build",
        actor=bo,
        target=ana,
        data={"run": 7},
        expires=later,
    )
    (item,) = fresh(ana).page().items
    assert (item.body, item.url, item.level, item.kind) == (
        "On main.",
        "https://ci.example/7",
        "error",
        "build",
    )
    assert item.actor == {"name": "bo", "ref": f"auth.user:{bo.pk}"}
    assert item.target == {"name": "ana", "ref": f"auth.user:{ana.pk}"}
    assert (item.data, item.expires) == ({"run": 7}, later)
    stored = Notification.objects.about(ana).get()
    assert (stored.actor, stored.target) == (bo, ana)
    assert Notification.objects.by(bo).get() == stored


def test_a_person_named_twice_gets_it_once(ana, bo, titles):
    notify([ana, bo, ana], "Hello")
    assert titles(ana) == ["Hello"]
    assert Receipt.objects.count() == 2


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"title": ""}, errors.EmptyTitle, "not empty"),
        ({"title": " \n "}, errors.EmptyTitle, "not empty"),
        ({"title": None}, errors.BadField, "title must be a string"),
        ({"title": "x" * 201}, errors.FieldTooLong, "201 characters"),
        ({"title": "nul \x00"}, errors.BadField, "NUL"),
        ({"title": "half \ud800"}, errors.BadField, "surrogates"),
        ({"title": "x", "body": "x" * 10_001}, errors.FieldTooLong, "body is 10001"),
        ({"title": "x", "level": "urgent"}, errors.UnknownLevel, "expected one of debug"),
        ({"title": "x", "level": "warn"}, errors.UnknownLevel, 'Did you mean "warning"?'),
        ({"title": "x", "level": 30}, errors.UnknownLevel, "unknown level 30"),
        ({"title": "x", "url": "javascript:alert(1)"}, errors.UnsafeURL, "single '/'"),
        ({"title": "x", "url": "//evil.example/"}, errors.UnsafeURL, "unsafe url"),
        ({"title": "x", "url": "/\\evil.example/"}, errors.UnsafeURL, "unsafe url"),
        ({"title": "x", "url": "/\tevil"}, errors.UnsafeURL, "unsafe url"),
        ({"title": "x", "url": "data:text/html,x"}, errors.UnsafeURL, "unsafe url"),
        ({"title": "x", "url": "relative/"}, errors.UnsafeURL, "unsafe url"),
        ({"title": "x", "url": "https:///nohost"}, errors.UnsafeURL, "unsafe url"),
        ({"title": "x", "url": "/" + "x" * 2_000}, errors.FieldTooLong, "url is 2001"),
        ({"title": "x", "kind": "x" * 101}, errors.FieldTooLong, "kind is 101"),
        ({"title": "x", "kind": "order_received"}, errors.BadField, "no name of a Notice"),
        ({"title": "x", "actor": "bo"}, errors.BadField, "saved model instance"),
        ({"title": "x", "target": User()}, errors.BadField, "saved model instance"),
        ({"title": "x", "data": [1]}, errors.BadField, "must be a dict"),
        ({"title": "x", "data": {"half": ["\ud800"]}}, errors.BadField, "surrogates"),
        ({"title": "x", "data": {"at": object()}}, errors.BadField, "must be JSON"),
        ({"title": "x", "data": {"n": float("nan")}}, errors.BadField, "must be JSON"),
        ({"title": "x", "data": {"x": "y" * 10_000}}, errors.FieldTooLong, "data is"),
        ({"title": "x", "expires": timedelta(0)}, errors.BadField, "later than"),
        ({"title": "x", "expires": "soon"}, errors.BadField, "aware datetime"),
        ({"title": "x", "at": timezone.datetime(2030, 1, 1)}, errors.BadField, "aware"),
        ({"title": "x", "key": ""}, errors.BadField, "key must be"),
        ({"title": "x", "key": 7}, errors.BadField, "key must be"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_name_and_nothing_is_stored(ana, arguments, error, says):
    with pytest.raises(error) as caught:
        notify(ana, **arguments)
    assert says in str(caught.value)
    assert isinstance(caught.value, errors.BadNotification)
    assert not Notification.objects.exists()
    assert not Pending.objects.exists()


@pytest.mark.parametrize(
    "nobody",
    [
        None,
        "ana",
        7,
        AnonymousUser(),
        User(username="unsaved"),
        [User(username="unsaved")],
        [None],
        Users([999_999]),
        Users(["x"]),
        Users([999_999]) | Everyone(),
        Notification.objects.all(),
    ],
    ids=lambda nobody: type(nobody).__name__,
)
def test_who_does_not_exist_cannot_be_notified(transactional_db, nobody):
    with pytest.raises(errors.UnknownRecipient):
        notify(nobody, "Hello")
    assert not Notification.objects.exists()


def test_an_unknown_group_is_told_with_the_name_that_was_meant(editors):
    with pytest.raises(errors.UnknownGroup, match=r'no group named "editor".*"editors"'):
        notify(Group("editor"), "Hello")


def test_broadcast_takes_nothing_but_an_audience(ana):
    with pytest.raises(errors.UnknownRecipient):
        broadcast(ana, "Hello")


def test_a_broadcast_is_one_row_whatever_the_audience(ana, bo, dana, titles):
    broadcast(Everyone(), "Maintenance at 22:00")
    assert (Notification.objects.count(), Pending.objects.count()) == (1, 1)
    assert not Receipt.objects.exists()
    assert titles(ana) == titles(bo) == titles(dana) == ["Maintenance at 22:00"]
    assert not Receipt.objects.exists()
    assert Posting.objects.count() == 1


def test_staff_and_groups_reach_their_members_only(ana, dana, jz, editors, titles):
    ana.groups.add(editors)
    broadcast(Staff(), "To the staff")
    broadcast(Group("editors"), "To the editors")
    assert titles(dana) == ["To the staff"]
    assert titles(ana) == ["To the editors"]
    assert titles(jz) == []


def test_mixed_and_combined_audiences_are_resolved_to_people(ana, bo, dana, jz, editors, titles):
    ana.groups.add(editors)
    dana.groups.add(editors)
    notify(Group("editors") - Staff(), "Editors but staff")
    notify(Group("editors") & Staff(), "Both")
    notify(Users([bo]) | Staff(), "Either")
    notify([bo, Group(editors)], "A list")
    notify(User.objects.filter(username="ana"), "A queryset")
    assert titles(ana) == ["A queryset", "A list", "Editors but staff"]
    assert titles(bo) == ["A list", "Either"]
    assert titles(dana) == ["A list", "Either", "Both"]
    assert titles(jz) == []


# --- In the caller's transaction ---------------------------------------------------------


def test_notify_costs_few_inserts_in_the_callers_transaction(ana, django_assert_num_queries):
    """Three rows. PostgreSQL takes receipt and pending row together."""
    few = 2 if connection.vendor == "postgresql" else 3
    with transaction.atomic(), django_assert_num_queries(few) as queries:
        notify(ana, "Hello")
    assert all(query["sql"].startswith(("INSERT", "WITH part0 AS (INSERT")) for query in queries)


def test_recipients_cost_a_fixed_number_of_statements_per_thousand(
    transactional_db, django_assert_max_num_queries
):
    people = User.objects.bulk_create(User(username=f"p{n}") for n in range(2_000))
    # SQLite takes 999 parameters in a statement, so there a thousand rows are several.
    thousand = 1 if connection.vendor == "postgresql" else 18
    with transaction.atomic(), django_assert_max_num_queries(1 + thousand):
        notify(people[:1_000], "Hello")
    with transaction.atomic(), django_assert_max_num_queries(1 + 2 * thousand):
        notify(people, "Hello again")
    assert Pending.objects.count() == Receipt.objects.count() == 3_000


def test_a_broadcast_costs_two_inserts(ana, django_assert_num_queries):
    with transaction.atomic(), django_assert_num_queries(2):
        broadcast(Everyone(), "Hello")


def test_a_rollback_leaves_no_row_and_uses_no_number(ana, since, fresh):
    start = fresh(ana).counts().at
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        notify(ana, "Never")
        1 / 0  # noqa: B018
    assert not Notification.objects.exists()
    assert since(ana, start) == ([], None)
    notify(ana, "Once")
    assert since(ana, start) == ([("user", 1, "created")], None)


def test_a_savepoint_that_is_rolled_back_takes_its_notification_with_it(ana, titles):
    with transaction.atomic():
        notify(ana, "Before")
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            notify(ana, "Within")
            1 / 0  # noqa: B018
        notify(ana, "After")
    assert titles(ana) == ["After", "Before"]


def test_what_is_not_committed_has_no_number(ana):
    with transaction.atomic():
        notify(ana, "Hello")
        from notifications.stream.number import number

        assert number([f"user.{ana.pk}"]) == set()
        assert not Entry.objects.exists()


def test_in_a_transaction_the_inbox_shows_what_is_pending_as_newest_and_unread(ana):
    from notifications import inbox_of

    with transaction.atomic():
        notify(ana, "Mine")
        broadcast(Everyone(), "For all")
        items = inbox_of(ana).page("unread").items
    assert [(item.title, item.seq, item.unread) for item in items] == [
        ("For all", None, True),
        ("Mine", None, True),
    ]


# --- Keys --------------------------------------------------------------------------------


def test_the_same_key_to_the_same_audience_is_one_notification(ana, bo, titles):
    first = notify([ana, bo], "Build failed", key="build-7")
    again = notify([bo, ana], "Build failed again", key="build-7")
    assert again == first
    assert again.title == "Build failed"
    assert titles(ana) == titles(bo) == ["Build failed"]


def test_the_same_key_to_another_audience_is_another_notification(ana, bo, titles):
    notify(ana, "Build failed", key="build-7")
    notify(bo, "Build failed", key="build-7")
    broadcast(Everyone(), "Build failed", key="build-7")
    assert titles(ana) == titles(bo) == ["Build failed", "Build failed"]


def test_a_key_that_is_there_already_does_not_break_the_callers_transaction(ana, titles):
    notify(ana, "Once", key="k")
    with transaction.atomic():
        notify(ana, "Twice", key="k")
        notify(ana, "And more")
    assert titles(ana) == ["And more", "Once"]


# --- Later, and never mind ---------------------------------------------------------------


def test_what_is_scheduled_is_not_there_before_its_time(ana, titles, since, fresh):
    start = fresh(ana).counts().at
    notify(ana, "Tomorrow", at=timezone.now() + timedelta(days=1))
    notify(ana, "Long due", at=timezone.now() - timedelta(seconds=5))
    assert titles(ana) == ["Long due"]
    assert since(ana, start) == ([("user", 1, "created")], None)
    assert Pending.objects.count() == 1


def test_what_has_expired_is_neither_shown_nor_counted(ana, fresh):
    past = timezone.now() - timedelta(minutes=2)
    notify(ana, "Over", at=past, expires=timedelta(minutes=1))
    broadcast(Everyone(), "Over too", at=past, expires=timedelta(minutes=1))
    notify(ana, "Still on", expires=timedelta(minutes=1))
    page = fresh(ana).page()
    assert [item.title for item in page.items] == ["Still on"]
    assert (page.counts.unseen, page.counts.unread) == (1, 1)


def test_recall_withdraws_from_every_inbox_and_tells_every_client(ana, bo, fresh, since):
    mine = notify([ana, bo], "Wrong")
    shared = broadcast(Everyone(), "Wrong too")
    before = fresh(ana).counts().at
    assert mine.recall()
    assert shared.recall()
    assert not mine.recall()
    for person in (ana, bo):
        page = fresh(person).page()
        assert (page.items, page.counts.unread) == ([], 0)
    assert since(ana, before) == (
        [("everyone", 2, "recalled"), ("user", 2, "recalled")],
        None,
    )


def test_a_recall_that_is_rolled_back_withdraws_nothing(ana, titles):
    notification = notify(ana, "Right")
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        notification.recall()
        1 / 0  # noqa: B018
    assert titles(ana) == ["Right"]


# --- Hooks and twins ---------------------------------------------------------------------


def test_signals_are_sent_after_the_commit_and_not_for_a_rollback(ana):
    heard = []

    def hear(sender, notification, **more):
        heard.append((notification.title, transaction.get_connection().in_atomic_block))

    notification_sent.connect(hear)
    notification_recalled.connect(hear)
    try:
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            notify(ana, "Never")
            1 / 0  # noqa: B018
        with transaction.atomic():
            sent = notify(ana, "Hello")
            assert heard == []
        assert heard == [("Hello", False)]
        sent.recall()
        assert heard == [("Hello", False)] * 2
    finally:
        notification_sent.disconnect(hear)
        notification_recalled.disconnect(hear)


def test_a_receiver_that_raises_costs_the_caller_nothing(ana, titles):
    def fail(**more):
        raise RuntimeError("a project's own trouble")

    notification_sent.connect(fail)
    try:
        notify(ana, "Hello")
    finally:
        notification_sent.disconnect(fail)
    assert titles(ana) == ["Hello"]


def test_async_callers_have_a_twin(ana, titles):
    from asgiref.sync import async_to_sync

    async_to_sync(anotify)(ana, "From a coroutine")
    assert titles(ana) == ["From a coroutine"]
