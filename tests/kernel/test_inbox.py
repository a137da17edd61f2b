"""One person's inbox: what is in it, what is unread, and what they do about it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifications import Everyone, broadcast, errors, inbox_of, listing, notify
from notifications import Group as GroupAudience
from notifications.listing import EVERYTHING, Search
from notifications.models import Entry, Notification, Pending, Posting, Reader, Receipt
from notifications.signals import inbox_changed
from notifications.wire import Counts, Cursor

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def three(ana):
    """A personal notification, one to everyone, and a second personal one."""
    return [notify(ana, "First"), broadcast(Everyone(), "To all"), notify(ana, "Last")]


def counts(inbox):
    inbox.number()
    found = inbox.counts()
    return found.unseen, found.unread


def test_the_newest_is_first_and_all_is_unread(ana, three, fresh):
    page = fresh(ana).page()
    assert [item.title for item in page.items] == ["Last", "To all", "First"]
    assert [(item.stream, item.seq) for item in page.items] == [
        ("user", 2),
        ("everyone", 1),
        ("user", 1),
    ]
    assert all(item.unread and not item.archived for item in page.items)
    assert (page.counts.unseen, page.counts.unread, page.before) == (3, 3, None)


@pytest.mark.parametrize("index", [0, 1], ids=["personal", "shared"])
def test_read_unread_archive_and_unarchive(ana, three, fresh, titles, index):
    one = three[index]
    inbox = fresh(ana)
    assert inbox.mark_read([one.pk]) == 1
    assert inbox.mark_read([one.pk]) == 0
    assert counts(inbox) == (2, 2)
    assert one.title not in titles(ana, "unread")
    assert inbox.mark_unread([one.pk]) == 1
    assert counts(inbox) == (2, 3)  # unread again, but seen
    assert inbox.archive([one.pk]) == 1
    assert counts(inbox) == (2, 2)
    assert titles(ana, "archived") == [one.title]
    assert one.title not in titles(ana)
    assert inbox.unarchive([one.pk]) == 1
    assert counts(inbox) == (2, 3)
    assert titles(ana, "archived") == []
    ops = Entry.objects.filter(stream=f"user.{ana.pk}").exclude(op="created").order_by("seq")
    assert list(ops.values_list("op", "arg")) == [
        (op, {"ids": [one.pk]}) for op in ("read", "unread", "archived", "unarchived")
    ]


def test_seen_moves_a_watermark_and_leaves_all_unread(ana, three, fresh):
    inbox = fresh(ana)
    assert inbox.mark_seen(upto=inbox.counts().at) == 3
    assert counts(inbox) == (0, 3)
    notify(ana, "New")
    assert counts(inbox) == (1, 4)
    (new,) = Notification.objects.filter(title="New")
    assert inbox.mark_seen([new.pk]) == 1
    assert counts(inbox) == (0, 4)
    assert Receipt.objects.filter(person=ana, notification=three[1]).count() == 0


def test_read_all_means_what_was_on_the_screen(ana, three, fresh, titles):
    inbox = fresh(ana)
    inbox.mark_unread([three[0].pk])
    on_screen = inbox.counts().at
    notify(ana, "Meanwhile")
    broadcast(Everyone(), "Meanwhile to all")
    assert inbox.mark_read(upto=on_screen) == 3
    assert titles(ana, "unread") == ["Meanwhile to all", "Meanwhile"]
    assert counts(inbox) == (2, 2)
    assert not Receipt.objects.filter(person=ana, read=True).exists()  # one UPDATE, not n rows


def test_one_marked_unread_after_read_all_is_unread(ana, three, fresh, titles):
    inbox = fresh(ana)
    inbox.mark_read(upto=inbox.counts().at)
    inbox.mark_unread([three[0].pk, three[1].pk])
    assert titles(ana, "unread") == ["To all", "First"]
    assert counts(inbox) == (0, 2)
    inbox.number()
    assert inbox.mark_read(upto=inbox.counts().at) == 2
    assert counts(inbox) == (0, 0)


def test_an_outsider_can_neither_see_nor_change_what_is_anas(ana, jz, editors, fresh, titles):
    ana.groups.add(editors)
    mine = notify(ana, "Private")
    ours = broadcast(GroupAudience(editors), "For editors")
    fresh(ana)
    outside = fresh(jz)
    assert titles(jz) == []
    for action in ("seen", "read", "unread", "archive", "unarchive"):
        for one in (mine, ours):
            with pytest.raises(errors.NotYours):
                outside.act(action, [one.pk])
    assert not Receipt.objects.filter(person=jz).exists()
    assert counts(fresh(ana)) == (2, 2)


def test_where_a_notification_leads_is_told_to_its_readers_only(ana, jz, editors, fresh):
    ana.groups.add(editors)
    mine = notify(ana, "Private", url="/private/")
    ours = broadcast(GroupAudience(editors), "For editors", url="/editors/")
    assert (fresh(ana).url_of(mine.pk), fresh(ana).url_of(ours.pk)) == ("/private/", "/editors/")
    assert (fresh(jz).url_of(mine.pk), fresh(jz).url_of(ours.pk)) == ("", "")


def test_one_id_that_is_not_yours_stops_the_whole_action(ana, jz, three, fresh):
    with pytest.raises(errors.NotYours, match="999999"):
        fresh(ana).mark_read([three[0].pk, 999_999])
    assert counts(fresh(ana)) == (3, 3)


def test_after_leaving_a_group_its_news_cannot_be_touched(ana, editors, fresh):
    ana.groups.add(editors)
    one = broadcast(GroupAudience(editors), "For editors")
    fresh(ana).mark_read([one.pk])
    ana.groups.remove(editors)
    with pytest.raises(errors.NotYours):
        fresh(ana).mark_unread([one.pk])


def test_what_is_older_than_the_person_is_not_theirs(ana, fresh):
    old = broadcast(Everyone(), "Old")
    fresh(ana)
    zoe = User.objects.create_user("zoe")
    with pytest.raises(errors.NotYours):
        fresh(zoe).mark_read([old.pk])


@pytest.mark.parametrize(
    ("action", "ids", "upto", "error"),
    [
        ("delete", [1], None, errors.UnknownAction),
        ("read", None, None, errors.BadFrame),
        ("read", [1], Cursor("k3", {}), errors.BadFrame),
        ("read_all", [1], None, errors.BadFrame),
        ("read_all", None, Cursor("k3", {"user": 1}), errors.BadCursor),
        ("read", range(1, 1_002), None, errors.BadFrame),
    ],
)
def test_what_cannot_be_done_is_refused(ana, action, ids, upto, error):
    with pytest.raises(error):
        inbox_of(ana).act(action, ids, upto)


def test_read_all_with_another_persons_cursor_is_refused(ana, jz, three, fresh):
    with pytest.raises(errors.BadCursor):
        fresh(ana).mark_read(upto=fresh(jz).counts().at)


def test_a_cursor_from_the_future_reads_no_more_than_there_is(ana, three, fresh):
    inbox = fresh(ana)
    at = inbox.counts().at
    inbox.mark_read(upto=Cursor(at.epoch, {name: seq + 100 for name, seq in at.seqs.items()}))
    notify(ana, "New")
    assert counts(inbox) == (1, 1)


def test_pages_hold_everything_once(ana, fresh):
    for n in range(7):
        notify(ana, f"mine {n}")
        broadcast(Everyone(), f"shared {n}")
    inbox = fresh(ana)
    for model in (Notification, Receipt, Posting):  # at one and the same moment
        model.objects.update(created=Notification.objects.first().created)
    seen, before, pages = [], None, 0
    while pages == 0 or before:
        page = inbox.page(before=before, limit=3)
        seen += [item.id for item in page.items]
        before = page.before
        pages += 1
    assert pages == 5
    assert len(seen) == len(set(seen)) == 14


def test_a_page_of_a_search_looks_so_far_and_the_next_goes_on(ana, fresh, monkeypatch):
    monkeypatch.setattr(listing, "SEARCHED", 4)
    told = []
    for n in range(24):
        title = "Found" if n % 7 == 0 else "Other"
        told.append(notify(ana, title) if n % 3 else broadcast(Everyone(), title))
    inbox = fresh(ana)
    found, pages, before, empty = [], 0, None, 0
    while not pages or before:
        page = inbox.page(before=before, limit=2, search=Search(text="found"))
        found += [item.id for item in page.items]
        pages, before, empty = pages + 1, page.before, empty + (not page.items)
    assert found == [one.pk for one in told if one.title == "Found"][::-1]
    assert pages > 4
    assert empty


def test_what_waits_for_a_number_is_shown_as_it_stands(ana, fresh):
    inbox = fresh(ana)
    read = broadcast(Everyone(), "Read")
    inbox.number()
    inbox.mark_read(upto=inbox.counts().at)
    inbox.number()
    broadcast(Everyone(), "Tomorrow", at=timezone.now() + timedelta(days=1))
    archived = broadcast(Everyone(), "Archived")
    inbox.archive([archived.pk])
    Pending.objects.create(stream="everyone", op="updated", notification=read)
    with transaction.atomic():
        broadcast(Everyone(), "Waits")
        for view in ("all", "unread"):
            page = inbox.page(view)
            told = [(item.title, item.seq, item.unread) for item in page.items]
            assert told == [("Waits", None, True), ("Read", 1, False)][: 2 if view == "all" else 1]


@pytest.mark.parametrize("view", ["all", "unread"])
def test_pages_hold_everything_once_however_many_groups_there_are(ana, fresh, view, monkeypatch):
    """More of them than one statement takes."""
    monkeypatch.setattr(listing, "PARTS", 3)
    groups = [Group.objects.create(name=f"g{n}") for n in range(7)]
    ana.groups.set(groups)
    inbox = fresh(ana)
    told = [notify(ana, "Mine").pk]
    for n in range(3):
        told += [broadcast(GroupAudience(group), f"{n} for {group}").pk for group in groups]
        if n < 2:
            inbox.number()  # and the last of each waits
    for search, wanted in ((EVERYTHING, told), (Search(text="for g"), told[1:])):
        found, before = [], None
        while not found or before:
            page = inbox.page(view, before, 5, search=search)
            found += [item.id for item in page.items]
            before = page.before
        assert found == wanted[::-1]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("100%", ["100% off"]),
        ("100_", []),
        ("back\\slash", ["a back\\slash"]),
        ("it's", ["it's here"]),
        ("OFF", ["now off", "100% off"]),
        ("now body", ["now off"]),
        ("{own}", ["%(person)s {own}"]),
        ("%(person)s", ["%(person)s {own}"]),
    ],
)
def test_a_search_takes_every_sign_as_it_is(ana, fresh, text, found):
    for title in ("100% off", "a back\\slash", "it's here", "now off", "%(person)s {own}"):
        notify(ana, title, body="body")
    page = fresh(ana).page(search=Search(text=text))
    assert [item.title for item in page.items] == found


@pytest.mark.parametrize("token", ["", "x", "1", "1-", "-1", "1-x", "9" * 30 + "-1", "1-0"])
def test_a_page_that_does_not_exist_is_refused(ana, token):
    with pytest.raises(errors.BadRequest):
        inbox_of(ana).page(before=token)


def test_a_view_that_does_not_exist_is_refused(ana):
    with pytest.raises(errors.UnknownView, match="expected one of all, unread, archived"):
        inbox_of(ana).page("spam")


def test_a_page_costs_the_same_for_ten_as_for_three_hundred(ana, fresh, django_assert_num_queries):
    def queries():
        inbox = fresh(ana)
        inbox.counts()  # the very first one names the history of a new database
        with CaptureQueriesContext(connection) as captured:
            inbox.page()
        return len(captured)

    for n in range(10):
        notify(ana, f"{n}")
        broadcast(Everyone(), f"{n}")
    few = queries()
    for n in range(150):
        notify(ana, f"{n}")
        broadcast(Everyone(), f"{n}")
    assert queries() == few
    inbox = fresh(ana)
    with django_assert_num_queries(1):
        assert inbox.counts().unread == 100


def test_counts_stop_at_a_hundred(ana, fresh):
    for n in range(70):
        notify(ana, f"{n}")
        broadcast(Everyone(), f"{n}")
    assert counts(fresh(ana)) == (Counts.CAP, Counts.CAP)


def test_what_is_still_pending_is_left_out_of_the_counts(ana, fresh):
    inbox = fresh(ana)
    notify(ana, "Pending")
    broadcast(Everyone(), "Pending too")
    found = inbox.counts()
    assert (found.unread, dict(found.at.seqs)) == (0, {"user": 0, "everyone": 0})
    inbox.number()
    found = inbox.counts()
    assert (found.unread, dict(found.at.seqs)) == (2, {"user": 1, "everyone": 1})


def test_acting_on_what_is_still_pending_holds_when_it_gets_its_number(ana, fresh):
    inbox = inbox_of(ana)
    mine, shared = notify(ana, "Mine"), broadcast(Everyone(), "Shared")
    inbox.mark_read([mine.pk, shared.pk])
    assert counts(inbox) == (0, 0)
    inbox.mark_unread([shared.pk])
    assert counts(inbox) == (0, 1)
    inbox.mark_read(upto=inbox.counts().at)
    assert counts(inbox) == (0, 0)


def test_an_action_is_told_to_the_project_after_the_commit(ana, three, fresh):
    heard = []

    def hear(sender, person_id, action, ids, **_):
        heard.append((person_id, action, ids))

    inbox_changed.connect(hear)
    try:
        fresh(ana).mark_read([three[0].pk])
    finally:
        inbox_changed.disconnect(hear)
    assert heard == [(ana.pk, "read", [three[0].pk])]


STEPS = st.lists(
    st.sampled_from(
        ["mine", "shared", "read", "unread", "archive", "unarchive", "seen", "all"]
    ).flatmap(lambda step: st.tuples(st.just(step), st.integers(0, 5))),
    max_size=14,
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=STEPS)
def test_the_counts_are_those_of_a_naive_list(ana, fresh, steps):
    """Against a list of flags in memory, over any sequence of news and actions."""
    for model in (Notification, Entry, Reader):
        model.objects.all().delete()
    Receipt.objects.all().delete()
    inbox = fresh(ana)
    naive: list[dict[str, bool | int]] = []
    for step, n in steps:
        if step in ("mine", "shared"):
            sent = notify(ana, "x") if step == "mine" else broadcast(Everyone(), "x")
            naive.append({"id": sent.pk, "unread": True, "unseen": True, "archived": False})
            inbox.number()
        elif step == "all":
            inbox.number()
            inbox.mark_read(upto=inbox.counts().at)
            for one in naive:
                one |= {"unread": False, "unseen": False}
        elif naive:
            one = naive[n % len(naive)]
            inbox.act(step, [one["id"]])
            if step == "unread" and one["unread"]:
                continue  # nothing changed, so it has not been seen either
            one["unseen"] = one["unseen"] and step == "unarchive"
            if step in ("read", "unread"):
                one["unread"] = step == "unread"
            if step in ("archive", "unarchive"):
                one["archived"] = step == "archive"
    kept = [one for one in naive if not one["archived"]]
    assert counts(inbox) == (
        sum(one["unseen"] and one["unread"] for one in kept),
        sum(one["unread"] for one in kept),
    )
    shown = {item.id: item.unread for item in inbox.page(limit=100).items}
    assert shown == {one["id"]: one["unread"] for one in kept}
    unread = {item.id for item in inbox.page("unread", limit=100).items}
    assert unread == {one["id"] for one in kept if one["unread"]}
