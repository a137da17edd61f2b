"""Whatever happens to the audiences of a shared stream, every inbox is what a plain model says.

Ten people, two groups and lists; the model keeps a set for each fact and knows nothing of numbers,
watermarks or receipts. Both the cap of the counts and the stretch that a count walks are small
here, so that what ten thousand broadcasts do happens after ten.

`EXPLORE=1000 pytest tests/kernel/test_audiences_model.py` tries so many new histories.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from datetime import timedelta
from unittest import mock

import pytest
from django.contrib.auth.models import Group as DjangoGroup
from django.contrib.auth.models import User
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from notifications import Everyone, Group, broadcast, inbox_of, notify
from notifications import inbox as inboxes
from notifications.listing import EVERYTHING, Search
from notifications.models import Notification, Pending
from notifications.reach import result
from notifications.stream.number import number
from notifications.wire import Counts

from .town import NOON, TABLES, clock

pytestmark = pytest.mark.django_db(transaction=True)

EXPLORE = int(os.environ.get("EXPLORE", "0"))
CAP = 4
LEVELS = ("info", "warning", "error")


class Told:
    """What the model knows of one notification."""

    def __init__(self, sent, audience, level, expires):
        self.id, self.audience, self.level, self.expires = sent.pk, audience, level, expires
        self.sent = sent
        self.holders = set()
        """Who has it for good: by name, or in the audience when it was told or before."""
        self.seen, self.read, self.archived = set(), set(), set()
        self.recalled = False


class Audiences(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.now = NOON
        self.patches = ExitStack()
        self.patches.enter_context(clock(lambda: self.now))
        self.patches.enter_context(mock.patch.object(Counts, "CAP", CAP))
        self.patches.enter_context(mock.patch.object(inboxes, "WALKED", 3))
        self.groups = [DjangoGroup.objects.create(name=name) for name in ("editors", "writers")]
        self.people = []
        self.members = {"everyone": set(), "editors": set(), "writers": set()}
        self.joined_before = {name: set() for name in self.members}
        self.told = []
        self.cursors = []
        self.turn = 0
        for _ in range(7):
            self.come()

    def teardown(self):
        self.patches.close()
        for model in TABLES:
            model.objects.all().delete()
        User.objects.all().delete()
        for group in self.groups:
            group.delete()
        for model in TABLES:
            model.objects.all().delete()

    def inbox(self, who):
        inbox = inbox_of(User.objects.get(pk=self.people[who % len(self.people)]), "en")
        inbox.number()
        return inbox

    # The model

    def in_stream(self, person, one):
        """Whether it is in a stream that the person reads now, and after their time began."""
        mine = one.audience is None or person in self.members[one.audience]
        return mine and person in one.holders

    def has(self, person, one):
        gone = one.recalled or (one.expires is not None and one.expires <= self.now)
        return self.in_stream(person, one) and not gone

    def shown(self, person, view="all", level="info"):
        return [
            one.id
            for one in reversed(self.told)
            if self.has(person, one)
            and (person in one.archived) == (view == "archived")
            and (view != "unread" or person not in one.read)
            and LEVELS.index(one.level) >= LEVELS.index(level)
        ]

    @invariant()
    def every_inbox_is_what_the_model_says(self):
        for _ in range(2):
            self.turn += 1
            person = self.people[self.turn % len(self.people)]
            inbox = self.inbox(self.turn)
            for view in ("all", "unread", "archived"):
                assert self.pages(inbox, view) == self.shown(person, view)
            search = Search(text="news", level="warning")
            assert self.pages(inbox, "all", search) == self.shown(person, level="warning")
            listed = [one for one in self.told if one.id in self.shown(person)]
            unread = sum(person not in one.read for one in listed)
            unseen = sum(person not in one.read | one.seen for one in listed)
            counts = inbox.counts()
            assert (counts.unseen, counts.unread) == (min(unseen, CAP), min(unread, CAP))
            items = {item.id: item.unread for item in inbox.page(limit=100).items}
            assert items == {one.id: person not in one.read for one in listed}
        if self.told:
            self.check_result(self.told[self.turn % len(self.told)])

    def pages(self, inbox, view, search=EVERYTHING):
        """Every page of three, to the end."""
        found, before = [], None
        while True:
            page = inbox.page(view, before, 3, search=search)
            found += [item.id for item in page.items]
            before = page.before
            if before is None:
                return found

    def check_result(self, one):
        if one.audience is None:
            reached = one.holders
        else:
            reached = one.holders & (self.members[one.audience] | one.seen | one.read)
        found = result(Notification.objects.get(pk=one.id))
        assert found.read == len(one.read)
        assert found.seen == len(one.seen | one.read)
        assert found.reached == max(len(reached & self.now_in(one)), found.seen)

    def now_in(self, one):
        return one.holders if one.audience is None else self.members[one.audience]

    # What may happen

    @rule()
    def come(self):
        """Somebody new joins the site."""
        if len(self.people) == 10:
            return
        self.now += timedelta(seconds=1)
        user = User.objects.create(username=f"p{len(self.people)}", date_joined=self.now)
        self.people.append(user.pk)
        self.members["everyone"].add(user.pk)
        self.joined_before["everyone"].add(user.pk)

    @rule(who=st.integers(0, 9), group=st.integers(0, 1), leaves=st.booleans(), by=st.booleans())
    def join_or_leave(self, who, group, leaves, by):
        self.now += timedelta(seconds=1)
        user = User.objects.get(pk=self.people[who % len(self.people)])
        found = self.groups[group]
        change = ("remove" if leaves else "add", user.groups if by else found.user_set)
        getattr(change[1], change[0])(found if by else user)
        name = found.name
        if leaves:
            self.members[name].discard(user.pk)
        else:
            self.members[name].add(user.pk)
            self.joined_before[name].add(user.pk)

    @rule(
        audience=st.sampled_from(["everyone", "everyone", "editors", "editors", "writers", None]),
        people=st.integers(1, 1023),
        lasts=st.sampled_from([0, 0, 0, 0, 6]),
        level=st.sampled_from(LEVELS),
    )
    def tell(self, audience, people, lasts, level):
        self.now += timedelta(seconds=1)
        what = {"level": level, "expires": timedelta(seconds=lasts) if lasts else None}
        if audience is None:
            named = [pk for bit, pk in enumerate(self.people) if people & 1 << bit]
            named = named or self.people[:1]
            sent = notify(list(User.objects.filter(pk__in=named)), "News", **what)
        else:
            to = Everyone() if audience == "everyone" else Group(audience)
            sent = broadcast(to, "News for all", **what)
            # Who left keeps it too: coming back shows what was told meanwhile.
            named = self.joined_before[audience]
        one = Told(sent, audience, level, sent.expires)
        one.holders |= set(named)
        self.told.append(one)

    @rule(
        who=st.integers(0, 9),
        action=st.sampled_from(["read", "read", "read", "unread", "archive", "unarchive", "seen"]),
        which=st.integers(1, 255),
        newest=st.booleans(),
    )
    def act(self, who, action, which, newest):
        person = self.people[who % len(self.people)]
        mine = [one for one in self.told if self.has(person, one)]
        mine = mine[-8:] if newest else mine[:8]
        self.act_on(who, action, [one for bit, one in enumerate(mine) if which & 1 << bit])

    @rule(who=st.integers(0, 9), left=st.integers(0, 8))
    def read_most(self, who, left):
        """Some at the beginning stay unread."""
        person = self.people[who % len(self.people)]
        mine = [one for one in self.told if self.has(person, one)]
        self.act_on(who, "read", mine[left:] if left != 1 else mine[:1] + mine[2:])

    @rule(audience=st.sampled_from(["everyone", "editors"]))
    def tell_many(self, audience):
        for level in LEVELS * 2:
            self.tell(audience, 0, 0, level)

    @rule(who=st.integers(0, 9), group=st.integers(0, 1))
    def tell_and_join(self, who, group):
        """Somebody joins before what was told has a number."""
        self.tell(self.groups[group].name, 0, 0, "info")
        self.join_or_leave(who, group, False, True)

    @rule()
    def tell_and_come(self):
        self.tell("everyone", 0, 0, "info")
        self.come()

    def act_on(self, who, action, chosen):
        person = self.people[who % len(self.people)]
        self.inbox(who).act(action, [one.id for one in chosen])
        for one in chosen:
            unread = person not in one.read
            if action == "seen" or (action == "archive" and person not in one.archived):
                one.seen.add(person)
            if action == "read" and unread:
                one.read.add(person)
                one.seen.add(person)
            if action == "unread" and not unread:
                one.read.discard(person)
                one.seen.add(person)
            if action == "archive":
                one.archived.add(person)
            if action == "unarchive":
                one.archived.discard(person)

    @rule(who=st.integers(0, 9))
    def look(self, who):
        """Keep what is on the screen, for a click that comes later."""
        person = self.people[who % len(self.people)]
        on_screen = [one for one in self.told if self.in_stream(person, one)]
        who %= len(self.people)
        self.cursors = [*self.cursors[-3:], (who, on_screen, self.inbox(who).counts().at)]

    @rule(which=st.integers(0, 3), all=st.booleans())
    def click(self, which, all):
        if not self.cursors:
            return
        who, on_screen, cursor = self.cursors[which % len(self.cursors)]
        person = self.people[who % len(self.people)]
        inbox = self.inbox(who)
        if inbox.counts().at.seqs.keys() != cursor.seqs.keys():
            return  # another audience by now: the client was reset
        inbox.act("read_all" if all else "seen", None, cursor)
        for one in on_screen:
            one.seen.add(person)
            if all:
                one.read.add(person)

    @rule(which=st.integers(0, 50))
    def recall(self, which):
        if self.told:
            one = self.told[which % len(self.told)]
            Notification.objects.get(pk=one.id).recall()
            one.recalled = True

    @rule(seconds=st.integers(1, 5))
    def wait(self, seconds):
        self.now += timedelta(seconds=seconds)

    @rule()
    def another_process_reads(self):
        number(set(Pending.objects.values_list("stream", flat=True)))


@pytest.mark.timeout(3_600 if EXPLORE else 600)
def test_every_inbox_is_what_a_plain_model_says(transactional_db):
    run_state_machine_as_test(
        Audiences,
        settings=settings(
            max_examples=EXPLORE or 4,
            stateful_step_count=30,
            deadline=None,
            derandomize=not EXPLORE,
            database=None,
            phases=list(Phase) if EXPLORE else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
