"""Lists too long for one transaction: written down, told in parts, by anybody, and to each once."""

from __future__ import annotations

import io
import threading
from collections import Counter
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone

from notifications import Group, Notice, Users, errors, notify
from notifications.models import FanOut, Notification, Part, Pending, Receipt
from notifications.notify import send
from notifications.stream import fan_out

pytestmark = pytest.mark.django_db(transaction=True)

CROWD = 57


@pytest.fixture(autouse=True)
def small_parts(settings, monkeypatch):
    settings.NOTIFICATIONS = {"LIST_AT_ONCE": 10}
    monkeypatch.setattr(fan_out, "PART", 8)
    monkeypatch.setattr("notifications.audiences.PAGE", 24)


@pytest.fixture
def crowd(transactional_db):
    User.objects.bulk_create(User(username=f"p{n}") for n in range(CROWD))
    return User.objects.filter(username__startswith="p").order_by("pk")


def told():
    """How often each person has it: with receipts and with news in their stream."""
    news = Pending.objects.filter(op="created").values_list("person_id", flat=True)
    receipts = Counter(Receipt.objects.values_list("person_id", flat=True))
    assert receipts == Counter(news)
    return receipts


def tell_all():
    steps = 0
    while fan_out.step() is not None:
        steps += 1
    return steps


def once(people):
    return Counter(person.pk for person in people)


def test_a_long_list_is_written_down_and_told_in_parts(crowd, jz, titles):
    sent = notify(crowd, "News")
    assert told() == Counter()
    assert fan_out.left(sent) == CROWD
    assert fan_out.step() == fan_out.Step(sent.pk, 8, 8)
    assert sum(told().values()) == 8
    assert fan_out.left(sent) == CROWD - 8
    tell_all()
    assert told() == once(crowd)
    assert not FanOut.objects.exists()
    assert not Part.objects.exists()
    assert titles(crowd[CROWD - 1]) == ["News"]
    assert titles(jz) == []


def test_up_to_so_many_are_told_in_the_callers_transaction(crowd):
    notify(crowd[:10], "News")
    assert told() == once(crowd[:10])
    assert not FanOut.objects.exists()


@pytest.mark.parametrize("shape", ["queryset", "slice", "union", "joins", "users", "audiences"])
def test_whatever_the_list_is_made_of_each_person_has_it_once(crowd, editors, shape):
    editors.user_set.set(crowd[:30])
    anybody = crowd.order_by()
    to = {
        "queryset": crowd.order_by("-username"),
        "slice": crowd.order_by("-pk")[:40],
        "union": anybody.filter(groups=editors).union(anybody.filter(pk__gte=crowd[20].pk)),
        "joins": crowd.filter(groups=editors) | crowd.filter(pk__gte=crowd[20].pk),
        "users": [*crowd.all(), *crowd.all()],
        "audiences": (Group(editors) | Users(crowd[20:40])) - Users(crowd[:5]),
    }[shape]
    expected = {
        "slice": crowd[17:],
        "audiences": crowd[5:40],
    }.get(shape, crowd)
    notify(to, "News")
    tell_all()
    assert told() == once(expected)


def test_a_list_with_somebody_unknown_tells_nobody(crowd):
    with pytest.raises(errors.UnknownRecipient):
        notify([*crowd, User(username="not saved")], "News")
    with pytest.raises(RuntimeError, match="in the middle"):
        fan_out.write_down(broken_pages(crowd), None, "default")
    assert not Notification.objects.exists()
    assert not FanOut.objects.exists()
    assert not Part.objects.exists()


def broken_pages(crowd):
    yield [user.pk for user in crowd[:20]]
    raise RuntimeError("in the middle")


def test_a_rollback_leaves_nothing_of_a_list(crowd):
    with pytest.raises(RuntimeError), transaction.atomic():
        notify(crowd, "News")
        raise RuntimeError
    assert not FanOut.objects.exists()
    assert tell_all() == 0
    assert not Notification.objects.exists()


def test_who_dies_in_the_middle_of_a_part_has_told_nobody_of_it(crowd, monkeypatch):
    notify(crowd, "News")
    fan_out.step()
    with monkeypatch.context() as patch:
        patch.setattr(fan_out, "tell", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fan_out.step()
    assert sum(told().values()) == 8
    tell_all()
    assert told() == once(crowd)


def test_who_dies_before_a_list_is_whole_leaves_a_draft_that_is_forgotten(crowd):
    draft, size = fan_out.write_down(Users(crowd).pages(), None, "default")
    assert size == CROWD
    assert tell_all() == 0
    call_command("notifications_prune", stdout=io.StringIO())
    assert FanOut.objects.filter(pk=draft.pk).exists()
    FanOut.objects.filter(pk=draft.pk).update(touched=timezone.now() - timedelta(days=2))
    call_command("notifications_prune", stdout=io.StringIO())
    assert not Part.objects.exists()


def test_pruning_tells_what_is_left_where_no_server_does(crowd):
    notify(crowd, "News")
    call_command("notifications_prune", stdout=io.StringIO())
    assert told() == once(crowd)


def test_several_who_tell_at_the_same_time_tell_each_person_once(crowd):
    first, second = notify(crowd, "News"), notify(crowd, "More news")
    steps = Counter()

    def work(name):
        try:
            while FanOut.objects.exists():
                if fan_out.step() is not None:
                    steps[name] += 1
        finally:
            connection.close()

    workers = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert told() == once(crowd) + once(crowd)
    for one in (first, second):
        assert Receipt.objects.filter(notification=one).count() == CROWD
    assert sum(steps.values()) >= 2 * CROWD / 8


def test_a_short_list_does_not_wait_for_a_long_one(crowd):
    notify(crowd, "Long")
    short = notify(crowd[:12], "Short")
    for _ in range(5):
        fan_out.step()
    assert Receipt.objects.filter(notification=short).count() == 12


def test_who_has_it_or_is_gone_is_left_out(crowd, ana):
    sent = notify(crowd, "News")
    gone = crowd[40]
    Receipt.objects.create(person=crowd[3], notification=sent)
    Pending.objects.create(stream="user.0", op="created", person=crowd[3])
    expected = once(crowd.exclude(pk=gone.pk))
    gone.delete()
    tell_all()
    assert told() == expected


def test_recalled_in_the_middle_nobody_else_gets_it_and_who_has_it_is_told(crowd, fresh, since):
    early, late = crowd[0], crowd[CROWD - 1]
    cursor = fresh(early).counts().at
    sent = notify(crowd, "News")
    for _ in range(3):
        fan_out.step()
    assert sent.recall()
    tell_all()
    assert told() == once(crowd[:24])
    assert fan_out.left(sent) == 0
    assert not FanOut.objects.exists()
    recalled = Pending.objects.filter(op="recalled")
    assert Counter(recalled.values_list("person_id", flat=True)) == once(crowd[:24])
    assert [op for _, _, op in since(early, cursor)[0]] == ["created", "recalled"]
    assert not Pending.objects.filter(person=late).exists()


def test_a_list_for_later_comes_at_its_time(crowd, titles):
    notify(crowd, "Later", at=timezone.now() + timedelta(hours=1))
    tell_all()
    assert titles(crowd[0]) == []
    Pending.objects.update(due=timezone.now() - timedelta(seconds=1))
    Receipt.objects.update(created=timezone.now() - timedelta(seconds=1))
    assert titles(crowd[0]) == ["Later"]


def test_the_same_key_to_the_same_people_is_one_notification_in_any_order(crowd):
    first = notify(crowd, "News", key="k")
    again = notify(list(crowd.order_by("-username")), "News", key="k")
    fewer = notify(crowd[:40], "News", key="k")
    assert first == again != fewer
    tell_all()
    assert told() == once(crowd) + once(crowd[:40])
    with pytest.raises(errors.BadField):
        notify(crowd, "News", key="")
    assert not FanOut.objects.exists()


class Sale(Notice):
    def recipients(self):
        return User.objects.filter(username__startswith="p")

    def title(self):
        return "Sale"


def test_a_notice_may_have_a_long_list_too(crowd):
    send(Sale())
    tell_all()
    assert told() == once(crowd)


def test_a_step_costs_the_same_whatever_the_list(crowd, django_assert_max_num_queries):
    notify(crowd, "News")
    with django_assert_max_num_queries(14):
        fan_out.step()
