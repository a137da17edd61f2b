"""Rules: what a save says, inside its transaction."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, User
from django.core import serializers
from django.db import connection, transaction
from django.db.models import F, Value
from django.db.models.functions import Concat
from django.db.models.signals import post_save, pre_save

from notifications import Everyone, Notice, notify_on
from notifications.errors import ConfigurationError
from notifications.models import Notification, Pending, Receipt

pytestmark = pytest.mark.django_db(transaction=True)


class GroupSaid(Notice):
    group: Group
    said: str

    def recipients(self):
        return User.objects.filter(username="ana")

    def title(self):
        return self.said


@pytest.fixture
def rule():
    """Register a rule for the time of one test; it notes what it was called with."""
    receivers = list(pre_save.receivers), list(post_save.receivers)

    def register(model=Group, **options):
        calls = []

        @notify_on(model, **options)
        def says(instance, changed):
            calls.append(dict(changed))
            return GroupSaid(group=instance, said=f"{instance.name}")

        return calls

    yield register
    for signal, before in zip((pre_save, post_save), receivers, strict=True):
        signal.receivers = before
        signal.sender_receivers_cache.clear()


def said():
    return list(Notification.objects.order_by("id").values_list("title", flat=True))


def test_a_new_instance_is_told_once_to_whom_it_concerns(ana, jz, rule, titles):
    rule(created=True)
    group = Group.objects.create(name="a")
    group.save()
    assert titles(ana) == ["a"]
    assert titles(jz) == []


def test_only_the_fields_that_were_asked_for_count(ana, rule):
    calls = rule(created=False, fields=["name"])
    group = Group.objects.create(name="a")
    group.save()
    assert calls == []
    group.name = "b"
    group.save()
    assert calls == [{"name": ("a", "b")}]
    assert said() == ["b"]


def test_what_changed_is_measured_against_the_database(ana, rule):
    calls = rule(created=False, fields=["name"])
    group = Group.objects.create(name="a")
    Group(pk=group.pk, name="b").save()  # never loaded
    loaded = Group.objects.defer("name").get()
    loaded.save()  # nothing loaded, nothing changed
    loaded.refresh_from_db()
    loaded.name = "c"
    loaded.save(update_fields=["name"])
    assert calls == [{"name": ("a", "b")}, {"name": ("b", "c")}]


def test_an_expression_counts_as_a_change(ana, rule):
    calls = rule(created=False, fields=["name"])
    group = Group.objects.create(name="a")
    group.name = Concat(F("name"), Value("!"))
    group.save()
    assert [before for before, _ in (call["name"] for call in calls)] == ["a"]


def test_two_saves_in_one_transaction_make_one_notification(ana, rule):
    calls = rule(created=False, fields=["name"])
    group = Group.objects.create(name="a")
    with transaction.atomic():
        for name in ("b", "c"):
            group.name = name
            group.save()
    assert calls == [{"name": ("a", "b")}, {"name": ("a", "c")}]
    assert said() == ["c"]
    assert (Receipt.objects.count(), Pending.objects.count()) == (1, 1)


def test_there_and_back_in_one_transaction_says_nothing(ana, rule):
    rule(created=False, fields=["name"])
    group = Group.objects.create(name="a")
    with transaction.atomic():
        for name in ("b", "a"):
            group.name = name
            group.save()
    assert said() == []
    assert not Pending.objects.exists()


def test_created_and_changed_in_one_transaction_is_one_creation(ana, rule):
    created, changed = rule(created=True), rule(created=False, fields=["name"])
    with transaction.atomic():
        group = Group.objects.create(name="a")
        group.name = "b"
        group.save()
    assert (len(created), changed) == (2, [])
    assert said() == ["b"]


def test_a_savepoint_that_is_rolled_back_leaves_what_was_said_before(ana, rule):
    rule(created=False, fields=["name"])
    group = Group.objects.create(name="a")
    with transaction.atomic():
        group.name = "b"
        group.save()
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            other = Group.objects.create(name="x")
            other.name = "y"
            other.save()
            1 / 0  # noqa: B018
    assert said() == ["b"]


def test_two_transactions_make_two_notifications(ana, rule):
    rule(created=False, fields=["name"])
    group = Group.objects.create(name="a")
    for name in ("b", "c"):
        with transaction.atomic():
            group.name = name
            group.save()
    assert said() == ["b", "c"]


def test_a_rollback_leaves_nothing(ana, rule):
    rule()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        Group.objects.create(name="a")
        1 / 0  # noqa: B018
    assert said() == []
    assert not Pending.objects.exists()


def test_the_save_and_what_it_says_are_one_transaction_also_without_one_of_the_caller(ana, rule):
    rule()
    in_transaction = []

    def note(**_):
        in_transaction.append(connection.in_atomic_block)

    post_save.connect(note, sender=Group)
    Group.objects.create(name="a")
    assert in_transaction == [True]


def test_a_rule_that_raises_takes_its_save_back(ana, rule):
    @notify_on(Group)
    def fails(group, changed):
        raise ZeroDivisionError

    rule()
    with pytest.raises(ZeroDivisionError):
        Group.objects.create(name="a")
    assert not Group.objects.exists()
    assert said() == []


def test_fixtures_say_nothing(ana, rule):
    calls = rule()
    (fixture,) = serializers.deserialize(
        "json", '[{"model": "auth.group", "pk": 5, "fields": {"name": "a", "permissions": []}}]'
    )
    fixture.save()
    assert Group.objects.filter(pk=5).exists()
    assert (calls, said()) == ([], [])


def test_a_rule_may_say_several_things_or_none(ana, jz, titles, rule):
    rule  # noqa: B018 (restores the signals)

    class ToAll(Notice):
        group: Group

        def recipients(self):
            return Everyone()

        def title(self):
            return "To all"

    @notify_on(Group, created=True)
    def says(group, changed):
        if group.name == "quiet":
            return None
        return [GroupSaid(group=group, said="To ana"), ToAll(group=group)]

    Group.objects.create(name="quiet")
    assert said() == []
    Group.objects.create(name="loud")
    assert titles(ana) == ["To all", "To ana"]
    assert titles(jz) == ["To all"]


def test_nobody_to_tell_stores_nothing(transactional_db, rule):
    rule()
    Group.objects.create(name="a")  # there is no ana
    assert said() == []


def test_a_field_that_does_not_exist_is_told_with_the_one_that_was_meant():
    with pytest.raises(ConfigurationError, match=r"no column 'nam'.*Did you mean .name."):
        notify_on(Group, fields=["nam"])
    with pytest.raises(ConfigurationError, match="no column 'permissions'"):
        notify_on(Group, fields=["permissions"])
