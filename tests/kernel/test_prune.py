"""`manage.py notifications_prune`: the log forgets what is old, and no inbox loses anything."""

from __future__ import annotations

import io
import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.utils import timezone

from notifications import Everyone, broadcast, inbox_of, notify
from notifications.models import Entry, Notification, Pending, Receipt, Stream
from notifications.stream import prune, read
from notifications.stream.number import number
from notifications.stream.prune import Cut
from notifications.stream.read import read_since

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run():
    def run(*arguments):
        out, err = io.StringIO(), io.StringIO()
        call_command("notifications_prune", *arguments, stdout=out, stderr=err, no_color=True)
        return out.getvalue()

    return run


def age(days, **which):
    """Make entries and what waits for a number older than they are."""
    for model in (Entry, Pending):
        model.objects.filter(**which).update(created=timezone.now() - timedelta(days=days))


def the_log(name):
    """The floor, the head, and the entries of a stream; whole, or it fails."""
    stream = Stream.objects.get(name=name)
    seqs = list(Entry.objects.filter(stream=name).order_by("seq").values_list("seq", flat=True))
    assert seqs == list(range(stream.floor + 1, stream.head + 1))
    return stream.floor, stream.head


def test_entries_older_than_keep_days_go_and_a_client_from_before_is_told_pruned(
    ana, fresh, since, run, titles
):
    notify(ana, "Old")
    old = fresh(ana).counts().at
    notify(ana, "Older than the limit")
    fresh(ana)
    age(31)
    notify(ana, "Young")
    fresh(ana)
    printed = run()
    assert printed.startswith("Pruned 2 entries of 1 stream, in ")
    assert "kept: 30 days of the log, at most 1,000 entries of a stream" in printed
    assert the_log(f"user.{ana.pk}") == (2, 3)
    assert since(ana, old) == ([], "pruned")
    at_the_floor = type(old)(old.epoch, {**old.seqs, "user": 2})
    assert since(ana, at_the_floor) == ([("user", 3, "created")], None)
    assert titles(ana) == ["Young", "Older than the limit", "Old"]
    assert fresh(ana).counts().unread == 3


def test_no_stream_keeps_more_than_keep_entries(ana, fresh, run):
    for n in range(5):
        notify(ana, f"{n}")
    broadcast(Everyone(), "Alone in its stream")
    fresh(ana)
    run("--entries", "2")
    assert the_log(f"user.{ana.pk}") == (3, 5)
    assert the_log("everyone") == (0, 1)


def test_settings_say_what_is_kept(ana, fresh, run, settings):
    for n in range(5):
        notify(ana, f"{n}")
    fresh(ana)
    settings.NOTIFICATIONS = {"KEEP_ENTRIES": 4}
    run()
    assert the_log(f"user.{ana.pk}") == (1, 5)


def test_what_waits_for_the_long_absent_is_numbered_and_pruned_and_their_inbox_is_whole(
    ana, bo, jz, run, since, titles, fresh
):
    notify([ana, bo], "While you were away")
    broadcast(Everyone(), "To all who never came")
    age(40)
    notify(bo, "Just now")
    printed = run()
    assert "numbered 3 rows of people long absent" in printed
    assert not Pending.objects.exists()
    assert the_log(f"user.{ana.pk}") == (1, 1)
    assert the_log(f"user.{bo.pk}") == (1, 2)
    assert the_log("everyone") == (1, 1)
    assert titles(ana) == ["To all who never came", "While you were away"]
    assert fresh(ana).counts().as_json()["unread"] == 2
    assert fresh(ana).mark_read(upto=fresh(ana).counts().at) == 2
    assert not Entry.objects.filter(stream=f"user.{jz.pk}").exists()


def test_what_is_scheduled_stays_and_is_told_when_it_is_due(ana, fresh, since, run):
    cursor = fresh(ana).counts().at
    notify(ana, "Planned long ago", at=timezone.now() + timedelta(hours=1))
    age(40, stream=f"user.{ana.pk}")
    run()
    assert Pending.objects.count() == 1
    Pending.objects.update(due=timezone.now() - timedelta(seconds=1))
    fresh(ana)
    run()  # it was due just now, though it was stored 40 days ago
    assert since(ana, cursor) == ([("user", 1, "created")], None)


def test_what_ended_long_ago_is_deleted_only_when_asked_for(ana, bo, fresh, run, titles, since):
    now = timezone.now()
    cursor = fresh(bo).counts().at
    notify([ana, bo], "Withdrawn").recall()
    notify(ana, "Expired", expires=timedelta(hours=1))
    broadcast(Everyone(), "Expired for all", expires=timedelta(hours=1))
    notify(ana, "Withdrawn just now").recall()
    kept = notify(ana, "Alive")
    fresh(ana)
    ended = Notification.objects.exclude(title__in=["Withdrawn just now", "Alive"])
    ended.filter(recalled_at=None).update(expires=now - timedelta(days=100))
    ended.exclude(recalled_at=None).update(recalled_at=now - timedelta(days=100))
    run()
    assert Notification.objects.count() == 5
    assert "deleted 3 ended notifications" in run("--ended-days", "90")
    assert set(Notification.objects.values_list("title", flat=True)) == {
        "Withdrawn just now",
        "Alive",
    }
    assert Receipt.objects.filter(person=bo).count() == 0
    assert titles(ana) == [kept.title]
    # Their numbers stay, and say nothing.
    assert since(bo, cursor)[0] == [
        ("everyone", 1, "created"),
        ("user", 1, "created"),
        ("user", 2, "recalled"),
    ]


def test_a_dry_run_says_the_same_numbers_and_changes_nothing(ana, fresh, run):
    for n in range(5):
        notify(ana, f"{n}")
    fresh(ana)
    age(31)
    notify(ana, "Waits").recall()
    age(31)
    Notification.objects.update(recalled_at=timezone.now() - timedelta(days=9))
    before = [list(model.objects.values()) for model in (Entry, Pending, Stream, Notification)]
    printed = run("--dry-run", "--ended-days", "7")
    assert printed.startswith(
        "Dry run, nothing deleted: would have pruned 5 entries of 1 stream, numbered 2 rows of "
        "people long absent, deleted 6 ended notifications\n"
    )
    assert before == [
        list(model.objects.values()) for model in (Entry, Pending, Stream, Notification)
    ]
    told = json.loads(run("--dry-run", "--json"))
    assert told.pop("seconds") >= 0
    assert told == {
        "dry_run": True,
        "numbered": 2,
        "entries": 5,
        "streams": 1,
        "notifications": 0,
        "alerts": 0,
    }


def test_it_prints_json_for_programs(ana, fresh, run):
    notify(ana, "Old")
    fresh(ana)
    age(31)
    told = json.loads(run("--json"))
    assert (told["entries"], told["streams"], told["numbered"]) == (1, 1, 0)


def test_a_negative_number_is_refused(run):
    with pytest.raises(CommandError, match="not negative") as caught:
        run("--days", "-1")
    assert caught.value.returncode == 2


def test_the_epoch_is_no_stream_and_is_never_pruned(ana, fresh, run):
    at = fresh(ana).counts().at
    run("--days", "0", "--entries", "0")
    assert Stream.objects.get(name=Stream.EPOCH).floor == 0
    assert fresh(ana).counts().at.epoch == at.epoch


def test_it_works_in_small_steps_that_each_leave_the_log_whole(ana, fresh, run, monkeypatch):
    monkeypatch.setattr(prune, "ROWS", 3)
    monkeypatch.setattr(prune, "STREAMS", 2)
    people = User.objects.bulk_create(User(username=f"p{n}") for n in range(5))
    for n in range(8):
        notify([ana, *people], f"{n}")
    name = f"user.{ana.pk}"
    number([name])
    steps = []
    delete = prune._delete_entries

    def followed(stream, to, using):
        gone = delete(stream, to, using)
        steps.append((stream, gone))
        the_log(stream)
        return gone

    monkeypatch.setattr(prune, "_delete_entries", followed)
    assert "Pruned 48 entries of 6 streams" in run("--days", "0", "--entries", "1")
    assert [gone for stream, gone in steps if stream == name] == [3, 3, 2]
    assert max(gone for _stream, gone in steps) == 3
    assert {the_log(f"user.{one.pk}")[1] for one in [ana, *people]} == {8}


def test_what_came_meanwhile_is_never_pruned_by_an_old_plan(ana, fresh):
    for n in range(3):
        notify(ana, f"{n}")
    fresh(ana)
    name = f"user.{ana.pk}"
    assert prune.prune(Cut(name, 0, 2)) == 2
    assert prune.prune(Cut(name, 0, 1)) == 0  # a second prune with an older plan
    assert prune.prune(Cut(name, 2, 9)) == 0  # a stream that was erased and begun anew
    assert the_log(name) == (2, 3)


def test_a_prune_between_two_statements_of_a_read_loses_nothing(ana, fresh, monkeypatch):
    """The heads are taken first, then the entries: in between somebody prunes."""
    for n in range(4):
        notify(ana, f"{n}")
    inbox = fresh(ana)
    at = inbox.counts().at
    cursor = type(at)(at.epoch, {**at.seqs, "user": 1})
    true_heads, times = read.read_heads, []

    def heads_and_a_prune(streams):
        found = true_heads(streams)
        if not times:
            times.append(1)
            prune.prune(Cut(f"user.{ana.pk}", 0, 3))
        return found

    monkeypatch.setattr(read, "read_heads", heads_and_a_prune)
    reading = read_since(inbox.subscription, cursor, 100)
    assert (reading.runs, reading.why) == ([], "pruned")


def test_pruning_many_streams_takes_few_statements_where_nothing_is_old(
    transactional_db, run, django_assert_max_num_queries
):
    people = User.objects.bulk_create(User(username=f"p{n}") for n in range(400))
    notify(people, "Hello")
    number(f"user.{person.pk}" for person in people)
    with django_assert_max_num_queries(9):
        run()
    assert Entry.objects.count() == 400
    assert connection.in_atomic_block is False


def test_an_inbox_is_the_same_before_and_after(ana, bo, fresh, run):
    for n in range(6):
        sent = notify(ana, f"{n}")
        if n % 2:
            inbox_of(ana).mark_read([sent.pk])
    broadcast(Everyone(), "All")
    before = [item.as_json() for item in fresh(ana).page().items], fresh(ana).counts()
    run("--days", "0", "--entries", "0")
    assert not Entry.objects.exists()
    assert ([item.as_json() for item in fresh(ana).page().items], fresh(ana).counts()) == before
